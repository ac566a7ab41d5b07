"""Connections to one SQLite file, also to one that may only be read."""

import os
import sqlite3
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Dialect, Engine, event

from domain.kernel import Unavailable

_PREPARATIONS: Final = ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", "cache_size=-65536")


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
            _need_no_log(path)
            opened = sqlite3.connect(f"file:{quote(str(path))}?immutable=1", uri=True, **options)
        for preparation in _PREPARATIONS:
            opened.execute(f"PRAGMA {preparation}")
        return opened

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "begin", _begin)


def _keep_log(opened: sqlite3.Connection) -> None:
    """Have changes written ahead into a log, unless the file is a read-only copy that was made without one."""
    try:
        opened.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        if _code(error) != sqlite3.SQLITE_READONLY:
            raise


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _only_readable(path: Path) -> bool:
    """Tell whether SQLite fails because it cannot make its log beside the file; then nobody else writes it there."""
    return os.access(path, os.R_OK) and not os.access(path.parent, os.W_OK)


def _need_no_log(path: Path) -> None:
    """Raise Unavailable where the newest events are in a write-ahead log that cannot be read without writing."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        raise Unavailable(
            "store.read_only",
            f"The store at {path} is read-only and was not closed: its newest events are in {log.name}. "
            "Copy both files to where this user may write.",
        )


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
