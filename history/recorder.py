"""The log as a recorder of the `eventsourcing` library, and the one place where events are inserted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from threading import Event as Signal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    IntegrityError,
    Notification,
    StoredEvent,
    Subscription,
)
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError as DatabaseIntegrityError

from domain.kernel import now
from domain.slices import event_id
from history.database import Database
from history.statements import insert_rows, run
from history.tables import events, moment_text
from history.tree import FORMAT, Entry, entry_bytes, leaf_hash

POLL_SECONDS = 0.1
PAGE = 500
_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Circumstances:
    """What is recorded beside an event: who, when, and what it belongs to."""

    actor_kind: str
    actor_id: str
    occurred_at: datetime
    recorded_at: datetime
    command_id: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None


def row(position: int, stored: StoredEvent, about: Circumstances) -> dict[str, Any]:
    """Return the row of the events table, with its leaf hash."""
    stream = stored.originator_id
    assert isinstance(stream, UUID)  # noqa: S101 - the log knows no other ids
    own_id = event_id(stream, stored.originator_version)
    entry = Entry(
        actor=f"{about.actor_kind}:{about.actor_id}",
        causation=about.causation_id,
        command=about.command_id,
        correlation=about.correlation_id,
        data_sha256=sha256(stored.state).hexdigest(),
        event=own_id,
        format=FORMAT,
        occurred_at=moment_text(about.occurred_at),
        position=position,
        recorded_at=moment_text(about.recorded_at),
        stream=stream,
        topic=stored.topic,
        version=stored.originator_version,
    )
    return {
        "position": position,
        "stream_id": stream,
        "version": stored.originator_version,
        "topic": stored.topic,
        "data": stored.state,
        "event_id": own_id,
        "occurred_at": about.occurred_at,
        "recorded_at": about.recorded_at,
        "actor_kind": about.actor_kind,
        "actor_id": about.actor_id,
        "correlation_id": about.correlation_id,
        "causation_id": about.causation_id,
        "command_id": about.command_id,
        "leaf_hash": leaf_hash(entry_bytes(entry)),
    }


def last_position(connection: Connection) -> int:
    """Return the position of the newest event, 0 in an empty log."""
    return connection.exec_driver_sql("SELECT max(position) FROM events").scalar() or 0


def last_recorded(connection: Connection) -> tuple[int, datetime]:
    """Return (the position of the newest event, when it was recorded); (0, the beginning of time) in an empty log."""
    newest = run(connection, "SELECT position, recorded_at FROM events ORDER BY position DESC LIMIT 1").fetchone()
    return (newest[0], datetime.fromisoformat(newest[1])) if newest else (0, _BEGINNING)


class StreamRecorder(AggregateRecorder):
    """Streams of events, each with its own versions."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def insert_events(self, stored_events: Sequence[StoredEvent], **_kwargs: Any) -> Sequence[int] | None:  # noqa: ANN401
        """Append events, all or none; raise the library's IntegrityError where a version is taken."""
        self._append(stored_events)
        return None

    def _append(self, stored_events: Sequence[StoredEvent]) -> list[int]:
        if not stored_events:
            return []
        try:
            with self.database.append() as connection:
                tail, recorded_at = last_recorded(connection)
                first, moment = tail + 1, max(now(), recorded_at)
                about = Circumstances("system", "library", moment, moment)
                rows = [row(first + i, stored, about) for i, stored in enumerate(stored_events)]
                insert_rows(connection, events, rows)
        except DatabaseIntegrityError as error:
            raise IntegrityError(str(error.orig)) from error
        return list(range(first, first + len(rows)))

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Return events of one stream."""
        key = originator_id if isinstance(originator_id, UUID) else UUID(originator_id)
        query = sa.select(events.c.stream_id, events.c.version, events.c.topic, events.c.data).where(
            events.c.stream_id == key
        )
        if gt is not None:
            query = query.where(events.c.version > gt)
        if lte is not None:
            query = query.where(events.c.version <= lte)
        query = query.order_by(events.c.version.desc() if desc else events.c.version).limit(limit)
        with self.database.read() as connection:
            return [StoredEvent(*found) for found in connection.execute(query)]


class LogRecorder(StreamRecorder, ApplicationRecorder):
    """The one history: positions 1, 2, 3 … in order of commit, without gaps."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **_kwargs: Any) -> Sequence[int] | None:  # noqa: ANN401
        """Append events, all or none, and return their positions."""
        return self._append(stored_events)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Return events of the one history in order of position."""
        columns = (events.c.stream_id, events.c.version, events.c.topic, events.c.data, events.c.position)
        query = sa.select(*columns).order_by(events.c.position).limit(limit)
        if start is not None:
            position = events.c.position
            query = query.where(position >= start if inclusive_of_start else position > start)
        if stop is not None:
            query = query.where(events.c.position <= stop)
        if topics:
            query = query.where(events.c.topic.in_(topics))
        with self.database.read() as connection:
            return [Notification(*found) for found in connection.execute(query)]

    def max_notification_id(self) -> int | None:
        """Return the newest position, None in an empty log."""
        with self.database.read() as connection:
            return last_position(connection) or None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> "PollingSubscription":
        """Return an iterator over events after a position that waits for more."""
        return PollingSubscription(self, gt, topics)


class PollingSubscription(Subscription[LogRecorder]):
    """Follows the log by asking again; on both databases, and no event can be missed."""

    def __init__(self, recorder: LogRecorder, gt: int | None = None, topics: Sequence[str] = ()) -> None:
        super().__init__(recorder, gt, topics)
        self._page: list[Notification] = []
        self._stopped = Signal()

    def stop(self) -> None:
        """End the iteration, also of a reader that waits."""
        super().stop()
        self._stopped.set()

    def __next__(self) -> Notification:
        while not (self._page or self._has_been_stopped):
            found = self._recorder.select_notifications(
                self._last_notification_id or 0, PAGE, topics=self._topics, inclusive_of_start=False
            )
            self._page = list(reversed(found))
            if not found:
                self._stopped.wait(POLL_SECONDS)
        if self._has_been_stopped:
            raise StopIteration
        notification = self._page.pop()
        self._last_notification_id = notification.id
        return notification
