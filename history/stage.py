"""Where commands find aggregates: a cache of those used lately, filled with one query for a whole batch."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from domain.kernel import Aggregate, Conflict, Context, Event, Unknown
from history.loading import Loader
from history.mapper import Mapper
from history.persons import Persons
from history.snapshots import passes

A = TypeVar("A", bound=Aggregate)
CACHED_AGGREGATES: Final = 20_000
"""About 20 MB, a supporter or a pledge taking 1 kB; real imports come back to a stream soon or never."""


class Aggregates:
    """The aggregates as the newest committed event left them, and what the batch at hand has changed since.

    Only the writer uses it, under the append lock. An entry of None says that the stream is empty. Inside, streams
    go by the number that their id is: a UUID takes ten times as long to look up.
    """

    def __init__(self, mapper: Mapper, persons: Persons, capacity: int = CACHED_AGGREGATES) -> None:
        self._loader, self._capacity = Loader(mapper, persons), capacity
        self._cache: OrderedDict[int, Aggregate | None] = OrderedDict()
        self._decided: defaultdict[int, list[Event]] = defaultdict(list)
        self._touched: dict[int, Aggregate] = {}
        self._brief: list[int] = []
        self._connection: Connection | None = None

    def begin(self, connection: Connection) -> None:
        """Start a batch in the transaction of this connection."""
        self._release()
        self._connection = connection

    def end(self) -> None:
        """Finish a batch that was committed."""
        for key in self._brief:
            self._cache.pop(key, None)
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
        self._brief.clear()
        self._loader.forget()

    def evict(self, streams: Iterable[UUID]) -> None:
        """Forget streams that somebody else has appended to."""
        for stream in streams:
            self._cache.pop(stream.int, None)

    def fetch(self, streams: Iterable[UUID]) -> None:
        """Bring streams into the cache that are not in it."""
        missing: dict[int, UUID] = {}
        for stream in streams:
            key = stream.int
            if key in self._cache:
                self._cache.move_to_end(key)
            else:
                missing[key] = stream
        if missing:
            loaded = self._loader.load(self._within(), list(missing.values()))
            self._cache.update((stream.int, aggregate) for stream, aggregate in loaded.items())

    def _within(self) -> Connection:
        assert self._connection is not None  # noqa: S101 - within a batch
        return self._connection

    def _present(self, stream: UUID) -> Aggregate | None:
        if stream.int not in self._cache:
            self.fetch((stream,))
        return self._cache[stream.int]

    def find(self, kind: type[A], key: UUID) -> A | None:
        """Return the aggregate, or None where there is none."""
        aggregate = self._present(key)
        if aggregate is not None:
            self._touched[key.int] = aggregate
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
        aggregate = self._present(key)
        return 0 if aggregate is None else aggregate.version

    def add(self, aggregate: Aggregate) -> None:
        """Bring a new aggregate on stage; raise Conflict where its id already names something."""
        if self.version(aggregate.id):
            raise Conflict(f"{aggregate.noun}.id_taken", f"The id {aggregate.id} already names something else.")
        self._cache[aggregate.id.int] = self._touched[aggregate.id.int] = aggregate
        if aggregate.brief:
            self._brief.append(aggregate.id.int)

    def keep(self) -> None:
        """Keep snapshots of the streams that have grown long, once the events of the batch are appended."""
        grown = [own[0].originator_id for own in self._decided.values() if own and passes(own[0], own[-1])]
        self._loader.keep(self._within(), grown)

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
        for aggregate in self._touched.values():
            if pending := len(aggregate.pending_events):
                self._restore(aggregate.id, aggregate.version - pending)
        self._touched.clear()

    def undo(self, events: Sequence[Event]) -> None:
        """Undo what commands of this batch have decided: the last events of their streams."""
        first = {event.originator_id: event.originator_version for event in reversed(events)}
        for stream, version in first.items():
            decided = self._decided[stream.int]
            self._decided[stream.int] = [event for event in decided if event.originator_version < version]
            self._restore(stream, version - 1)

    def _restore(self, stream: UUID, version: int) -> None:
        """Bring the aggregate back to what is committed of it, and to what this batch has decided since."""
        decided = self._decided[stream.int]
        self._cache.pop(stream.int, None)
        if version == len(decided):
            self._cache[stream.int] = None  # nothing of it is committed
        else:
            self.fetch((stream,))
        for event in decided:
            self._cache[stream.int] = event.mutate(self._cache[stream.int])
