"""Loading the tables of a draft into the store: in order of their keys, and with their indexes made at the end.

What the fold left for its end is derived and settled here: on PostgreSQL the server derives, and makes the indexes of
the other tables, while this process settles.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Dialect, Table
from sqlalchemy.schema import AddConstraint

from history.database import NOT_AWAITED, Database, saying_why
from history.tables import Moment
from history.tables import projections as checkpoints
from projections.drafts import Draft, Overtaken
from projections.projection import Projection

CHUNK: Final = 25_000
"""How many rows are copied while nobody else can write to a SQLite file."""
PAUSE_SECONDS: Final = 0.005
"""How long others are let in between two chunks."""
LINES: Final = 1_000
"""So many are sent while the next are written."""
SORTING: Final = "256MB"
"""The memory PostgreSQL may take to sort the keys of an index."""
PLAIN: Final = (sa.Uuid, sa.Integer, sa.BigInteger, sa.Boolean, sa.Date, sa.Float, Moment)
"""Types of which SQLite's text cannot hold what PostgreSQL's COPY would take for a mark."""

Progress = Callable[[int], Any]


def load(database: Database, draft: Draft, position: int, progress: Progress) -> None:
    """Fill the builds that still stand at 0 with a draft's tables, and move them to its position.

    Reports the position in proportion to the models that are there. What an interrupted loading left is begun again.
    """
    write = _load_sqlite if database.is_sqlite else _load_postgresql
    with draft.opened() as connection:
        for number, model in enumerate(draft.models, start=1):
            write(database, model, connection, position)
            progress(position * number // len(draft.models))


def _tables(model: Projection) -> list[Table]:
    return [table for table in model.metadata.sorted_tables if not table.info["cache"]]


def _claim(connection: Connection, model: Projection, position: int) -> bool:
    """Move the checkpoint of a build from 0; False where somebody else was quicker."""
    mine = checkpoints.c.name == model.name, checkpoints.c.build == model.build, checkpoints.c.position == 0
    return connection.execute(checkpoints.update().where(*mine).values(position=position)).rowcount == 1


# --- PostgreSQL: one transaction, in which SQLite writes the lines that COPY reads ---


def _load_postgresql(database: Database, model: Projection, draft: Connection, position: int) -> None:
    derived, settled = ([table for table in _tables(model) if table.info[how]] for how in ("derived", "settled"))
    others = [table for table in _tables(model) if table not in derived and table not in settled]

    def derive() -> None:
        _index(connection, model, others)
        _drop_keys(connection, derived)
        model.derive(connection)
        _index(connection, model, derived)

    with database.write() as connection:
        if not _claim(connection, model, position):
            return
        connection.exec_driver_sql(f"{NOT_AWAITED}; SET LOCAL maintenance_work_mem = '{SORTING}'")
        model.drop(connection)
        model.create_tables(connection)
        _fill(connection, others, draft)
        with ThreadPoolExecutor(1) as beside:
            derived_there = beside.submit(derive)
            with draft.begin():
                model.settle(draft)
            derived_there.result()
        _fill(connection, settled, draft)
        _index(connection, model, settled)
        model.index(connection)


def _fill(connection: Connection, tables: Sequence[Table], draft: Connection) -> None:
    _drop_keys(connection, tables)
    for table in tables:
        _copy(connection, table, draft)


def _drop_keys(connection: Connection, tables: Sequence[Table]) -> None:
    for table in tables:
        connection.exec_driver_sql(f"ALTER TABLE {table.name} DROP CONSTRAINT {table.name}_pkey")


def _index(connection: Connection, model: Projection, tables: Sequence[Table]) -> None:
    """Make all indexes: at once takes half the time of one that is kept up with row by row."""
    for table in tables:
        connection.execute(AddConstraint(table.primary_key, isolate_from_table=False))
    model.index(connection, tables)
    for table in tables:
        connection.exec_driver_sql(f"ANALYZE {table.name} ({', '.join(_looked_up(table, connection.dialect))})")


def _copy(connection: Connection, table: Table, draft: Connection) -> None:
    quoted = connection.dialect.identifier_preparer.quote
    columns = ", ".join(quoted(column.name) for column in table.columns)
    cursor: Any = connection.connection.cursor()
    command = f"COPY {table.name} ({columns}) FROM STDIN (FREEZE)"
    with cursor.copy(command) as copy, ThreadPoolExecutor(1) as beside:
        sent: Future[None] | None = None
        for lines in _lines(table, draft):
            if sent:
                sent.result()
            sent = beside.submit(copy.write, lines)
        if sent:
            sent.result()


def _looked_up(table: Table, dialect: Dialect) -> list[str]:
    """Return the columns by which rows are found: those of which the planner must know how values are spread."""
    quoted = dialect.identifier_preparer.quote
    found = {*table.primary_key, *(column for index in table.indexes for column in index.columns)}
    return sorted(quoted(column.name) for column in found)


def _lines(table: Table, draft: Connection) -> Iterator[str]:
    """Yield the rows in order of their key in the text format of COPY."""
    dialect = draft.dialect
    marks = "\t".join(["%s"] * len(table.columns))
    values = ", ".join(_written(column, dialect) for column in table.columns)
    cursor = draft.connection.cursor()
    with closing(cursor):
        cursor.execute(f"SELECT printf('{marks}', {values}) FROM {table.name} ORDER BY {_keys(table, dialect)}")  # noqa: S608 - names
        while rows := cursor.fetchmany(LINES):
            yield "".join(f"{line}\n" for (line,) in rows)


def _written(column: Column[Any], dialect: Dialect) -> str:
    """Return the SQL that writes a value as COPY reads it."""
    value = dialect.identifier_preparer.quote(column.name)
    if not isinstance(column.type, PLAIN):
        for mark, escaped in (("'\\'", "'\\\\'"), ("char(9)", "'\\t'"), ("char(10)", "'\\n'"), ("char(13)", "'\\r'")):
            value = f"replace({value}, {mark}, {escaped})"
    return f"coalesce({value}, '\\N')" if column.nullable else value


def _keys(table: Table, dialect: Dialect) -> str:
    return ", ".join(dialect.identifier_preparer.quote(column.name) for column in table.primary_key)


# --- SQLite: chunk by chunk, so that others can write between them ---


def _load_sqlite(database: Database, model: Projection, draft: Connection, position: int) -> None:
    with database.write() as connection:
        query = sa.select(checkpoints.c.position).where(
            checkpoints.c.name == model.name, checkpoints.c.build == model.build
        )
        if connection.scalar(query):
            return
        model.drop(connection)
        model.create_tables(connection)
    with draft.begin():
        model.derive(draft)
        model.settle(draft)
    _copy_chunks(database, model, draft)
    with database.write() as connection:
        model.index(connection)
        if not _claim(connection, model, position):
            raise Overtaken


def _copy_chunks(database: Database, model: Projection, draft: Connection) -> None:
    """Copy with SQLite alone, from file to file."""
    (file,) = (row[2] for row in draft.exec_driver_sql("PRAGMA database_list") if row[1] == "main")
    draft.rollback()
    with saying_why(database), closing(database.engine.raw_connection()) as connection:
        cursor: Any = connection.cursor()
        cursor.execute("ATTACH DATABASE ? AS draft", (file,))
        try:
            for table in _tables(model):
                last: Sequence[Any] | None = ()
                while last is not None:
                    last = _copy_chunk(cursor, table, _keys(table, draft.dialect), last)
                    time.sleep(PAUSE_SECONDS)
        finally:
            if cursor.connection.in_transaction:
                cursor.execute("ROLLBACK")
            cursor.execute("DETACH DATABASE draft")


def _copy_chunk(cursor: Any, table: Table, keys: str, after: Sequence[Any]) -> Sequence[Any] | None:  # noqa: ANN401 - the driver's
    """Copy the rows that come next after a key; return the last one's key, None where there are no more."""
    marks = ", ".join("?" * len(after))
    where = f"WHERE ({keys}) > ({marks})" if after else ""
    cursor.execute("BEGIN IMMEDIATE")
    cursor.execute(
        f"INSERT INTO main.{table.name} SELECT * FROM draft.{table.name} {where} ORDER BY {keys} LIMIT {CHUNK}",  # noqa: S608 - names
        after,
    )
    whole = cursor.rowcount == CHUNK
    backwards = keys.replace(",", " DESC,")
    cursor.execute(f"SELECT {keys} FROM main.{table.name} ORDER BY {backwards} DESC LIMIT 1")  # noqa: S608 - names
    last: Sequence[Any] = cursor.fetchone()
    cursor.execute("COMMIT")
    return last if whole else None
