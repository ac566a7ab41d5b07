"""A self-contained archive of the history, a plain .tar: written here, read by unpacking.py.

The same range gives the same bytes, but for a full backup, whose keys are sealed with fresh salt. A line of
``events.jsonl`` is the exact entry, its last brace replaced by ``,"data":``, the exact stored data and a brace: since
quotes are escaped within JSON strings, the first ``,"data":`` of the line is always that one. See templates/HOWTO.md.
"""

import io
import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import sqlalchemy as sa

from domain.kernel import Conflict, Unavailable, Unknown
from history.checkpoints import Checkpoint, Checkpoints
from history.engine import Engine
from history.mapper import UnknownTopic
from history.notes import signers
from history.passphrase import seal_lines
from history.tables import checkpoints, commands, moment_text, person_keys
from history.tiles import PAGE, Record, records
from history.tree import TILE, Tile
from history.verify import Commitment, Examiner, Progress

FORMAT: Final = 1
DATA: Final = b',"data":'
EVENTS, COMMANDS, CHECKPOINTS, KEYS = "events.jsonl", "commands.jsonl", "checkpoints.jsonl", "verifier.keys"
CHECKPOINT, MANIFEST, SEALED, SUMS = "checkpoint", "manifest.json", "keys.sealed", "SHA256SUMS"
_HOWTO: Final = Path(__file__).parent / "templates" / "HOWTO.md"
_PERSONS: Final = 1_000


class Manifest(msgspec.Struct, forbid_unknown_fields=True):
    """What an archive says of itself."""

    commands: int
    format: int
    full_backup: bool
    origin: str
    root: str
    size: int


class CommandLine(msgspec.Struct, forbid_unknown_fields=True):
    """A row of the commands table, without the hash of its content: its key does not leave the store."""

    command_id: str
    first_position: int
    last_position: int
    result: str | None


class CheckpointLine(msgspec.Struct, forbid_unknown_fields=True):
    """A row of the checkpoints table; the root in hex."""

    note: str
    root: str
    signed_at: str
    size: int


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    path: Path
    size: int
    root: bytes
    commands: int
    persons: int


class _Packer:
    """Adds files to the archive, the same way every time, and keeps their sums."""

    def __init__(self, file: IO[bytes], folder: Path) -> None:
        self._folder = folder
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed in finish
        self._sums: dict[str, str] = {}

    def add(self, name: str, content: bytes) -> None:
        """Add a small file."""
        self.copy(name, io.BytesIO(content), len(content), sha256(content).hexdigest())

    def copy(self, name: str, source: IO[bytes], length: int, digest: str) -> None:
        """Add a file of known length and hash."""
        member = tarfile.TarInfo(name)  # its time, owner and group are 0
        member.size = length
        self._tar.addfile(member, source)
        self._sums[name] = digest

    def lines(self, name: str, lines: Iterable[bytes]) -> int:
        """Add a file line by line, through a temporary file; return the number of lines."""
        count, length, digest = 0, 0, sha256()
        with tempfile.TemporaryFile(dir=self._folder) as spool:
            for line in lines:
                spool.write(line)
                digest.update(line)
                length += len(line)
                count += 1
            spool.seek(0)
            self.copy(name, spool, length, digest.hexdigest())
        return count

    def finish(self) -> None:
        """Add the sums of all files, and end the archive."""
        self.add(SUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted(self._sums.items())).encode())
        self._tar.close()


def export(
    engine: Engine,
    log: Checkpoints,
    target: Path,
    *,
    size: int | None = None,
    passphrase: str | None = None,
    progress: Progress = lambda _: None,
) -> Exported:
    """Write the history up to the checkpoint of that size, by default up to its present end, into a new archive.

    With a passphrase it is a full backup: the persons' keys and the signing keys are sealed under it. Raises Damaged
    where the history is not sound, Conflict (``archive.exists``), Unknown (``log.unknown_size``, ``archive.empty``).
    """
    if target.exists():
        raise Conflict("archive.exists", f"There is already something at {target}; nothing was written.")
    until = log.make() if size is None else log.at(size)
    if until is None:
        raise Unknown("log.unknown_size", f"There is no checkpoint at position {size}; leave it out to make one now.")
    if until.size == 0:
        raise Unknown("archive.empty", "There is no event to export yet.")
    with _fresh_file(target) as file:
        packer = _Packer(file, target.parent)
        packer.add("HOWTO.md", _HOWTO.read_bytes())
        topics = _pack_events(engine, log, until, packer, progress)
        lines = list(_checkpoint_lines(engine, until.size))
        packer.lines(CHECKPOINTS, (_line(line) for line in lines))
        packer.add(CHECKPOINT, until.note.encode())
        used = {key for line in lines for key in signers(line.note)}
        packer.add(KEYS, "".join(f"{key}\n" for key in log.keys().verifiers if key.id in used).encode())
        for topic in sorted(topics):
            packer.add(f"schemas/{topic}.json", _schema(engine, topic))
        count = packer.lines(COMMANDS, _command_lines(engine, until.size))
        persons = 0
        if passphrase is not None:
            with engine.database.read() as connection:
                persons = connection.scalar(sa.select(sa.func.count()).select_from(person_keys)) or 0
            packer.lines(SEALED, seal_lines(passphrase, _secrets(engine, log)))
        manifest = Manifest(count, FORMAT, passphrase is not None, until.origin, until.root.hex(), until.size)
        packer.add(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        packer.finish()
    return Exported(target, until.size, until.root, count, persons)


def _pack_events(engine: Engine, log: Checkpoints, until: Checkpoint, packer: _Packer, progress: Progress) -> set[str]:
    """Write events and tiles, examining them on the way; return the topics that occur."""
    topics: set[str] = set()

    def handed(tile: Tile, hashes: Sequence[bytes], _top: bytes) -> None:
        packer.add(tile.path, b"".join(hashes))

    due = Commitment(until.size, until.root, until.note, log.origin)
    examiner = Examiner([due], log.keys().verifiers, log.origin, handed)

    def lines() -> Iterator[bytes]:
        while examiner.size < until.size:
            with engine.database.read() as connection:
                page = list(records(connection, examiner.size, until.size, PAGE))
            examiner.take(page)
            for record in page:
                topics.add(record.topic)
                yield event_line(record)
            progress(examiner.size)
            if not page:
                break
        examiner.finish()

    packer.lines(EVENTS, lines())
    for level, hashes in enumerate(examiner.growth.partial):
        if hashes:
            packer.add(Tile(level, (until.size >> 8 * level) // TILE, len(hashes)).path, b"".join(hashes))
    return topics


def event_line(record: Record) -> bytes:
    """Return the line of an event: its entry with its data put in, both byte for byte."""
    if b"\n" in record.data:
        raise Unavailable("archive.not_a_line", f"The data at position {record.position} is not one line of JSON.")
    return record.entry[:-1] + DATA + record.data + b"}\n"


def _line(value: object) -> bytes:
    return msgspec.json.encode(value) + b"\n"


def _schema(engine: Engine, topic: str) -> bytes:
    try:
        schema = engine.mapper.schema(topic)
    except UnknownTopic:
        schema = {"description": "The release that made this archive does not know this topic."}
    return msgspec.json.format(msgspec.json.encode(schema, order="sorted"), indent=2) + b"\n"


def _checkpoint_lines(engine: Engine, size: int) -> Iterator[CheckpointLine]:
    signed = checkpoints.c.note.is_not(None)
    query = sa.select(checkpoints).where(signed, checkpoints.c.size <= size).order_by(checkpoints.c.size)
    with engine.database.read() as connection:
        for row in connection.execute(query):
            yield CheckpointLine(row.note, row.root.hex(), moment_text(row.signed_at), row.size)


def _command_lines(engine: Engine, size: int) -> Iterator[bytes]:
    """Yield the commands that made the events; one that made none belongs to no range, and may be run again."""
    query = sa.select(commands).where(commands.c.first_position > 0, commands.c.last_position <= size)
    with engine.database.read() as connection:
        rows = connection.execute(query.order_by(commands.c.first_position).execution_options(yield_per=PAGE))
        for row in rows:
            yield _line(CommandLine(row.command_id, row.first_position, row.last_position, row.result))


def _secrets(engine: Engine, log: Checkpoints) -> Iterator[dict[str, Any]]:
    yield {"signing": [key.seed.hex() for key in log.keys().signing]}
    query = sa.select(person_keys.c.person_id).order_by(person_keys.c.person_id)
    with engine.database.read() as connection:
        everybody = connection.scalars(query).all()
        for start in range(0, len(everybody), _PERSONS):
            keys = engine.persons.keys(connection, everybody[start : start + _PERSONS])
            yield {"persons": {str(person): key.hex() for person, key in keys.items()}}


@contextmanager
def _fresh_file(target: Path) -> Iterator[IO[bytes]]:
    """Give a file that appears under its name only when it is whole and on disk; its mode is 0600."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
