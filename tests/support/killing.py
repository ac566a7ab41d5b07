"""Kills and pauses processes that run read models, at random moments of a real import; then the tables must be right.

One parent without threads and connections forks them all: one that imports, a portion whenever it is told to, and two
runners with short leases, which tell of every step they take. One that is killed is followed by another. One that is
paused loses its leases, and wakes up in the middle of what it was about to do.
"""

import os
import random
import select
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, NoReturn

from api.bootstrap import PROJECTIONS, SLICES
from api.imports import Import, Interruption, Source
from domain.kernel import Unavailable
from domain.slices import Fact
from history.answers import Answer
from history.engine import Engine, open_store
from history.envelope import Request
from projections.parked import parked
from projections.rebuild import compare
from projections.runner import LeaseLost, Runner, Standing
from tests.support.torture import parser, report

RUNNERS: Final = 2
BATCH: Final = 20
LEASE: Final = timedelta(milliseconds=150)
PATIENCE: Final = 120.0
STEP, LOST, FAILED = b".", b"x", b"!"


@dataclass(frozen=True)
class Place:
    """Where the store is, and what is imported into it."""

    url: str
    folder: Path
    files: Sequence[Path]
    portion: int

    def open(self) -> Engine:
        """Open the store."""
        return open_store(self.url, self.folder, SLICES)


class Telling(Runner):
    """A runner that tells of every step, and of every lease that it finds lost."""

    def __init__(self, engine: Engine, pipe: int) -> None:
        super().__init__(engine.log, PROJECTIONS, batch=BATCH, lease=LEASE)
        self._pipe = pipe

    def _apply(self, group: Sequence[Standing], facts: Sequence[Fact]) -> None:
        try:
            super()._apply(group, facts)
        except LeaseLost:
            self._tell(LOST)
            raise
        self._tell(STEP)

    def _tell(self, what: bytes) -> None:
        try:
            os.write(self._pipe, what)
        except BrokenPipeError:  # the parent is no more
            os._exit(1)


def follow(place: Place, pipe: int) -> None:
    """Run the read models until killed."""
    runner = Telling(place.open(), pipe)
    runner.prepare()
    while True:
        try:
            runner.catch_up()
        except Unavailable:
            continue  # its connection was cut while it was paused
        time.sleep(0.005)


def fill(place: Place, portions: int) -> None:
    """Import the files, a portion for every byte that comes through the pipe, all that is left at its end."""
    engine = place.open()

    def write(requests: Sequence[Request]) -> list[Answer]:
        answers: list[Answer] = []
        for start in range(0, len(requests), place.portion):
            os.read(portions, 1)
            answers += engine.write(requests[start : start + place.portion])
        return answers

    importing = Import(write, engine.catalogue, Interruption())
    for file in place.files:
        importing.run(Source(str(file)))
    engine.close()


class Process:
    """One forked process, from the parent's side; what it tells comes through a pipe."""

    def __init__(self, work: Callable[[int], None], inherited: Sequence[int] = ()) -> None:
        self.told: Counter[bytes] = Counter()
        self.pipe, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.pipe)
            for each in inherited:
                os.close(each)
            _live(work, writing)
        os.close(writing)

    def listen(self, seconds: float) -> bool:
        """Take what comes within the time; tell whether the process still lives."""
        ready, _, _ = select.select([self.pipe], [], [], seconds)
        if not ready:
            return True
        said = os.read(self.pipe, 1 << 16)
        assert not said.startswith(FAILED), said.decode()
        self.told.update(said[n : n + 1] for n in range(len(said)))
        return bool(said)

    def listen_until(self, true: Callable[[], bool], seconds: float) -> bool:
        """Listen until it is true, at most so long or until the process is over; tell whether it is."""
        end = time.monotonic() + seconds
        while not true() and (left := end - time.monotonic()) > 0 and self.listen(left):
            pass
        return true()

    def end(self) -> None:
        """Kill it, if it lives, and wait for its end."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        while self.listen(0):
            pass
        os.close(self.pipe)


def _live(work: Callable[[int], None], pipe: int) -> NoReturn:
    try:
        work(pipe)
    except BaseException:  # noqa: BLE001 - whatever it is, the parent must hear of it
        os.write(pipe, FAILED + traceback.format_exc().encode())
    finally:
        os._exit(0)


class Torture:
    """Runners under kills and pauses; ``run`` answers with what happened, or raises AssertionError."""

    def __init__(self, place: Place, seed: int) -> None:
        self.place, self.dice = place, random.Random(seed)
        self.happened: Counter[str] = Counter()
        reading, self.portions = os.pipe()
        self.importer = Process(lambda _: fill(place, reading), [self.portions])
        os.close(reading)
        self.runners: list[Process] = []

    def run(self, kills: int, pauses: int) -> dict[str, int]:
        """Kill and pause so often, in any order; let the rest be done, and compare everything."""
        order = [self._kill] * kills + [self._pause] * pauses
        self.dice.shuffle(order)
        try:
            for act in order:
                act(self._victim())
            os.close(self.portions)
            assert not self.importer.listen(PATIENCE), "the import does not come to its end"
        finally:
            for runner in self.runners:
                runner.end()
                self.happened["steps"] += runner.told[STEP]
            self.importer.end()
        return self._compare()

    def _victim(self) -> Process:
        """Let the import and two runners get on, and choose a runner at some moment."""
        while len(self.runners) < RUNNERS:
            self.runners.append(Process(lambda pipe: follow(self.place, pipe), [self.portions]))
        self._import_more()
        victim = self.dice.choice(self.runners)
        wanted = victim.told[STEP] + self.dice.randint(0, 4)
        victim.listen_until(lambda: victim.told[STEP] >= wanted, 0.2)
        time.sleep(self.dice.uniform(0, 0.008))
        return victim

    def _import_more(self) -> None:
        with suppress(BrokenPipeError):  # all is imported
            os.write(self.portions, b"+")

    def _kill(self, victim: Process) -> None:
        self.runners.remove(victim)
        victim.end()
        self.happened["kills"] += 1
        self.happened["steps"] += victim.told[STEP]

    def _pause(self, victim: Process) -> None:
        """Pause until another runner gets on, if the store lets it, and see whether the paused one finds that out."""
        (other,) = (runner for runner in self.runners if runner is not victim)
        os.kill(victim.pid, signal.SIGSTOP)
        self._import_more()
        victim.listen(0)
        before = other.told[STEP]
        got_on = other.listen_until(lambda: other.told[STEP] > before + 1, 5 * LEASE.total_seconds())
        lost = victim.told[LOST]
        os.kill(victim.pid, signal.SIGCONT)
        victim.listen_until(lambda: victim.told[LOST] > lost, 0.1)
        self.happened["pauses"] += 1
        self.happened["stolen"] += got_on and victim.told[LOST] > lost

    def _compare(self) -> dict[str, int]:
        engine = self.place.open()
        try:
            runner, head = Runner(engine.log, PROJECTIONS, lease=LEASE), engine.log.head()
            deadline = time.monotonic() + PATIENCE
            while not _at(runner, head):
                runner.catch_up()  # as soon as the leases of the dead have ended
                assert time.monotonic() < deadline, "the read models do not come to the head"
            assert parked(runner) == []
            differences = compare(runner, PROJECTIONS)
            runner.release()
            assert differences == [], differences
            return {**self.happened, "events": head}
        finally:
            engine.close()


def _at(runner: Runner, head: int) -> bool:
    with runner.database.read() as connection:
        return runner.position(connection) == head


def main() -> None:
    """Torture the runners of a store, and print what happened as JSON."""
    told = parser(__doc__)
    told.add_argument("--kills", type=int, default=200)
    told.add_argument("--pauses", type=int, default=20)
    told.add_argument("files", nargs="+", type=Path)
    given = told.parse_args()
    lines = sum(1 for file in given.files for _ in Source(str(file)).lines())
    place = Place(given.url, given.folder, given.files, lines // (given.kills + 2 * given.pauses) or 1)
    report(given.seed, lambda: Torture(place, given.seed).run(given.kills, given.pauses))


if __name__ == "__main__":
    main()
