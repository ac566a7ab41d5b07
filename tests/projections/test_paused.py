"""A runner that is paused within a batch keeps nobody waiting longer than its lease, and does not write after that."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from sqlalchemy import Column, Integer

from domain.slices import Fact
from domain.supporters import Supporter
from projections.changes import Changes
from projections.projection import Projection, on
from projections.runner import Runner
from tests.projections.fragile import checkpoint
from tests.support.movement import live_contents
from tests.support.store import Store

LEASE = timedelta(milliseconds=300)
SOON = 30.0  # seconds, on the slowest of machines


class Sleepy(Projection, name="sleepy"):
    """Counts supporters; whoever folds first falls asleep over it."""

    beds: ClassVar[list["Bed"]] = []

    def define(self) -> None:
        self.people = self.table("people", Column("id", Integer, primary_key=True), Column("count", Integer))

    @on(Supporter.Registered)
    def registered(self, _fact: Fact, _event: Supporter.Registered, changes: Changes) -> None:
        changes.add(self.people, 1, count=1)
        if self.beds:
            self.beds.pop().sleep()


class Bed:
    """Where a thread sleeps until it is woken."""

    def __init__(self) -> None:
        self.asleep, self.awake = threading.Event(), threading.Event()

    def sleep(self) -> None:
        self.asleep.set()
        assert self.awake.wait(SOON)


def test_a_runner_that_wakes_up_in_its_batch_finds_its_work_done_and_writes_nothing(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    bed = Bed()
    Sleepy.beds.append(bed)
    with Store(new_database(), tmp_path, kinds=[Sleepy]) as store:
        store.run_all([("supporters.register", {"supporter": f"s{n}"}) for n in range(3)])
        paused, other = (Runner(store.engine.log, [Sleepy], lease=LEASE) for _ in range(2))
        running = threading.Thread(target=paused.step)
        running.start()
        assert bed.asleep.wait(SOON)
        deadline = time.monotonic() + SOON
        while checkpoint(store, Sleepy).position < 3:
            other.catch_up()  # held up only until the server cuts the connection of the paused one
            assert time.monotonic() < deadline
        before = live_contents(store, Sleepy)
        assert [row["count"] for row in before["people"]] == [3]
        bed.awake.set()
        running.join()
        assert live_contents(store, Sleepy) == before
        assert checkpoint(store, Sleepy).owner == other.owner
        store.run("supporters.register", supporter="late")
        assert other.catch_up() == 4
        assert [row["count"] for row in live_contents(store, Sleepy)["people"]] == [4]
