"""Boards as of a position: what the score ledger says that was known by then, without folding anything again.

Rules published for all history close every entry before them and write it anew at their own position. So as of a
position those entries count that stand at or after the last such rules, up to the position.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Table

from projections.boards import NOWHERE, Board, Points, Scope, Window, in_order
from projections.ledger import read_ids


class BoardsAsOf:
    """Answers from the ledger: ``entries`` and ``teams``."""

    def __init__(self, entries: Table, teams: Table) -> None:
        self.entries, self.teams = entries, teams

    def counting(self, board: Board, since: int, by: int) -> list[sa.ColumnElement[bool]]:
        """Say which entries count on a board, of those at the positions from ``since`` to ``by``."""
        entry = self.entries.c
        where = [entry.position.between(since, by), entry.points != 0]
        if board.window is not Window.ALL:
            where.append(entry.day.between(board.start, board.end))
        match board.scope:
            case Scope.CAMPAIGN:
                where.append(entry.campaign == board.scope_id)
            case Scope.CHAPTER:
                team = self.teams.c
                of_chapter = sa.and_(team.position == entry.position, team.number == entry.number)
                where += [team.team == (board.scope_id or NOWHERE), of_chapter]
            case Scope.CHAPTERS:
                where.append(entry.chapters.is_not(None))
            case Scope.PARTNERSHIPS:
                where.append(entry.partnership.is_not(None))
            case Scope.MOVEMENT:
                pass
        return where

    def top(
        self, connection: Connection, board: Board, since: int, by: int, limit: int, after: Points | None = None
    ) -> Sequence[Points]:
        """Return who has the most points, equal ones by id, after one of them."""
        if board.scope is Scope.CHAPTERS:
            found = [each for each in self._chapters(connection, board, since, by) if each[1] > 0]
            behind = [each for each in found if after is None or in_order(each) > in_order(after)]
            return sorted(behind, key=in_order)[:limit]
        sums = self._sums(board, since, by)
        query = sa.select(sums.c.entity, sums.c.points).where(sums.c.points > 0)
        if after is not None:
            same = sa.and_(sums.c.points == after[1], sums.c.entity > after[0])
            query = query.where(sa.or_(sums.c.points < after[1], same))
        rows = connection.execute(query.order_by(sums.c.points.desc(), sums.c.entity).limit(limit))
        return [(row.entity, row.points) for row in rows]

    def above(self, connection: Connection, board: Board, since: int, by: int, points: int) -> tuple[int, int]:
        """Return how many have more points than these, and how many have as many."""
        if board.scope is Scope.CHAPTERS:
            found = [mine for _, mine in self._chapters(connection, board, since, by)]
            return sum(mine > points for mine in found), sum(mine == points for mine in found)
        sums = self._sums(board, since, by)
        more, same = (sa.func.count().filter(each) for each in (sums.c.points > points, sums.c.points == points))
        row = connection.execute(sa.select(more, same).select_from(sums)).one()
        return row[0], row[1]

    def points(self, connection: Connection, board: Board, since: int, by: int, entity: UUID) -> int | None:
        """Return the points of one, or None where nothing was ever scored there."""
        if board.scope is Scope.CHAPTERS:
            return dict(self._chapters(connection, board, since, by, str(entity))).get(entity)
        mine = self._entity(board) == entity
        query = sa.select(sa.func.sum(self.entries.c.points)).where(*self.counting(board, since, by), mine)
        found: int | None = connection.scalar(query)
        return None if found is None else int(found)

    def _sums(self, board: Board, since: int, by: int) -> sa.Subquery:
        entity, points = self._entity(board), sa.func.sum(self.entries.c.points)
        query = sa.select(entity.label("entity"), sa.cast(points, sa.BigInteger).label("points"))
        return query.where(*self.counting(board, since, by)).group_by(entity).subquery()

    def _entity(self, board: Board) -> sa.Column[Any]:
        return self.entries.c.partnership if board.scope is Scope.PARTNERSHIPS else self.entries.c.supporter

    def _chapters(
        self, connection: Connection, board: Board, since: int, by: int, among: str | None = None
    ) -> Iterable[Points]:
        """Return the points of chapters as teams; ``among`` leaves out groups of chapters that do not name it."""
        entry = self.entries.c
        query = sa.select(entry.chapters, sa.func.sum(entry.points)).where(*self.counting(board, since, by))
        if among is not None:
            query = query.where(sa.cast(entry.chapters, sa.Text).contains(among))
        sums: Counter[UUID] = Counter()
        for chapters, points in connection.execute(query.group_by(entry.chapters)):
            for chapter in read_ids(chapters):
                sums[chapter] += int(points)
        return list(sums.items())
