import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from domain.kernel import Aggregate, now
from domain.slices import Slice
from history.engine import open_store
from history.tables import events
from history.tables import projections as checkpoints
from projections.campaigns import Campaigns
from projections.chapters import Chapters
from projections.pledges import Pledges
from projections.projection import Projection
from projections.rebuild import compare
from projections.runner import LEASE, Runner, Standing
from tests.projections.fragile import Fragile, checkpoint, parked
from tests.support.clock import Clock
from tests.support.movement import copied, live_contents, wander
from tests.support.store import EVERY_KIND, KINDS, SLICES, Store


class Late(Runner):
    """Goes on from what it saw the first time."""

    seen: list[Standing] | None = None

    def standings(self, connection: Connection) -> list[Standing]:
        self.seen = self.seen or super().standings(connection)
        return self.seen


def test_a_batch_delivered_twice_changes_nothing(store: Store) -> None:
    wander(store, steps=300)
    late = Late(store.engine.log, EVERY_KIND)
    late.prepare()
    assert late.step() == store.head
    before = {kind: live_contents(store, kind) for kind in EVERY_KIND}
    assert late.step() == 0
    assert {kind: live_contents(store, kind) for kind in EVERY_KIND} == before
    assert {checkpoint(store, kind).position for kind in EVERY_KIND} == {store.head}


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


def test_a_read_model_that_has_much_to_catch_up_with_holds_up_no_other(store: Store) -> None:
    wander(store, steps=300)
    store.catch_up()
    before = store.head
    store.runner.release()
    runner = Runner(store.engine.log, (*KINDS, Fragile), batch=10)
    runner.prepare()
    store.run("chapters.found", chapter="late", name="Late")
    for _ in range(2):
        runner.step()
    assert checkpoint(store, Chapters).position == before + 1
    assert 10 <= checkpoint(store, Fragile).position < before


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
