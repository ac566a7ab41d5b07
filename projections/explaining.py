"""Why somebody stands where they do: points by kind of event, and the difference to the places above and below."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from projections.boards import NOWHERE, Board, Scope, Standing, Window, number
from projections.leaderboards import Leaderboards
from projections.ledger import hundredths

HEAD: Final = 50
"""How many of a board's first standings in the past are looked at before its ledger is."""


@dataclass(frozen=True, slots=True)
class TopicPoints:
    """What one kind of event gave on a board: points that stand, and how many events gave them."""

    topic: str
    points: float
    events: int


@dataclass(frozen=True, slots=True)
class TopicDifference:
    """One kind of event on two sides."""

    topic: str
    mine: float
    theirs: float
    my_events: int
    their_events: int


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The next standing with more points, or with fewer, and which kinds of events the difference comes from."""

    standing: Standing
    topics: Sequence[TopicDifference]


@dataclass(frozen=True, slots=True)
class Reasons:
    """Points by kind of event, most points first; no neighbours for whoever has no rank, or where there is none."""

    topics: Sequence[TopicPoints]
    above: Neighbour | None
    below: Neighbour | None


def reasons(connection: Connection, model: Leaderboards, board: Board, entity: UUID, by: int | None = None) -> Reasons:
    """Return why one stands where they do on a board, now or as of a position.

    Among equals of the next higher, or next lower, points the first by id is compared with. The cost is that of the
    entries of the three; as of a position also of summing the board's ledger, for whoever is not among its first.
    """
    mine = by_topic(connection, model, board, entity, by)
    standing = model.standing(connection, board, entity, by=by)
    above = below = None
    if standing is not None:
        find = _Neighbours(connection, model, board, by)
        above, below = find.above(standing), find.below(standing)
    return Reasons(
        mine,
        *(
            None
            if each is None
            else Neighbour(each, _differences(mine, by_topic(connection, model, board, each.id, by)))
            for each in (above, below)
        ),
    )


def by_topic(
    connection: Connection, model: Leaderboards, board: Board, entity: UUID, by: int | None = None
) -> list[TopicPoints]:
    """Return what each kind of event gives somebody on a board; what was taken back counts no longer."""
    entry, source = model.entries, model.entries.alias("source")
    first = model.since(connection, by)
    of = sa.and_(
        source.c.supporter == entry.c.supporter,
        source.c.day == entry.c.day,
        source.c.event == entry.c.of,
        source.c.of.is_(None),
        source.c.position >= first,
        *([] if by is None else [source.c.position <= by]),
    )
    topic = sa.func.coalesce(source.c.topic, entry.c.topic).label("topic")
    points = sa.cast(sa.func.sum(entry.c.points), sa.BigInteger).label("points")
    events = sa.func.sum(sa.case((entry.c.of.is_(None), 1), else_=-1)).label("events")
    query = sa.select(topic, points, events).select_from(entry.outerjoin(source, of))
    query = query.where(model.standing_at(connection, by), *_behind(model, board, entity)).group_by(topic)
    found = [TopicPoints(row.topic, number(row.points), int(row.events)) for row in connection.execute(query)]
    return sorted((each for each in found if each.points or each.events), key=lambda each: (-each.points, each.topic))


def _behind(model: Leaderboards, board: Board, entity: UUID) -> list[sa.ColumnElement[bool]]:
    """Say which entries give somebody their points on a board."""
    entry, team = model.entries.c, model.teams.c
    where: list[sa.ColumnElement[bool]] = [entry.points != 0]
    if board.window is not Window.ALL:
        where.append(entry.day.between(board.start, board.end))
    teams = {Scope.CHAPTERS: entity, Scope.PARTNERSHIPS: entity, Scope.CHAPTER: board.scope_id or NOWHERE}
    if board.scope in teams:
        where += [team.team == teams[board.scope], team.position == entry.position, team.number == entry.number]
    if board.scope is Scope.CAMPAIGN:
        where.append(entry.campaign == board.scope_id)
    if board.scope not in {Scope.CHAPTERS, Scope.PARTNERSHIPS}:
        where.append(entry.supporter == entity)
    return where


def _differences(mine: Sequence[TopicPoints], theirs: Sequence[TopicPoints]) -> list[TopicDifference]:
    """Return both sides by kind of event, the greatest difference first."""
    ours, others = ({each.topic: each for each in side} for side in (mine, theirs))
    nothing = TopicPoints("", 0, 0)
    found = []
    for topic in ours.keys() | others.keys():
        one, other = ours.get(topic, nothing), others.get(topic, nothing)
        found.append(TopicDifference(topic, one.points, other.points, one.events, other.events))
    return sorted(found, key=lambda each: (-abs(each.theirs - each.mine), each.topic))


class _Neighbours:
    """Finds the next standing with more points, and with fewer, on one board.

    In the past they are looked for at the head of the board, which is read quickly, and by summing the ledger if they
    are not there.
    """

    def __init__(self, connection: Connection, model: Leaderboards, board: Board, by: int | None) -> None:
        self._connection, self._model, self._board, self._by = connection, model, board, by
        self._head = [] if by is None else model.top(connection, board, limit=HEAD, by=by)

    def above(self, standing: Standing) -> Standing | None:
        """Return the first of those with the next higher points."""
        if standing in self._head:
            higher = [each for each in self._head if each.rank < standing.rank]
            return next((each for each in higher if each.rank == higher[-1].rank), None)
        points = self._sums.c.points
        query = sa.select(sa.func.min(points)).where(points > hundredths(standing.points))
        return self._first(self._connection.scalar(query))

    def below(self, standing: Standing) -> Standing | None:
        """Return the first of those with the next lower points."""
        lower = next((each for each in self._head if each.rank > standing.rank), None)
        if standing in self._head and (lower or len(self._head) < HEAD):
            return lower
        points = self._sums.c.points
        query = sa.select(sa.func.max(points)).where(points < hundredths(standing.points), points > 0)
        return self._first(self._connection.scalar(query))

    @cached_property
    def _sums(self) -> sa.Subquery:
        return self._totals() if self._by is None else self._ledger(self._by)

    def _first(self, points: int | None) -> Standing | None:
        if points is None:
            return None
        query = sa.select(self._sums.c.entity).where(self._sums.c.points == points)
        found = self._connection.scalar(query.order_by(self._sums.c.entity).limit(1))
        return None if found is None else self._model.standing(self._connection, self._board, found, by=self._by)

    def _totals(self) -> sa.Subquery:
        total = self._model.totals.totals.c
        return sa.select(total.entity, total.points).where(total.board == self._board.id).subquery()

    def _ledger(self, by: int) -> sa.Subquery:
        entry, team = self._model.entries.c, self._model.teams.c
        counting = self._model.past.counting(self._board, self._model.since(self._connection, by), by)
        entity: sa.Column[Any] = entry.supporter
        if self._board.scope is Scope.CHAPTERS:
            entity = team.team
            counting += [team.position == entry.position, team.number == entry.number]
            counting.append(team.team.is_distinct_from(entry.partnership))
        elif self._board.scope is Scope.PARTNERSHIPS:
            entity = entry.partnership
        points = sa.cast(sa.func.sum(entry.points), sa.BigInteger).label("points")
        return sa.select(entity.label("entity"), points).where(*counting).group_by(entity).subquery()
