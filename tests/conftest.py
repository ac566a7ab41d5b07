"""What all tests share: databases and data."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest

from tests.support.clock import Clock
from tests.support.postgres import PostgresServer, running_server

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# A busy machine is no reason to fail, and neither is a slow first example.
hypothesis.settings.register_profile("groundswell", deadline=None)
hypothesis.settings.load_profile("groundswell")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server per test process, started when first asked for."""
    with running_server() as server:
        yield server


@pytest.fixture
def new_database(postgres_server: PostgresServer) -> Iterator[Callable[[], str]]:
    """A function whose every call answers with the URL of an empty PostgreSQL database, dropped after the test."""
    with ExitStack() as databases:
        yield lambda: databases.enter_context(postgres_server.new_database())


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database; a test that asks for it runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'groundswell.sqlite3'}"
    new_database: Callable[[], str] = request.getfixturevalue("new_database")
    return new_database()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of everything here, which can be set back."""
    return Clock(monkeypatch)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real-world data that lies beside the repository, not in it."""
    if not _SHARED_DATA.is_dir():
        pytest.skip(f"the shared data is not on this machine: {_SHARED_DATA}")
    return _SHARED_DATA


LONGEST = ("test_real_input.py", "test_crashes.py", "test_killing.py", "test_story.py", "test_writer.py")
BY_DATABASE = LONGEST[:3]


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Let each worker take whole files, the longest first; the three longest on two databases count as six files."""
    for item in items:
        database = re.search(r"sqlite|postgresql", item.name) if item.path.name in BY_DATABASE else None
        item.add_marker(pytest.mark.xdist_group(f"{item.path}{database[0] if database else ''}"))
    yield
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
