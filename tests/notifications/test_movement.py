"""How numbers moved over a range of history, read once for all."""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from domain.kernel import identify
from domain.slices import Fact
from notifications import movement as module
from notifications.movement import CHECK_INS, EVIDENCE, MEMBERSHIPS, Made, Move, Movement, Movements
from tests.support.mails import campaign, tell
from tests.support.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 's.sqlite3'}", tmp_path) as opened:
        yield opened


def test_members_who_are_erased_are_counted_as_gone(store: Store) -> None:
    store.run("chapters.found", chapter="braga", name="Braga")
    store.run("supporters.register", supporter="zoe", chapter="braga")
    store.run("chapters.found", chapter="faro", name="Faro")
    store.run("supporters.amend", supporter="zoe", chapter="faro")
    before = store.head
    (erased,) = store.run("supporters.erase", supporter="zoe", reason="asked").positions
    movement = Movement(store.engine.log, before, store.head)
    of, braga, faro = (before, store.head), identify("chapter", "braga"), identify("chapter", "faro")
    assert movement.move(faro, of) == Move({MEMBERSHIPS: -1}, 1, (erased,))
    assert movement.move(braga, of) == Move({}, 0, ())


def test_movement_reads_forwards_and_backwards_to_the_same(store: Store) -> None:
    tell(store)
    listen, bill, head = identify("campaign", "listen"), identify("policy", "bill"), store.head
    whole = Movement(store.engine.log, 0, head)
    pieces = Movement(store.engine.log, 20, 22)
    pieces.cover(10, 22)
    pieces.cover(0, head)
    for of in ((0, head), (15, 20), (20, head), (head, head), (18, 25)):
        assert whole.move(listen, of) == pieces.move(listen, of)
        assert whole.made(listen, of) == pieces.made(listen, of)
        assert whole.facts(bill, of) == pieces.facts(bill, of)
    every = whole.move(listen, (0, head))
    assert (every.changes["active"], every.changes["kept"], every.changes[CHECK_INS]) == (3, 1, 5)
    assert every.events == len(every.positions) == 4 + 5 + 1
    assert sum(whole.made(listen, (0, head)).values()) == 4


def test_of_very_many_events_the_newest_are_named_and_all_are_counted(store: Store) -> None:
    campaign(store)
    for number in range(EVIDENCE + 10):
        store.run("supporters.register", supporter=f"s{number}")
        store.run("pledges.make", campaign="listen", ask="circle", supporter=f"s{number}")
    move = Movement(store.engine.log, 0, store.head).move(identify("campaign", "listen"), (0, store.head))
    assert move.changes == {"active": EVIDENCE + 10}
    assert (move.events, len(move.positions), move.positions[-1]) == (EVIDENCE + 10, EVIDENCE, store.head)


def test_pledges_are_counted_by_day_over_any_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 4)
    earlier, made, days = Made(), Made(), [date(2026, 3, 1 + number * 7 % 5) for number in range(30)]
    for number, day in enumerate(days):
        (earlier if number < 10 else made).add(2 * number, day)
    assert made.by_day((0, 60)) == Counter(day.toordinal() for day in days[10:])
    earlier.extend(made)
    for first, last in combinations(range(-1, 61), 2):
        within = (day.toordinal() for number, day in enumerate(days) if first < 2 * number <= last)
        assert earlier.by_day((first, last)) == Counter(within)


def test_what_a_process_has_read_is_kept_until_it_is_too_much(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(store)
    listen, movements = identify("campaign", "listen"), Movements(store.engine.log)
    with movements.upto(10) as movement:
        movement.cover(0, 10)
    with movements.upto(store.head) as again:
        assert again is movement
        assert (again.start, again.end) == (0, store.head)
        assert again.move(listen, (0, store.head)) == Movement(store.engine.log, 0, store.head).move(
            listen, (0, store.head)
        )
    monkeypatch.setattr(module, "LONGEST", 20)
    with movements.upto(store.head) as same:
        assert same is movement  # as long as the run lasts
    movements.begin()
    with movements.upto(store.head) as anew:
        assert anew is not movement
        assert (anew.start, anew.end) == (store.head, store.head)


def test_what_cannot_be_read_whole_is_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(store)
    listen, whole = identify("campaign", "listen"), (0, store.head)
    movement, follow = Movement(store.engine.log, 0, 0), store.engine.log.follow

    def cut_off(*where: Any, after: int = 0) -> Iterator[Fact]:  # noqa: ANN401 - as the log takes them
        for number, fact in enumerate(follow(*where, after=after)):
            if number > 5:
                raise ConnectionError
            yield fact

    with monkeypatch.context() as torn:
        torn.setattr(store.engine.log, "follow", cut_off)
        with pytest.raises(ConnectionError):
            movement.cover(*whole)
    movement.cover(*whole)
    assert movement.move(listen, whole) == Movement(store.engine.log, *whole).move(listen, whole)
