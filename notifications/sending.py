"""One run of the sender: makes messages a batch at a time, and hands out one batch while the next is made."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any, Final
from uuid import uuid4

from domain.kernel import Unavailable
from history.engine import Engine
from notifications import outbox, switch
from notifications.mailer import Mailer
from notifications.mime import Sender
from notifications.movement import Movements
from notifications.outbox import State
from notifications.pacing import Pacing
from notifications.preparing import Mail, Preparation
from notifications.reporting import Reporter
from notifications.transmitting import RATE, Halted, Transmission
from projections.views import Reader

log = logging.getLogger(__name__)

BATCH: Final = 200
PATIENCE: Final = timedelta(minutes=1)
"""How long after its beginning a run waits for moments that are reserved; the next tick is there by then."""

Progress = Callable[[int], Any]


class SendingRun:
    """One run; ``counts`` say what became of its mails, ``trouble`` why it ended early, if it did."""

    def __init__(
        self,
        engine: Engine,
        reader: Reader,
        mailer: Mailer,
        sender: Sender,
        pacing: Pacing | None = None,
        *,
        resend: bool = False,
        stop: Event | None = None,
        movements: Movements | None = None,
    ) -> None:
        self._engine, self._database, self._mailer, self._sender = engine, engine.database, mailer, sender
        self._owner = f"{reader.runner.owner}:{uuid4().hex}"
        self._preparation = Preparation(engine, reader, sender, movements or Movements(engine.log), self._owner)
        self._reporter = Reporter(engine)
        self._pacing, self._resend = pacing or Pacing(), resend
        self._stop = stop or Event()
        self._begun = time.monotonic()
        self._now = datetime.now(UTC)
        self.counts: Counter[str] = Counter()
        self.trouble: str | None = None

    @property
    def now(self) -> datetime:
        """The moment, counted on from that at which the run began."""
        return self._now + timedelta(seconds=time.monotonic() - self._begun)

    def run(self, now: datetime, progress: Progress = lambda _: None) -> None:
        """Send all that may be sent at this moment, and tell the history what became of it."""
        self._now, self._begun = now, time.monotonic()
        self._reporter.report()
        try:
            with self._mailer.session() as session, ThreadPoolExecutor(1, "transmission") as lane:
                owner, pacing = self._owner, self._pacing
                way_out = Transmission(self._engine, self._sender, session, pacing, owner, lambda: self.now)
                try:
                    self._send_all(way_out, lane, progress)
                finally:
                    self.counts.update(way_out.counts)
        except Halted:
            log.info("Mails are halted; what is due waits")
        except Unavailable as error:
            if not error.code.startswith("mail."):
                raise
            self.trouble = str(error)
        self._reporter.report()

    def _send_all(self, way_out: Transmission, lane: ThreadPoolExecutor, progress: Progress) -> None:
        under_way: Future[None] | None = None
        while True:
            mails = [] if self._stop.is_set() else self._prepared()
            if under_way is not None:
                self._await(under_way, way_out, mails)
                progress(self.counts.total() + way_out.counts.total())
            if mails:
                under_way = lane.submit(way_out.transmit, mails)
            elif under_way is not None:
                under_way = None  # perhaps there is more by now
            elif not self._wait_for_reserved():
                return

    def _prepared(self) -> list[Mail]:
        """Claim rows and return their messages; empty where nothing is left to be claimed."""
        mails: list[Mail] = []
        while not mails and (rows := self._claim()):
            mails, settled = self._preparation.prepare(rows, self.now)
            self.counts.update(str(one.state) for one in settled)
        return mails

    def _claim(self) -> Sequence[Any]:
        with self._database.write() as connection:
            if switch.halted(connection):
                raise Halted
            if lost := outbox.expire(connection, self.now):
                self.counts[State.UNKNOWN] += lost
            return outbox.claim(connection, self._owner, self.now, BATCH, resend=self._resend)

    def _await(self, under_way: Future[None], way_out: Transmission, mails: Sequence[Mail]) -> None:
        """Wait until a batch went out, and tell the history; where it could not, put back the next one too."""
        try:
            under_way.result()
        except Exception:
            way_out.put_back(mails)
            raise
        self._reporter.report()

    def _wait_for_reserved(self) -> bool:
        """Wait for the next moment that is reserved for a mail; tell whether there is one."""
        with self._database.read() as connection:
            moment = outbox.next_of(connection, RATE)
        if moment is None or moment > self._now + PATIENCE:
            return False
        return not self._stop.wait(max(0.0, (moment - self.now).total_seconds()))
