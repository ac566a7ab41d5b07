"""Reading the log: facts in order of position, and what the store knows of itself."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.types import NullType

from domain.slices import Fact
from history.database import BINARY, Database
from history.mapper import RAW, Mapper, Raw
from history.persons import Persons
from history.recorder import last_position
from history.tables import events

PAGE = 1_000
_RAW = sa.select(*(sa.type_coerce(events.c[name], NullType()).label(name) for name in RAW))


class SealedLog:
    """The one history, to be read as it is kept: with personal data sealed."""

    def __init__(self, database: Database, mapper: Mapper) -> None:
        self.database, self.mapper = database, mapper

    def head(self) -> int:
        """Return the newest position, 0 in an empty log."""
        with self.database.read() as connection:
            return last_position(connection)

    def version(self, stream: UUID, by: int | None = None) -> int:
        """Return the version of a stream, now or as of a position; 0 where it was empty."""
        query = sa.select(sa.func.max(events.c.version)).where(events.c.stream_id == stream)
        if by is not None:
            query = query.where(events.c.position <= by)
        with self.database.read() as connection:
            return connection.scalar(query) or 0

    def rows(self, connection: Connection, after: int, limit: int, *where: sa.ColumnElement[bool]) -> Sequence[Any]:
        """Return rows of the events table after a position, oldest first."""
        query = sa.select(events).where(events.c.position > after, *where).order_by(events.c.position).limit(limit)
        return connection.execute(query).all()

    def raw(self, connection: Connection, after: int, limit: int, *where: sa.ColumnElement[bool]) -> Sequence[Raw]:
        """Return rows as the driver gives them, for ``Mapper.raw_fact``, after a position and oldest first."""
        query = _RAW.where(events.c.position > after, *where).order_by(events.c.position).limit(limit)
        return connection.execute(query, execution_options={BINARY: True}).all()

    def sealed_facts(self, after: int, limit: int, *where: sa.ColumnElement[bool]) -> list[Fact]:
        """Return facts after a position, oldest first."""
        with self.database.read() as connection:
            rows = self.raw(connection, after, limit, *where)
        return [self.mapper.raw_fact(row) for row in rows]


class Log(SealedLog):
    """The one history, to be read by whoever may open personal data."""

    def __init__(self, database: Database, mapper: Mapper, persons: Persons) -> None:
        super().__init__(database, mapper)
        self.persons = persons

    def facts(
        self, after: int = 0, limit: int = PAGE, *where: sa.ColumnElement[bool], opened: bool = False
    ) -> list[Fact]:
        """Return facts after a position, oldest first; ``opened`` with personal data in the clear."""
        if not opened:
            return self.sealed_facts(after, limit, *where)
        with self.database.read() as connection:
            rows = self.rows(connection, after, limit, *where)
            facts = [self.mapper.fact(row) for row in rows]
            persons = {f.event.person for f in facts if f.event.person and self.mapper.sealed(f.event)}
            keys = self.persons.keys(connection, persons)
            return [self.mapper.fact(row, keys) for row in rows]

    def follow(self, *where: sa.ColumnElement[bool], after: int = 0, opened: bool = False) -> Iterator[Fact]:
        """Yield all facts after a position, page by page."""
        while facts := self.facts(after, PAGE, *where, opened=opened):
            yield from facts
            after = facts[-1].position
