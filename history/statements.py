"""SQL for many rows at once: made once per shape of change, its values bound column by column.

SQLAlchemy would bind them row by row, which takes longer than the database does. PostgreSQL gets each column as one
JSON array, all in one statement: the driver's own arrays take six times as long to write.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Column, Connection, Date, Dialect, LargeBinary, Table, Uuid
from sqlalchemy.exc import DBAPIError

from history.tables import Moment, moment_text

_json = msgspec.json.Encoder()


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
    as_json: bool = False

    def execute(self, connection: Connection, rows: Iterable[Iterable[Any]]) -> None:
        """Execute it for each row; there must be at least one."""
        columns = zip(*rows, strict=True)
        bound = [
            values if process is None else [process(value) for value in values]
            for process, values in zip(self.processors, columns, strict=True)
        ]
        if self.as_json:
            run(connection, self.sql, [_json.encode(values).decode() for values in bound])
        else:
            run(connection, self.sql, list(zip(*bound, strict=True)), many=True)


def run(connection: Connection, sql: str, given: Sequence[Any] = (), *, many: bool = False) -> Any:  # noqa: ANN401
    """Execute a statement by the driver itself; return the driver's cursor. Errors come as SQLAlchemy raises them.

    Most statements of the writer take less time than SQLAlchemy does to execute one. ``given`` are its parameters, or
    with ``many`` those of each time that it is executed.
    """
    driver = connection.dialect.loaded_dbapi
    cursor = connection.connection.cursor()
    try:
        if many:
            cursor.executemany(sql, given)
        elif given:
            cursor.execute(sql, given)
        else:
            cursor.execute(sql)
    except driver.Error as error:
        raise _as_sqlalchemy_raises(connection, sql, cursor, error) from error
    return cursor


def _as_sqlalchemy_raises(connection: Connection, sql: str, cursor: Any, error: Any) -> BaseException:  # noqa: ANN401 - the driver's
    kind = connection.dialect.loaded_dbapi.Error
    lost = connection.dialect.is_disconnect(error, connection.connection.driver_connection, cursor)
    if lost:
        connection.invalidate(error)
    told: BaseException = DBAPIError.instance(sql, None, error, kind, connection_invalidated=lost)
    return told


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


def select_among(
    connection: Connection, select: str, column: Column[Any], values: Iterable[Any], order: str = ""
) -> Sequence[Any]:
    """Return the rows, as the driver gives them, of ``SELECT … FROM …`` whose column has one of the values."""
    where, given = _among(connection, column, values)
    sql = f"{select} WHERE {where} {order}"
    cursor = run(connection, sql, given)
    try:
        return cursor.fetchall()  # type: ignore[no-any-return]
    except connection.dialect.loaded_dbapi.Error as error:  # SQLite reads on while rows are fetched
        raise _as_sqlalchemy_raises(connection, sql, cursor, error) from error


def delete_among(connection: Connection, table: Table, column: Column[Any], values: Iterable[Any]) -> int:
    """Delete the rows whose column has one of the values; return how many there were."""
    where, given = _among(connection, column, values)
    return run(connection, f"DELETE FROM {table.name} WHERE {where}", given).rowcount  # type: ignore[no-any-return] # noqa: S608 - names


def _among(connection: Connection, column: Column[Any], values: Iterable[Any]) -> tuple[str, tuple[Any, ...]]:
    process = _processor(column, connection.dialect)
    given = [process(value) for value in values] if process else list(values)
    if connection.dialect.name == "sqlite" and isinstance(column.type, LargeBinary):  # which JSON cannot hold
        return f"{column.name} IN ({', '.join('?' * len(given))})", tuple(given)
    return _listed(column, connection.dialect), (_json.encode(given).decode(),)


def uuid_of(value: UUID | str) -> UUID:
    """Return an id that came as the driver gives it."""
    return value if isinstance(value, UUID) else UUID(value)


@functools.lru_cache(maxsize=1_024)
def _listed(column: Column[Any], dialect: Dialect) -> str:
    """Return the condition that the column has one of the values of a JSON array, however many they are."""
    if dialect.name == "postgresql":
        # An array is looked up in the index; a sub-query might be joined to the whole table.
        kind = column.type.compile(dialect)
        return f"{column.name} = ANY (ARRAY (SELECT json_array_elements_text(%s::json))::{kind}[])"
    return f"{column.name} IN (SELECT value FROM json_each(?))"  # noqa: S608 - a name


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
        return [_processor(column, self._dialect) for column in columns]

    def insert(self, names: Sequence[str]) -> Statement:
        into = f"INSERT INTO {self.name(self._table.name)} ({self.names(names)})"
        if self._dialect.name == "postgresql":
            typed = ", ".join(
                f"v{place}::{self._table.c[name].type.compile(self._dialect)}" for place, name in enumerate(names)
            )
            given = ", ".join(["json_array_elements_text(%s::json)"] * len(names))
            columns = ", ".join(f"v{place}" for place in range(len(names)))
            sql = f"{into} SELECT {typed} FROM ROWS FROM ({given}) AS given ({columns})"  # noqa: S608 - names and types
            return Statement(sql, self.processors(names), as_json=True)
        marks = ", ".join([self.mark] * len(names))
        return Statement(f"{into} VALUES ({marks})", self.processors(names))


@functools.lru_cache(maxsize=1_024)
def _processor(column: Column[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    """Return how a value of the column is written as a parameter of the driver, or within a JSON array."""
    if dialect.name == "postgresql" and isinstance(column.type, LargeBinary):
        return _hexadecimal_blob
    if isinstance(column.type, Uuid):
        return _hexadecimal_id if dialect.name == "sqlite" else None
    if isinstance(column.type, Moment):  # whose own way takes two calls more
        return _moment_text
    if isinstance(column.type, Date) and dialect.name == "sqlite":
        return _date_text
    return column.type.dialect_impl(dialect).bind_processor(dialect)


def hexadecimal(value: UUID) -> str:
    """Return an id as SQLite keeps it."""
    return "%032x" % value.int  # noqa: UP031 - takes two thirds of what an f-string does


def _hexadecimal_id(value: UUID | None) -> str | None:
    return None if value is None else hexadecimal(value)


def _moment_text(moment: datetime | None) -> str | None:
    return None if moment is None else moment_text(moment)


def _date_text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _hexadecimal_blob(blob: bytes | None) -> str | None:
    return None if blob is None else f"\\x{blob.hex()}"
