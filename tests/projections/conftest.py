"""What tests of read models share: an empty store, and one in which everything has happened."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.movement import wander
from tests.support.store import EVERY_KIND, Store


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    """An empty store, once on each database."""
    with Store(database_url, tmp_path) as store:
        yield store


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store on SQLite with a movement in it, which a test must leave as it is."""
    folder = tmp_path_factory.mktemp("moved")
    with Store(f"sqlite:///{folder / 'groundswell.sqlite3'}", folder, kinds=EVERY_KIND) as store:
        wander(store)
        store.catch_up()
        yield store
