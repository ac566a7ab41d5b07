"""Connections to SQLite and PostgreSQL, the append lock, and database errors said in one sentence."""

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import psycopg.errors
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from domain.kernel import Unavailable
from history import sqlite
from history.statements import run

APPEND_LOCK = 0x67726F756E64  # any number that nobody else uses: "ground"
BINARY: Final = "groundswell_binary"
"""The execution option for long results: to write and read blobs and ids as text takes half the time of reading."""
CHANNEL: Final = "groundswell"
"""Where PostgreSQL says that somebody may have appended (see hints.py); said with the lock it costs 20 µs."""
BUSY_SECONDS = 30
IDLE_SECONDS = 1.0
"""A connection that was not used for so long may have died since, and is tried before it is used."""
SCRUB_SECONDS: Final = 0.05
"""How long emptying SQLite's write-ahead log may hold up those who write, while it waits for those who read."""
NOT_AWAITED: Final = "SET LOCAL synchronous_commit TO off"
"""Says to PostgreSQL that a transaction's commit need not wait for the disk: what a crash takes is computed again."""


class Database:
    """One SQLite file or PostgreSQL database.

    ``read`` and ``write`` give a connection in a transaction that commits when the block ends; ``append`` gives one
    that also holds the append lock. What the database cannot do is raised as Unavailable.
    """

    def __init__(self, url: str, *, pool_size: int = 10, busy_seconds: float = BUSY_SECONDS) -> None:
        self.url = url
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise unknown_kind() from None
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            if not parsed.database or parsed.database == ":memory:":
                raise Unavailable("store.not_a_file", "A store on SQLite must be a file, not memory.")
            parsed = parsed.set(drivername="sqlite+pysqlite")
        elif parsed.get_backend_name() in {"postgresql", "postgres"}:
            parsed = parsed.set(drivername="postgresql+psycopg")
        else:
            raise unknown_kind()
        self.path = Path(parsed.database or "") if self.is_sqlite else None
        self._busy_seconds = busy_seconds
        arguments: dict[str, Any] = (
            {"timeout": busy_seconds, "check_same_thread": False, "isolation_level": None}
            if self.is_sqlite
            else {"connect_timeout": 10, "application_name": "groundswell"}
        )
        self.engine: Engine = create_engine(
            parsed,
            connect_args=arguments,
            pool_size=pool_size,
            max_overflow=10,
            pool_timeout=30,
            pool_pre_ping=not self.is_sqlite,
        )
        self.token = uuid4().hex
        """Tells its own hints from those of others."""
        self._append_mutex = threading.Lock()
        self._appender: Connection | None = None
        self._appended = 0.0
        self._take_lock = (
            f"SET LOCAL lock_timeout = {int(busy_seconds * 1000)}; SELECT pg_advisory_xact_lock({APPEND_LOCK}), "
            f"CASE WHEN NOT pg_is_in_recovery() THEN pg_notify('{CHANNEL}', '{self.token}') END"
        )
        if self.path is not None:
            sqlite.prepare(self.engine, self.path)
        else:
            event.listen(self.engine, "checkin", _forget_read_only)
            event.listen(self.engine, "before_cursor_execute", _in_binary)

    def __repr__(self) -> str:
        return f"Database({make_url(self.url).render_as_string(hide_password=True)})"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that sees one consistent state of the store."""
        level = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with saying_why(self), self.engine.connect().execution_options(**level) as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection whose changes are committed together."""
        with (
            saying_why(self),
            self.engine.connect().execution_options(immediate=True) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def append(self) -> Iterator[Connection]:
        """Give a connection that alone may append to the log until it commits."""
        with self._append_mutex, saying_why(self):
            connection = self._open_appender()
            try:
                with connection.begin():
                    if not self.is_sqlite:
                        run(connection, self._take_lock)
                    yield connection
            except BaseException:
                self._close_appender()
                raise
            self._appended = time.monotonic()

    def _open_appender(self) -> Connection:
        """Return the connection that appends, kept while it is in use: to fetch one is as much work as to append."""
        if time.monotonic() - self._appended > IDLE_SECONDS:
            self._close_appender()
        if self._appender is None:
            self._appender = self.engine.connect().execution_options(immediate=True)
        return self._appender

    def _close_appender(self) -> None:
        connection, self._appender = self._appender, None
        if connection is not None:
            connection.close()

    def scrub(self, tables: Sequence[str]) -> bool:
        """Do away with what deleted rows left behind; False where somebody still reads it, so that it must wait.

        SQLite has overwritten them in its file (secure_delete), and empties its write-ahead log. PostgreSQL vacuums
        the tables, which lets it write over them; its own write-ahead log keeps copies until it is recycled.
        """
        return self._scrub_sqlite() if self.is_sqlite else self._scrub_postgresql(tables)

    def _scrub_sqlite(self) -> bool:
        with saying_why(self), closing(self.engine.raw_connection()) as connection:
            cursor = connection.cursor()
            try:
                cursor.execute(f"PRAGMA busy_timeout = {int(SCRUB_SECONDS * 1000)}")
                (busy, _, _) = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                cursor.execute(f"PRAGMA busy_timeout = {int(self._busy_seconds * 1000)}")
            return not busy

    def _scrub_postgresql(self, tables: Sequence[str]) -> bool:
        connecting = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        with saying_why(self), connecting as connection:
            connection.exec_driver_sql(f"VACUUM (SKIP_LOCKED) {', '.join(tables)}")
        return True

    def close(self) -> None:
        """Close all connections."""
        with self._append_mutex:
            self._close_appender()
        self.engine.dispose()


def _forget_read_only(connection: psycopg.Connection | None, _record: object) -> None:
    """Begin the next transaction as the server would have it: a standby refuses one that is said to write."""
    if connection is not None and not connection.closed:
        connection.read_only = None


def _in_binary(_connection: Connection, cursor: Any, *told: Any) -> None:  # noqa: ANN401 - the driver's
    """Let PostgreSQL send a result in its binary form where the execution option BINARY asks for it."""
    context = told[2]
    if context is not None and context.execution_options.get(BINARY):
        cursor.format = psycopg.pq.Format.BINARY


def unknown_kind() -> Unavailable:
    """Say which databases there can be."""
    return Unavailable("store.unknown_database", "The database URL must begin with sqlite:// or postgresql://.")


@contextmanager
def saying_why(database: Database) -> Iterator[None]:
    """Turn errors of the store into Unavailable with a clear sentence; errors of ours come as they are."""
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable("store.busy", "All connections to the store are in use; try again.") from error
    except DBAPIError as error:
        if found := explained(error, database):
            raise found from error
        raise
    except sqlite3.Error as error:  # while a connection is prepared
        if found := _explained_sqlite(error, database):
            raise found from error
        raise


def explained(error: DBAPIError, database: Database) -> Unavailable | None:
    """Say what the database's error means for the person who sees it; None where it is not the store's fault."""
    if isinstance(error.orig, sqlite3.Error):
        return _explained_sqlite(error.orig, database)
    return _explained_postgresql(error, error.orig)


_FULL: Final = ("store.full", "The disk is full; nothing of this was recorded. Free space and send it again.")
_LOCKED: Final = ("store.locked", "Another program holds the store locked; nothing was recorded, try again.")
_READ_ONLY: Final = ("store.read_only", "The store is read-only; nothing was recorded.")
_DISK_ERROR: Final = ("store.disk_error", "The disk failed while the store was used; nothing was recorded.")
_SQLITE: Final = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_PROTOCOL: _LOCKED,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_IOERR: _DISK_ERROR,
    sqlite3.SQLITE_CORRUPT: ("store.damaged", "The store's file {path} is damaged; bring it back from its backup."),
    sqlite3.SQLITE_NOTADB: ("store.not_a_store", "{path} is not a store: it is no SQLite file."),
}


def _explained_sqlite(error: sqlite3.Error, database: Database) -> Unavailable | None:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    path = database.path
    if code == sqlite3.SQLITE_CANTOPEN:
        if path is None or not path.exists():
            return Unavailable("store.missing", f"There is no store at {path}.")
        return Unavailable(
            "store.unreachable", f"The store at {path} cannot be opened; may this user read and write it?"
        )
    if code in _SQLITE:
        name, message = _SQLITE[code]
        return Unavailable(name, message.format(path=path))
    return None


_POSTGRESQL: Final[dict[type[psycopg.Error], tuple[str, str]]] = {
    psycopg.errors.DiskFull: _FULL,
    psycopg.errors.IoError: _DISK_ERROR,
    psycopg.errors.LockNotAvailable: _LOCKED,
    psycopg.errors.QueryCanceled: _LOCKED,
    psycopg.errors.ReadOnlySqlTransaction: _READ_ONLY,
}


def _explained_postgresql(error: DBAPIError, original: BaseException | None) -> Unavailable | None:
    match original:
        case psycopg.Error() if type(original) in _POSTGRESQL:
            return Unavailable(*_POSTGRESQL[type(original)])
        case psycopg.errors.ProgramLimitExceeded():
            return None  # what was sent is too large, and its sender alone is to hear of it
        case psycopg.OperationalError() | psycopg.InterfaceError():
            said = (str(original).strip() or type(original).__name__).splitlines()[0]
            if "does not exist" in said:
                return Unavailable("store.missing", f"There is no such database: {said}.")
        case _ if error.connection_invalidated:
            said = type(original).__name__
        case _:
            return None
    return Unavailable("store.unreachable", f"The store cannot be reached: {said}.")
