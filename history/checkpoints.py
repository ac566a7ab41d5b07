"""Checkpoints (C2SP tlog-checkpoint) and receipts (C2SP tlog-proof): what the log commits itself to, and proofs of it.

A size and its root are persisted before a signature over them exists, and only if they extend the newest persisted
ones; so the log never signs two checkpoints that disagree.
"""

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.kernel import Unavailable, Unknown, now
from history.database import Database
from history.notes import LogKeys, NoteInvalid, VerifierKey, is_key_name, open_note, sign, signers
from history.recorder import last_position
from history.tables import checkpoints, store
from history.tiles import grow, reader, records, tile_bytes
from history.tree import Tile, consistency_proof, includes, inclusion_proof, leaf_hash, tree_root

ORIGIN: Final = "log-origin"
PROOF: Final = "c2sp.org/tlog-proof@v1"
_HOME: Final = "groundswell.local/log"
_HASH: Final = 32


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A size of the log with the root of its tree; ``note`` is the signed form, ``text`` what is signed."""

    origin: str
    size: int
    root: bytes
    note: str
    signed_at: datetime | None = None

    @property
    def text(self) -> str:
        """The three lines that are signed: origin, size, base64 of the root."""
        return checkpoint_text(self.origin, self.size, self.root)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receipt proves: that the log of the checkpoint holds this entry at this position."""

    position: int
    entry: bytes
    checkpoint: Checkpoint


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """Return the text of a checkpoint: origin LF, size LF, base64(root) LF."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def open_checkpoint(note: str, known: Iterable[VerifierKey], origin: str | None = None) -> Checkpoint:
    """Return the checkpoint of a signed note; raise NoteInvalid where no known key signed it or it is malformed."""
    lines = open_note(note, known).split("\n")
    if len(lines) != 4 or not lines[1].isascii() or not lines[1].isdigit():  # noqa: PLR2004 - three lines and the end
        raise NoteInvalid("The note is not a checkpoint: origin, size and root.")
    found = Checkpoint(lines[0], int(lines[1]), _hash(lines[2]), note)
    if found.text != "\n".join(lines) or (origin is not None and found.origin != origin):
        raise NoteInvalid(
            f"The checkpoint is not one of the log {origin}." if origin else "The checkpoint is malformed."
        )
    return found


def _hash(text: str) -> bytes:
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        blob = b""
    if len(blob) != _HASH or base64.b64encode(blob).decode() != text:
        raise NoteInvalid(f"“{text[:80]}” is not the base64 of a SHA-256 hash.")
    return blob


def how_to(name: str) -> str:
    """Return the text that says how something is checked without this program."""
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def default_origin(base_url: str) -> str:
    """Return the origin of a log whose pages are at this URL: its host and ``/log``; local addresses have one name."""
    host = urlsplit(base_url).hostname or "localhost"
    origin = f"{host}/log"
    local = host in {"localhost", "0.0.0.0", "::1"} or host.startswith("127.")  # noqa: S104 - a name, nothing is bound
    return _HOME if local or not is_key_name(origin) else origin


def origin_of(connection: Connection) -> str | None:
    """Return the store's origin, None before its first use."""
    return connection.scalar(sa.select(store.c.value).where(store.c.name == ORIGIN))


def claim_origin(database: Database, wanted: str) -> str:
    """Return the origin of the store's log; the first caller's wish becomes it for good."""
    with database.read() as connection:
        if known := origin_of(connection):
            return known
    if not is_key_name(wanted):
        raise Unavailable("log.bad_origin", f"“{wanted[:80]}” cannot name a log: it must have no spaces and no plus.")
    with database.append() as connection:
        if known := origin_of(connection):
            return known
        connection.execute(store.insert().values(name=ORIGIN, value=wanted))
    return wanted


class Checkpoints:
    """Makes and keeps the checkpoints of one store, and proves what they contain."""

    def __init__(self, database: Database, data_dir: Path, base_url: str = "") -> None:
        self.database, self.folder = database, data_dir
        self.origin = claim_origin(database, default_origin(base_url))

    def keys(self) -> LogKeys:
        """Return the log's keys as they stand in the data directory now."""
        return LogKeys(self.folder, self.origin)

    # --- making ---

    def make(self, progress: Callable[[int], object] = lambda _: None) -> Checkpoint:
        """Commit the log to its present end, and return the signed checkpoint; the newest one if nothing was added.

        Raises Unavailable: ``keys.missing``; ``log.shrunk`` and ``log.forked`` where the log does not extend what was
        signed before.
        """
        with self.database.read() as connection:
            size = last_position(connection)
        grow(self.database, size, progress)
        with self.database.append() as connection:
            newest = _newest(connection)
            keys = self.keys().need_signing(create=newest is None)
            if newest is not None and newest[0] > size:
                size = self._need_end(connection, newest[0])
            root = tree_root(reader(connection), size)
            if newest is not None:
                self._need_extension(connection, newest, size, root)
            if newest is None or newest[0] < size:
                connection.execute(checkpoints.insert().values(size=size, root=root))
        # Only now may a signature come into being.
        with self.database.write() as connection:
            here = checkpoints.c.size == size
            note, signed_at = connection.execute(
                sa.select(checkpoints.c.note, checkpoints.c.signed_at).where(here)
            ).one()
            if note is None or signers(note) != {key.verifier.id for key in keys}:
                note, signed_at = sign(checkpoint_text(self.origin, size, root), keys), now()
                connection.execute(checkpoints.update().where(here).values(note=note, signed_at=signed_at))
        return Checkpoint(self.origin, size, root, note, signed_at)

    @staticmethod
    def _need_end(connection: Connection, signed: int) -> int:
        """Return the newest signed size, which another process has reached; raise Unavailable where it was cut off."""
        end = last_position(connection)
        if end < signed:
            raise Unavailable(
                "log.shrunk",
                f"The log ends at position {end}, but {signed} positions were signed before; nothing is signed. "
                "Run `groundswell verify`.",
            )
        return signed

    @staticmethod
    def _need_extension(connection: Connection, newest: tuple[int, bytes], size: int, root: bytes) -> None:
        if newest[1] != (root if newest[0] == size else tree_root(reader(connection), newest[0])):
            raise Unavailable(
                "log.forked",
                f"The first {newest[0]} positions are not those that were signed before; nothing is signed. "
                "Run `groundswell verify`.",
            )

    # --- reading ---

    def newest(self) -> Checkpoint | None:
        """Return the newest signed checkpoint."""
        with self.database.read() as connection:
            return self._signed(connection)

    def at(self, size: int) -> Checkpoint | None:
        """Return the signed checkpoint of exactly that size."""
        with self.database.read() as connection:
            return self._signed(connection, checkpoints.c.size == size)

    def _signed(self, connection: Connection, *where: sa.ColumnElement[bool]) -> Checkpoint | None:
        query = sa.select(checkpoints).where(checkpoints.c.note.is_not(None), *where)
        row = connection.execute(query.order_by(checkpoints.c.size.desc()).limit(1)).first()
        return Checkpoint(self.origin, row.size, row.root, row.note, row.signed_at) if row else None

    def tile(self, path: str) -> bytes | None:
        """Return the bytes of the tile at a path ``tile/…`` (tlog-tiles); None where the newest checkpoint has none."""
        tile = Tile.parse(path)
        if tile is None:
            return None
        with self.database.read() as connection:
            newest = self._signed(connection)
            return tile_bytes(connection, tile, newest.size) if newest else None

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Return the proof that the first ``new`` positions begin with the first ``old``; raise Unknown."""
        with self.database.read() as connection:
            newest = self._signed(connection)
            if newest is None or not 0 <= old <= new <= newest.size:
                raise Unknown("log.unknown_size", "There is no checkpoint yet that reaches so far.")
            return consistency_proof(reader(connection), old, new)

    def receipt(self, position: int) -> str:
        """Return the receipt of a position as C2SP tlog-proof, its extra data being the entry; raise Unknown.

        It refers to the newest checkpoint, or to a new one where the position is newer than that.
        """
        newest = self.newest()
        if newest is None or newest.size < position:
            newest = self.make()
        if not 1 <= position <= newest.size:
            raise Unknown("log.unknown_position", f"There is no event at position {position}.")
        with self.database.read() as connection:
            entry = next(records(connection, position - 1, position)).entry
            path = inclusion_proof(reader(connection), position - 1, newest.size)
        return receipt_text(position, entry, path, newest.note)


def _newest(connection: Connection) -> tuple[int, bytes] | None:
    query = sa.select(checkpoints.c.size, checkpoints.c.root).order_by(checkpoints.c.size.desc()).limit(1)
    row = connection.execute(query).first()
    return (row.size, row.root) if row else None


def receipt_text(position: int, entry: bytes, path: Iterable[bytes], note: str) -> str:
    """Return the text of a receipt (C2SP tlog-proof)."""
    lines = [PROOF, f"extra {base64.b64encode(entry).decode()}", f"index {position - 1}"]
    lines += [base64.b64encode(one).decode() for one in path]
    return "\n".join(lines) + "\n\n" + note


def open_receipt(text: str, known: Iterable[VerifierKey], origin: str | None = None) -> Receipt:
    """Check a receipt with nothing but the log's verifier keys; raise NoteInvalid where it does not prove its entry."""
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    if len(lines) < 3 or lines[0] != PROOF or not lines[1].startswith("extra ") or not lines[2].startswith("index "):  # noqa: PLR2004
        raise NoteInvalid("This is not a receipt (C2SP tlog-proof) with its entry.")
    try:
        entry = base64.b64decode(lines[1].removeprefix("extra "), validate=True)
    except (binascii.Error, ValueError):
        raise NoteInvalid("The receipt's entry is not base64.") from None
    digits = lines[2].removeprefix("index ")
    if not (digits.isascii() and digits.isdigit()):
        raise NoteInvalid("The receipt's index is not a number.")
    checkpoint = open_checkpoint(note, known, origin)
    path = [_hash(line) for line in lines[3:]]
    if not includes(leaf_hash(entry), int(digits), checkpoint.size, path, checkpoint.root):
        raise NoteInvalid("The receipt does not prove its entry: the path does not lead to the checkpoint's root.")
    return Receipt(int(digits) + 1, entry, checkpoint)
