"""The worker of a process: what is new is seen soon, whoever appended it, and whatever else is at fault."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from api.bootstrap import Groundswell, open_groundswell
from api.settings import Settings
from domain.kernel import Actor
from history.envelope import Envelope, new_id
from history.tables import projections as checkpoints
from history.tables import reactions

SOON = 30.0  # seconds, on the slowest of machines
Opens = Callable[[], Groundswell]


@pytest.fixture
def opens(database_url: str, tmp_path: Path) -> Iterator[Opens]:
    """A function that opens the store as one more process would."""
    with ExitStack() as stack:
        settings = Settings(data_dir=tmp_path, database_url=database_url)
        yield lambda: stack.enter_context(open_groundswell(settings))


def found(groundswell: Groundswell, chapter: str) -> int:
    """Give a command; return its position."""
    envelope = Envelope(id=new_id(), command="chapters.found", data={"chapter": chapter, "name": chapter})
    request = groundswell.engine.catalogue.request(envelope, Actor("staff", "test"))
    return groundswell.engine.writer.submit(request).result(SOON).positions[-1]


def seen(groundswell: Groundswell, position: int) -> bool:
    return groundswell.reader.wait(position, SOON)


def test_what_this_process_appends_is_seen(opens: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although nobody would look for it before an hour has passed."""
    monkeypatch.setattr("api.loop.IDLE_SECONDS", 3_600.0)
    groundswell = opens()
    groundswell.worker.start()
    for chapter in ("a", "b"):
        assert seen(groundswell, found(groundswell, chapter))


def test_what_another_process_appends_is_seen(opens: Opens) -> None:
    groundswell, other = opens(), opens()
    groundswell.worker.start()
    assert seen(other, found(other, "a"))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_hint_of_another_process_is_enough(opens: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.loop.IDLE_SECONDS", 3_600.0)
    groundswell, other = opens(), opens()
    groundswell.worker.start()
    for chapter in ("a", "b", "c"):
        assert seen(other, found(other, chapter))


def test_reactions_that_fail_hold_up_no_read_model(opens: Opens) -> None:
    groundswell = opens()
    with groundswell.engine.database.write() as connection:
        reactions.drop(connection)
    groundswell.worker.start()
    for chapter in ("a", "b"):
        assert seen(groundswell, found(groundswell, chapter))


def test_what_fails_in_between_is_raised_after_all_the_rest_is_done(opens: Opens) -> None:
    groundswell = opens()
    with groundswell.engine.database.write() as connection:
        reactions.drop(connection)
    position = found(groundswell, "a")
    with pytest.raises(Exception, match="reactions"):
        groundswell.catch_up()
    assert seen(groundswell, position)


def test_a_worker_that_is_stopped_gives_its_leases_back(opens: Opens) -> None:
    groundswell, other = opens(), opens()
    groundswell.worker.start()
    assert seen(groundswell, found(groundswell, "a"))
    groundswell.close()
    with other.engine.database.read() as connection:
        owners = set(connection.scalars(sa.select(checkpoints.c.owner).where(checkpoints.c.live)))
    assert owners == {None}
    other.worker.start()
    assert seen(other, found(other, "b"))
