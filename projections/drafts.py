"""Drafts: read models folded in a SQLite file of their own, until they are loaded into the store in bulk.

Folding there costs the store nothing but reading its log, whichever database it is, and nobody waits for it. A draft
outlives the process: what was folded is not folded again, as long as the history is the same.
"""

import fcntl
import gc
import hashlib
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from domain.kernel import Unavailable
from history.reading import SealedLog
from history.tables import events
from projections.projection import Projection
from projections.replay import replay

SUFFIX: Final = ".draft"
BATCH: Final = 20_000
"""How many events are folded in one transaction."""
LITTER: Final = 10
"""Garbage is collected after so many batches: each leaves some thousand objects of it, and looking takes longer."""
NO_ROOM: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
PREPARATIONS: Final = ("journal_mode=WAL", "synchronous=OFF", "wal_autocheckpoint=8192", "cache_size=-16384")

Progress = Callable[[int], Any]


class Overtaken(Exception):
    """Somebody else went on with what this one was at; what it was about to write is rolled back."""


class Draft:
    """Some builds in a file of their own, named by what they are; ``position`` is how far it has come."""

    def __init__(self, models: Sequence[Projection], folder: Path) -> None:
        self.models = tuple(models)
        which = sorted((model.name, model.build, model.version) for model in models)
        digest = hashlib.sha256(repr(which).encode()).hexdigest()[:16]
        self.path = folder / f"{digest}{SUFFIX}"

    @contextmanager
    def opened(self) -> Iterator[Connection]:
        """Give a connection to the file, which is made if it is not there."""
        engine = _engine(self.path)
        try:
            with engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in NO_ROOM:
                message = f"There is no room for a second copy of the read models in {self.path.parent}; free some."
                raise Unavailable("rebuild.no_room", message) from error
            raise
        finally:
            engine.dispose()

    def fold(self, log: SealedLog, until: int, progress: Progress) -> int:
        """Fold up to a position; return the position reached, which may be beyond if it had come so far.

        What a fold in bulk leaves for its end is still to be settled.
        """
        with self.opened() as connection:
            with connection.begin():
                position = reached(connection)[0]
            until = max(position, until)
            steps = replay(
                log, self.models, connection, until, after=position, page=BATCH, indexed=False, settled=False
            )
            going_on, batches = True, 0
            with _collected_by_hand():
                while going_on:
                    with connection.begin():
                        if reached(connection)[0] != position:
                            raise Overtaken
                        step = next(steps, None)
                        going_on, position = step is not None, step or until
                        self._note(log, connection, position)
                    batches += 1
                    if not batches % LITTER:
                        gc.collect()
                    progress(position)
        return until

    @staticmethod
    def _note(log: SealedLog, connection: Connection, position: int) -> None:
        with log.database.read() as store:
            leaf = store.scalar(sa.select(events.c.leaf_hash).where(events.c.position == position))
        connection.exec_driver_sql("DELETE FROM reached")
        connection.exec_driver_sql("INSERT INTO reached VALUES (?, ?, ?)", (position, leaf, boot()))

    def is_of(self, log: SealedLog) -> bool:
        """Tell whether the file is whole, and of this history: the event it stands at is the one that stands there.

        Nothing of it is forced to the disk: it outlives its process, but what the machine held when it went down may
        be lost.
        """
        try:
            with self.opened() as connection:
                position, leaf = reached(connection)
                booted = connection.exec_driver_sql("SELECT since_boot FROM reached").scalar()
        except (DBAPIError, sqlite3.Error):
            return False
        if position and (booted is None or booted != boot()):
            return False
        with log.database.read() as store:
            found = store.scalar(sa.select(events.c.leaf_hash).where(events.c.position == position))
        return position == 0 or found == leaf

    def delete(self) -> None:
        """Delete the file."""
        for name in (self.path.name, f"{self.path.name}-wal", f"{self.path.name}-shm"):
            self.path.with_name(name).unlink(missing_ok=True)


@contextmanager
def _collected_by_hand() -> Iterator[None]:
    """Leave garbage to whoever collects it between two batches: looking for it takes a tenth of a fold, in vain."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def clear(folder: Path, log: SealedLog, wanted: Sequence[Draft]) -> None:
    """Delete the drafts in a folder that are not wanted, or cannot be gone on with."""
    names = {draft.path.name for draft in wanted}
    for old in folder.glob(f"*{SUFFIX}*"):
        if old.name.partition(SUFFIX)[0] + SUFFIX not in names:
            old.unlink(missing_ok=True)
    for draft in wanted:
        if draft.path.exists() and not draft.is_of(log):
            draft.delete()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait for whoever draws up in the same folder."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def boot() -> str | None:
    """Return what names the time since the machine was started; None where the system does not say."""
    with suppress(OSError):
        if BOOT.exists():
            return BOOT.read_text().strip()
        asked = subprocess.run(["sysctl", "-n", "kern.boottime"], capture_output=True, text=True, check=False)  # noqa: S607 - macOS
        return asked.stdout.strip() or None
    return None


def reached(connection: Connection) -> tuple[int, bytes | None]:
    """Return the position that a draft stands at, and the hash of the event there."""
    row = connection.exec_driver_sql("SELECT position, leaf_hash FROM reached").first()
    return (row.position, row.leaf_hash) if row else (0, None)


def _engine(path: Path) -> Engine:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        for preparation in PREPARATIONS:
            connection.execute(f"PRAGMA {preparation}")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS reached (position INTEGER NOT NULL, leaf_hash BLOB, since_boot TEXT)"
        )
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine
