"""The worker makes the pages of large boards that a rebuild leaves out."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from api.bootstrap import Groundswell, open_groundswell
from api.settings import Settings
from domain.kernel import Actor
from history.envelope import Envelope, new_id
from projections.boards import Board, Scope
from projections.leaderboards import Leaderboards
from projections.pages import COMPLETE, Pages
from projections.rebuild import rebuild

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


def test_boards_that_were_built_anew_get_their_pages(groundswell: Groundswell) -> None:
    run(groundswell, "campaigns.draft", campaign="listen", title="Listen")
    run(groundswell, "campaigns.add_ask", campaign="listen", ask="once", statement="Once", kind="once")
    run(groundswell, "campaigns.launch", campaign="listen")
    for supporter in ("anna", "ben", "eve", "zoe"):
        run(groundswell, "supporters.register", supporter=supporter)
        run(groundswell, "pledges.make", campaign="listen", ask="once", supporter=supporter)
    groundswell.catch_up()
    rebuild(groundswell.runner, [Leaderboards])
    assert pages(groundswell) == []
    groundswell.worker.start()
    deadline = time.monotonic() + SOON
    while COMPLETE not in pages(groundswell) and time.monotonic() < deadline:
        time.sleep(0.01)
    head = groundswell.engine.log.head()
    assert pages(groundswell) == [COMPLETE, head - 4, head]
