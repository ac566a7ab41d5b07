"""A fault in one read model on SQLite: its table of chapters refuses one that is called Frost."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_TRIGGER = """
CREATE TRIGGER frost BEFORE INSERT ON chapters_v1 WHEN new.name = 'Frost'
BEGIN SELECT RAISE(ABORT, 'too cold'); END
"""
WHY = "IntegrityError: too cold"


@contextmanager
def frost(path: Path) -> Iterator[None]:
    """Let the read model of chapters refuse the chapter until the block ends."""
    _execute(path, _TRIGGER)
    yield
    _execute(path, "DROP TRIGGER frost")


def _execute(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql)
        connection.commit()
