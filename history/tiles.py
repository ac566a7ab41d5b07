"""The tree as it is stored: leaf hashes stand in the events table, hashes of complete subtrees in a table of their own.

Subtrees are derived data. They are only added to, by whoever makes a checkpoint, and can be rebuilt at any time.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.kernel import GroundswellError
from history.database import Database
from history.tables import subtrees
from history.tree import FORMAT, TILE, Entry, Read, Tile, entry_bytes, leaf_hash, root

PAGE: Final = 2_048
_BATCH: Final = 256
_MAX_ENTRY: Final = 65_535

# Plain SQL: the values come as they are stored, and the exact text of a moment is what was hashed.
_LEAVES = sa.text("SELECT leaf_hash FROM events WHERE position > :after AND position <= :upto ORDER BY position")
_RECORDS = sa.text(
    "SELECT position, stream_id, version, topic, data, event_id, occurred_at, recorded_at, actor_kind, actor_id, "
    "correlation_id, causation_id, command_id, leaf_hash FROM events "
    "WHERE position > :after AND position <= :upto ORDER BY position LIMIT :limit"
)
_SUBTREES = sa.text(
    "SELECT hash FROM subtrees WHERE level = :level AND number >= :start AND number < :end ORDER BY number"
)
_ADD = sa.text("INSERT INTO subtrees (level, number, hash) VALUES (:level, :number, :hash) ON CONFLICT DO NOTHING")


class Damaged(GroundswellError):
    """History is not what it was: the first position where that shows, None where it is not one event's, and why."""

    def __init__(self, position: int | None, why: str) -> None:
        super().__init__("history.damaged", why)
        self.position = position


class Record(NamedTuple):
    """An event as it is checked and exported; ``leaf`` is the hash stored with it, None where none was."""

    position: int
    stream: str
    version: int
    topic: str
    entry: bytes
    data: bytes
    leaf: bytes | None


def records(connection: Connection, after: int, upto: int, limit: int = PAGE) -> Iterator[Record]:
    """Yield the events after a position, their entries made from the columns and data; raise Damaged."""
    rows = connection.execute(_RECORDS, {"after": after, "upto": upto, "limit": limit})
    return map(_record, rows.all())


def _record(row: Sequence[Any]) -> Record:
    (
        position,
        stream,
        version,
        topic,
        data,
        event,
        occurred,
        recorded,
        kind,
        actor,
        correlation,
        causation,
        command,
        leaf,
    ) = row
    try:
        stream = _dashed(stream)
        entry = Entry(
            f"{kind}:{actor}",
            causation,
            command,
            correlation,
            sha256(data).hexdigest(),
            _dashed(event),
            FORMAT,
            occurred,
            position,
            recorded,
            stream,
            topic,
            version,
        )
        return Record(position, stream, version, topic, entry_bytes(entry), data, leaf)
    except (TypeError, ValueError):
        raise Damaged(position, f"The event at position {position} has columns of the wrong type.") from None


def _dashed(stored: Any) -> str:  # noqa: ANN401 - a UUID on PostgreSQL, 32 digits on SQLite
    text = stored if isinstance(stored, str) else stored.hex
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def reader(connection: Connection) -> Read:
    """Return a reader of the store's hashes, for roots and proofs; it raises Damaged where one is missing."""

    def read(level: int, start: int, count: int) -> Sequence[bytes]:
        if level == 0:
            found = connection.scalars(_LEAVES, {"after": start, "upto": start + count}).all()
        else:
            found = connection.scalars(_SUBTREES, {"level": level, "start": start, "end": start + count}).all()
        if len(found) != count:
            first = (start << 8 * level) + 1
            raise Damaged(first, f"Hashes of the tree are missing from position {first} on.")
        return found

    return read


def grow(database: Database, size: int, progress: Callable[[int], object] = lambda _: None) -> None:
    """Add the hashes of subtrees that are complete among the first ``size`` events, in short transactions."""
    while True:
        with database.read() as connection:
            rows = _missing(connection, size)
        if not rows:
            return
        with database.write() as connection:
            connection.execute(_ADD, rows)
        progress(min(size, (rows[-1]["number"] + 1) << 8 * rows[-1]["level"]))


def _missing(connection: Connection, size: int) -> list[dict[str, Any]]:
    read = reader(connection)
    level = 1
    while wanted := size >> 8 * level:
        newest = sa.select(sa.func.max(subtrees.c.number)).where(subtrees.c.level == level)
        present = connection.scalar(newest)
        have = 0 if present is None else present + 1
        if have < wanted:
            numbers = range(have, min(wanted, have + _BATCH))
            return [{"level": level, "number": n, "hash": root(read(level - 1, n * TILE, TILE))} for n in numbers]
        level += 1
    return []


def add_subtree(connection: Connection, level: int, number: int, top: bytes) -> None:
    """Add the hash of one complete subtree."""
    connection.execute(_ADD, [{"level": level, "number": number, "hash": top}])


def rebuild(database: Database, size: int) -> None:
    """Forget all hashes of subtrees and compute them again from the leaf hashes."""
    with database.write() as connection:
        connection.execute(subtrees.delete())
    grow(database, size)


def tile_bytes(connection: Connection, tile: Tile, size: int) -> bytes | None:
    """Return what C2SP tlog-tiles serves for the tile of a tree of that size; None where the tree has no such tile."""
    level, start = tile.level or 0, tile.number * TILE
    if start + tile.width > size >> 8 * level:
        return None
    if tile.level is None:
        return bundle(record.entry for record in records(connection, start, start + tile.width))
    return b"".join(reader(connection)(level, start, tile.width))


def bundle(entries: Iterator[bytes]) -> bytes:
    """Return entries each behind its length as uint16 (tlog-tiles, “Log entries”)."""
    return b"".join(len(entry).to_bytes(2) + entry for entry in entries)


def own_leaf(record: Record) -> bytes:
    """Return the leaf hash of the record's own entry; raise Damaged where it is not the one stored with it."""
    computed = leaf_hash(record.entry)
    if record.leaf is not None and computed != record.leaf:
        raise Damaged(
            record.position, f"The event at position {record.position} was changed: it does not give its leaf hash."
        )
    if len(record.entry) > _MAX_ENTRY:
        raise Damaged(record.position, f"The entry at position {record.position} is longer than 65,535 bytes.")
    return computed
