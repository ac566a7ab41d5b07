"""Kills senders at every point where they may die, through days of digests; then every mail must have its end.

One parent without threads and connections forks a mail server, which answers by its dice and writes down what it took,
and in each round one or more senders, each of which dies at a point of its own. Between rounds hours pass.
"""

import asyncio
import os
import random
import signal
import smtplib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from aiosmtpd.smtp import SMTP, Envelope, Session

import notifications.reporting
from api.bootstrap import PROJECTIONS, SLICES
from domain.mails import Mail
from history.engine import Engine, open_store
from history.tables import events
from history.writer import Writer
from notifications import outbox, ranges, sending, tokens, transmitting
from notifications.aliases import alias
from notifications.outbox import FINAL, State
from notifications.preparing import Preparation
from notifications.sending import SendingRun
from notifications.service import Notifications
from notifications.tables import mail_outcomes
from notifications.tables import outbox as table
from notifications.transmitting import Transmission
from projections.runner import Runner
from projections.views import Reader
from tests.support.killing import Process
from tests.support.mails import MONDAY, MailSettings, campaign, join
from tests.support.store import EVERY_KIND, Store
from tests.support.torture import parser, report

BEFORE, AFTER = "before", "after"
POINTS: Final[dict[str, tuple[Any, str, str]]] = {
    "planning": (outbox, "plan", AFTER),
    "planned": (Notifications, "plan", AFTER),
    "claiming": (outbox, "claim", AFTER),
    "claimed": (SendingRun, "_claim", AFTER),
    "rendering": (tokens, "keep", AFTER),
    "rendered": (Preparation, "prepare", AFTER),
    "taking": (outbox, "take", AFTER),
    "transmitting": (Transmission, "_committed", AFTER),
    "speaking": (smtplib.SMTP, "send", AFTER),
    "hearing": (smtplib.SMTP, "getreply", AFTER),
    "sent": (transmitting.Transmission, "_sent", AFTER),
    "settling": (outbox, "settle", BEFORE),
    "telling": (ranges, "tell", AFTER),
    "settled": (Transmission, "_settle_last", AFTER),
    "recording": (Writer, "write", BEFORE),
    "recorded": (Writer, "write", AFTER),
    "reported": (notifications.reporting.Reporter, "report", AFTER),
}
"""Where a sender dies: before or after a call of something, in the middle of a transaction or not."""

BATCH: Final = 16
IN_FLIGHT: Final = 4
LEASE: Final = timedelta(milliseconds=150)
PATIENCE: Final = 60.0
ROUND: Final = timedelta(hours=8)
DAYS: Final = timedelta(days=19)
"""There is something to tell for three weeks."""
PEOPLE: Final = 24
TAKEN, DROPPED = "taken", "dropped"


@dataclass(frozen=True)
class Place:
    """Where the store is, and the mail server."""

    url: str
    folder: Path
    port: int = 0

    @property
    def kindness(self) -> Path:
        """A file; where it is, the mail server takes everything."""
        return self.folder / "kindness"

    @property
    def log(self) -> Path:
        """Where the mail server writes down what it took."""
        return self.folder / "taken"


# --- the mail server ---


class Server:
    """Answers by its dice, and writes down what it takes before it says so."""

    def __init__(self, place: Place, seed: int) -> None:
        self._place, self._dice = place, random.Random(seed)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's names
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self._dice.random() < 0.1 and not self._place.kindness.exists():
            return self._dice.choice(["450 later", "421 closing", "451 4.7.1 greylisted", "550 5.7.1 not now"])
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, _session: Session, envelope: Envelope) -> str:  # noqa: ANN401, N802
        assert isinstance(envelope.content, bytes)
        (name,) = (line for line in envelope.content.split(b"\r\n") if line.startswith(b"Message-ID: "))
        chance = 0.5 if self._place.kindness.exists() else self._dice.random()
        if chance < 0.04:
            return "451 later"
        if chance < 0.92:
            self._write(TAKEN, name)
        if chance > 0.88:
            self._write(DROPPED, name)
            server.transport.abort()
        elif chance > 0.8:
            await asyncio.sleep(0.05)  # a slow answer
        return "250 taken"

    def _write(self, what: str, name: bytes) -> None:
        with self._place.log.open("a") as log:
            log.write(f"{what} {name.partition(b': ')[2].decode()}\n")


def serve(place: Place, seed: int, pipe: int) -> None:
    """Be the mail server until killed; tell the port through the pipe."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(Server(place, seed), loop=loop), "127.0.0.1", 0)
        os.write(pipe, str(server.sockets[0].getsockname()[1]).encode().rjust(5))
        await server.serve_forever()

    asyncio.run(run())


# --- a sender ---


def fill(place: Place) -> None:
    """Make a movement whose people get a digest a day, with something to tell each day."""
    with Store(place.url, place.folder, kinds=EVERY_KIND) as store:
        campaign(store)
        for number in range(PEOPLE):
            name = f"s{number:02d}"
            join(store, name, time_zone=("UTC", "Asia/Kathmandu", "America/Lima")[number % 3])
            store.run("supporters.set_digest", supporter=name, frequency="daily", hour=8)
            store.run("pledges.make", campaign="listen", ask="ten", supporter=name, at=MONDAY - timedelta(days=1))
        store.catch_up()
        store.runner.release()


def send(place: Place, moment: datetime, point: str | None = None, times: int = 1) -> None:
    """Send what is due at a moment; die when a point is come to so many times."""
    sending.BATCH, transmitting.IN_FLIGHT = BATCH, IN_FLIGHT  # type: ignore[misc] # in this process
    engine = open_store(place.url, place.folder, SLICES)
    if point is not None:
        _mine(*POINTS[point], times)
    runner = Runner(engine.log, PROJECTIONS, lease=LEASE)
    runner.prepare()
    runner.catch_up()
    settings = MailSettings(place.folder, f"smtp://127.0.0.1:{place.port}")
    Notifications(engine, Reader(runner), settings, lambda: moment).tick()


def _mine(owner: Any, name: str, when: str, times: int) -> None:  # noqa: ANN401 - a module or a class
    """Lay a mine: the process dies before or after the call that is so many times the first."""
    walked, calls = getattr(owner, name), 0

    def mined(*given: Any, **named: Any) -> Any:  # noqa: ANN401
        nonlocal calls
        calls += 1
        if when == BEFORE and calls == times:
            os.kill(os.getpid(), signal.SIGKILL)
        found = walked(*given, **named)
        if when == AFTER and calls == times:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(owner, name, mined)


# --- the torture ---


class Torture:
    """Senders under kills; ``run`` answers with what happened, or raises AssertionError."""

    def __init__(self, place: Place, senders: int, seed: int) -> None:
        self.dice, self.senders = random.Random(seed), senders
        self.happened: Counter[str] = Counter()
        self._all([lambda _: fill(place)])
        self._server = Process(lambda pipe: serve(place, seed, pipe))
        self.place = Place(place.url, place.folder, int(os.read(self._server.pipe, 5)))
        self.moment = MONDAY

    def run(self) -> dict[str, int]:
        """Let senders die twice at every point, let the last ones do the rest, and examine everything."""
        mines = [(point, times) for point in POINTS for times in (1, self.dice.randint(2, 4))]
        self.dice.shuffle(mines)
        try:
            while mines:
                laid, mines = mines[: self.senders], mines[self.senders :]
                died = self._all([self._sender(*mine) for mine in laid])
                mines += [(point, 1) for (point, _), dead in zip(laid, died, strict=True) if not dead]
                self.happened["kills"] += sum(died)
                self.moment += ROUND
                assert self.moment < MONDAY + DAYS, f"nobody comes to {mines}"
            self.place.kindness.touch()
            for _ in range(3):
                self._all([self._sender(None, 1)] * self.senders)
                self.moment += ROUND
        finally:
            self._server.end()
        engine = open_store(self.place.url, self.place.folder, SLICES)
        try:
            self._examine(engine)
        finally:
            engine.close()
        return dict(self.happened)

    def _sender(self, point: str | None, times: int) -> Callable[[int], None]:
        return lambda _: send(self.place, self.moment, point, times)

    @staticmethod
    def _all(works: Sequence[Callable[[int], None]]) -> list[bool]:
        """Let processes work at the same time, until all are done or dead; tell of each whether it was killed."""
        processes = [Process(work) for work in works]
        deadline, died = time.monotonic() + PATIENCE, []
        for process in processes:
            while process.listen(1):
                assert time.monotonic() < deadline, "a sender does not get on"
            died.append(os.WIFSIGNALED(os.waitpid(process.pid, 0)[1]))
            os.close(process.pipe)
        return died

    # --- what must be so ---

    def _examine(self, engine: Engine) -> None:
        with engine.database.read() as connection:
            rows = connection.execute(sa.select(table)).all()
            assert connection.scalar(sa.select(sa.func.count()).select_from(mail_outcomes)) == 0
        said = [line.split() for line in self.place.log.read_text().splitlines()]
        taken = Counter(name for what, name in said if what == TAKEN)
        dropped = sum(what == DROPPED for what, _ in said)
        assert max(taken.values()) == 1, "somebody got two"
        unknown = Counter(row.reason for row in rows if row.state == State.UNKNOWN)
        assert unknown["sender_died"] <= self.happened["kills"] * IN_FLIGHT
        assert unknown["connection_lost"] <= dropped
        periods = Counter((row.supporter, row.period) for row in rows)
        assert max(periods.values()) == 1
        last = self._recorded(engine)
        for row in rows:
            assert row.state in FINAL, row
            assert last[alias(row.id)] == row.state, row
            arrived = taken[row.message_id]
            assert arrived <= {State.ACCEPTED: 1, State.UNKNOWN: 1}.get(State(row.state), 0), row
            assert arrived or row.state != State.ACCEPTED, row
        states = Counter(row.state for row in rows)
        self.happened.update({"rows": len(rows), "taken": taken.total(), DROPPED: dropped, **states})

    @staticmethod
    def _recorded(engine: Engine) -> dict[Any, str]:
        """Return the last outcome of each mail that the history tells; it tells none twice."""
        last, told = {}, set()
        for fact in engine.log.follow(events.c.topic.like("mails.%")):
            event = fact.event
            assert isinstance(event, Mail.Event)
            assert (fact.stream, event.OUTCOME, event.attempt) not in told
            told.add((fact.stream, event.OUTCOME, event.attempt))
            last[fact.stream] = str(event.OUTCOME)
        return last


def main() -> None:
    """Torture the senders of a store, and print what happened as JSON."""
    told = parser(__doc__)
    told.add_argument("--senders", type=int, default=1)
    given = told.parse_args()
    place = Place(given.url, given.folder)
    report(given.seed, lambda: Torture(place, given.senders, given.seed).run())


if __name__ == "__main__":
    main()
