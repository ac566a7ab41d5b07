"""Leaderboards: the score ledger, the totals of every board, and the questions they answer."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import count
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Date, Integer, Text, Uuid

from domain.actions import Action
from domain.kernel import Event
from domain.pledges import Pledge
from domain.recognitions import Recognition
from domain.scoring import SCORABLE, TAKES_BACK, Applies, ScoringRules
from domain.slices import Fact
from domain.supporters import Supporter
from history.tables import BigInt, Moment
from projections.boards import NOWHERE, Board, Key, Scope, Standing, board_id, counted_on, number, ranked
from projections.boards_as_of import BoardsAsOf
from projections.booking import Booking
from projections.changes import Changes
from projections.circumstances import MOVES, Circumstances, Tables
from projections.ledger import DEFAULT_RULES, Entry, Happening, Rules, Scorer, at_once
from projections.pages import Pages
from projections.projection import Json, Projection, on
from projections.recall import Recall
from projections.rescoring import score_anew, write_teams
from projections.totals import Totals

SCORING: Final[tuple[type[Event], ...]] = tuple(
    event
    for kind in (Supporter, Pledge, Action, Recognition)
    for topic, event in kind.events.items()
    if topic in SCORABLE
)
Whereto = tuple[UUID, UUID | None, tuple[UUID, ...], UUID | None, date]
"""Supporter, campaign, chapters, partnership and day: points of the same are counted together."""


@dataclass(frozen=True, slots=True)
class ScoreEntry:
    """Points and what gave them: the event at ``position``, or, taken back, the event that took what ``of`` gave.

    ``since`` is the position at which it became so: later than the event where newer rules scored all history anew.
    """

    position: int
    topic: str
    points: float
    rules_version: int
    occurred_at: datetime
    day: date
    stream: UUID
    supporter: UUID
    of: int | None
    since: int


@dataclass(frozen=True, slots=True)
class Explained:
    """A standing and the entries behind it, which add up to its points; without a rank where those are not above 0."""

    rank: int | None
    id: UUID
    points: float
    entries: Sequence[ScoreEntry]


class Leaderboards(Projection, name="leaderboards", version=2):
    """Points by the scoring rules in force, for every scope and window.

    Rules published for all history write every entry anew at their own position, from which on they alone count; those
    before stay, as what was known up to then.
    """

    weight = 14

    def define(self) -> None:
        """Keep the ledger, what counts for a team, the totals of all boards, the rules, and the circumstances."""
        self.entries = self.table(
            "score_entries",
            Column("position", BigInt, primary_key=True, autoincrement=False),
            Column("number", Integer, primary_key=True, autoincrement=False),
            Column("event", BigInt, nullable=False),
            Column("of", BigInt),
            Column("supporter", Uuid, nullable=False),
            Column("stream", Uuid, nullable=False),
            Column("topic", Text, nullable=False),
            Column("points", BigInt, nullable=False),
            Column("rules_version", Integer, nullable=False),
            Column("occurred_at", Moment, nullable=False),
            Column("day", Date, nullable=False),
            Column("campaign", Uuid),
            Column("chapters", Json),
            Column("partnership", Uuid),
            looked_up=[("supporter", "day", "position", "points")],
            index=[("day", "position"), ("campaign", "position")],
        )
        self.teams = self.table(
            "score_teams",
            Column("team", Uuid, primary_key=True),
            Column("position", BigInt, primary_key=True, autoincrement=False),
            Column("number", Integer, primary_key=True, autoincrement=False),
            derived=True,
        )
        self.rules = self.table(
            "score_rules",
            Column("version", Integer, primary_key=True, autoincrement=False),
            Column("position", BigInt),
            Column("published_at", Moment),
            Column("points", Json),
            Column("daily_cap", sa.Float),
            Column("applies", Text),
        )
        self.totals = Totals.declare(self)
        self.circumstances = Tables.declare(self)
        self.pages = Pages.declare(self)
        self.past = BoardsAsOf(self.entries, self.teams, self.pages)

    # --- fold ---

    @on(*SCORING, *MOVES, ScoringRules.Published)
    def scored(self, fact: Fact, _event: Event, changes: Changes) -> None:
        """Fold one event alone."""
        self.apply([fact], changes)

    def fold(self, facts: Sequence[Fact], changes: Changes) -> None:
        """Fold a batch, under one version of the rules after the other; keep pages of boards that are due for one."""
        keeps = not changes.bulk and not self._late(facts[0].position, changes.connection)
        due, start = set[int](), 0
        for place, fact in enumerate(facts):
            if type(fact.event) is ScoringRules.Published:
                due |= self._score(facts[start:place], changes)
                if self._publish(fact, fact.event, changes):
                    due = set()
                    if keeps:
                        large = self.totals.large(changes.connection, self.pages.EVERY)
                        self._keep(changes.connection, large, fact.position)
                start = place + 1
        due |= self._score(facts[start:], changes)
        if keeps:
            self._keep(changes.connection, due, facts[-1].position)

    def _late(self, position: int, connection: Connection) -> bool:
        """Tell whether an event comes after later ones, as one that was parked; forget what was kept without it."""
        newest = (sa.select(sa.func.max(table.c.position)) for table in (self.entries, self.pages.table))
        late = any(found is not None and found >= position for found in map(connection.scalar, newest))
        if late:
            self.pages.forget(connection, position)
        return late

    def _keep(self, connection: Connection, boards: Iterable[int], position: int) -> None:
        """Keep a page of each of these boards as it stands."""
        pages = [(board, self.pages.make(connection, self.totals, board, position)) for board in boards]
        self.pages.keep(connection, pages)

    def derive(self, connection: Connection) -> None:
        """Find in the ledger what counts for which team."""
        connection.execute(self.teams.delete())
        write_teams(connection, self.entries, self.teams)

    def settle(self, connection: Connection) -> None:
        """Compute the totals of all boards from the ledger."""
        self.totals.compute(connection, self.entries, [self.standing_at(connection), self.entries.c.points != 0])

    def _score(self, facts: Sequence[Fact], changes: Changes) -> set[int]:
        """Score facts by the rules in force; return the boards that are due for a page."""
        if not facts:
            return set()
        happenings = list(Circumstances(self.circumstances, changes, facts).happenings(facts))
        taking = [happening for happening in happenings if happening.topic in TAKES_BACK]
        scorer = Scorer(self._rules_for(facts[0], changes.connection), {each.stream for each in taking})
        standing = Recall(changes.connection, self.entries, self.standing_at(changes.connection))
        standing.given(scorer, taking)
        standing.days(scorer, happenings)
        ledger = Booking(changes.connection, self.entries)
        if changes.bulk:
            plain, happenings = _apart(happenings, {each.supporter for each in taking})
            ledger.write_plain(scorer, plain)
        entries = self._placed(list(at_once(scorer, happenings)), changes.connection)
        ledger.write(entries)
        if changes.bulk:
            return set()
        ledger.write_for_teams(entries, self.teams)
        return self._count(entries, changes.connection)

    def _rules_for(self, fact: Fact, connection: Connection) -> Rules:
        """Return the rules that score a fact: those in force then, or published later for all history."""
        return self.rules_in_force(connection, max(fact.position, self.since(connection)))

    def _placed(self, entries: Sequence[Entry], connection: Connection) -> Sequence[Entry]:
        """Place an event that was parked, while newer rules scored all history anew, among what these scored."""
        since = self.since(connection)
        if not entries or entries[0].position >= since:
            return entries
        table = self.entries.c
        first = connection.scalar(sa.select(sa.func.max(table.number)).where(table.position == since))
        free = count(0 if first is None else first + 1)
        return [
            each if each.position >= since else each._replace(position=since, number=next(free)) for each in entries
        ]

    def _count(self, entries: Iterable[Entry], connection: Connection) -> set[int]:
        """Add what the entries gave and took to the totals of all boards; return those that are due for a page."""
        sums: defaultdict[Whereto, list[int]] = defaultdict(lambda: [0, 0])
        for entry in entries:
            if entry.points:
                where = entry.happening
                into = sums[where.supporter, where.campaign, where.chapters, where.partnership, where.day]
                into[0] += entry.points
                into[1] += 1
        amounts: Counter[tuple[int, UUID]] = Counter()
        numbers: Counter[Key] = Counter()
        for (supporter, campaign, chapters, partnership, day), (points, times) in sums.items():
            for key, board, team in counted_on(campaign, chapters, partnership, day):
                amounts[board, team or supporter] += points
                numbers[key] += times
        counting = self.totals.add(connection, amounts, numbers)
        return {board_id(key) for key, added in numbers.items() if self.pages.due(counting[board_id(key)], added)}

    # --- new rules ---

    def _publish(self, fact: Fact, event: ScoringRules.Published, changes: Changes) -> bool:
        """Publish rules; tell whether all history was scored anew by them."""
        before = self.since(changes.connection)
        changes.put(
            self.rules,
            event.version,
            position=fact.position,
            published_at=fact.occurred_at,
            points=dict(event.points),
            daily_cap=event.daily_cap,
            applies=str(event.applies),
        )
        changes.flush()
        if event.applies is not Applies.TO_ALL_HISTORY:
            return False
        rules = self.rules_in_force(changes.connection)
        score_anew(changes.connection, self.entries, rules, range(before, fact.position))
        if not changes.bulk:
            write_teams(changes.connection, self.entries, self.teams, self.entries.c.position == fact.position)
            self.settle(changes.connection)
        return True

    def since(self, connection: Connection, by: int | None = None) -> int:
        """Return the position from which on entries count: that of the last rules for all history, or 0."""
        rules = self.rules.c
        query = sa.select(sa.func.max(rules.position)).where(rules.applies == Applies.TO_ALL_HISTORY.value)
        if by is not None:
            query = query.where(rules.position <= by)
        return connection.scalar(query) or 0

    def standing_at(self, connection: Connection, by: int | None = None) -> sa.ColumnElement[bool]:
        """Return the condition that an entry counts, at present or as of a position."""
        since, position = self.since(connection, by), self.entries.c.position
        return position >= since if by is None else position.between(since, by)

    # --- questions, each of the present or as of the position ``by`` ---

    def rules_in_force(self, connection: Connection, by: int | None = None) -> Rules:
        """Return the rules published last, or version 0."""
        query = sa.select(self.rules).order_by(self.rules.c.version.desc()).limit(1)
        if by is not None:
            query = query.where(self.rules.c.position <= by)
        row = connection.execute(query).first()
        return Rules.of(row.version, row.points, row.daily_cap) if row else DEFAULT_RULES

    def top(
        self,
        connection: Connection,
        board: Board,
        *,
        limit: int = 50,
        after: UUID | None = None,
        by: int | None = None,
    ) -> list[Standing]:
        """Return the standings of a board, most points first and equal ones by id, after one of them."""
        last = None
        if after is not None and (points := self._points(connection, board, after, by)) is not None:
            last = (after, points)
        if by is None:
            rows = self.totals.top(connection, board.id, limit, last)
        else:
            rows = self.past.top(connection, board, self.since(connection, by), by, limit, last)
        if not rows:
            return []
        if last is None:
            return list(ranked(rows, 0, sum(points == rows[0][1] for _, points in rows)))
        return list(ranked(rows, *self._above(connection, board, rows[0][1], by)))

    def size(self, connection: Connection, board: Board, by: int | None = None) -> int:
        """Return how many stand on a board."""
        return self._above(connection, board, 0, by)[0]

    def standing(self, connection: Connection, board: Board, entity: UUID, by: int | None = None) -> Standing | None:
        """Return the rank and points of one, or None where not on the board."""
        points = self._points(connection, board, entity, by)
        if points is None or points <= 0:
            return None
        return Standing(1 + self._above(connection, board, points, by)[0], entity, number(points))

    def standings(self, connection: Connection, board: Board, entities: Sequence[UUID]) -> dict[UUID, Standing]:
        """Return the present rank and points of those of the entities who are on the board, in two queries."""
        points = {key: each for key, each in self.totals.several(connection, board.id, entities).items() if each > 0}
        if not points:
            return {}
        ranks, more = dict[int, int](), 0
        for each, number_ in sorted(self.totals.distinct(connection, board.id), reverse=True):
            ranks[each] = more + 1
            more += number_
        return {key: Standing(ranks[each], key, number(each)) for key, each in points.items()}

    def scored_by(self, connection: Connection, supporters: Sequence[UUID], after: int) -> Sequence[Any]:
        """Return (supporter, event), the positions of what gave supporters points or took them back, after one."""
        table = self.entries.c
        query = sa.select(table.supporter, table.event).distinct()
        these = table.supporter.in_(supporters), table.event > after, table.points != 0
        return connection.execute(query.where(*these, self.standing_at(connection)).order_by(table.event)).all()

    def entry(self, connection: Connection, board: Board, entity: UUID, by: int | None = None) -> Explained | None:
        """Return one's rank and points with all entries behind them, or None where nothing was ever scored there."""
        points = self._points(connection, board, entity, by)
        if points is None:
            return None
        rank = 1 + self._above(connection, board, points, by)[0] if points > 0 else None
        return Explained(rank, entity, number(points), self.entries_of(connection, board, entity, by=by))

    def entries_of(
        self,
        connection: Connection,
        board: Board,
        entity: UUID,
        *,
        after: ScoreEntry | None = None,
        limit: int | None = None,
        by: int | None = None,
    ) -> list[ScoreEntry]:
        """Return the entries that count for one on a board, in order of the events, after one of them."""
        table, counts = self.entries, self.standing_at(connection, by)
        query = sa.select(table).where(counts, table.c.points != 0, table.c.day.between(board.start, board.end))
        match board.scope:
            case Scope.CHAPTERS | Scope.PARTNERSHIPS:
                query = query.join(self.teams, self._in_team(entity))
            case Scope.CHAPTER:
                query = query.join(self.teams, self._in_team(board.scope_id or NOWHERE))
                query = query.where(table.c.supporter == entity)
            case Scope.CAMPAIGN:
                query = query.where(table.c.supporter == entity, table.c.campaign == board.scope_id)
            case Scope.MOVEMENT:
                query = query.where(table.c.supporter == entity)
        if after is not None:
            query = query.where(
                sa.tuple_(table.c.event, sa.func.coalesce(table.c.of, 0)) > (after.position, after.of or 0)
            )
        query = query.order_by(table.c.event, sa.func.coalesce(table.c.of, 0)).limit(limit)
        return [score_entry(row) for row in connection.execute(query)]

    def _in_team(self, team: UUID) -> sa.ColumnElement[bool]:
        teams, entries = self.teams.c, self.entries.c
        return sa.and_(teams.team == team, teams.position == entries.position, teams.number == entries.number)

    def _points(self, connection: Connection, board: Board, entity: UUID, by: int | None) -> int | None:
        if by is None:
            return self.totals.points(connection, board.id, entity)
        return self.past.points(connection, board, self.since(connection, by), by, entity)

    def _above(self, connection: Connection, board: Board, points: int, by: int | None) -> tuple[int, int]:
        """Return how many have more points than these, and how many have as many."""
        if by is None:
            return self.totals.above(connection, board.id, points)
        return self.past.above(connection, board, self.since(connection, by), by, points)


def score_entry(row: Any) -> ScoreEntry:  # noqa: ANN401 - a row of the entries table
    """Return the entry of a row, as it is shown."""
    return ScoreEntry(
        position=row.event,
        topic=row.topic,
        points=number(row.points),
        rules_version=row.rules_version,
        occurred_at=row.occurred_at,
        day=row.day,
        stream=row.stream,
        supporter=row.supporter,
        of=row.of,
        since=row.position,
    )


def _apart(happenings: Iterable[Happening], losing: set[UUID]) -> tuple[list[Happening], list[Happening]]:
    """Return the happenings of others, and those of supporters who lose points."""
    others: list[Happening] = []
    theirs: list[Happening] = []
    for happening in happenings:
        (theirs if happening.supporter in losing else others).append(happening)
    return others, theirs
