"""Chapters as teams: the sum of their members' points, and the mean per active member.

Active is, in a window, whoever stands on the chapter's own board there: a supporter with points above 0 that were
given while they belonged to the chapter, and that were not taken back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from projections.boards import Board, Scope, number
from projections.leaderboards import Leaderboards
from projections.ledger import hundredths


class Sort(StrEnum):
    """What teams are ranked by: the sum of their points, or the mean of them per active member."""

    POINTS = "points"
    MEAN = "mean"


@dataclass(frozen=True, slots=True)
class Team:
    """A chapter's place; ``mean`` to two decimals, by which it is also ranked: what looks equal shares a rank."""

    rank: int
    id: UUID
    points: float
    active: int
    mean: float


ALL = 1_000_000
"""More than there are chapters."""


def teams(
    connection: Connection,
    model: Leaderboards,
    board: Board,
    *,
    sort: Sort = Sort.POINTS,
    limit: int = 50,
    after: UUID | None = None,
    by: int | None = None,
) -> list[Team]:
    """Return the standings of the board of chapters in the order asked for, equal ones by id, after one of them."""
    if sort is Sort.POINTS:
        rows = model.top(connection, board, limit=limit, after=after, by=by)
        active = active_members(connection, model, board, [row.id for row in rows], by)
        return [Team(row.rank, row.id, row.points, active[row.id], _mean(row.points, active[row.id])) for row in rows]
    rows = model.top(connection, board, limit=ALL, by=by)
    active = active_members(connection, model, board, [row.id for row in rows], by)
    found = [Team(0, row.id, row.points, active[row.id], _mean(row.points, active[row.id])) for row in rows]
    ranked = list(_ranked(sorted(found, key=lambda team: (-team.mean, team.id))))
    start = next((place for place, team in enumerate(ranked, start=1) if team.id == after), 0)
    return ranked[start : start + limit]


def active_members(
    connection: Connection, model: Leaderboards, board: Board, chapters: Sequence[UUID], by: int | None = None
) -> dict[UUID, int]:
    """Return how many active members each of these chapters has in the window of a board."""
    if by is None:
        boards = {each: Board(Scope.CHAPTER, each, board.window, board.on) for each in chapters}
        sizes = model.totals.sizes(connection, boards.values())
        return {chapter: sizes.get(each.id, 0) for chapter, each in boards.items()}
    found = {row.chapter: row.active for row in connection.execute(_past(connection, model, board, chapters, by))}
    return {chapter: found.get(chapter, 0) for chapter in chapters}


def _past(
    connection: Connection, model: Leaderboards, board: Board, chapters: Sequence[UUID], by: int
) -> sa.Select[tuple[UUID, int]]:
    entry, team = model.entries.c, model.teams.c
    counting = model.past.counting(board, model.since(connection, by), by)
    members = (
        sa.select(team.team.label("chapter"), entry.supporter)
        .where(*counting, team.position == entry.position, team.number == entry.number, team.team.in_(chapters))
        .group_by(team.team, entry.supporter)
        .having(sa.func.sum(entry.points) > 0)
        .subquery()
    )
    return sa.select(members.c.chapter, sa.func.count().label("active")).group_by(members.c.chapter)


def _mean(points: float, active: int) -> float:
    """Return points per head to two decimals, half a hundredth rounded up."""
    whole = hundredths(points)
    return number((2 * whole + active) // (2 * active)) if active else 0


def _ranked(found: Sequence[Team]) -> Iterator[Team]:
    """Yield teams in order, equal ones with the same rank (1, 2, 2, 4)."""
    rank, last = 0, None
    for place, team in enumerate(found, start=1):
        if team.mean != last:
            rank, last = place, team.mean
        yield Team(rank, team.id, team.points, team.active, team.mean)
