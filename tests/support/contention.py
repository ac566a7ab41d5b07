"""One of several processes that send commands to the same few streams from many threads, and note who was told what.

It says when it is ready, begins at a line on its standard input, and prints one answer per line as JSON.
"""

import argparse
import random
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from api.bootstrap import SLICES
from domain.kernel import Actor
from history.answers import Answer
from history.engine import Engine, open_store
from history.envelope import Envelope, Request

THREADS: Final = 8
CAMPAIGNS: Final = ("spring", "autumn")
SUPPORTERS: Final = tuple(f"supporter-{n}" for n in range(12))
ASKS: Final = ("sign", "listen")
"""With their campaigns and supporters these are 48 pledges; with the two campaigns, 50 hot streams."""


class Try(msgspec.Struct, frozen=True):
    """A command to one of the hot streams: its verb, the stream it is for, and what its verb needs to know."""

    id: str
    verb: str
    campaign: str
    ask: str = ""
    supporter: str = ""
    day: int = 0
    if_match: int | None = None

    @property
    def stream(self) -> str:
        """The stream that it changes."""
        return f"{self.campaign}/{self.ask}/{self.supporter}" if self.ask else self.campaign

    def request(self, engine: Engine) -> Request:
        """Make the request; check-ins happen long after the pledges that they belong to were made."""
        data = {"campaign": self.campaign}
        if self.ask:
            data |= {"ask": self.ask, "supporter": self.supporter}
        if self.day:
            data["on"] = f"2026-03-{self.day:02d}"
        slice_name = "pledges" if self.ask else "campaigns"
        at = "2026-03-20T12:00:00Z" if self.day else "2026-03-01T12:00:00Z"
        envelope = Envelope(id=self.id, command=f"{slice_name}.{self.verb}", at=at, data=data)
        request = engine.catalogue.request(envelope, Actor("import", "contention"))
        request.if_match = self.if_match
        return request


class Told(msgspec.Struct, frozen=True):
    """What became of a try, and between which two moments of the machine's one steady clock (nanoseconds)."""

    tried: Try
    asked: int
    told: int
    status: str
    positions: tuple[int, ...]
    code: str | None


def prepare(engine: Engine) -> None:
    """Make the campaigns and supporters that the tries are about."""
    commands: list[tuple[str, dict[str, object]]] = []
    for campaign in CAMPAIGNS:
        named: dict[str, object] = {"campaign": campaign}
        commands.append(("campaigns.draft", named | {"title": campaign}))
        commands.append(("campaigns.add_ask", named | {"ask": "sign", "statement": "Sign", "kind": "once"}))
        challenge = {"ask": "listen", "statement": "Listen", "kind": "challenge", "days": 30, "backdating_days": 30}
        commands.append(("campaigns.add_ask", named | challenge))
        commands.append(("campaigns.launch", named))
    commands += [("supporters.register", {"supporter": supporter}) for supporter in SUPPORTERS]
    envelopes = [Envelope(id=f"prepare {n}", command=name, data=data) for n, (name, data) in enumerate(commands)]
    requests = [engine.catalogue.request(envelope, Actor("import", "contention")) for envelope in envelopes]
    assert {answer.status for answer in engine.write(requests)} == {"accepted"}


def tries(sender: str, seed: int) -> Iterator[Try]:
    """Invent commands without end, the same for the same sender and seed."""
    dice = random.Random(f"{sender} {seed}")
    number = 0
    while True:
        number += 1
        name, campaign = f"{sender}:{number}", dice.choice(CAMPAIGNS)
        if dice.random() < 0.05:
            yield Try(name, dice.choice(("pause", "resume", "resume")), campaign)
            continue
        verb = dice.choices(("make", "check_in", "withdraw", "lapse", "keep"), (45, 40, 8, 5, 1))[0]
        day = dice.randint(1, 12) if verb == "check_in" else 0
        ask = "listen" if verb == "check_in" and dice.random() < 0.9 else dice.choice(ASKS)
        yield Try(name, verb, campaign, ask, dice.choice(SUPPORTERS), day)


class Sender:
    """One thread: takes its own tries and those that every process has, and asks for versions that it has seen."""

    def __init__(self, engine: Engine, name: str, seed: int, size: int) -> None:
        self._engine, self._dice = engine, random.Random(f"{name} {seed}")
        self._mine = islice(tries(name, seed), size)
        self._everybodys = tries("everybody", seed)
        self._versions: dict[str, int] = {}
        self.history: list[Told] = []

    def run(self) -> None:
        """Send everything, in each of the ways there are."""
        for tried in self._mine:
            chance = self._dice.random()
            if chance < 0.1:
                self._together([next(self._everybodys), tried])
            elif chance < 0.2:
                self._together([tried, tried])
            elif chance < 0.3:
                self._as_batch([tried, *islice(self._mine, 4)])
            elif chance < 0.5 and tried.stream in self._versions:
                self._together([msgspec.structs.replace(tried, if_match=self._versions[tried.stream])])
            else:
                self._together([tried])

    def _together(self, tried: list[Try]) -> None:
        asked = time.monotonic_ns()
        futures = [self._engine.writer.submit(one.request(self._engine)) for one in tried]
        self._note(tried, asked, (future.result(60) for future in futures))

    def _as_batch(self, tried: list[Try]) -> None:
        asked = time.monotonic_ns()
        self._note(tried, asked, self._engine.write([one.request(self._engine) for one in tried]))

    def _note(self, tried: list[Try], asked: int, answers: Iterable[Answer]) -> None:
        for one, answer in zip(tried, answers, strict=True):
            code = answer.error.code if answer.error else None
            told = Told(one, asked, time.monotonic_ns(), answer.status, tuple(answer.positions), code)
            self.history.append(told)
            if answer.version is not None:
                self._versions[one.stream] = answer.version


def main() -> None:
    """Send from eight threads, and print the history of their answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--size", required=True, type=int)
    given = parser.parse_args()
    engine = open_store(given.url, given.folder, SLICES)
    senders = [Sender(engine, f"{given.name}-{n}", given.seed, given.size) for n in range(THREADS)]
    threads = [threading.Thread(target=sender.run) for sender in senders]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.close()
    for sender in senders:
        sys.stdout.writelines(msgspec.json.encode(told).decode() + "\n" for told in sender.history)


if __name__ == "__main__":
    main()
