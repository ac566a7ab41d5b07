"""The one writer of this process: takes what has queued up, decides it in turn, appends it in one transaction.

Everything is decided under the append lock, so no decision rests on a state that another process has changed since,
and no conflict is possible. The lock is held by the commit anyway; a batch adds a few microseconds per command to it.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.kernel import GroundswellError, Unavailable, identify
from history.answers import Answer, Decided, InternalError
from history.batch import Batch, recorded
from history.database import Database
from history.mapper import Mapper
from history.persons import Persons
from history.plans import Wanted, requests_of
from history.recorder import last_recorded
from history.stage import Aggregates
from history.tables import events

log = logging.getLogger(__name__)

BATCH: Final = 500
QUEUE: Final = 10_000
GATHER_SECONDS: Final = 0.02


@dataclass(slots=True)
class _Committing:
    """What is recorded if the commit under way takes hold."""

    answers: list[Answer]
    decided: list[Decided]


class Writer:
    """Appends commands' events; ``write`` a batch at once, ``submit`` one to the batch that forms next."""

    def __init__(self, database: Database, mapper: Mapper, persons: Persons, waiting: int = QUEUE) -> None:
        self._database, self._mapper, self._persons = database, mapper, persons
        self._aggregates = Aggregates(mapper, persons)
        self._forgetting = [topic for topic, event in mapper.topics.items() if event.forgets_person]
        self._mutex = threading.Lock()
        self._known_position = -1
        self._committing: _Committing | None = None
        self.capacity = waiting
        self._waiting: deque[tuple[Wanted, Future[Answer]]] = deque()
        self._enough = threading.Condition()
        self._wanted = 1
        self._at_hand = 0
        self._thread: threading.Thread | None = None
        self._closed = False
        self.listeners: list[Callable[[int], None]] = []

    # --- callers ---

    def write(self, items: Sequence[Wanted]) -> list[Answer]:
        """Decide and append a batch; one answer per item, in order. Raises Unavailable, with nothing recorded."""
        if not items:
            return []
        with self._mutex:
            answers = self._settle(items)
        position = max((answer.positions[-1] for answer in answers if answer.positions), default=0)
        for listener in self.listeners if position else ():
            try:
                listener(position)
            except Exception:
                log.exception("A listener to the log failed at position %d", position)
        return answers

    def submit(self, item: Wanted) -> "Future[Answer]":
        """Put a command or a plan into the next batch; raise Unavailable (``writer.busy``) where too many wait."""
        future: Future[Answer] = Future()
        with self._enough:
            if self._closed:
                raise Unavailable("writer.closed", "The server is shutting down; send this again in a moment.")
            if len(self._waiting) >= self.capacity:
                raise Unavailable("writer.busy", "Too many commands are waiting; send this again in a moment.")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
                self._thread.start()
            self._waiting.append((item, future))
            if len(self._waiting) >= self._wanted:
                self._enough.notify()
        return future

    @property
    def unanswered(self) -> int:
        """How many commands were submitted and not yet answered; at most ``capacity`` and the batch at hand."""
        with self._enough:
            return len(self._waiting) + self._at_hand

    def close(self) -> None:
        """Take no more commands, and finish those that wait."""
        with self._enough:
            self._closed = True
            self._enough.notify()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    # --- the thread ---

    def _run(self) -> None:
        last, took = 1, 0.0
        while last:
            last, took = self._serve(last, took)

    def _serve(self, last: int, took: float) -> tuple[int, float]:
        """Answer the next batch, and hold on to nothing of it; return how many it were, and how long it took."""
        found = self._next(last, took)
        # From here on no caller can cancel; who did before does not get the command executed.
        batch = [(item, future) for item, future in found if future.set_running_or_notify_cancel()]
        begun = time.monotonic()
        self._answer(batch)
        return len(found), time.monotonic() - begun

    def _next(self, last: int, took: float) -> list[tuple[Wanted, "Future[Answer]"]]:
        """Return what waits, or wait for it; empty once the writer is closed and nothing waits.

        Those who were just answered mostly come back at once, so it waits a moment for half as many; while a batch is
        appended the other half comes back. A lone caller never waits, and nobody for a batch that was held up by
        something else.
        """
        with self._enough:
            self._wanted, self._at_hand = 1, 0
            while not (self._waiting or self._closed):
                self._enough.wait()
            if len(self._waiting) < last // 2 and not self._closed:
                self._wanted = last // 2
                self._enough.wait(min(took / 2, GATHER_SECONDS))
            self._at_hand = min(BATCH, len(self._waiting))
            return [self._waiting.popleft() for _ in range(self._at_hand)]

    def _answer(self, batch: list[tuple[Wanted, "Future[Answer]"]]) -> None:
        try:
            answers = self.write([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - each caller gets it
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            future.set_result(answer)

    # --- one batch ---

    def _settle(self, items: Sequence[Wanted]) -> list[Answer]:
        """Append a batch, whatever one of its commands or the connection may do to it."""
        try:
            return self._attempt(items)
        except Exception as error:
            committing, self._committing = self._committing, None
            cut = isinstance(error, Unavailable) and error.code == "store.unreachable"
            if isinstance(error, Unavailable) and not cut:
                raise
            # If it failed in the commit, the commit may have taken hold all the same: the command ids tell.
            if committing and self._took_hold(committing):
                return committing.answers
            if cut:
                return self._attempt(items)
            log.exception("A batch of %d commands could not be appended", len(items))
            if len(items) == 1:
                known = error if isinstance(error, GroundswellError) else InternalError()
                return [Answer(requests_of(items[0])[0].context.command_id, "rejected", error=known)]
        # One of them is at fault; alone, it takes no other with it.
        return [answer for item in items for answer in self._settle([item])]

    def _took_hold(self, committing: _Committing) -> bool:
        """Tell whether a transaction was committed whose commit was not answered; it is over once we hold the lock."""
        with self._database.append() as connection:
            return recorded(connection, self._persons, committing.decided)

    def _attempt(self, items: Sequence[Wanted]) -> list[Answer]:
        self._committing = None
        try:
            with self._database.append() as connection:
                tail, recorded_at = self._catch_up(connection)
                batch = Batch(connection, self._mapper, self._persons, self._aggregates)
                answers = batch.decide(items)
                position = batch.append(tail, recorded_at)
                self._aggregates.keep()
                if batch.decided:
                    self._committing = _Committing(answers, batch.decided)
        except BaseException:
            self._forget()
            self._known_position = -1
            raise
        self._committing = None
        self._known_position = position
        if batch.forgets:
            self._forget()
        self._aggregates.end()
        return answers

    def _catch_up(self, connection: Connection) -> tuple[int, datetime]:
        """Forget the streams that other processes appended to since the last batch; return the end of the log."""
        tail, recorded_at = last_recorded(connection)
        if self._known_position in {-1, tail}:
            return tail, recorded_at
        news = events.c.position > self._known_position
        erased = sa.select(events.c.position).where(news, events.c.topic.in_(self._forgetting)).limit(1)
        if tail < self._known_position or connection.scalar(erased):
            self._forget()
        else:
            self._aggregates.evict(connection.scalars(sa.select(events.c.stream_id).where(news).distinct()))
        return tail, recorded_at

    def _forget(self) -> None:
        """Let go of what is remembered in the clear: a person's words may stand in any aggregate or reference."""
        self._aggregates.clear()
        identify.cache_clear()

    def notice(self) -> None:
        """Take note of what others appended while nothing is written here, so that an erased person is forgotten."""
        with self._mutex, self._database.read() as connection:
            if self._known_position >= 0:
                self._known_position, _ = self._catch_up(connection)
