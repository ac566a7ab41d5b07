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
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from eventsourcing.persistence import StoredEvent
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from domain.kernel import Conflict, Context, Event, GroundswellError, Refusal, Unavailable, identify, now
from history.answers import Answer, Decided, InternalError, is_outcome, is_same, outcome_json, repeat, same, was_refused
from history.database import Database
from history.envelope import Request
from history.mapper import Mapper
from history.persons import Persons
from history.recorder import Circumstances, last_position, row
from history.stage import Aggregates
from history.statements import insert_rows, select_among
from history.tables import commands, events

log = logging.getLogger(__name__)

BATCH: Final = 500
QUEUE: Final = 10_000
_COMMANDS: Final = "SELECT command_id, request_hash, first_position, last_position, result FROM commands"


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
        self._corrected: list[str] = []
        self._capacity = waiting
        self._waiting: deque[tuple[Request, Future[Answer]]] = deque()
        self._enough = threading.Condition()
        self._wanted = 1
        self._thread: threading.Thread | None = None
        self._closed = False
        self.listeners: list[Callable[[int], None]] = []

    # --- callers ---

    def write(self, requests: Sequence[Request]) -> list[Answer]:
        """Decide and append a batch; one answer per request, in order. Raises Unavailable, with nothing recorded."""
        if not requests:
            return []
        with self._mutex:
            answers = self._settle(requests)
        position = max((answer.positions[-1] for answer in answers if answer.positions), default=0)
        for listener in self.listeners if position else ():
            try:
                listener(position)
            except Exception:
                log.exception("A listener to the log failed at position %d", position)
        return answers

    def submit(self, request: Request) -> "Future[Answer]":
        """Put a command into the next batch; raise Unavailable (``writer.busy``) where too many wait already."""
        future: Future[Answer] = Future()
        with self._enough:
            if self._closed:
                raise Unavailable("writer.closed", "The server is shutting down; send this again in a moment.")
            if len(self._waiting) >= self._capacity:
                raise Unavailable("writer.busy", "Too many commands are waiting; send this again in a moment.")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
                self._thread.start()
            self._waiting.append((request, future))
            if len(self._waiting) >= self._wanted:
                self._enough.notify()
        return future

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
        while found := self._next(last, took):
            # From here on no caller can cancel; who did before does not get the command executed.
            batch = [(request, future) for request, future in found if future.set_running_or_notify_cancel()]
            begun = time.monotonic()
            self._answer(batch)
            last, took = len(found), time.monotonic() - begun

    def _next(self, last: int, took: float) -> list[tuple[Request, "Future[Answer]"]]:
        """Return what waits, or wait for it; empty once the writer is closed and nothing waits.

        Those who were just answered mostly come back at once. For as many as they were it waits half as long as their
        batch took: a batch each is better than two halves. A lone caller never waits.
        """
        with self._enough:
            self._wanted = 1
            while not (self._waiting or self._closed):
                self._enough.wait()
            if len(self._waiting) < last and not self._closed:
                self._wanted = last
                self._enough.wait(took / 2)
            return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]

    def _answer(self, batch: list[tuple[Request, "Future[Answer]"]]) -> None:
        try:
            answers = self.write([request for request, _ in batch])
        except Exception as error:  # noqa: BLE001 - each caller gets it
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            future.set_result(answer)

    # --- one batch ---

    def _settle(self, requests: Sequence[Request]) -> list[Answer]:
        """Append a batch, whatever one of its commands or the connection may do to it."""
        try:
            return self._attempt(requests)
        except Exception as error:
            cut = isinstance(error, Unavailable) and error.code == "store.unreachable"
            if isinstance(error, Unavailable) and not cut:
                raise
            # If it failed in the commit, the commit may have taken hold all the same: the command ids tell.
            committing, self._committing = self._committing, None
            if committing and self._took_hold(committing):
                return committing.answers
            if cut:
                return self._attempt(requests)
            log.exception("A batch of %d commands could not be appended", len(requests))
            if len(requests) == 1:
                known = error if isinstance(error, GroundswellError) else InternalError()
                return [Answer(requests[0].context.command_id, "rejected", error=known)]
        # One of them is at fault; alone, it takes no other with it.
        return [answer for request in requests for answer in self._settle([request])]

    def _took_hold(self, committing: _Committing) -> bool:
        """Tell whether a transaction was committed whose commit was not answered; it is over once we hold the lock."""
        with self._database.append() as connection:
            done = self._done(connection, [one.request for one in committing.decided])
        return all(
            one.request.context.command_id in done
            and done[one.request.context.command_id][:3] == (self._keyed(one.request), *one.first_and_last)
            for one in committing.decided
        )

    def _attempt(self, requests: Sequence[Request]) -> list[Answer]:
        self._committing = None
        try:
            with self._database.append() as connection:
                tail = self._catch_up(connection)
                answers, decided = self._decide_all(connection, requests)
                position = self._append(connection, tail, decided)
                self._aggregates.keep()
                if decided:
                    self._committing = _Committing(answers, decided)
        except BaseException:
            self._aggregates.clear()
            self._known_position = -1
            raise
        self._committing = None
        self._known_position = position
        if any(event.forgets_person for one in decided for event in one.events):
            self._forget()
        self._aggregates.end()
        return answers

    def _decide_all(self, connection: Connection, requests: Sequence[Request]) -> tuple[list[Answer], list[Decided]]:
        self._aggregates.begin(connection)
        done = self._done(connection, requests)
        self._corrected.clear()
        for request in requests:
            found = done.get(request.context.command_id)
            if found and was_refused(found[3]) and not is_same(found[0], self._keyed(request)):
                self._corrected.append(request.context.command_id)
                del done[request.context.command_id]
        fresh = [request for request in requests if request.context.command_id not in done]
        self._aggregates.fetch(stream for request in fresh for stream in request.command.streams())
        decided: dict[str, Decided] = {}
        answers = []
        for request in requests:
            command_id = request.context.command_id
            if command_id in done:
                recorded, first, last, result = done[command_id]
                answers.append(repeat(request, recorded, self._keyed(request), (first, last), result))
            elif command_id in decided and not decided[command_id].is_corrected_by(request):
                answers.append(same(request, decided[command_id]))
            else:
                answers.append(self._decide(request, decided))
        return answers, list(decided.values())

    def _keyed(self, request: Request) -> bytes:
        """Return what is kept of a command's content: without the key, nobody can try out what a person wrote."""
        return self._persons.keyed(request.digest)

    def _catch_up(self, connection: Connection) -> int:
        """Forget the streams that other processes appended to since the last batch; return the last position."""
        tail = last_position(connection)
        if self._known_position in {-1, tail}:
            return tail
        news = events.c.position > self._known_position
        erased = sa.select(events.c.position).where(news, events.c.topic.in_(self._forgetting)).limit(1)
        if tail < self._known_position or connection.scalar(erased):
            self._forget()
        else:
            self._aggregates.evict(connection.scalars(sa.select(events.c.stream_id).where(news).distinct()))
        return tail

    def _forget(self) -> None:
        """Let go of what is remembered in the clear: a person's words may stand in any aggregate or reference."""
        self._aggregates.clear()
        identify.cache_clear()

    def notice(self) -> None:
        """Take note of what others appended while nothing is written here, so that an erased person is forgotten."""
        with self._mutex, self._database.read() as connection:
            if self._known_position >= 0:
                self._known_position = self._catch_up(connection)

    def _done(
        self, connection: Connection, requests: Sequence[Request]
    ) -> dict[str, tuple[bytes, int, int, str | None]]:
        ids = {request.context.command_id for request in requests}
        rows = select_among(connection, _COMMANDS, commands.c.command_id, ids)
        return {command_id: (bytes(digest), first, last, result) for command_id, digest, first, last, result in rows}

    def _decide(self, request: Request, decided: dict[str, Decided]) -> Answer:
        context = request.context
        try:
            self._need_version(request)
            result = request.command.decide(context, self._aggregates)
        except Refusal as refusal:
            self._aggregates.discard()
            if request.refusal_stays and is_outcome(refusal):
                decided[context.command_id] = Decided(request, [], None, refusal=refusal)
            return Answer(context.command_id, "rejected", error=refusal)
        except (DBAPIError, Unavailable):
            raise
        except Exception as error:
            log.exception("Command %s (%s) failed", request.command.NAME, context.command_id)
            self._aggregates.discard()
            known = error if isinstance(error, GroundswellError) else InternalError()
            return Answer(context.command_id, "rejected", error=known)
        outcome = dict(result) if result else None
        one = decided[context.command_id] = Decided(request, self._aggregates.collect(context), outcome)
        version = self._aggregates.version(streams[0]) if (streams := request.command.streams()) else None
        return Answer(context.command_id, "accepted", one.positions, outcome, version=version)

    def _need_version(self, request: Request) -> None:
        """Raise Conflict where the caller asked for another version of the command's first stream."""
        if request.if_match is not None and self._aggregates.version(request.command.streams()[0]) != request.if_match:
            raise Conflict(
                "command.precondition_failed", "It has changed since you read it; read it again and decide anew."
            )

    def _append(self, connection: Connection, tail: int, batch: list[Decided]) -> int:
        if not batch:
            return tail
        moment = now()
        keys = self._keys(connection, batch)
        event_rows: list[dict[str, Any]] = []
        command_rows: list[dict[str, Any]] = []
        found_by: dict[UUID, str | None] = {}
        forgotten: dict[UUID, int] = {}
        for one in batch:
            context = one.request.context
            about = circumstances(context, moment)
            for event in one.events:
                data = self._mapper.encode(event, context.reason, keys)
                tail += 1
                stored = StoredEvent(event.originator_id, event.originator_version, event.TOPIC, data)
                event_rows.append(row(tail, stored, about))
                one.positions.append(tail)
                self._note_person(event, tail, found_by, forgotten)
            command_rows.append(
                {
                    "command_id": context.command_id,
                    "request_hash": self._keyed(one.request),
                    "first_position": one.first_and_last[0],
                    "last_position": one.first_and_last[1],
                    "result": outcome_json(one),
                }
            )
        if event_rows:
            insert_rows(connection, events, event_rows)
        if self._corrected:
            connection.execute(commands.delete().where(commands.c.command_id.in_(self._corrected)))
        insert_rows(connection, commands, command_rows)
        self._persons.index(connection, found_by)
        if forgotten:
            self._persons.forget(connection, forgotten)
        return tail

    def _note_person(
        self, event: Event, position: int, found_by: dict[UUID, str | None], forgotten: dict[UUID, int]
    ) -> None:
        person = event.person
        if person is None:
            return
        if event.forgets_person:
            forgotten[person] = position
            found_by.pop(person, None)
            return
        sets, value = self._mapper.findable(event)
        if sets:
            found_by[person] = value

    def _keys(self, connection: Connection, batch: list[Decided]) -> dict[UUID, bytes]:
        """Return the keys of all persons whose data is about to be sealed, with new ones recorded."""
        persons = {e.person for one in batch for e in one.events if e.person and self._mapper.personal(e)}
        keys = self._persons.keys(connection, persons) if persons else {}
        return keys | self._persons.make(connection, persons - keys.keys())


def circumstances(context: Context, recorded_at: datetime) -> Circumstances:
    """Return what is recorded of a command's context beside its events."""
    return Circumstances(
        context.actor.kind,
        context.actor.name,
        context.at,
        recorded_at,
        context.command_id,
        context.correlation_id,
        context.causation_id,
    )
