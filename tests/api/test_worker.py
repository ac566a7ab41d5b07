"""The worker of a process: what is new is seen soon, whoever appended it, and whatever else is at fault."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import sqlalchemy as sa

from api.bootstrap import Groundswell, open_groundswell
from api.settings import Settings
from domain.kernel import Actor
from history.envelope import Envelope, new_id
from history.tables import projections as checkpoints
from history.tables import reactions
from projections.chapters import Chapters
from projections.rebuild import rebuild
from projections.runner import Runner

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


def test_a_worker_stops_although_much_is_left_to_be_read(opens: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    groundswell = opens()
    positions = [found(groundswell, str(number)) for number in range(9)]
    groundswell.runner.batch = 1
    begun, end, step = Event(), Event(), Runner.step

    def slowly(runner: Runner) -> int | None:
        begun.set()
        assert end.wait(SOON)
        return step(runner)

    monkeypatch.setattr(Runner, "step", slowly)
    stop_in_between(groundswell, begun, end)
    with groundswell.engine.database.read() as connection:
        assert groundswell.runner.position(connection) < positions[-1]


def test_a_worker_stops_in_the_middle_of_a_rebuild(opens: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept as the reason why it stands still, and the next one goes on with it."""
    groundswell = opens()
    position = [found(groundswell, str(number)) for number in range(3)][-1]
    groundswell.catch_up()
    groundswell.stale = [Chapters]
    begun, end = Event(), Event()

    def slowly(runner: Runner, kinds: Any, progress: Any, folder: Path) -> None:  # noqa: ANN401 - handed through
        def report(stage: str, done: int) -> None:
            begun.set()
            assert end.wait(SOON)
            progress(stage, done)

        rebuild(runner, kinds, report, folder)

    with monkeypatch.context() as patch:
        patch.setattr("api.bootstrap.rebuild", slowly)
        stop_in_between(groundswell, begun, end)
    assert groundswell.stale == [Chapters]
    with groundswell.engine.database.read() as connection:
        live = sa.select(checkpoints.c.build, checkpoints.c.trouble).where(checkpoints.c.live)
        assert {tuple(row) for row in connection.execute(live)} == {(1, None)}
    groundswell.close()
    other = opens()
    other.stale = [Chapters]
    other.catch_up()
    with other.reader.open([Chapters]) as views:
        assert (views[Chapters].build, views.position) == (2, position)
        assert views[Chapters].count(views.connection) == 3


def stop_in_between(groundswell: Groundswell, begun: Event, end: Event) -> None:
    """Start the worker, and have it stop while it is at what has begun; ``end`` lets that go on."""
    groundswell.worker.start()
    assert begun.wait(SOON)
    stopping = Thread(target=groundswell.worker.stop)
    stopping.start()
    assert groundswell.worker._stopping.wait(SOON)  # noqa: SLF001 - it has been told
    end.set()
    stopping.join(SOON)
    assert not stopping.is_alive()
