"""Deciding commands as if they were recorded, to see what would become of them; nothing is."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection

from history.database import Database
from history.mapper import Mapper
from history.persons import Persons
from history.writer import Writer


class _Over(Exception):
    """Ends the transaction of a rehearsal, so that it is rolled back."""


class _Held(Database):
    """A database of which the writer sees one transaction only, each of its batches in a savepoint of it."""

    def __init__(self, connection: Connection, *, is_sqlite: bool) -> None:
        self._connection, self.is_sqlite = connection, is_sqlite

    @contextmanager
    def append(self) -> Iterator[Connection]:
        """Give the one connection."""
        with self._connection.begin_nested():
            yield self._connection


@contextmanager
def rehearsal(database: Database, mapper: Mapper, persons: Persons) -> Iterator[Writer]:
    """Give a writer that decides on the store and on its own effects, all of which are undone in the end.

    It holds the append lock: whoever else wants to write waits until the rehearsal is over.
    """
    with suppress(_Over), database.append() as connection:
        yield Writer(_Held(connection, is_sqlite=database.is_sqlite), mapper, persons)
        raise _Over
