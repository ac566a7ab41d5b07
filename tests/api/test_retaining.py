"""The worker makes the pages of large boards that a rebuild leaves out."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from api.bootstrap import Groundswell, open_groundswell
from api.settings import Settings
from domain.kernel import Actor
from history.envelope import Envelope, new_id
from projections.boards import Board, Scope
from projections.leaderboards import Leaderboards
from projections.pages import COMPLETE, WALKING, Page, Pages
from projections.rebuild import rebuild
from projections.retaining import walk

SOON = 30.0
MOVEMENT = Board(Scope.MOVEMENT)


@pytest.fixture
def groundswell(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Groundswell]:
    monkeypatch.setattr(Pages, "EVERY", 2)
    with open_groundswell(Settings(data_dir=tmp_path, database_url=database_url)) as groundswell:
        yield groundswell


def run(groundswell: Groundswell, command: str, **data: object) -> None:
    envelope = Envelope(id=new_id(), command=command, data=data)
    request = groundswell.engine.catalogue.request(envelope, Actor("staff", "test"))
    (answer,) = groundswell.engine.write([request])
    assert answer.error is None


def pages(groundswell: Groundswell) -> list[int]:
    """Return the positions of the pages of the board of the movement."""
    with groundswell.reader.open([Leaderboards]) as views:
        page = views[Leaderboards].pages.table.c
        query = sa.select(page.position).where(page.board == MOVEMENT.id).order_by(page.position)
        return list(views.connection.scalars(query))


def build_anew(groundswell: Groundswell) -> None:
    """Four pledges, and boards that were built anew from them."""
    run(groundswell, "campaigns.draft", campaign="listen", title="Listen")
    run(groundswell, "campaigns.add_ask", campaign="listen", ask="once", statement="Once", kind="once")
    run(groundswell, "campaigns.launch", campaign="listen")
    for supporter in ("anna", "ben", "eve", "zoe"):
        run(groundswell, "supporters.register", supporter=supporter)
        run(groundswell, "pledges.make", campaign="listen", ask="once", supporter=supporter)
    groundswell.catch_up()
    rebuild(groundswell.runner, [Leaderboards])


def live(groundswell: Groundswell) -> Leaderboards:
    with groundswell.reader.open([Leaderboards]) as views:
        return views[Leaderboards]


def test_boards_that_were_built_anew_get_their_pages(groundswell: Groundswell) -> None:
    build_anew(groundswell)
    assert pages(groundswell) == []
    groundswell.worker.start()
    deadline = time.monotonic() + SOON
    while COMPLETE not in pages(groundswell) and time.monotonic() < deadline:
        time.sleep(0.01)
    head = groundswell.engine.log.head()
    assert pages(groundswell) == [COMPLETE, head - 4, head]


def test_pages_made_before_an_event_came_late_are_not_kept_although_others_make_them_too(
    groundswell: Groundswell,
) -> None:
    build_anew(groundswell)
    database, model = groundswell.engine.database, live(groundswell)
    before = walk(database, model, MOVEMENT)
    next(before)
    with database.write() as connection:
        model.pages.forget(connection, 1)
    after = walk(database, model, MOVEMENT)
    next(after)
    with pytest.raises(Exception, match="late"):
        list(before)
    assert pages(groundswell) == [WALKING]
    list(after)
    head = groundswell.engine.log.head()
    assert pages(groundswell) == [COMPLETE, head - 4, head]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("complete", [False, True])
def test_an_event_that_comes_late_waits_for_pages_that_are_being_written(
    groundswell: Groundswell, *, complete: bool
) -> None:
    """On SQLite whoever writes is alone anyway."""
    build_anew(groundswell)
    database, model = groundswell.engine.database, live(groundswell)

    def forget() -> None:
        with database.write() as connection:
            model.pages.forget(connection, 1)

    with database.write() as connection:
        token = model.pages.begin(connection, MOVEMENT.id)
    with ThreadPoolExecutor(1) as pool:
        with database.write() as connection:
            assert model.pages.going_on(connection, MOVEMENT.id, token)
            forgetting = pool.submit(forget)
            wait_for_a_lock(groundswell)
            model.pages.keep(connection, [(MOVEMENT.id, Page(1, (), ()))])
            if complete:
                model.pages.end(connection, MOVEMENT.id)
        forgetting.result(SOON)
    assert pages(groundswell) == []


def wait_for_a_lock(groundswell: Groundswell) -> None:
    """Wait until somebody waits for what another transaction holds."""
    deadline = time.monotonic() + SOON
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while time.monotonic() < deadline:
        with groundswell.engine.database.read() as connection:
            if connection.exec_driver_sql(waiting).scalar():
                return
        time.sleep(0.01)
    pytest.fail("Nobody waited.")
