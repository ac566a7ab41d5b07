"""Leaderboards: the score ledger, the totals of every board, and the questions they answer."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Date, Index, Integer, Text, Uuid

from domain.actions import Action
from domain.kernel import Event
from domain.pledges import Pledge
from domain.recognitions import Recognition
from domain.scoring import SCORABLE, TAKES_BACK, Applies, ScoringRules
from domain.slices import Fact
from domain.supporters import Supporter
from history.tables import BigInt, Moment
from projections.boards import NOWHERE, Board, Scope, Standing, number, places, windows
from projections.boards_as_of import BoardsAsOf, Points
from projections.changes import Changes
from projections.circumstances import MOVES, Circumstances, Tables
from projections.ledger import DEFAULT_RULES, Entry, Given, Happening, Rules, Scorer, at_once, read_happening, write_ids
from projections.projection import Json, Projection, on

SCORING: Final[tuple[type[Event], ...]] = tuple(
    event
    for kind in (Supporter, Pledge, Action, Recognition)
    for topic, event in kind.events.items()
    if topic in SCORABLE
)
Whereto = tuple[UUID, UUID | None, tuple[UUID, ...], UUID | None, date]
"""Supporter, campaign, chapters, partnership and day: points of the same are counted together."""

PERSONS: Final = 200
"""How many supporters are scored anew at a time."""


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


class Leaderboards(Projection, name="leaderboards"):
    """Points by the scoring rules in force, for every scope and window."""

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
            Column("superseded", BigInt),
            looked_up=[("supporter", "day")],
        )
        self.teams = self.table(
            "score_teams",
            Column("team", Uuid, primary_key=True),
            Column("position", BigInt, primary_key=True, autoincrement=False),
            Column("number", Integer, primary_key=True, autoincrement=False),
        )
        self.totals = self.table(
            "score_totals",
            Column("scope", Text, primary_key=True),
            Column("scope_id", Uuid, primary_key=True),
            Column("window", Text, primary_key=True),
            Column("window_start", Date, primary_key=True),
            Column("entity", Uuid, primary_key=True),
            Column("points", BigInt, nullable=False),
        )
        self.totals.dialect_options["sqlite"]["with_rowid"] = False
        total = self.totals.c
        board = (total.scope, total.scope_id, total.window, total.window_start)
        Index(f"{self.totals.name}_top", *board, total.points.desc(), total.entity)
        self.rules = self.table(
            "score_rules",
            Column("version", Integer, primary_key=True, autoincrement=False),
            Column("position", BigInt),
            Column("published_at", Moment),
            Column("points", Json),
            Column("daily_cap", sa.Float),
            Column("applies", Text),
        )
        self.circumstances = Tables.declare(self)
        self.past = BoardsAsOf(self.entries, self.teams)

    # --- fold ---

    @on(*SCORING, *MOVES, ScoringRules.Published)
    def scored(self, fact: Fact, _event: Event, changes: Changes) -> None:
        """Fold one event alone."""
        self.apply([fact], changes)

    def apply(self, facts: Sequence[Fact], changes: Changes) -> None:
        """Fold a batch, under one version of the rules after the other."""
        start = 0
        for place, fact in enumerate(facts):
            if isinstance(fact.event, ScoringRules.Published):
                self._score(facts[start:place], changes)
                self._publish(fact, fact.event, changes)
                start = place + 1
        self._score(facts[start:], changes)

    def _score(self, facts: Sequence[Fact], changes: Changes) -> None:
        facts = [fact for fact in facts if fact.topic in self.handlers]
        if not facts:
            return
        happenings = list(Circumstances(self.circumstances, changes, facts).happenings(facts))
        scorer = Scorer(self.rules_in_force(changes.connection))
        self._recall(scorer, happenings, changes)
        self._write(at_once(scorer, happenings), changes)

    def _recall(self, scorer: Scorer, happenings: Sequence[Happening], changes: Changes) -> None:
        """Fetch what the streams gave whose points are taken back, and how many points capped days already have."""
        taken = [happening for happening in happenings if happening.topic in TAKES_BACK]
        if taken:
            streams = {happening.stream for happening in taken}
            rows = self._standing(changes, {happening.supporter for happening in taken})
            for stream, given in recalled(row for row in rows if row.stream in streams).items():
                scorer.given[stream] = given
        if scorer.rules.daily_cap is not None and happenings:
            table, days = self.entries, [happening.day for happening in happenings]
            between = table.c.day.between(min(days), max(days))
            for row in self._standing(changes, {happening.supporter for happening in happenings}, between):
                key = (row.supporter, row.day)
                scorer.days[key] = scorer.days.get(key, 0) + row.points

    def _standing(self, changes: Changes, supporters: set[UUID], *where: sa.ColumnElement[bool]) -> Iterator[Any]:
        table, ordered = self.entries, sorted(supporters)
        for start in range(0, len(ordered), PERSONS):
            named = table.c.supporter.in_(ordered[start : start + PERSONS])
            query = sa.select(table).where(named, table.c.superseded.is_(None), table.c.points != 0, *where)
            yield from changes.connection.execute(query.order_by(table.c.position, table.c.number))

    def _write(self, entries: Iterable[Entry], changes: Changes) -> None:
        sums: defaultdict[Whereto, int] = defaultdict(int)
        for entry in entries:
            where = entry.happening
            changes.insert(
                self.entries,
                **where._replace(chapters=write_ids(where.chapters))._asdict(),  # type: ignore[arg-type]
                position=entry.position,
                number=entry.number,
                of=entry.of,
                points=entry.points,
                rules_version=entry.rules_version,
                superseded=None,
            )
            if not entry.points:
                continue
            for team in (*where.chapters, *((where.partnership,) if where.partnership else ())):
                changes.insert(self.teams, team=team, position=entry.position, number=entry.number)
            sums[where.supporter, where.campaign, where.chapters, where.partnership, where.day] += entry.points
        for (supporter, campaign, chapters, partnership, day), points in sums.items():
            for scope, scope_id, entity in places(supporter, campaign, chapters, partnership):
                for window, start in windows(day):
                    changes.add(self.totals, scope, scope_id, window, start, entity, points=points)

    # --- new rules ---

    def _publish(self, fact: Fact, event: ScoringRules.Published, changes: Changes) -> None:
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
        if event.applies is Applies.TO_ALL_HISTORY:
            self._score_anew(fact.position, changes)

    def _score_anew(self, position: int, changes: Changes) -> None:
        """Close all entries and write them anew by the rules in force, supporter by supporter; count all boards anew.

        The closed entries stay, as what was known up to this position.
        """
        rules, table = self.rules_in_force(changes.connection), self.entries
        stand = table.c.superseded.is_(None)
        changes.connection.execute(table.update().where(stand).values(superseded=position))
        changes.connection.execute(self.totals.delete())
        written = 0
        for supporters in self._persons(changes.connection):
            own = sa.select(table).where(
                table.c.supporter.in_(supporters), table.c.superseded == position, table.c.of.is_(None)
            )
            rows = changes.connection.execute(own.order_by(table.c.supporter, table.c.event)).all()
            scorer = Scorer(rules)
            entries = [
                Entry(position, written + count, where, of, points, rules.version)
                for count, (where, of, points) in enumerate(
                    scored for row in rows for scored in scorer.score(read_happening(row))
                )
            ]
            written += len(entries)
            self._write(entries, changes)
            changes.flush()

    def _persons(self, connection: Connection) -> Iterator[Sequence[UUID]]:
        column = self.entries.c.supporter
        query = sa.select(column).distinct().order_by(column).limit(PERSONS)
        last: UUID | None = None
        while page := connection.scalars(query if last is None else query.where(column > last)).all():
            yield page
            last = page[-1]

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
            rows = self._top(connection, board, limit, last)
        else:
            rows = self.past.top(connection, board, self._since(connection, by), by, limit, last)
        return list(ranked(rows, *self._above(connection, board, rows[0][1], by))) if rows else []

    def size(self, connection: Connection, board: Board, by: int | None = None) -> int:
        """Return how many stand on a board."""
        return self._above(connection, board, 0, by)[0]

    def standing(self, connection: Connection, board: Board, entity: UUID, by: int | None = None) -> Standing | None:
        """Return the rank and points of one, or None where not on the board."""
        points = self._points(connection, board, entity, by)
        if points is None or points <= 0:
            return None
        return Standing(1 + self._above(connection, board, points, by)[0], entity, number(points))

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
        table = self.entries
        counts = table.c.superseded.is_(None)
        if by is not None:
            counts = table.c.position.between(self._since(connection, by), by)
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

    def _of(self, board: Board, *columns: Any) -> sa.Select[Any]:  # noqa: ANN401 - columns of any type
        total = self.totals.c
        mine = zip((total.scope, total.scope_id, total.window, total.window_start), board.key, strict=True)
        return sa.select(*columns).select_from(self.totals).where(*(column == value for column, value in mine))

    def _since(self, connection: Connection, by: int) -> int:
        """Return the position from which on entries count as of a position: that of the last rules for all history."""
        for_all = self.rules.c.applies == Applies.TO_ALL_HISTORY.value
        query = sa.select(sa.func.max(self.rules.c.position)).where(self.rules.c.position <= by, for_all)
        return connection.scalar(query) or 0

    def _points(self, connection: Connection, board: Board, entity: UUID, by: int | None) -> int | None:
        if by is not None:
            return self.past.points(connection, board, self._since(connection, by), by, entity)
        found: int | None = connection.scalar(
            self._of(board, self.totals.c.points).where(self.totals.c.entity == entity)
        )
        return found

    def _above(self, connection: Connection, board: Board, points: int, by: int | None) -> tuple[int, int]:
        """Return how many have more points than these, and how many have as many."""
        if by is not None:
            return self.past.above(connection, board, self._since(connection, by), by, points)
        mine = self.totals.c.points
        more, same = (sa.func.count().filter(each) for each in (mine > points, mine == points))
        row = connection.execute(self._of(board, more, same).where(mine >= points)).one()
        return row[0], row[1]

    def _top(self, connection: Connection, board: Board, limit: int, last: Points | None) -> Sequence[Points]:
        total = self.totals.c
        query = self._of(board, total.entity, total.points).where(total.points > 0)
        if last is not None:
            same = sa.and_(total.points == last[1], total.entity > last[0])
            query = query.where(sa.or_(total.points < last[1], same))
        rows = connection.execute(query.order_by(total.points.desc(), total.entity).limit(limit))
        return [(row.entity, row.points) for row in rows]


def ranked(rows: Sequence[Points], more: int, same: int) -> Iterator[Standing]:
    """Yield standings in order, where so many have more points than the first, and so many as many."""
    points, rank, ahead = rows[0][1], more + 1, None
    for place, (entity, mine) in enumerate(rows):
        if mine != points:
            ahead = more + same - place if ahead is None else ahead
            points, rank = mine, ahead + place + 1
        yield Standing(rank, entity, number(mine))


def recalled(rows: Iterable[Any]) -> Mapping[UUID, Given]:
    """Return, by stream, what stands of the points that rows of the ledger gave and took."""
    found: defaultdict[UUID, Given] = defaultdict(Given)
    for row in rows:
        standing = found[row.stream].standing
        if row.of is None:
            standing[row.event] = (read_happening(row), row.points)
        elif row.of in standing:
            del standing[row.of]
    return found


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
