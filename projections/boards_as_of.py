"""Boards as of a position: what the score ledger says that was known by then, without folding anything again.

Rules published for all history write every entry anew at their own position. So as of a position those entries count
that stand at or after the last such rules, up to the position. What is far back is taken from the pages of the board,
and only what came after the page is read from the ledger; where there is no page, all is.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import ARRAY

from projections.boards import NOWHERE, Board, Points, Scope, Window
from projections.ledger import read_ids
from projections.pages import Page, Pages, Written

PAGE: Final = 5_000

Among = Callable[[sa.Column[Any]], sa.ColumnElement[bool]]


class BoardsAsOf:
    """Answers from the ledger, ``entries`` and ``teams``, and from pages.

    The head of a large board, its size and anyone's rank cost what came after a page. What comes after somebody
    (``after``), and the head where many left it since the page, cost the whole ledger of the board.
    """

    def __init__(self, entries: Table, teams: Table, pages: Pages) -> None:
        self.entries, self.teams, self.pages = entries, teams, pages

    # --- questions ---

    def top(
        self, connection: Connection, board: Board, since: int, by: int, limit: int, after: Points | None = None
    ) -> Sequence[Points]:
        """Return who has the most points, equal ones by id, after one of them."""
        page = self.pages.newest(connection, board.id, since, by) if after is None else None
        found = None if page is None else self._top_by_page(connection, board, page, range(since, by + 1), limit)
        return self.top_of_ledger(connection, board, since, by, limit, after) if found is None else found

    def above(self, connection: Connection, board: Board, since: int, by: int, points: int) -> tuple[int, int]:
        """Return how many have more points than these, which are not negative, and how many have as many."""
        page = self.pages.newest(connection, board.id, since, by)
        if page is None:
            return self._above(connection, board, since, by, points)
        more, same = page.above(points)
        moved = self.amounts(connection, board, page.position + 1, by)
        stood = self.amounts(connection, board, since, page.position, moved)
        for entity, amount in moved.items():
            before = stood.get(entity, 0)
            after = before + amount
            more += (after > points) - (before > points)
            same += (after == points) - (before == points)
        return more, same

    def points(self, connection: Connection, board: Board, since: int, by: int, entity: UUID) -> int | None:
        """Return the points of one, or None where nothing was ever scored there."""
        return self.amounts(connection, board, since, by, [entity.hex]).get(entity.hex)

    # --- by a page ---

    def _top_by_page(
        self, connection: Connection, board: Board, page: Page, positions: range, limit: int
    ) -> Sequence[Points] | None:
        """Return the head of a board; None where the page does not tell for certain.

        Nobody outside the page had more points than its last, so of them only those are looked up who got enough
        since to come before the last of the head. Whoever got nothing stays behind the last of the page: the head is
        certain where its own last is not behind that.
        """
        moved = self.amounts(connection, board, page.position + 1, positions[-1])
        known = {entity: points + moved.pop(entity, 0) for entity, points in page.standings}
        best = sorted(known.values(), reverse=True)[:limit]
        least = best[-1] if len(best) == limit else 1
        floor = 0 if page.complete else page.standings[-1][1]
        near = [entity for entity, amount in moved.items() if floor + amount >= least]
        known |= self.amounts(connection, board, positions[0], positions[-1], near) if near else {}
        head = _first(known, limit)
        certain = page.complete or (len(head) == limit and _in_order(head[-1]) <= _in_order(page.standings[-1]))
        return [(UUID(entity), points) for entity, points in head] if certain else None

    # --- by the ledger alone ---

    def top_of_ledger(
        self, connection: Connection, board: Board, since: int, by: int, limit: int, after: Points | None = None
    ) -> Sequence[Points]:
        """Return the same, whatever pages there are."""
        if board.of_teams:
            found = self.amounts(connection, board, since, by)
            if after is not None:
                last = _in_order((after[0].hex, after[1]))
                found = {entity: points for entity, points in found.items() if _in_order((entity, points)) > last}
            return [(UUID(entity), points) for entity, points in _first(found, limit)]
        sums = self._sums(board, since, by).subquery()
        query = sa.select(sums.c.entity, sums.c.points).where(sums.c.points > 0)
        if after is not None:
            same = sa.and_(sums.c.points == after[1], sums.c.entity > after[0])
            query = query.where(sa.or_(sums.c.points < after[1], same))
        rows = connection.execute(query.order_by(sums.c.points.desc(), sums.c.entity).limit(limit))
        return [(row.entity, row.points) for row in rows]

    def _above(self, connection: Connection, board: Board, since: int, by: int, points: int) -> tuple[int, int]:
        if board.of_teams:
            found = self.amounts(connection, board, since, by).values()
            return sum(mine > points for mine in found), sum(mine == points for mine in found)
        sums = self._sums(board, since, by).subquery()
        more, same = (sa.func.count().filter(each) for each in (sums.c.points > points, sums.c.points == points))
        row = connection.execute(sa.select(more, same).select_from(sums)).one()
        return row[0], row[1]

    def amounts(
        self, connection: Connection, board: Board, since: int, by: int, among: Collection[str] | None = None
    ) -> dict[str, int]:
        """Return the sums of points that counted on a board at the positions from ``since`` to ``by``, also 0.

        They are by id, as its hexadecimal digits; with ``among``, only of these.
        """
        if board.scope is Scope.CHAPTERS and among is None:
            return self._of_all_chapters(connection, board, since, by)
        found = None if among is None else _among(among, connection)
        query = self._written(board, since, by, found, connection.dialect.name)
        return dict(connection.execute(query).all())

    def each_amount(self, connection: Connection, board: Board, since: int, by: int) -> Generator[Written, None, None]:
        """Yield the same, a page of rows at a time."""
        if board.scope is Scope.CHAPTERS:
            yield from self._of_all_chapters(connection, board, since, by).items()
            return
        query = self._written(board, since, by, None, connection.dialect.name)
        with connection.execute(query, execution_options={"yield_per": PAGE}) as result:
            yield from result

    def _written(self, board: Board, since: int, by: int, among: Among | None, dialect: str) -> sa.Select[Any]:
        """Select the same as ``_sums``, ids as their digits: to make objects of them takes longer than to sum up."""
        entity, *others = self._sums(board, since, by, among).selected_columns
        text = sa.cast(entity, sa.Text) if dialect == "postgresql" else sa.type_coerce(entity, sa.Text)
        digits = sa.func.replace(text, "-", "") if dialect == "postgresql" else text
        return self._sums(board, since, by, among).with_only_columns(digits, *others)

    def counting(self, board: Board, since: int, by: int) -> list[sa.ColumnElement[bool]]:
        """Say which entries count on a board, of those at the positions from ``since`` to ``by``."""
        entry, team = self.entries.c, self.teams.c
        where = [entry.position.between(since, by), entry.points != 0]
        if board.window is not Window.ALL:
            where.append(
                entry.day.in_([board.start + timedelta(day) for day in range((board.end - board.start).days + 1)])
            )
        match board.scope:
            case Scope.CAMPAIGN:
                where.append(entry.campaign == board.scope_id)
            case Scope.CHAPTER:
                where += [team.team == (board.scope_id or NOWHERE), *self._in_team(since, by)]
            case Scope.CHAPTERS:
                where.append(entry.chapters.is_not(None))
            case Scope.PARTNERSHIPS:
                where.append(entry.partnership.is_not(None))
            case Scope.MOVEMENT:
                pass
        return where

    def _in_team(self, since: int, by: int) -> list[sa.ColumnElement[bool]]:
        entry, team = self.entries.c, self.teams.c
        same = sa.and_(team.position == entry.position, team.number == entry.number)
        return [team.position.between(since, by), same]

    def _sums(self, board: Board, since: int, by: int, among: Among | None = None) -> sa.Select[tuple[UUID, int]]:
        """Select entity and points of those among some, or of all; not for all chapters."""
        where = self.counting(board, since, by)
        entity: sa.Column[Any] = self.entries.c.supporter
        if board.of_teams and among is not None:
            entity = self.teams.c.team
            where += self._in_team(since, by)
        elif board.scope is Scope.PARTNERSHIPS:
            entity = self.entries.c.partnership
        if among is not None:
            where.append(among(entity))
        points = sa.cast(sa.func.sum(self.entries.c.points), sa.BigInteger)
        return sa.select(entity.label("entity"), points.label("points")).where(*where).group_by(entity)

    def _of_all_chapters(self, connection: Connection, board: Board, since: int, by: int) -> dict[str, int]:
        """Sum up by groups of chapters, of which there are far fewer than entries."""
        entry = self.entries.c
        query = sa.select(entry.chapters, sa.cast(sa.func.sum(entry.points), sa.BigInteger).label("points"))
        sums: Counter[str] = Counter()
        for row in connection.execute(query.where(*self.counting(board, since, by)).group_by(entry.chapters)):
            for chapter in read_ids(row.chapters):
                sums[chapter.hex] += row.points
        return dict(sums)


def _among(ids: Collection[str], connection: Connection) -> Among:
    """Return the condition that a column is one of the ids, in one parameter however many there are."""
    if connection.dialect.name == "postgresql":
        array = sa.cast(sa.literal(list(ids), ARRAY(sa.Text)), ARRAY(sa.Uuid))
        return lambda column: column == sa.any_(array)
    given = sa.func.json_each(json.dumps(list(ids))).table_valued("value")
    return lambda column: sa.type_coerce(column, sa.Text).in_(sa.select(given.c.value))


def _in_order(one: Written) -> tuple[int, str]:
    return -one[1], one[0]


def _first(known: Mapping[str, int], limit: int) -> list[Written]:
    """Return who is first, with points above 0."""
    return sorted((each for each in known.items() if each[1] > 0), key=_in_order)[:limit]
