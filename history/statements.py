"""SQL that writes many rows at once: made once per shape of change, its values bound column by column.

SQLAlchemy would bind them row by row, which takes longer than the database does. PostgreSQL gets the columns as arrays
in one statement (``unnest``), which takes a fifth of the driver's time for a statement per row.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Dialect, Table


class Shape(NamedTuple):
    """The columns of a row that a change sets, adds to, and lets rise."""

    sets: tuple[str, ...] = ()
    adds: tuple[str, ...] = ()
    tops: tuple[str, ...] = ()


@dataclass(frozen=True)
class Statement:
    """A statement with one parameter for each column of a row, and how each is written."""

    sql: str
    processors: Sequence[Callable[[Any], Any] | None]
    as_arrays: bool = False

    def execute(self, connection: Connection, rows: Iterable[Iterable[Any]]) -> None:
        """Execute it for each row; there must be at least one."""
        columns = zip(*rows, strict=True)
        bound = [
            values if process is None else [process(value) for value in values]
            for process, values in zip(self.processors, columns, strict=True)
        ]
        if self.as_arrays:
            connection.exec_driver_sql(self.sql, tuple(list(values) for values in bound))
        else:
            connection.exec_driver_sql(self.sql, list(zip(*bound, strict=True)))


@functools.lru_cache(maxsize=1_024)
def upsert(table: Table, shape: Shape, dialect: Dialect) -> Statement:
    """Return the statement that changes rows, or makes them; its parameters are the primary key and the shape's."""
    write = _Writing(table, dialect)
    keys = [column.name for column in table.primary_key]
    changed = [f"{write.name(name)} = {write.new(name)}" for name in shape.sets]
    changed += [f"{write.name(name)} = coalesce({write.old(name)}, 0) + {write.new(name)}" for name in shape.adds]
    changed += [
        f"{write.name(name)} = CASE WHEN {write.old(name)} > {write.new(name)} "
        f"THEN {write.old(name)} ELSE {write.new(name)} END"
        for name in shape.tops
    ]
    conflict = f"UPDATE SET {', '.join(changed)}" if changed else "NOTHING"
    inserted = write.insert([*keys, *shape.sets, *shape.adds, *shape.tops])
    return replace(inserted, sql=f"{inserted.sql} ON CONFLICT ({write.names(keys)}) DO {conflict}")


@functools.lru_cache(maxsize=1_024)
def insert(table: Table, names: tuple[str, ...], dialect: Dialect) -> Statement:
    """Return the statement that inserts rows with these columns."""
    return _Writing(table, dialect).insert(names)


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all name the same columns in the same order; there must be at least one."""
    insert(table, tuple(rows[0]), connection.dialect).execute(connection, (row.values() for row in rows))


@functools.lru_cache(maxsize=1_024)
def delete(table: Table, dialect: Dialect) -> Statement:
    """Return the statement that deletes rows by their primary keys."""
    write = _Writing(table, dialect)
    keys = [column.name for column in table.primary_key]
    where = " AND ".join(f"{write.name(key)} = {write.mark}" for key in keys)
    return Statement(f"DELETE FROM {write.name(table.name)} WHERE {where}", write.processors(keys))  # noqa: S608 - names


class _Writing:
    """How names and parameters of one table are written for one database."""

    def __init__(self, table: Table, dialect: Dialect) -> None:
        self._table, self._dialect = table, dialect
        self.name = dialect.identifier_preparer.quote
        self.mark = "?" if dialect.paramstyle == "qmark" else "%s"

    def old(self, name: str) -> str:
        return f"{self.name(self._table.name)}.{self.name(name)}"

    def new(self, name: str) -> str:
        return f"excluded.{self.name(name)}"

    def names(self, names: Iterable[str]) -> str:
        return ", ".join(map(self.name, names))

    def processors(self, names: Iterable[str]) -> list[Callable[[Any], Any] | None]:
        columns: list[Column[Any]] = [self._table.c[name] for name in names]
        return [column.type.dialect_impl(self._dialect).bind_processor(self._dialect) for column in columns]

    def insert(self, names: Sequence[str]) -> Statement:
        into = f"INSERT INTO {self.name(self._table.name)} ({self.names(names)})"
        if self._dialect.name == "postgresql":
            arrays = ", ".join(f"%s::{self._table.c[name].type.compile(self._dialect)}[]" for name in names)
            sql = f"{into} SELECT * FROM unnest({arrays})"  # noqa: S608 - names and types
            return Statement(sql, self.processors(names), as_arrays=True)
        marks = ", ".join([self.mark] * len(names))
        return Statement(f"{into} VALUES ({marks})", self.processors(names))
