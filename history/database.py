"""Connections to SQLite and PostgreSQL, the append lock, and database errors said in one sentence."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg.errors
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from domain.kernel import Unavailable

APPEND_LOCK = 0x67726F756E64  # any number that nobody else uses: "ground"
BUSY_SECONDS = 30


class Database:
    """One SQLite file or PostgreSQL database.

    ``read`` and ``write`` give a connection in a transaction that commits when the block ends; ``append`` gives one
    that also holds the append lock. What the database cannot do is raised as Unavailable.
    """

    def __init__(self, url: str, *, pool_size: int = 10, busy_seconds: float = BUSY_SECONDS) -> None:
        self.url = url
        parsed = make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            if not parsed.database or parsed.database == ":memory:":
                raise Unavailable("store.not_a_file", "A store on SQLite must be a file, not memory.")
            parsed = parsed.set(drivername="sqlite+pysqlite")
        elif parsed.get_backend_name() in {"postgresql", "postgres"}:
            parsed = parsed.set(drivername="postgresql+psycopg")
        else:
            raise Unavailable("store.unknown_database", "The database URL must begin with sqlite:// or postgresql://.")
        self.path = Path(parsed.database or "") if self.is_sqlite else None
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
        self._append_mutex = threading.Lock()
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)

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
        with self._append_mutex, self.write() as connection:
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": APPEND_LOCK})
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", "cache_size=-65536"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def saying_why(database: Database) -> Iterator[None]:
    """Turn errors of the database into Unavailable with a clear sentence."""
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable("store.busy", "All connections to the store are in use; try again.") from error
    except (OperationalError, InterfaceError) as error:
        raise explained(error, database) from error
    except DBAPIError as error:
        if error.connection_invalidated or isinstance(error.orig, psycopg.errors.DiskFull):
            raise explained(error, database) from error
        raise


def explained(error: DBAPIError, database: Database) -> Unavailable:
    """Say what the database's error means for the person who sees it."""
    original = error.orig
    said = str(original).strip().splitlines()[0] if str(original).strip() else type(original).__name__
    if isinstance(original, psycopg.errors.DiskFull) or "disk is full" in said:
        return Unavailable(
            "store.full", "The disk is full; nothing of this was recorded. Free space and send it again."
        )
    if "database is locked" in said:
        return Unavailable("store.locked", "Another program holds the store locked; nothing was recorded, try again.")
    if "readonly database" in said or isinstance(original, psycopg.errors.ReadOnlySqlTransaction):
        return Unavailable("store.read_only", "The store is read-only; nothing was recorded.")
    if "unable to open database file" in said:
        return Unavailable("store.missing", f"There is no store at {database.path}.")
    if "disk I/O error" in said:
        return Unavailable("store.disk_error", "The disk failed while the store was written; nothing was recorded.")
    if isinstance(original, psycopg.errors.InvalidCatalogName):
        return Unavailable("store.missing", f"There is no such database: {said}.")
    return Unavailable("store.unreachable", f"The store cannot be reached: {said}.")
