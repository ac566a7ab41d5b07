"""Retained states: read models as they stood at some positions, in files, so that no past is folded from the beginning.

They are a cache beside the store: whoever deletes them, loses time. A state is believed only if it was kept by the same
code, of the same history (its name holds a digest over the file and over the hashes of the first event and of the event
it stands at), so one that is damaged, of another release or of another store is passed over. Personal data in them is
sealed as everywhere: they need no care when somebody is erased.
"""

import functools
import hashlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from history.database import Database
from history.tables import events
from projections.projection import Projection

Kinds = Sequence[type[Projection]]

CLOSEST: Final = 4_096
"""How many positions lie between two states, at least."""
MOST: Final = 64
"""How many states are kept of the same read models, at most."""
BYTES: Final = 256 * 2**20
"""How many bytes the states of the same read models take, at most."""
BYTES_IN_ALL: Final = 4 * BYTES
SUFFIX: Final = ".sqlite3"
UNFINISHED: Final = ".unfinished"
UNFINISHED_SECONDS: Final = 3_600
CHUNK: Final = 2**20
PACKAGES: Final = ("domain", "history", "projections")
UNUSABLE: Final = (OSError, sqlite3.Error)


class State(NamedTuple):
    """A file that holds the state at a position."""

    position: int
    path: Path


class Retained:
    """The states kept in a folder of those that belong to one store."""

    def __init__(self, folder: Path, database: Database) -> None:
        self._root, self._database = folder.resolve(), database
        self._folder = self._root / release()

    def restore(self, kinds: Kinds, position: int, into: Connection) -> int:
        """Fill an empty database with the newest state at or before a position; return its position, 0 for none."""
        folder = self._of(kinds)
        for state in reversed(_states(folder)):
            if state.position <= position:
                if self._restored(state, into):
                    with suppress(OSError):
                        os.utime(folder)
                    return state.position
                with suppress(OSError):
                    state.path.unlink()
        return 0

    def keep(self, kinds: Kinds, position: int, head: int, state: Connection) -> None:
        """Keep what a database holds, committed, as the state at a position, if none is kept close to it.

        Nothing is kept where it cannot be written. Those that lie closer than is fit for a history up to ``head``
        are removed.
        """
        size = _size(state)
        folder, width = self._of(kinds), spacing(head, size)
        if position < width or size > BYTES:
            return
        with suppress(*UNUSABLE):
            if position // width not in {each.position // width for each in _states(folder)}:
                self._write(folder, position, state)
                _thin(folder, width)

    def tidy(self) -> None:
        """Remove the states of other releases, and as many of those used longest ago as are too many."""
        with suppress(OSError):
            for other in self._root.iterdir():
                if other != self._folder:
                    shutil.rmtree(other, ignore_errors=True)
            left = BYTES_IN_ALL
            for folder in sorted(self._folder.iterdir(), key=lambda each: each.stat().st_mtime, reverse=True):
                left -= sum(file.stat().st_size for file in folder.iterdir())
                if left < 0:
                    shutil.rmtree(folder, ignore_errors=True)

    def _of(self, kinds: Kinds) -> Path:
        names = sorted(f"{kind.__module__}.{kind.__qualname__}:{kind.version}" for kind in kinds)
        return self._folder / hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]

    def _restored(self, state: State, into: Connection) -> bool:
        """Whether a state could be believed and was restored."""
        with suppress(*UNUSABLE):
            if self._digest(state.position, state.path) == state.path.stem.partition("-")[2]:
                with closing(sqlite3.connect(f"{state.path.as_uri()}?mode=ro&immutable=1", uri=True)) as file:
                    file.backup(_driver(into))
                return True
        return False

    def _write(self, folder: Path, position: int, state: Connection) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(suffix=UNFINISHED, dir=folder)
        os.close(descriptor)
        path = Path(name)
        try:
            with closing(sqlite3.connect(path)) as file:
                file.execute("PRAGMA synchronous = OFF")  # what a crash spoils, the digest finds
                file.execute("PRAGMA journal_mode = OFF")
                _driver(state).backup(file)
            path.replace(folder / f"{position}-{self._digest(position, path)}{SUFFIX}")
        finally:
            path.unlink(missing_ok=True)

    def _digest(self, position: int, path: Path) -> str:
        """Return the digest of a file as the state of this history at a position."""
        query = sa.select(events.c.leaf_hash).where(events.c.position.in_([1, position])).order_by(events.c.position)
        digest = hashlib.sha256()
        with self._database.read() as connection:
            for leaf in connection.scalars(query):
                digest.update(leaf)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()


def spacing(head: int, size: int) -> int:
    """Return how many positions lie between two states of a history up to ``head`` that take ``size`` bytes each."""
    most = max(1, min(MOST, BYTES // max(1, size)))
    width = CLOSEST
    while head // width >= most:
        width *= 2
    return width


@functools.cache
def release() -> str:
    """Return what tells this code from all other: a digest of the source of everything that a fold depends on."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).glob("*.py")):
            digest.update(f"{path.name}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _states(folder: Path) -> list[State]:
    """Return the states in a folder, in order of position."""
    return sorted(_found(folder))


def _found(folder: Path) -> Iterator[State]:
    for path in folder.glob(f"*{SUFFIX}"):
        position = path.stem.partition("-")[0]
        if position.isascii() and position.isdigit():
            yield State(int(position), path)


def _thin(folder: Path, width: int) -> None:
    """Leave one state in so many positions, and no file whose writer must have died."""
    seen: set[int] = set()
    for state in _states(folder):
        if state.position // width in seen:
            state.path.unlink(missing_ok=True)
        seen.add(state.position // width)
    for path in folder.glob(f"*{UNFINISHED}"):
        if time.time() - path.stat().st_mtime > UNFINISHED_SECONDS:
            path.unlink(missing_ok=True)


def _size(connection: Connection) -> int:
    pages, page = (_driver(connection).execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages) * int(page)


def _driver(connection: Connection) -> sqlite3.Connection:
    found = connection.connection.driver_connection
    assert isinstance(found, sqlite3.Connection)  # noqa: S101 - these databases are made here
    return found
