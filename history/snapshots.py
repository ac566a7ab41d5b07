"""Snapshots: what the events of a stream made of its aggregate so far, so that a long stream loads like a short one.

Terms and idea are the `eventsourcing` library's; its own classes take the attributes as they are, opened, and untyped.
Here the types that an aggregate declares for its attributes are held to both ways, and what is personal stays sealed
as it is in the log: erasing a person needs nothing but the person's key.

A snapshot is derived from the log. One that is damaged, that another release took of an aggregate it understood
otherwise, or that stands beyond the end of its stream is passed over and replaced in time; all may be deleted.
"""

import dataclasses
import functools
import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Connection

from domain.kernel import PERSONAL, Aggregate, Event, Sealed
from history.statements import Shape, select_among, upsert, uuid_of
from history.tables import snapshots

log = logging.getLogger(__name__)

EVERY: Final = 100
"""A snapshot is taken when a stream's version passes another multiple of this."""

BYTES_PER_EVENT: Final = 1_000
"""A snapshot waits longer where it would write more than this for each event since the one before."""

_SNAPSHOTS: Final = """
SELECT stream_id, version, aggregate, digest, state, EXISTS (
    SELECT 1 FROM events WHERE events.stream_id = snapshots.stream_id AND events.version = snapshots.version
) FROM snapshots
"""

_encoder: Final = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What an aggregate held at a version, as it is stored."""

    stream_id: UUID
    version: int
    aggregate: str
    digest: bytes
    state: bytes


Found = tuple[Snapshot, Aggregate]


class _Codec:
    """How aggregates of one class are written and read."""

    def __init__(self, cls: type[Aggregate]) -> None:
        self.cls = cls
        described: Any = cls  # as a dataclass, which the library makes of it
        declared = {field.name: field.type for field in dataclasses.fields(described)}
        self.names = tuple(declared)
        self.personal = tuple(name for name in declared if PERSONAL in getattr(declared[name], "__metadata__", ()))
        fields: list[tuple[str, Any]] = [("created_on", datetime), ("modified_on", datetime)]
        fields += [(name, Sealed | None if name in self.personal else hint) for name, hint in declared.items()]
        struct = msgspec.defstruct(cls.__qualname__, fields, kw_only=True, forbid_unknown_fields=True)
        self.decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(struct)
        meant = [cls.prefix, cls.class_version, _undescribed(msgspec.json.schema(struct))]
        self.fingerprint = msgspec.json.encode(meant, order="sorted")

    def digest(self, stream: UUID, version: int, state: bytes) -> bytes:
        """Return what tells a snapshot that this release took of this version from any other bytes."""
        parts = (self.fingerprint, stream.bytes, version.to_bytes(8, "big"), state)
        return sha256(b"".join(parts)).digest()

    def write(self, aggregate: Aggregate) -> Snapshot:
        """Take a snapshot; raise TypeError where the aggregate holds what no snapshot may or can hold."""
        state = vars(aggregate)
        for name in self.personal:
            if not isinstance(state[name], Sealed | None):
                msg = f"{name} is personal and not sealed"
                raise TypeError(msg)
        undeclared = [name for name in state if not name.startswith("_") and name not in self.names]
        if undeclared:
            msg = f"{undeclared[0]} is not declared with its type"
            raise TypeError(msg)
        held = {"created_on": aggregate.created_on, "modified_on": aggregate.modified_on}
        data = _encoder.encode(held | {name: state[name] for name in self.names})
        digest = self.digest(aggregate.id, aggregate.version, data)
        return Snapshot(aggregate.id, aggregate.version, self.cls.prefix, digest, data)

    def read(self, snapshot: Snapshot) -> Aggregate | None:
        """Return the aggregate, None where this release did not take the snapshot or it was changed since."""
        try:
            if self.digest(snapshot.stream_id, snapshot.version, snapshot.state) != snapshot.digest:
                return None
            struct = self.decoder.decode(snapshot.state)
        except (msgspec.MsgspecError, TypeError):
            log.exception("A snapshot of %s %s cannot be read", self.cls.__name__, snapshot.stream_id)
            return None
        aggregate = object.__new__(self.cls)
        aggregate.__base_init__(snapshot.stream_id, snapshot.version, struct.created_on)
        aggregate.modified_on = struct.modified_on
        for name in self.names:
            setattr(aggregate, name, getattr(struct, name))
        return aggregate


def _undescribed(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """Leave out of a JSON Schema what is only said, so that other words for the same do not count as a change."""
    match schema:
        case dict():
            said = {key for key, value in schema.items() if key == "description" and isinstance(value, str)}
            return {key: _undescribed(value) for key, value in schema.items() if key not in said}
        case list():
            return [_undescribed(value) for value in schema]
        case _:
            return schema


_making: Final = threading.Lock()


@functools.cache
def codec(cls: type[Aggregate]) -> _Codec:
    """Return how aggregates of a class are written and read, made by one thread at a time, as `history.codec` says."""
    with _making:
        return _Codec(cls)


def personal(aggregate: Aggregate) -> tuple[str, ...]:
    """Name the attributes that hold a person's data."""
    return codec(type(aggregate)).personal


def take(aggregate: Aggregate) -> Snapshot | None:
    """Take a snapshot of an aggregate whose personal data is sealed; None where that cannot be, which the log tells."""
    try:
        return codec(type(aggregate)).write(aggregate)
    except (TypeError, ValueError):
        log.exception("No snapshot can be taken of %s %s", type(aggregate).__name__, aggregate.id)
        return None


def passes(first: Event, last: Event) -> bool:
    """Tell whether events that follow one another take their stream to where a snapshot may be due."""
    return last.originator_version // EVERY > (first.originator_version - 1) // EVERY


def due(version: int, last: Found | None) -> bool:
    """Tell whether a stream of that version needs another snapshot than its last one."""
    if last is None:
        return version >= EVERY
    snapshot, _ = last
    many = version // EVERY > snapshot.version // EVERY
    return many and (version - snapshot.version) * BYTES_PER_EVENT >= len(snapshot.state)


class Snapshots:
    """The snapshots of a store: the newest one of each stream, kept under the append lock."""

    def __init__(self, kinds: Mapping[str, type[Aggregate]]) -> None:
        self._kinds = kinds

    def find(self, connection: Connection, streams: Iterable[UUID]) -> dict[UUID, Found]:
        """Return the snapshots that can be relied on, and what they say; personal data is sealed."""
        found: dict[UUID, Found] = {}
        for stream, *taken, reached in select_among(connection, _SNAPSHOTS, snapshots.c.stream_id, streams):
            snapshot = Snapshot(uuid_of(stream), *taken)
            kind = self._kinds.get(snapshot.aggregate)
            aggregate = codec(kind).read(snapshot) if kind and reached else None
            if aggregate is not None:
                found[snapshot.stream_id] = snapshot, aggregate
        return found

    def put(self, connection: Connection, taken: Iterable[Snapshot]) -> None:
        """Keep snapshots, which there must be, in the place of those there are of the same streams."""
        names = [column.name for column in snapshots.c]
        rows = [[getattr(snapshot, name) for name in names] for snapshot in taken]
        upsert(snapshots, Shape(sets=tuple(names[1:])), connection.dialect).execute(connection, rows)
