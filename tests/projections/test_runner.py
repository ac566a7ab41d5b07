import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Column, Connection, Integer, Text, Uuid
from sqlalchemy.exc import OperationalError

from domain.kernel import Aggregate, Event, Unavailable, identify, now
from domain.slices import Fact, Slice
from domain.supporters import Supporter
from history.engine import open_store
from history.tables import events, parked_events
from history.tables import projections as checkpoints
from projections.campaigns import Campaigns
from projections.changes import Changes
from projections.chapters import Chapters
from projections.pledges import Pledges
from projections.projection import Projection, on
from projections.rebuild import compare
from projections.runner import LEASE, Runner, Standing
from projections.supporters import Supporters
from tests.support.clock import Clock
from tests.support.movement import copied, live_contents, wander
from tests.support.store import KINDS, SLICES, Store


class Fragile(Projection, name="fragile"):
    """Counts what supporters do, and breaks on a consent to “break”."""

    error: Exception = ValueError("broken")

    def define(self) -> None:
        self.deeds = self.table(
            "deeds", Column("supporter", Uuid, primary_key=True), Column("count", Integer), Column("last", Text)
        )

    @on(Supporter.Registered, Supporter.DigestSet, Supporter.ConsentRecorded)
    def did(self, fact: Fact, event: Event, changes: Changes) -> None:
        changes.add(self.deeds, fact.stream, count=1)
        changes.put(self.deeds, fact.stream, last=fact.topic)
        if isinstance(event, Supporter.ConsentRecorded) and event.subject == "break":
            raise self.error

    def counts(self, connection: Connection) -> dict[Any, int]:
        query = sa.select(self.deeds.c.supporter, self.deeds.c.count)
        return {supporter: count for supporter, count in connection.execute(query)}  # noqa: C416 - rows, not pairs


@pytest.fixture
def fragile(database_url: str, tmp_path: Path) -> Iterator[Store]:
    with Store(database_url, tmp_path, kinds=(Supporters, Fragile)) as store:
        yield store


def checkpoint(store: Store, kind: type[Projection]) -> sa.Row[Any]:
    with store.engine.database.read() as connection:
        query = sa.select(checkpoints).where(checkpoints.c.name == kind.name, checkpoints.c.live)
        return connection.execute(query).one()


def parked(store: Store) -> list[tuple[str, int, str]]:
    with store.engine.database.read() as connection:
        rows = connection.execute(sa.select(parked_events).order_by(parked_events.c.position))
        return [(row.projection, row.position, row.error) for row in rows]


def break_anna(store: Store) -> None:
    """Positions: 1 anna, 2 ben, 3 anna breaks, 4 ben, 5 anna."""
    store.run("supporters.register", supporter="anna")
    store.run("supporters.register", supporter="ben")
    store.run("supporters.consent", supporter="anna", topic="break", granted=True, wording="Yes")
    store.run("supporters.set_digest", supporter="ben", frequency="daily")
    store.run("supporters.set_digest", supporter="anna", frequency="daily")


ANNA, BEN = (identify("supporter", name) for name in ("anna", "ben"))
WAITS = "waits for an earlier event of its stream"


def test_an_event_that_breaks_a_fold_is_parked_with_what_follows_in_its_stream(fragile: Store) -> None:
    break_anna(fragile)
    with fragile.seen(Fragile) as (deeds, connection):
        assert deeds.counts(connection) == {ANNA: 1, BEN: 2}
    assert parked(fragile) == [("fragile", 3, "ValueError: broken"), ("fragile", 5, WAITS)]
    assert checkpoint(fragile, Fragile).position == 5
    with fragile.seen(Supporters) as (supporters, connection):
        assert supporters.several(connection, [ANNA])[ANNA].digest_frequency == "daily"


def test_what_comes_later_in_a_parked_stream_is_parked_too(fragile: Store) -> None:
    break_anna(fragile)
    fragile.catch_up()
    fragile.run("supporters.set_digest", supporter="anna", frequency="off")
    fragile.run("supporters.set_digest", supporter="ben", frequency="off")
    with fragile.seen(Fragile) as (deeds, connection):
        assert deeds.counts(connection) == {ANNA: 1, BEN: 3}
    assert parked(fragile)[2:] == [("fragile", 6, WAITS)]


def test_a_database_that_fails_parks_nothing(fragile: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = OperationalError("INSERT", {}, Exception("server closed the connection"))
    monkeypatch.setattr(Fragile, "error", lost)
    break_anna(fragile)
    with pytest.raises((Unavailable, OperationalError)):
        fragile.catch_up()
    assert parked(fragile) == []
    assert checkpoint(fragile, Fragile).position == 0
    monkeypatch.setattr(Fragile, "error", ValueError("after all"))
    fragile.catch_up()
    assert [position for _, position, _ in parked(fragile)] == [3, 5]


class Late(Runner):
    """Goes on from what it saw the first time."""

    seen: list[Standing] | None = None

    def standings(self, connection: Connection) -> list[Standing]:
        self.seen = self.seen or super().standings(connection)
        return self.seen


def test_a_batch_delivered_twice_changes_nothing(store: Store) -> None:
    wander(store, steps=300)
    late = Late(store.engine.log, KINDS)
    assert late.step() == store.head
    before = {kind: live_contents(store, kind) for kind in KINDS}
    assert late.step() == 0
    assert {kind: live_contents(store, kind) for kind in KINDS} == before
    assert {checkpoint(store, kind).position for kind in KINDS} == {store.head}


def test_a_batch_that_broke_and_is_delivered_twice_changes_nothing(fragile: Store) -> None:
    break_anna(fragile)
    late = Late(fragile.engine.log, [Fragile])
    assert late.step() == 5
    before = live_contents(fragile, Fragile), parked(fragile)
    assert late.step() == 0
    assert (live_contents(fragile, Fragile), parked(fragile)) == before


def test_two_runners_on_one_store_share_the_work_and_double_none_of_it(store: Store, tmp_path: Path) -> None:
    wander(store, steps=600)
    runners = [Runner(store.engine.log, KINDS, batch=7) for _ in range(2)]
    failures: list[BaseException] = []

    def run(runner: Runner) -> None:
        try:
            for _ in range(20):
                runner.catch_up()
                runner.release()
        except BaseException as failure:  # noqa: BLE001 - the test shows it
            failures.append(failure)

    threads = [threading.Thread(target=run, args=[runner]) for runner in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    store.catch_up()
    assert parked(store) == []
    folder = tmp_path / "single"
    folder.mkdir()
    with copied(store, f"sqlite:///{folder / 'g.sqlite3'}", folder, sa.true()) as single:
        single.catch_up()
        for kind in KINDS:
            assert live_contents(store, kind) == live_contents(single, kind)


def hold(store: Store, kind: type[Projection], until: timedelta) -> None:
    with store.engine.database.write() as connection:
        mine = checkpoints.c.name == kind.name
        connection.execute(checkpoints.update().where(mine).values(owner="other", leased_until=now() + until))


def test_a_lease_is_respected_until_it_ends_and_holds_up_nobody_else(store: Store) -> None:
    store.run("chapters.found", chapter="c", name="C")
    hold(store, Chapters, LEASE * 1.5)
    assert store.catch_up() == 1
    assert (checkpoint(store, Chapters).position, checkpoint(store, Pledges).position) == (0, 1)
    hold(store, Chapters, timedelta(seconds=-1))
    store.catch_up()
    assert (checkpoint(store, Chapters).position, checkpoint(store, Chapters).owner) == (1, store.runner.owner)
    store.runner.release()
    assert checkpoint(store, Chapters).owner is None


def test_a_lease_from_before_the_clock_was_set_back_holds_up_nobody(store: Store, clock: Clock) -> None:
    store.run("chapters.found", chapter="c", name="C")
    died = Runner(store.engine.log, KINDS)
    died.catch_up()
    assert checkpoint(store, Chapters).owner == died.owner
    store.run("chapters.found", chapter="d", name="D")
    store.catch_up()
    assert checkpoint(store, Chapters).position == 1
    clock.step(-timedelta(hours=1))
    store.catch_up()
    assert (checkpoint(store, Chapters).position, checkpoint(store, Chapters).owner) == (2, store.runner.owner)
    clock.step(timedelta(hours=1))
    store.run("chapters.found", chapter="e", name="E")
    store.catch_up()
    assert checkpoint(store, Chapters).position == 3


def test_a_new_read_model_starts_at_the_beginning_and_meets_the_others(store: Store) -> None:
    wander(store, steps=300)
    store.catch_up()
    store.runner.release()
    runner = Runner(store.engine.log, (*KINDS, Fragile), batch=10)
    runner.prepare()
    wander(store, seed=2, steps=100)
    seen: list[int] = []
    assert runner.catch_up(seen.append) == store.head
    assert seen == sorted(seen)
    assert {checkpoint(store, kind).position for kind in runner.kinds} == {store.head}


def append_strange(store: Store, topic: str, data: bytes) -> None:
    """Append what a newer release might have written."""
    with store.engine.database.append() as connection:
        newest = sa.select(events).order_by(events.c.position.desc()).limit(1)
        last = connection.execute(newest).mappings().one()
        values = {**last, "position": last["position"] + 1, "version": last["version"] + 1}
        connection.execute(events.insert().values(values | {"topic": topic, "data": data}))


@pytest.mark.parametrize(
    ("topic", "data", "trouble"),
    [
        ("dreams.Dreamt", b"{}", "history.unknown_topic"),
        ("campaigns.Framed", b'{"locale": 7}', "history.unreadable"),
    ],
)
def test_before_an_event_that_this_release_cannot_read_all_stand_still(
    store: Store, topic: str, data: bytes, trouble: str
) -> None:
    store.run("campaigns.draft", campaign="c", title="C")
    append_strange(store, topic, data)
    store.catch_up()
    store.catch_up()
    for kind in KINDS:
        assert checkpoint(store, kind).position == 1
        assert checkpoint(store, kind).trouble.startswith(trouble)


class Dream(Aggregate, prefix="dreams"):
    """What only a newer release knows."""

    class Dreamt(Aggregate.Created):
        pass


def test_a_release_that_can_read_the_event_goes_on_and_nothing_is_lost(store: Store, tmp_path: Path) -> None:
    wander(store, steps=60)
    store.catch_up()
    before = store.head
    append_strange(store, "dreams.Dreamt", b"{}")
    wander(store, seed=2, steps=60)  # nobody is kept from writing
    for _ in range(2):
        store.catch_up()
        assert {checkpoint(store, kind).position for kind in KINDS} == {before}
    assert checkpoint(store, Campaigns).trouble == (
        "history.unknown_topic: This release does not know events of the topic dreams.Dreamt."
    )
    store.runner.release()
    restarted = Runner(store.engine.log, KINDS)
    assert restarted.catch_up() == before
    restarted.release()
    engine = open_store(store.engine.database.url, tmp_path, (*SLICES, Slice("dreams", (Dream,), ())))
    newer = Runner(engine.log, KINDS)
    assert newer.catch_up() == store.head > before + 1
    assert checkpoint(store, Campaigns).trouble is None
    assert compare(newer, KINDS) == []
    newer.release()
    engine.close()


def test_a_read_model_that_was_removed_keeps_nobody_waiting(store: Store) -> None:
    fewer = Runner(store.engine.log, KINDS[:-1])
    store.run("campaigns.draft", campaign="c", title="C")
    fewer.catch_up()
    with store.engine.database.read() as connection:
        assert fewer.position(connection) == 1
        assert store.runner.position(connection) == 0


class Renewed(Chapters, name="chapters", version=2):
    """Chapters as a newer release has them."""


def test_a_read_model_of_another_version_must_be_rebuilt_before_it_runs(store: Store) -> None:
    store.run("chapters.found", chapter="c", name="C")
    kinds: Sequence[type[Projection]] = (Renewed, Pledges)
    newer = Runner(store.engine.log, kinds)
    assert newer.prepare() == [Renewed]
    newer.catch_up()
    assert (checkpoint(store, Chapters).position, checkpoint(store, Pledges).position) == (0, 1)
