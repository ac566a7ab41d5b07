"""Whoever looks at the past takes neither all threads nor all connections from everybody else."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine

from domain.kernel import Unavailable
from projections import past
from projections.chapters import Chapters
from projections.history_diff import KINDS, diff
from projections.leaderboards import Leaderboards
from projections.past import Past
from projections.turns import Turns
from projections.views import AsOf, Reader
from tests.support.store import Store

LONG = 60.0


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    with Store(database_url, tmp_path, kinds=(*KINDS, Leaderboards)) as store:
        store.run_all([("chapters.found", {"chapter": str(number), "name": "C"}) for number in range(4)])
        store.catch_up()
        yield store


def number(reader: Reader, position: int) -> int:
    with reader.open([Chapters], AsOf(position)) as views:
        return views[Chapters].count(views.connection)


def test_those_who_come_after_enough_others_are_refused() -> None:
    turns = Turns(at_once=1, waiting=1)
    with turns.queued(), turns.turn():
        with turns.queued(), pytest.raises(Unavailable) as refused, turns.queued():
            pass
        assert refused.value.code == "history.busy"
        with turns.queued():
            pass
    with turns.queued(), turns.turn():
        pass


def test_points_that_must_be_folded_are_refused_while_enough_are(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was folded before is shown all the same, and who was refused is answered later."""
    monkeypatch.setattr(past, "AT_ONCE", 1)
    monkeypatch.setattr(past, "WAITING", 1)
    reader = Reader(store.runner)
    assert number(reader, 1) == 1
    begun, end = threading.Event(), threading.Event()
    fold = Past._fold  # noqa: SLF001 - the work whose time is to be chosen here

    def slowly(one: Past, *arguments: object) -> Engine:
        begun.set()
        assert end.wait(LONG)
        return fold(one, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Past, "_fold", slowly)
    with ThreadPoolExecutor(2) as pool:
        folding = pool.submit(number, reader, 2)
        assert begun.wait(LONG)
        with reader._past._turns.queued():  # noqa: SLF001 - somebody waits
            with pytest.raises(Unavailable, match="ask again"):
                number(reader, 3)
            assert number(reader, 1) == 1
        assert reader.kept == 2
        end.set()
        assert folding.result(LONG) == 2
    assert number(reader, 3) == 3


def test_a_fold_that_fails_leaves_nothing_behind(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(store.runner)
    with monkeypatch.context() as patch:
        patch.setattr(Past, "_fold", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            number(reader, 2)
    assert reader.kept == 0
    assert number(reader, 2) == 2


def test_comparisons_are_refused_while_enough_others_compare(store: Store) -> None:
    reader, comparing = store.reader, store.reader.comparing
    comparing.waiting = 0
    with comparing.queued():
        assert diff(reader, AsOf(1))["events"] == 3
        with comparing.queued(), pytest.raises(Unavailable, match="ask again"):
            diff(reader, AsOf(1))
    assert diff(reader, AsOf(1))["events"] == 3
