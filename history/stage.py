"""Where commands find aggregates: a cache of those used lately, filled with one query for a whole batch."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.kernel import Aggregate, Conflict, Context, Event, Sealed, Unknown
from history.mapper import Mapper, Unreadable
from history.persons import Persons
from history.snapshots import Snapshot, Snapshots, due, passes, personal, take
from history.tables import events

A = TypeVar("A", bound=Aggregate)
CACHED_AGGREGATES = 20_000
IDS_PER_QUERY = 500


class Aggregates:
    """The aggregates as the newest committed event left them, and what the batch at hand has changed since.

    Only the writer uses it, under the append lock. An entry of None says that the stream is empty.
    """

    def __init__(self, mapper: Mapper, persons: Persons, capacity: int = CACHED_AGGREGATES) -> None:
        self._mapper, self._persons, self._capacity = mapper, persons, capacity
        self._cache: OrderedDict[UUID, Aggregate | None] = OrderedDict()
        self._decided: defaultdict[UUID, list[Event]] = defaultdict(list)
        self._touched: dict[UUID, Aggregate] = {}
        self._connection: Connection | None = None
        self._snapshots = Snapshots({kind.prefix: kind for kind in mapper.aggregates.values()})
        self._taken: dict[UUID, Snapshot] = {}

    def begin(self, connection: Connection) -> None:
        """Start a batch in the transaction of this connection."""
        self._release()
        self._connection = connection

    def end(self) -> None:
        """Finish a batch that was committed."""
        self._release()
        while len(self._cache) > self._capacity:
            self._cache.popitem(last=False)

    def clear(self) -> None:
        """Forget everything: after a batch that was not committed, or when a person is to be forgotten."""
        self._cache.clear()
        self._release()

    def _release(self) -> None:
        self._connection = None
        self._decided.clear()
        self._touched.clear()
        self._taken.clear()

    def evict(self, streams: Iterable[UUID]) -> None:
        """Forget streams that somebody else has appended to."""
        for stream in streams:
            self._cache.pop(stream, None)

    def fetch(self, streams: Iterable[UUID]) -> None:
        """Bring streams into the cache that are not in it."""
        missing: list[UUID] = []
        for stream in dict.fromkeys(streams):
            if stream in self._cache:
                self._cache.move_to_end(stream)
            else:
                missing.append(stream)
        for start in range(0, len(missing), IDS_PER_QUERY):
            self._load(missing[start : start + IDS_PER_QUERY])

    def _load(self, streams: list[UUID]) -> None:
        loaded = self._replay(streams)
        self._open([aggregate for aggregate in loaded.values() if aggregate is not None])
        self._cache.update(loaded)

    def _replay(self, streams: list[UUID]) -> dict[UUID, Aggregate | None]:
        """Return what the events of streams make of their aggregates, from the last snapshots on; nothing is opened."""
        assert self._connection is not None  # noqa: S101 - within a batch
        replayed: dict[UUID, Aggregate | None] = dict.fromkeys(streams)
        last = self._snapshots.find(self._connection, streams)
        for stream, (snapshot, aggregate) in last.items():
            replayed[stream] = aggregate
            self._apply(self._rows(events.c.stream_id == stream, events.c.version > snapshot.version), replayed)
        if rest := [stream for stream in streams if stream not in last]:
            self._apply(self._rows(events.c.stream_id.in_(rest)), replayed)
        for stream, now in replayed.items():
            if now is not None and due(now.version, last.get(stream)) and (taken := take(now)):
                self._taken[stream] = taken
        return replayed

    def _rows(self, *where: sa.ColumnElement[bool]) -> Sequence[Any]:
        assert self._connection is not None  # noqa: S101 - within a batch
        columns = (events.c.stream_id, events.c.version, events.c.topic, events.c.data, events.c.occurred_at)
        query = sa.select(*columns).where(*where).order_by(events.c.stream_id, events.c.version)
        return self._connection.execute(query).all()

    def _apply(self, rows: Sequence[Any], aggregates: dict[UUID, Aggregate | None]) -> None:
        for row in rows:
            event, _ = self._mapper.decode(row.topic, row.data, row.stream_id, row.version)
            vars(event)["timestamp"] = row.occurred_at
            aggregates[row.stream_id] = event.mutate(aggregates[row.stream_id])

    def _open(self, aggregates: list[Aggregate]) -> None:
        """Open the personal data that the aggregates hold."""
        assert self._connection is not None  # noqa: S101 - within a batch
        held = [(aggregate, name) for aggregate in aggregates for name in personal(aggregate)]
        sealed = [
            (aggregate, name, box) for aggregate, name in held if isinstance(box := vars(aggregate)[name], Sealed)
        ]
        try:
            opened = self._persons.open(self._connection, [box for _, _, box in sealed])
        except ValueError as error:
            raise Unreadable(sealed[0][0].prefix, "personal data is sealed in a way of its own") from error
        for (aggregate, name, _), value in zip(sealed, opened, strict=True):
            setattr(aggregate, name, value)

    def find(self, kind: type[A], key: UUID) -> A | None:
        """Return the aggregate, or None where there is none."""
        if key not in self._cache:
            self.fetch((key,))
        aggregate = self._cache[key]
        if aggregate is not None:
            self._touched[key] = aggregate
        return aggregate if isinstance(aggregate, kind) else None

    def get(self, kind: type[A], key: UUID, reference: str = "") -> A:
        """Return the aggregate; raise Unknown (``noun.unknown``) where there is none."""
        aggregate = self.find(kind, key)
        if aggregate is None:
            named = f" “{reference}”" if reference else ""
            raise Unknown(f"{kind.noun}.unknown", f"There is no {kind.noun}{named}.")
        return aggregate

    def version(self, key: UUID) -> int:
        """Return the version of a stream, 0 where it is empty."""
        if key not in self._cache:
            self.fetch((key,))
        aggregate = self._cache[key]
        return 0 if aggregate is None else aggregate.version

    def add(self, aggregate: Aggregate) -> None:
        """Bring a new aggregate on stage; raise Conflict where its id already names something."""
        if self.version(aggregate.id):
            raise Conflict(f"{aggregate.noun}.id_taken", f"The id {aggregate.id} already names something else.")
        self._cache[aggregate.id] = self._touched[aggregate.id] = aggregate

    def keep(self) -> None:
        """Keep snapshots of the streams that have grown long, once the events of the batch are appended."""
        assert self._connection is not None  # noqa: S101 - within a batch
        grown = [key for key, own in self._decided.items() if own and passes(own[0], own[-1])]
        if grown:
            self._replay(grown)
        if self._taken:
            self._snapshots.put(self._connection, self._taken.values())

    def collect(self, context: Context) -> list[Event]:
        """Take what the command just decided, in the order in which its aggregates were touched."""
        decided: list[Event] = []
        for key, aggregate in self._touched.items():
            for event in aggregate.collect(context):
                self._decided[key].append(event)
                decided.append(event)
        self._touched.clear()
        return decided

    def discard(self) -> None:
        """Undo what a refused command may have changed before it was refused."""
        for key, aggregate in self._touched.items():
            if aggregate.pending_events:
                self._cache.pop(key, None)
                self.fetch((key,))
                for event in self._decided[key]:
                    self._cache[key] = event.mutate(self._cache[key])
        self._touched.clear()
