"""Totals: how many points everybody has on every board, and how many have just as many, so that ranks are cheap.

All of it is a fold of the score ledger. It is kept up with batch by batch, or computed at once from all that counts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy import JSON, Column, Connection, Date, Index, Integer, MetaData, Table, Text, Uuid

from history.statements import Shape, insert, run, select_among, upsert
from history.tables import BigInt
from projections.boards import Board, Key, Points, board_id
from projections.projection import Projection
from projections.summing import PAGE, Sums

Amounts = Mapping[tuple[int, UUID], int]
"""By the number of a board and who stands there."""

Conditions = Sequence[sa.ColumnElement[bool]]

_json = msgspec.json.Encoder()


@dataclass(frozen=True)
class Totals:
    """``boards`` says how many entries count on each; ``totals`` are points; ``counts``, how many have just as many."""

    boards: Table
    totals: Table
    counts: Table

    @classmethod
    def declare(cls, projection: Projection) -> "Totals":
        """Declare the tables in a projection."""
        boards = projection.table(
            "score_boards",
            Column("id", BigInt, primary_key=True, autoincrement=False),
            Column("scope", Text, nullable=False),
            Column("scope_id", Uuid, nullable=False),
            Column("window", Text, nullable=False),
            Column("window_start", Date, nullable=False),
            Column("entries", BigInt, nullable=False),
            settled=True,
        )
        totals = projection.table(
            "score_totals",
            Column("board", BigInt, primary_key=True, autoincrement=False),
            Column("entity", Uuid, primary_key=True),
            Column("points", BigInt, nullable=False),
            settled=True,
        )
        Index(f"{totals.name}_top", totals.c.board, totals.c.points.desc(), totals.c.entity)
        counts = projection.table(
            "score_counts",
            Column("board", BigInt, primary_key=True, autoincrement=False),
            Column("points", BigInt, primary_key=True, autoincrement=False),
            Column("entities", Integer, nullable=False),
            settled=True,
        )
        nobody = counts.c.entities == 0
        Index(f"{counts.name}_none", counts.c.entities, sqlite_where=nobody, postgresql_where=nobody)
        return cls(boards, totals, counts)

    # --- batch by batch ---

    def add(self, connection: Connection, amounts: Amounts, entries: Mapping[Key, int]) -> dict[int, int]:
        """Add amounts of points, given by so many entries on boards; return how many count on each of them by now."""
        keys = list(amounts)
        if not keys:
            return {}
        rows, counts = [], Counter[tuple[int, int]]()
        for key, before in zip(keys, self._before(connection, keys), strict=True):
            after = before + amounts[key]
            rows.append((*key, after))
            if before > 0:
                counts[key[0], before] -= 1
            if after > 0:
                counts[key[0], after] += 1
        dialect = connection.dialect
        upsert(self.totals, Shape(sets=("points",)), dialect).execute(connection, rows)
        changed = [(*key, number) for key, number in counts.items() if number]
        if changed:
            upsert(self.counts, Shape(adds=("entities",)), dialect).execute(connection, changed)
        if any(number < 0 for *_, number in changed):
            connection.execute(self.counts.delete().where(self.counts.c.entities == 0))
        return self._counting(connection, entries) if entries else {}

    def _counting(self, connection: Connection, entries: Mapping[Key, int]) -> dict[int, int]:
        shape = Shape(sets=("scope", "scope_id", "window", "window_start"), adds=("entries",))
        rows = [(board_id(key), *key, number) for key, number in entries.items()]
        upsert(self.boards, shape, connection.dialect).execute(connection, rows)
        select = f"SELECT id, entries FROM {self.boards.name}"  # noqa: S608 - a name
        return dict(select_among(connection, select, self.boards.c.id, map(board_id, entries)))

    def _before(self, connection: Connection, keys: Sequence[tuple[int, UUID]]) -> list[int]:
        """Return the points of each so far, in one query."""
        table, found = self.totals.name, [0] * len(keys)
        if connection.dialect.name == "sqlite":
            sql = (
                "SELECT given.key, points FROM json_each(?) AS given "  # noqa: S608 - a name
                f"CROSS JOIN {table} ON board = json_extract(given.value, '$[0]') "
                "AND entity = json_extract(given.value, '$[1]')"
            )
            parameters = [_json.encode([(board, f"{entity.int:032x}") for board, entity in keys]).decode()]
            first = 0
        else:
            sql = (
                "SELECT place, points FROM ROWS FROM (json_array_elements_text(%s::json), "  # noqa: S608 - a name
                "json_array_elements_text(%s::json)) WITH ORDINALITY AS given (given_board, given_entity, place) "
                f"JOIN {table} ON board = given_board::bigint AND entity = given_entity::uuid"
            )
            parameters = [_json.encode(values).decode() for values in zip(*keys, strict=True)]
            first = 1
        for place, points in run(connection, sql, parameters).fetchall():
            found[place - first] = points
        return found

    # --- at once ---

    def compute(self, connection: Connection, entries: Table, standing: Conditions) -> None:
        """Compute everything from the entries for which the conditions hold: those that count, of points other than 0.

        It takes no more memory for more supporters.
        """
        dialect, sums = connection.dialect, Sums()
        for table in (self.totals, self.counts, self.boards):
            connection.execute(table.delete())
        with self._unsorted(connection) as unsorted:
            write = insert(unsorted, ("board", "entity", "points"), dialect)
            rows = sums.of_supporters(connection, entries, standing)
            while page := list(islice(rows, PAGE)):
                if dialect.name == "sqlite":
                    run(connection, write.sql, page, many=True)
                else:
                    write.execute(connection, page)
            if teams := list(sums.of_teams()):
                write.execute(connection, teams)
            in_order = sa.select(unsorted).order_by(unsorted.c.board, unsorted.c.entity)
            connection.execute(self.totals.insert().from_select(["board", "entity", "points"], in_order))
        names = ("id", "scope", "scope_id", "window", "window_start", "entries")
        if boards := [(number, *key, times) for number, key, times in sums.of_boards()]:
            insert(self.boards, names, dialect).execute(connection, boards)
        board, points = self.totals.c.board, self.totals.c.points
        counted = sa.select(board, points, sa.func.count()).where(points > 0).group_by(board, points)
        connection.execute(self.counts.insert().from_select(["board", "points", "entities"], counted))

    @contextmanager
    def _unsorted(self, connection: Connection) -> Iterator[Table]:
        """Give a table for totals as they come: brought in order at once, they take a third of the time to keep."""
        columns = (Column(column.name, column.type) for column in self.totals.columns)
        table = Table(f"{self.totals.name}_unsorted", MetaData(), *columns, prefixes=["TEMPORARY"])
        table.create(connection)
        yield table
        table.drop(connection)

    # --- questions, of the board with a number ---

    def points(self, connection: Connection, board: int, entity: UUID) -> int | None:
        """Return the points of one, or None where nothing was ever scored there."""
        total = self.totals.c
        query = sa.select(total.points).where(total.board == board, total.entity == entity)
        found: int | None = connection.scalar(query)
        return found

    def several(self, connection: Connection, board: int, entities: Sequence[UUID]) -> dict[UUID, int]:
        """Return the points of those for whom anything was ever scored there."""
        total = self.totals.c
        query = sa.select(total.entity, total.points).where(total.board == board, total.entity.in_(entities))
        return {row.entity: row.points for row in connection.execute(query)}

    def above(self, connection: Connection, board: int, points: int) -> tuple[int, int]:
        """Return how many have more points than these, which are not negative, and how many have as many.

        It reads as many rows as there are different points above, however many have them.
        """
        count = self.counts.c
        more = sa.func.coalesce(sa.func.sum(count.entities).filter(count.points > points), 0)
        same = sa.func.coalesce(sa.func.sum(count.entities).filter(count.points == points), 0)
        row = connection.execute(sa.select(more, same).where(count.board == board, count.points >= points)).one()
        return int(row[0]), int(row[1])

    def distinct(self, connection: Connection, board: int) -> list[tuple[int, int]]:
        """Return all points above 0 on a board, with how many have them."""
        count = self.counts.c
        rows = connection.execute(sa.select(count.points, count.entities).where(count.board == board))
        return [(row.points, row.entities) for row in rows]

    def sizes(self, connection: Connection, boards: Iterable[Board]) -> dict[int, int]:
        """Return by the number of a board how many stand there; nothing for a board where nobody does."""
        count = self.counts.c
        query = sa.select(count.board, sa.cast(sa.func.sum(count.entities), BigInt).label("size"))
        rows = connection.execute(query.where(count.board.in_([each.id for each in boards])).group_by(count.board))
        return {row.board: row.size for row in rows}

    def large(self, connection: Connection, entries: int) -> Sequence[int]:
        """Return the numbers of the boards on which so many entries count, or more."""
        return connection.scalars(sa.select(self.boards.c.id).where(self.boards.c.entries >= entries)).all()

    def top(self, connection: Connection, board: int, limit: int, after: Points | None = None) -> Sequence[Points]:
        """Return who has the most points, equal ones by id, after one of them."""
        total = self.totals.c
        query = sa.select(total.entity, total.points).where(total.board == board, total.points > 0)
        query = query.order_by(total.points.desc(), total.entity)
        if after is None:
            return _points(connection.execute(query.limit(limit)))
        same = query.where(total.points == after[1], total.entity > after[0])
        found = _points(connection.execute(same.limit(limit)))
        fewer = query.where(total.points < after[1]).limit(limit - len(found))
        return found if len(found) == limit else [*found, *_points(connection.execute(fewer))]


def _points(rows: Iterable[Any]) -> list[Points]:
    return [(row.entity, row.points) for row in rows]


def each_chapter(entries: Table, dialect: str) -> tuple[sa.ColumnElement[Any], sa.FromClause]:
    """Return a chapter, and the entries once for each of their chapters."""
    written = sa.type_coerce(entries.c.chapters, Text)
    if dialect == "postgresql":
        each = sa.func.json_array_elements_text(sa.cast(written, JSON)).table_valued("value").lateral()
        return sa.cast(each.c.value, Uuid), entries.join(each, sa.true())
    each = sa.func.json_each(written).table_valued("value")
    return sa.type_coerce(sa.func.replace(each.c.value, "-", ""), Uuid), entries.join(each, sa.true())
