"""The one writer of this process: takes what has queued up, decides it in turn, appends it in one transaction.

Everything is decided under the append lock, so no decision rests on a state that another process has changed since,
and no conflict is possible. The lock is held by the commit anyway; a batch adds a few microseconds per command to it.
"""

import json
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from domain.kernel import Conflict, Context, Event, GroundswellError, Refusal, Unavailable, now
from history.database import Database
from history.envelope import Request
from history.mapper import Mapper
from history.persons import Persons
from history.recorder import Circumstances, StoredEvent, last_position, row
from history.stage import Aggregates
from history.tables import commands, events, person_keys

log = logging.getLogger(__name__)

BATCH: Final = 500
QUEUE: Final = 10_000
CHANNEL: Final = "groundswell_events"


@dataclass(slots=True)
class Answer:
    """What became of one command: ``accepted``, ``repeated`` (the first outcome again) or ``rejected``."""

    id: str | None
    status: str
    positions: list[int] = field(default_factory=list)
    result: dict[str, Any] | None = None
    error: GroundswellError | None = None
    version: int | None = None
    """The version of the command's first stream after it, where it was executed now."""

    def as_json(self) -> dict[str, Any]:
        """Return the answer as interfaces.md gives it."""
        error = {"code": self.error.code, "message": self.error.message} if self.error else None
        return {
            "id": self.id,
            "status": self.status,
            "positions": self.positions,
            "result": self.result or {},
            "error": error,
        }


class InternalError(GroundswellError):
    """A fault of ours while a command was decided; nothing of it was recorded."""

    def __init__(self) -> None:
        super().__init__("internal.error", "Something went wrong on our side; nothing of this was recorded.")


@dataclass(slots=True)
class _Decided:
    request: Request
    events: list[Event]
    result: dict[str, Any] | None
    positions: list[int] = field(default_factory=list)


class Writer:
    """Appends commands' events; ``write`` a batch at once, ``submit`` one to the batch that forms next."""

    def __init__(self, database: Database, mapper: Mapper, persons: Persons) -> None:
        self._database, self._mapper, self._persons = database, mapper, persons
        self._aggregates = Aggregates(mapper, persons)
        self._mutex = threading.Lock()
        self._known_position = -1
        self._queue: queue.Queue[tuple[Request, Future[Answer]] | None] = queue.Queue(QUEUE)
        self._thread: threading.Thread | None = None
        self._thread_mutex = threading.Lock()
        self._closed = False
        self.listeners: list[Callable[[int], None]] = []

    # --- callers ---

    def write(self, requests: Sequence[Request]) -> list[Answer]:
        """Decide and append a batch; one answer per request, in order. Raises Unavailable, with nothing recorded."""
        if not requests:
            return []
        with self._mutex:
            try:
                answers, position = self._attempt(requests, retried=False)
            except (Unavailable, DBAPIError) as first:
                # The connection may have been cut before or after the commit took hold: the command ids tell.
                self._aggregates.clear()
                self._known_position = -1
                if isinstance(first, Unavailable) and first.code != "store.unreachable":
                    raise
                try:
                    answers, position = self._attempt(requests, retried=True)
                except DBAPIError as error:
                    self._aggregates.clear()
                    log.exception("A batch of %d commands could not be appended", len(requests))
                    raise Unavailable(
                        "store.failed", "The store refused to record this; nothing was recorded."
                    ) from error
            except BaseException:
                self._aggregates.clear()
                self._known_position = -1
                raise
        for listener in self.listeners:
            listener(position)
        return answers

    def submit(self, request: Request) -> "Future[Answer]":
        """Put a command into the next batch; raise Unavailable (``writer.busy``) where too many wait already."""
        future: Future[Answer] = Future()
        if self._thread is None:
            self._start()
        if self._closed:
            raise Unavailable("writer.closed", "The server is shutting down; send this again in a moment.")
        try:
            self._queue.put_nowait((request, future))
        except queue.Full:
            raise Unavailable("writer.busy", "Too many commands are waiting; send this again in a moment.") from None
        return future

    def close(self) -> None:
        """Take no more commands, and finish those that wait."""
        self._closed = True
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    # --- the thread ---

    def _start(self) -> None:
        with self._thread_mutex:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            last = False
            while len(batch) < BATCH and not last:
                try:
                    found = self._queue.get_nowait()
                except queue.Empty:
                    break
                if found is None:
                    last = True
                else:
                    batch.append(found)
            self._answer(batch)
            if last:
                return

    def _answer(self, batch: list[tuple[Request, "Future[Answer]"]]) -> None:
        try:
            answers = self.write([request for request, _ in batch])
        except Exception as error:  # noqa: BLE001 - each caller gets it
            for _, future in batch:
                if not future.cancelled():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.cancelled():
                future.set_result(answer)

    # --- one batch ---

    def _attempt(self, requests: Sequence[Request], *, retried: bool) -> tuple[list[Answer], int]:
        answers: dict[int, Answer] = {}
        with self._database.append() as connection:
            tail = self._catch_up(connection)
            self._aggregates.begin(connection)
            done = self._done(connection, requests)
            fresh = [request for request in requests if request.context.command_id not in done]
            self._aggregates.fetch(stream for request in fresh for stream in request.command.streams())
            decided: dict[str, _Decided] = {}
            for index, request in enumerate(requests):
                command_id = request.context.command_id
                if command_id in done:
                    answers[index] = _repeat(request, *done[command_id], status="accepted" if retried else "repeated")
                elif command_id in decided:
                    answers[index] = self._same(request, decided[command_id])
                else:
                    answers[index] = self._decide(request, decided)
            position = self._append(connection, tail, list(decided.values()))
        self._aggregates.end()
        self._known_position = position
        for answer in answers.values():
            if answer.id in decided and answer.error is None:
                answer.positions = decided[answer.id].positions
        return [answers[index] for index in range(len(requests))], position

    def _catch_up(self, connection: Connection) -> int:
        """Forget the streams that other processes appended to since the last batch; return the last position."""
        tail = last_position(connection)
        if self._known_position not in (-1, tail):
            moved = sa.select(events.c.stream_id).where(events.c.position > self._known_position).distinct()
            self._aggregates.evict(connection.scalars(moved))
        return tail

    def _done(
        self, connection: Connection, requests: Sequence[Request]
    ) -> dict[str, tuple[bytes, int, int, str | None]]:
        ids = list({request.context.command_id for request in requests})
        found: dict[str, tuple[bytes, int, int, str | None]] = {}
        for start in range(0, len(ids), BATCH):
            query = sa.select(commands).where(commands.c.command_id.in_(ids[start : start + BATCH]))
            for command_id, digest, first, last, result in connection.execute(query):
                found[command_id] = (digest, first, last, result)
        return found

    def _same(self, request: Request, earlier: _Decided) -> Answer:
        if earlier.request.digest != request.digest:
            return _id_reused(request)
        return Answer(request.context.command_id, "repeated", result=earlier.result)

    def _decide(self, request: Request, decided: dict[str, _Decided]) -> Answer:
        context = request.context
        try:
            self._need_version(request)
            result = request.command.decide(context, self._aggregates)
        except Refusal as refusal:
            self._aggregates.discard()
            return Answer(context.command_id, "rejected", error=refusal)
        except DBAPIError:
            raise
        except Unavailable:
            raise
        except Exception:
            log.exception("Command %s (%s) failed", request.command.NAME, context.command_id)
            self._aggregates.discard()
            return Answer(context.command_id, "rejected", error=InternalError())
        outcome = dict(result) if result else None
        decided[context.command_id] = _Decided(request, self._aggregates.collect(context), outcome)
        version = self._aggregates.version(request.command.streams()[0])
        return Answer(context.command_id, "accepted", result=outcome, version=version)

    def _need_version(self, request: Request) -> None:
        """Raise Conflict where the caller asked for another version of the command's first stream."""
        if request.if_match is not None and self._aggregates.version(request.command.streams()[0]) != request.if_match:
            raise Conflict(
                "command.precondition_failed", "It has changed since you read it; read it again and decide anew."
            )

    def _append(self, connection: Connection, tail: int, batch: list[_Decided]) -> int:
        if not batch:
            return tail
        moment = now()
        keys = self._keys(connection, batch)
        event_rows: list[dict[str, Any]] = []
        command_rows: list[dict[str, Any]] = []
        found_by: dict[UUID, str | None] = {}
        forgotten: list[UUID] = []
        for one in batch:
            context = one.request.context
            about = circumstances(context, moment)
            for event in one.events:
                data = self._mapper.encode(event, context.reason, keys)
                tail += 1
                stored = StoredEvent(event.originator_id, event.originator_version, event.TOPIC, data)
                event_rows.append(row(tail, stored, about))
                one.positions.append(tail)
                self._note_person(event, found_by, forgotten)
            command_rows.append(
                {
                    "command_id": context.command_id,
                    "request_hash": one.request.digest,
                    "first_position": one.positions[0] if one.positions else 0,
                    "last_position": one.positions[-1] if one.positions else -1,
                    "result": json.dumps(one.result) if one.result else None,
                }
            )
        if event_rows:
            connection.execute(events.insert(), event_rows)
        connection.execute(commands.insert(), command_rows)
        self._persons.index(connection, found_by)
        if forgotten:
            self._persons.forget(connection, forgotten)
            self._aggregates.evict(forgotten)
        if not self._database.is_sqlite:
            connection.execute(sa.select(sa.func.pg_notify(CHANNEL, str(tail))))
        return tail

    def _note_person(self, event: Event, found_by: dict[UUID, str | None], forgotten: list[UUID]) -> None:
        person = event.person
        if person is None:
            return
        if event.forgets_person:
            forgotten.append(person)
            found_by.pop(person, None)
            return
        sets, value = self._mapper.findable(event)
        if sets:
            found_by[person] = value

    def _keys(self, connection: Connection, batch: list[_Decided]) -> dict[UUID, bytes]:
        """Return the keys of all persons whose data is about to be sealed, with new ones recorded."""
        persons = {e.person for one in batch for e in one.events if e.person and self._mapper.personal(e)}
        keys = self._persons.keys(connection, persons) if persons else {}
        fresh = []
        for person in sorted(persons - keys.keys()):
            keys[person], wrapped = self._persons.new_key(person)
            fresh.append({"person_id": person, "wrapped_key": wrapped})
        if fresh:
            connection.execute(person_keys.insert(), fresh)
        return keys


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


def _id_reused(request: Request) -> Answer:
    error = Conflict("command.id_reused", "A command with this id and another content was executed before.")
    return Answer(request.context.command_id, "rejected", error=error)


def _repeat(request: Request, digest: bytes, first: int, last: int, result: str | None, *, status: str) -> Answer:
    if digest != request.digest:
        return _id_reused(request)
    outcome = json.loads(result) if result else None
    return Answer(request.context.command_id, status, list(range(first, last + 1)), outcome)
