"""Aggregates from the log: the events of their streams, from the last snapshots on, one after another."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.kernel import Aggregate, Sealed
from history.mapper import Mapper, Unreadable
from history.persons import Persons
from history.snapshots import Snapshot, Snapshots, due, personal, take
from history.statements import select_among, uuid_of
from history.tables import events

_EVENTS: Final = "SELECT stream_id, version, topic, data, occurred_at FROM events"
_TAIL: Final = sa.text(f"{_EVENTS} WHERE stream_id = :stream AND version > :version ORDER BY version").bindparams(
    sa.bindparam("stream", type_=sa.Uuid)
)


class Loader:
    """Loads aggregates, and keeps snapshots of those whose streams have grown long."""

    def __init__(self, mapper: Mapper, persons: Persons) -> None:
        self._mapper, self._persons = mapper, persons
        self._snapshots = Snapshots({kind.prefix: kind for kind in mapper.aggregates.values()})
        self._taken: dict[UUID, Snapshot] = {}

    def load(self, connection: Connection, streams: Sequence[UUID]) -> dict[UUID, Aggregate | None]:
        """Return the aggregates as their streams say, None for an empty one; personal data is opened."""
        loaded = self._replay(connection, streams)
        self._open(connection, [aggregate for aggregate in loaded.values() if aggregate is not None])
        return loaded

    def keep(self, connection: Connection, grown: Sequence[UUID]) -> None:
        """Keep snapshots of streams that have grown, and of those found long without one; under the append lock.

        They are taken of what the log says now, not of what a cache holds: that is opened, and may be wrong.
        """
        self._put(connection)
        if grown:
            self._replay(connection, grown)
            self._put(connection)

    def _put(self, connection: Connection) -> None:
        if self._taken:
            self._snapshots.put(connection, self._taken.values())
            self.forget()

    def forget(self) -> None:
        """Forget snapshots that were taken and not kept."""
        self._taken.clear()

    def _replay(self, connection: Connection, streams: Sequence[UUID]) -> dict[UUID, Aggregate | None]:
        """Return the aggregates with personal data sealed; note the snapshots that are due."""
        replayed: dict[UUID, Aggregate | None] = dict.fromkeys(streams)
        last = self._snapshots.find(connection, streams)
        for stream, (snapshot, aggregate) in last.items():
            replayed[stream] = self._apply(stream, _tail(connection, snapshot), aggregate)
        rest = [stream for stream in streams if stream not in last]
        for stream, rows in _streams(connection, rest):
            replayed[stream] = self._apply(stream, rows, None)
        for stream, now in replayed.items():
            if now is not None and due(now.version, last.get(stream)) and (taken := take(now)):
                self._taken[stream] = taken
        return replayed

    def _apply(self, stream: UUID, rows: Iterable[Any], aggregate: Aggregate | None) -> Aggregate | None:
        for _, version, topic, data, occurred_at in rows:
            event, _ = self._mapper.decode(topic, data, stream, version)
            vars(event)["timestamp"] = datetime.fromisoformat(occurred_at)
            aggregate = event.mutate(aggregate)
        return aggregate

    def _open(self, connection: Connection, aggregates: Iterable[Aggregate]) -> None:
        held = [(one, name, vars(one)[name]) for one in aggregates for name in personal(one)]
        sealed = [(one, name, box) for one, name, box in held if isinstance(box, Sealed)]
        try:
            opened = self._persons.open(connection, [box for _, _, box in sealed])
        except ValueError as error:
            raise Unreadable(sealed[0][0].prefix, "personal data is sealed in a way of its own") from error
        for (one, name, _), value in zip(sealed, opened, strict=True):
            setattr(one, name, value)


def _streams(connection: Connection, streams: Sequence[UUID]) -> Iterable[tuple[UUID, Iterable[Any]]]:
    if streams:
        rows = select_among(connection, _EVENTS, events.c.stream_id, streams, "ORDER BY stream_id, version")
        for stream, own in groupby(rows, itemgetter(0)):
            yield uuid_of(stream), own


def _tail(connection: Connection, last: Snapshot) -> Sequence[Any]:
    return connection.execute(_TAIL, {"stream": last.stream_id, "version": last.version}).all()
