"""Connections to one SQLite file, also to one that may only be read."""

import os
import sqlite3
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Dialect, Engine, event
from sqlalchemy.exc import DisconnectionError

from domain.kernel import Unavailable

_PREPARATIONS: Final = ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", "cache_size=-16384")


class _Immutable(sqlite3.Connection):
    """Reads a file as it ``stands``: without the log that SQLite would have to make beside it."""

    stands: tuple[int, ...]


def prepare(engine: Engine, path: Path) -> None:
    """Let an engine open the file as it can be opened, and begin transactions as they are meant."""

    def connect(dialect: Dialect, _record: object, arguments: Any, options: Any) -> sqlite3.Connection:  # noqa: ANN401
        opened: sqlite3.Connection = dialect.connect(*arguments, **options)  # type: ignore[assignment]
        try:
            _keep_log(opened)
        except sqlite3.Error as error:
            opened.close()
            if _code(error) != sqlite3.SQLITE_CANTOPEN or not _only_readable(path):
                raise
            opened = _open_immutable(path, options)
        for preparation in _PREPARATIONS:
            opened.execute(f"PRAGMA {preparation}")
        return opened

    def check(opened: sqlite3.Connection, _record: object, _proxy: object) -> None:
        if isinstance(opened, _Immutable) and opened.stands != _state(path):
            raise DisconnectionError("Somebody else who may write the file has done so.")

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "checkout", check)
    event.listen(engine, "begin", _begin)


def _keep_log(opened: sqlite3.Connection) -> None:
    """Have changes written ahead into a log, unless the file is a read-only copy that was made without one."""
    try:
        opened.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        if _code(error) != sqlite3.SQLITE_READONLY:
            raise


def _open_immutable(path: Path, options: Any) -> _Immutable:  # noqa: ANN401 - those of sqlite3.connect
    """Open a file as it stands; raise Unavailable where its newest events are in a log that it cannot be read with."""
    state = _state(path)
    if state[-1]:
        raise Unavailable(
            "store.read_only",
            f"The store at {path} is read-only and was not closed: its newest events are in {path.name}-wal. "
            "Copy both files to where this user may write.",
        )
    opened = sqlite3.connect(f"file:{quote(str(path))}?immutable=1", uri=True, factory=_Immutable, **options)
    opened.stands = state
    return opened


def _state(path: Path) -> tuple[int, ...]:
    """Return what tells whether the file was changed, and at the end the size of its log."""
    log = path.with_name(f"{path.name}-wal")
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino, log.stat().st_size if log.exists() else 0


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _only_readable(path: Path) -> bool:
    """Tell whether SQLite fails because this user may read the file, and not make a log beside it."""
    return os.access(path, os.R_OK) and not os.access(path.parent, os.W_OK)


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
