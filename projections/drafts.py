"""Drafts: read models folded in a SQLite file of their own, until they are loaded into the store in bulk.

Folding there costs the store nothing but reading its log, whichever database it is, and nobody waits for it. A draft
outlives the process: what was folded is not folded again, as long as the history is the same.
"""

import fcntl
import hashlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from history.reading import Log
from history.tables import events
from projections.projection import Projection
from projections.replay import replay

SUFFIX: Final = ".draft"
BATCH: Final = 10_000
"""How many events are folded in one transaction."""
PREPARATIONS: Final = ("journal_mode=WAL", "synchronous=NORMAL", "wal_autocheckpoint=8192", "cache_size=-32768")

Progress = Callable[[int], Any]


@contextmanager
def drawn_up(
    log: Log, models: Sequence[Projection], until: int, folder: Path | None, progress: Progress
) -> Iterator[tuple[Connection, int]]:
    """Fold the models up to a position, or as far as a draft has come that goes beyond; give the file they are in.

    Gives (a connection to the draft, its position), and deletes the draft where the block ends well. Without a folder
    it is in a temporary one. Whoever folds in the same folder waits for the other.
    """
    with _own(folder) as place:
        path = place / f"{_digest(models)}{SUFFIX}"
        for old in place.glob(f"*{SUFFIX}*"):
            if not old.name.startswith(path.name):
                old.unlink()
        if path.exists() and not _usable(log, path):
            _delete(path)
        engine = _engine(path)
        try:
            with engine.connect() as connection:
                yield connection, _fold(log, models, connection, until, progress)
        finally:
            engine.dispose()
        _delete(path)


@contextmanager
def alone(folder: Path | None) -> Iterator[None]:
    """Wait for whoever draws up in the same folder."""
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _own(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    made = Path(tempfile.mkdtemp(prefix="groundswell-rebuild-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _digest(models: Sequence[Projection]) -> str:
    """Return what names the draft of these builds of these versions."""
    which = sorted((model.name, model.build, model.version) for model in models)
    return hashlib.sha256(repr(which).encode()).hexdigest()[:16]


def _delete(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)


def _engine(path: Path) -> sa.Engine:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        for preparation in PREPARATIONS:
            connection.execute(f"PRAGMA {preparation}")
        connection.execute("CREATE TABLE IF NOT EXISTS reached (position INTEGER NOT NULL, leaf_hash BLOB)")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _usable(log: Log, path: Path) -> bool:
    """Tell whether a draft is whole, and of this history: the event it stands at is the one that stands there."""
    engine = _engine(path)
    try:
        with engine.connect() as connection:
            position, leaf = _reached(connection)
        with log.database.read() as store:
            found = store.scalar(sa.select(events.c.leaf_hash).where(events.c.position == position))
    except (DBAPIError, sqlite3.Error):
        return False
    finally:
        engine.dispose()
    return position == 0 or found == leaf


def _reached(connection: Connection) -> tuple[int, bytes | None]:
    row = connection.exec_driver_sql("SELECT position, leaf_hash FROM reached").first()
    return (row.position, row.leaf_hash) if row else (0, None)


def _fold(log: Log, models: Sequence[Projection], connection: Connection, until: int, progress: Progress) -> int:
    """Fold on, and settle; return the position reached, which is ``until`` unless the draft had come farther."""
    with connection.begin():
        position, _ = _reached(connection)
    until = max(position, until)
    steps = replay(log, models, connection, until, after=position, page=BATCH, indexed=False)
    going_on = True
    while going_on:
        with connection.begin():
            step = next(steps, None)
            going_on = step is not None
            _note(log, connection, step or until)
        progress(step or until)
    return until


def _note(log: Log, connection: Connection, position: int) -> None:
    with log.database.read() as store:
        leaf = store.scalar(sa.select(events.c.leaf_hash).where(events.c.position == position))
    connection.exec_driver_sql("DELETE FROM reached")
    connection.exec_driver_sql("INSERT INTO reached VALUES (?, ?)", (position, leaf))
