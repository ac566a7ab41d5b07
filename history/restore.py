"""Makes an empty store from an archive."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, get_type_hints
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from domain.kernel import FINDABLE, Conflict, Event, Unavailable
from history.archive import CHECKPOINTS, COMMANDS, SEALED, CheckpointLine, CommandLine
from history.checkpoints import ORIGIN
from history.engine import Engine
from history.notes import LogKeys, VerifierKey
from history.passphrase import open_lines
from history.tables import checkpoints, commands, moment_text, person_keys, store
from history.tables import events as events_table
from history.tiles import PAGE, Damaged, Record, add_subtree
from history.tree import Tile
from history.unpacking import ENTRIES, Archive, unhex
from history.verify import Progress


@dataclass(frozen=True, slots=True)
class Restored:
    """What an empty store was made of; ``persons`` counts those whose data can be read again."""

    size: int
    root: bytes
    commands: int
    persons: int


def restore(
    engine: Engine,
    data_dir: Path,
    path: Path,
    *,
    passphrase: str | None = None,
    keys: Sequence[VerifierKey] = (),
    progress: Progress = lambda _: None,
) -> Restored:
    """Make the empty store of the engine from an archive, all or nothing, with the same positions, ids and hashes.

    Without the passphrase of a full backup everybody is as if erased, and a new key signs the log from now on.
    Raises Conflict (``store.not_empty``), Unavailable (``archive.…``), Damaged where the archive is not sound.
    """
    with Archive(path) as archive, _understood(), engine.database.append() as connection:
        _need_empty(connection)
        secrets = _secrets(archive, passphrase)
        seeds = _restore_persons(engine, connection, secrets)
        known = list(keys) or archive.keys()
        examiner = archive.examiner(known, handed=lambda tile, top: _add_tile(connection, tile, top))
        reader = _Indexer(engine, connection) if passphrase is not None else None
        events = archive.records()
        while page := list(islice(events, PAGE)):
            examiner.take(page)
            connection.execute(_EVENTS, [_row(record, as_text=engine.database.is_sqlite) for record in page])
            if reader:
                reader.take(page)
            progress(examiner.size)
        archive.finish(examiner)
        count = _restore_tables(archive, connection)
        log_keys = LogKeys(data_dir, archive.manifest.origin)
        log_keys.adopt(known, seeds)
        log_keys.need_signing(create=True)
        persons = connection.scalar(sa.select(sa.func.count()).select_from(person_keys)) or 0
    return Restored(examiner.size, examiner.growth.root(), count, persons)


_EVENTS: Final = sa.text(
    "INSERT INTO events (position, stream_id, version, topic, data, event_id, occurred_at, recorded_at, actor_kind, "
    "actor_id, correlation_id, causation_id, command_id, leaf_hash) VALUES (:position, :stream, :version, :topic, "
    ":data, :event, :occurred, :recorded, :kind, :actor, :correlation, :causation, :command, :leaf)"
)


@contextmanager
def _understood() -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        raise Unavailable("archive.not_storable", f"The store does not take this archive: {error.orig}.") from error


def _need_empty(connection: Connection) -> None:
    for table in (events_table, commands, checkpoints, person_keys):
        if connection.execute(sa.select(table).limit(1)).first() is not None:
            raise Conflict(
                "store.not_empty", "An archive is restored into an empty store only; this one has a history."
            )


def _row(record: Record, *, as_text: bool) -> dict[str, Any]:
    entry = ENTRIES.decode(record.entry)
    kind, colon, actor = entry.actor.partition(":")
    try:
        stream, event = UUID(entry.stream), UUID(entry.event)
        moments = [moment_text(datetime.fromisoformat(text)) for text in (entry.occurred_at, entry.recorded_at)]
    except ValueError:
        moments = []
    if (
        not colon
        or moments != [entry.occurred_at, entry.recorded_at]
        or f"{stream}{event}" != entry.stream + entry.event
    ):
        raise Damaged(record.position, f"The entry at position {record.position} is not of a form a store can keep.")
    return {
        "position": record.position,
        "stream": stream.hex if as_text else stream,
        "version": entry.version,
        "topic": entry.topic,
        "data": record.data,
        "event": event.hex if as_text else event,
        "occurred": entry.occurred_at,
        "recorded": entry.recorded_at,
        "kind": kind,
        "actor": actor,
        "correlation": entry.correlation,
        "causation": entry.causation,
        "command": entry.command,
        "leaf": record.leaf,
    }


def _add_tile(connection: Connection, tile: Tile, top: bytes) -> None:
    add_subtree(connection, (tile.level or 0) + 1, tile.number, top)


def _restore_tables(archive: Archive, connection: Connection) -> int:
    """Restore the commands, the checkpoints and the origin; return how many commands there are."""
    count = 0
    lines = archive.lines(COMMANDS, CommandLine)
    while page := list(islice(lines, PAGE)):
        rows = [msgspec.structs.asdict(line) | {"request_hash": b""} for line in page]
        connection.execute(commands.insert(), rows)
        count += len(rows)
    signed = archive.lines(CHECKPOINTS, CheckpointLine)
    while some := list(islice(signed, PAGE)):
        rows = [
            {
                "size": line.size,
                "root": unhex(line.root),
                "note": line.note,
                "signed_at": _moment(line.signed_at),
            }
            for line in some
        ]
        connection.execute(checkpoints.insert(), rows)
    connection.execute(store.delete().where(store.c.name == ORIGIN))
    connection.execute(store.insert().values(name=ORIGIN, value=archive.manifest.origin))
    return count


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise Damaged(None, "A time in the archive's checkpoints is not one.") from None


# --- persons --------------------------------------------------------------------------------------------------------


def _secrets(archive: Archive, passphrase: str | None) -> Iterator[Any]:
    if passphrase is None:
        return iter(())
    if not archive.manifest.full_backup:
        raise Unavailable("archive.no_keys", "This archive was made without keys; restore it without a passphrase.")
    return open_lines(passphrase, archive.file(SEALED))


def _restore_persons(engine: Engine, connection: Connection, secrets: Iterator[Any]) -> list[bytes]:
    """Wrap the persons' keys under this store's master key; return the seeds of the signing keys."""
    seeds: list[bytes] = []
    for secret in secrets:
        seeds += [unhex(seed) for seed in secret.get("signing", ())]
        keys = {UUID(person): unhex(key) for person, key in secret.get("persons", {}).items()}
        engine.persons.adopt(connection, keys)
    return seeds


class _Indexer:
    """Makes persons findable again, from the events that carry what they are found by."""

    def __init__(self, engine: Engine, connection: Connection) -> None:
        self._mapper, self._persons, self._connection = engine.mapper, engine.persons, connection
        self._topics = {topic for topic, cls in self._mapper.topics.items() if _is_findable(cls)}

    def take(self, page: Iterable[Record]) -> None:
        """Index the persons of a page of events."""
        relevant = [record for record in page if record.topic in self._topics]
        events = [self._decode(record) for record in relevant]
        keys = self._persons.keys(self._connection, (event.person for event in events if event.person))
        values: dict[UUID, str | None] = {}
        for record in relevant:
            event = self._decode(record, keys)
            sets, value = self._mapper.findable(event)
            if sets and event.person and event.person in keys:
                values[event.person] = value
        self._persons.index(self._connection, values)

    def _decode(self, record: Record, keys: dict[UUID, bytes] | None = None) -> Event:
        return self._mapper.decode(record.topic, record.data, UUID(record.stream), record.version, keys)[0]


def _is_findable(cls: type[Event]) -> bool:
    hints = get_type_hints(cls, include_extras=True).values()
    return any(FINDABLE in getattr(hint, "__metadata__", ()) for hint in hints)
