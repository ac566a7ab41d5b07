"""Kills processes at random moments of a load, lets the next ones go on, and examines the log after every kill.

One parent without threads and connections forks the processes that write, so that the next one is there at once. Each
opens the store, sends what was not yet acknowledged, and tells every answer through a pipe: what came through the pipe
was acknowledged, whenever its sender was killed.
"""

import json
import os
import random
import select
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from history.checkpoints import Checkpoints
from history.database import Database
from history.verify import verify_store
from tests.support.examination import Acknowledged, Examination, examine_persons, examine_refusals
from tests.support.load import Load, Order, plan
from tests.support.sender import CHECKPOINT, FAILED, PATIENCE, Place, live
from tests.support.torture import parser, report


class Life:
    """One forked process, from the parent's side."""

    def __init__(self, place: Place, load: Load) -> None:
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            live(place, load, writing)
        os.close(writing)
        self.pipe = reading
        self.status: int | None = None
        self._rest = b""

    def listen(self) -> list[list[Any]]:
        """Return what has come through the pipe; at its end the process is over."""
        read = os.read(self.pipe, 1 << 16)
        *lines, self._rest = (self._rest + read).split(b"\n")
        if not read:
            os.close(self.pipe)
            self.status = os.waitpid(self.pid, 0)[1]
        return [json.loads(line) for line in lines]


@dataclass
class Slot:
    """A sender through all its lives, with how much it was told and how many checkpoints it began."""

    load: Load
    life: Life | None = None
    told: int = 0
    checkpoints: int = 0


@dataclass
class Torture:
    """A load under kills; ``run`` answers with what happened, or raises AssertionError."""

    place: Place
    kills: int
    size: int
    seed: int
    senders: int = 2
    kill_server: Callable[[], None] | None = None
    happened: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.slots: list[Slot] = []
        self.orders: list[Order] = []
        self.examination = Examination({})
        self._plan(self.size)

    def _plan(self, size: int) -> None:
        """Plan so many commands more, for senders that were not there before."""
        first = len(self.slots)
        added = [Slot(plan(f"sender{first + n}", size // self.senders, self.seed)) for n in range(self.senders)]
        self.slots += added
        self.orders += [order for slot in added for order in slot.load.orders]
        self.examination.orders = {order.id: order for order in self.orders}

    def run(self) -> dict[str, int]:
        """Kill so many times, let the rest be done, and examine everything."""
        while self.happened["kills"] < self.kills:
            self._kill_some()
            self._examine()
        self._give_birth()
        while self._alive():
            self._listen()
        self._examine()
        assert self.examination.acknowledged.keys() == self.examination.orders.keys()
        return self._examine_all()

    # --- one kill ---

    def _kill_some(self) -> None:
        self._give_birth()
        if not self._alive():  # where examining is slow, the others are done before they could all be killed
            self._plan(self.size // 10)
            self._give_birth()
        alive = self._alive()
        victim = self.dice.choice(alive)
        victims = alive if self.dice.random() < 0.3 else [victim]
        choose_moment = self.dice.choices((self._soon, self._in_a_checkpoint, self._in_the_load), (2, 2, 6))[0]
        choose_moment(victim)
        if self.kill_server and self.dice.random() < 0.2:
            self.kill_server()
            self.happened["server kills"] += 1
        for slot in victims:
            if slot.life is not None:
                os.kill(slot.life.pid, signal.SIGKILL)
        while any(slot.life is not None for slot in victims):
            self._listen()

    def _soon(self, victim: Slot) -> None:
        """While it opens the store, or has just begun."""
        self._pass(victim, self.dice.uniform(0, 0.08))

    def _in_a_checkpoint(self, victim: Slot) -> None:
        before, most = victim.checkpoints, self._some(victim)
        self._wait(victim, lambda: victim.checkpoints > before or victim.told > most)
        self._pass(victim, self.dice.uniform(0, 0.005))

    def _in_the_load(self, victim: Slot) -> None:
        wanted = self._some(victim)
        self._wait(victim, lambda: victim.told > wanted)
        self._pass(victim, self.dice.uniform(0, 0.01))

    def _some(self, victim: Slot) -> int:
        """A number of answers still to come, such that there is work left for all later kills.

        The other senders go on meanwhile, so the share of a kill is half of what one sender alone could spend on it.
        """
        left = sum(order.id not in self.examination.acknowledged for order in victim.load.orders)
        share = left // (2 * (self.kills - self.happened["kills"]))
        return victim.told + self.dice.randint(0, share)

    def _wait(self, victim: Slot, true: Callable[[], bool]) -> None:
        while victim.life is not None and not true():
            self._listen()

    def _pass(self, victim: Slot, seconds: float) -> None:
        end = time.monotonic() + seconds
        while victim.life is not None and (left := end - time.monotonic()) > 0:
            self._listen(left)

    # --- processes ---

    def _give_birth(self) -> None:
        for slot in self.slots:
            load = slot.load.without(self.examination.acknowledged.keys())
            if slot.life is None and load.orders:
                slot.life = Life(self.place, load)

    def _alive(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.life is not None]

    def _listen(self, seconds: float | None = None) -> None:
        """Take what comes within the time; without one, something must come."""
        by_pipe = {slot.life.pipe: slot for slot in self.slots if slot.life is not None}
        ready, _, _ = select.select(list(by_pipe), [], [], PATIENCE if seconds is None else seconds)
        assert ready or seconds is not None, "nothing gets on"
        for pipe in ready:
            self._hear(by_pipe[pipe])

    def _hear(self, slot: Slot) -> None:
        assert slot.life is not None
        messages = slot.life.listen()
        failure = [message[1] for message in messages if message[0] == FAILED]
        assert not failure, "\n".join(failure)
        for message in messages:
            if message[0] == CHECKPOINT:
                slot.checkpoints += 1
                continue
            order_id, status, positions, code = message
            slot.told += 1
            self.happened[status] += 1
            self.examination.acknowledge(order_id, Acknowledged(status, tuple(positions), code))
        if slot.life.status is not None:
            self._bury(slot, slot.life.status)

    def _bury(self, slot: Slot, status: int) -> None:
        slot.life = None
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL, f"a sender ended by signal {os.WTERMSIG(status)}"
            self.happened["kills"] += 1
        else:
            assert os.WEXITSTATUS(status) == 0

    # --- the log ---

    def _examine(self) -> None:
        """Examine what is new, on a connection that is closed before the next fork."""
        if not self.examination.acknowledged:
            return  # there may be no tables yet
        database = Database(self.place.url)
        try:
            self.examination.go_on(database)
        finally:
            database.close()

    def _examine_all(self) -> dict[str, int]:
        acknowledged = self.examination.acknowledged
        engine = self.place.open(create=False)
        try:
            for start in range(0, len(self.orders), 500):
                sent = [order for order in self.orders[start : start + 500] if acknowledged[order.id].positions]
                answers = engine.write([order.request(engine) for order in sent])
                for order, answer in zip(sent, answers, strict=True):
                    assert (answer.status, tuple(answer.positions)) == ("repeated", acknowledged[order.id].positions)
            examine_refusals(engine, self.orders, acknowledged)
            erased = examine_persons(engine)
            Checkpoints(engine.database, self.place.folder).make()
            verdict = verify_store(engine.database, self.place.folder)
        finally:
            engine.close()
        assert verdict.sound, verdict.why
        return {**self.happened, "events": verdict.size, "checkpoints": verdict.checkpoints, "erased": erased}


def main() -> None:
    """Torture a store, and print what happened as JSON."""
    told = parser(__doc__)
    told.add_argument("--kills", type=int, default=100)
    told.add_argument("--size", type=int, default=20_000)
    given = told.parse_args()
    place = Place(given.url, given.folder)
    report(given.seed, lambda: Torture(place, given.kills, given.size, given.seed).run())


if __name__ == "__main__":
    main()
