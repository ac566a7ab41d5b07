"""What fails in one read model holds up no other, and nothing is lost of it."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from projections.rebuild import compare
from projections.runner import Runner, Standing
from projections.supporters import Supporters
from tests.projections.fragile import ANNA, BEN, WAITS, Fragile, attempts, break_anna, checkpoint, deeds, parked
from tests.support.clock import Clock
from tests.support.movement import live_contents
from tests.support.store import Store

KINDS = (Supporters, Fragile)
AT_ONCE = timedelta()
SOON = 30.0  # seconds, on the slowest of machines


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    with Store(database_url, tmp_path, kinds=KINDS) as store:
        yield store


def mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fragile, "error", None)


# --- events that a read model cannot take ---


def test_an_event_that_breaks_a_fold_is_parked_with_what_follows_in_its_stream(store: Store) -> None:
    break_anna(store)
    store.catch_up()
    assert deeds(store) == {ANNA: 1, BEN: 2}
    assert parked(store) == [("fragile", 3, "ValueError: broken"), ("fragile", 5, WAITS)]
    assert checkpoint(store, Fragile).position == 5
    with store.seen(Supporters) as (supporters, connection):
        assert supporters.several(connection, [ANNA])[ANNA].digest_frequency == "daily"


def test_what_comes_later_in_a_parked_stream_is_parked_too(store: Store) -> None:
    break_anna(store)
    store.catch_up()
    store.run("supporters.set_digest", supporter="anna", frequency="off")
    store.run("supporters.set_digest", supporter="ben", frequency="off")
    store.catch_up()
    assert deeds(store) == {ANNA: 1, BEN: 3}
    assert parked(store)[2:] == [("fragile", 6, WAITS)]


def test_those_that_break_are_found_among_many(store: Store) -> None:
    requests = [store.request("supporters.register", {"supporter": f"s{n}"}) for n in range(600)]
    broken = {"topic": "break", "granted": True, "wording": "Yes"}
    requests += [store.request("supporters.consent", {"supporter": f"s{n}"} | broken) for n in (7, 8, 333, 599)]
    requests += [store.request("supporters.set_digest", {"supporter": "s7", "frequency": "off"})]
    store.write(requests)
    store.catch_up()
    assert [position for _, position, _ in parked(store)] == [601, 602, 603, 604, 605]
    assert parked(store)[-1][2] == WAITS
    assert set(deeds(store).values()) == {1}
    assert len(deeds(store)) == 600


def test_a_batch_that_broke_and_is_delivered_twice_changes_nothing(store: Store) -> None:
    break_anna(store)
    late = Late(store.engine.log, [Fragile], pauses=[])
    assert late.step() == 5
    before = live_contents(store, Fragile), parked(store)
    assert late.step() == 0
    assert (live_contents(store, Fragile), parked(store)) == before


class Late(Runner):
    """Goes on from what it saw the first time."""

    seen: list[Standing] | None = None

    def standings(self, connection: sa.Connection) -> list[Standing]:
        self.seen = self.seen or super().standings(connection)
        return self.seen


# --- trying again ---


def test_what_was_parked_is_taken_by_itself_when_the_fault_has_passed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_anna(store)
    runner = Runner(store.engine.log, KINDS, pauses=[AT_ONCE, AT_ONCE])
    runner.step()
    assert attempts(store) == [(3, 1, True), (5, 0, False)]
    mend(monkeypatch)
    runner.catch_up()
    assert parked(store) == []
    assert deeds(store) == {ANNA: 3, BEN: 2}
    assert runner.retries == {"fragile": 1}
    assert compare(runner, KINDS) == []


def test_after_some_times_it_waits_for_a_person(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    break_anna(store)
    runner = Runner(store.engine.log, KINDS, pauses=[AT_ONCE, AT_ONCE])
    for tried, again in ((1, True), (2, True), (3, False), (3, False)):
        runner.step()
        assert attempts(store) == [(3, tried, again), (5, 0, False)]
    mend(monkeypatch)
    runner.catch_up()
    assert [position for _, position, _ in parked(store)] == [3, 5]


def test_it_rests_between_the_times(store: Store, clock: Clock) -> None:
    break_anna(store)
    runner = Runner(store.engine.log, KINDS, pauses=[timedelta(minutes=1), timedelta(hours=1)])
    for passed, tried in ((50, 1), (20, 2), (3_500, 2), (200, 3)):
        runner.catch_up()
        clock.step(timedelta(seconds=passed))
        runner.catch_up()
        assert attempts(store)[0] == (3, tried, tried < 3)


def test_a_clock_that_is_set_back_puts_nothing_off(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    break_anna(store)
    runner = Runner(store.engine.log, KINDS, pauses=[timedelta(minutes=1)])
    runner.catch_up()
    clock.step(-timedelta(days=1))
    mend(monkeypatch)
    runner.catch_up()
    assert parked(store) == []


def test_another_that_breaks_behind_it_is_tried_as_often_itself(store: Store) -> None:
    break_anna(store)
    store.run("supporters.consent", supporter="ben", topic="break", granted=True, wording="Yes")
    runner = Runner(store.engine.log, KINDS, pauses=[AT_ONCE])
    runner.catch_up()
    runner.step()
    assert attempts(store) == [(3, 2, False), (5, 0, False), (6, 2, False)]


# --- what the store fails at ---


def test_a_store_that_fails_one_read_model_holds_up_no_other_and_parks_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    mend(monkeypatch)
    model = store.runner.instance(Fragile, 1)
    with store.engine.database.write() as connection:
        model.drop(connection)
    break_anna(store)
    assert store.catch_up() == 5
    assert checkpoint(store, Supporters).position == 5
    stands = checkpoint(store, Fragile)
    assert (stands.position, "deeds_v1" in stands.trouble) == (0, True)
    store.run("supporters.set_digest", supporter="ben", frequency="off")
    assert store.catch_up() == 6
    assert parked(store) == []

    with store.engine.database.write() as connection:
        model.create(connection)
    deadline = time.monotonic() + SOON
    while checkpoint(store, Fragile).position < 6:
        store.catch_up()  # goes on when it has rested
        assert time.monotonic() < deadline
    assert checkpoint(store, Fragile).trouble is None
    assert deeds(store) == {ANNA: 3, BEN: 3}
    assert store.runner.retries["fragile"] >= 1


def test_nobody_waits_for_a_read_model_that_stands_still_in_trouble(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    mend(monkeypatch)
    with store.engine.database.write() as connection:
        store.runner.instance(Fragile, 1).drop(connection)
    break_anna(store)
    store.catch_up()
    assert store.reader.wait(5, seconds=3_600) is False
    assert store.reader.wait(5, seconds=3_600, kinds=[Supporters]) is True
    assert store.reader.wait(0, seconds=3_600) is True


def test_nobody_waits_for_what_is_not_recorded(store: Store) -> None:
    store.run("supporters.register", supporter="anna")
    store.catch_up()
    assert store.reader.wait(1, seconds=3_600) is True
    for far in (2, 2**63, 10**30):
        assert store.reader.wait(far, seconds=3_600) is False
    assert store.reader.wait(-(10**30), seconds=3_600) is True
