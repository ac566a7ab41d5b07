"""What new scoring rules would change: a what-if fold of the score ledger, of which the store keeps nothing.

Every supporter's happenings are scored anew, as publishing the rules to all history would score them. What comes of it
goes to a scratch database of its own, so that memory stays bounded however many supporters there are.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Engine, MetaData, Table, Uuid

from domain.awards import AutomaticAwards, newly_earned
from domain.kernel import Conflict, identify, zone
from domain.recognitions import Recognition
from domain.scoring import TAKES_BACK, Applies, AwardRule, Publish
from domain.supporters import UTC_NAME
from history.tables import BigInt, reaction_states
from projections.boards import Board, Scope, number
from projections.leaderboards import Leaderboards
from projections.ledger import Happening, Rules, Scorer, read_happening, read_ids
from projections.replay import scratch

Progress = Callable[[int, int], Any]
"""Told how many score entries are done, of how many."""

PERSONS: Final = 200
"""How many supporters are scored at a time."""
GIVEN: Final = (Recognition.Nominated.TOPIC, Recognition.Awarded.TOPIC)
"""The events by which an award is given by rule; they can score themselves."""
NEXT: Final = 2**62
"""A position after all others."""

_weighed = Table(
    "weighed",
    MetaData(),
    Column("entity", Uuid, primary_key=True),
    Column("before", BigInt, nullable=False),
    Column("after", BigInt, nullable=False),
)


@dataclass(frozen=True, slots=True)
class TopicChange:
    """The points that stand of one kind of event, before and after; what was taken back counts no longer."""

    topic: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Mover:
    """One supporter's place before and after, and why; no rank without points above 0.

    ``capped``: the points that the new daily cap keeps back; ``awards``: those that the new rules would give.
    """

    id: UUID
    rank_before: int | None
    rank_after: int | None
    points_before: float
    points_after: float
    topics: Sequence[TopicChange]
    capped: float
    awards: Sequence[str]


@dataclass(frozen=True, slots=True)
class AwardGiven:
    """How often an award would be given."""

    award: str
    title: str
    given: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What publishing the rules would change on one board at once; ``top`` is its head afterwards.

    ``movers`` are those whose rank changes most. Rules that apply from now on change no points yet, and move nobody.
    """

    version: int
    applies: Applies
    size_before: int
    size_after: int
    ranks_moved: int
    points_moved: int
    topics: Sequence[TopicChange]
    awards: Sequence[AwardGiven]
    top: Sequence[Mover]
    movers: Sequence[Mover]


@dataclass(frozen=True, slots=True)
class _Weighed:
    """One supporter's points on the board by topic, in hundredths."""

    supporter: UUID
    before: Counter[str]
    after: Counter[str]
    capped: int
    awards: Sequence[AwardRule]


def preview(
    connection: Connection,
    model: Leaderboards,
    proposed: Publish,
    board: Board,
    *,
    at: datetime,
    top: int = 10,
    progress: Progress = lambda _done, _total: None,
) -> Preview:
    """Return what publishing the rules at a moment would change on a supporters' board of all time.

    Raises what publishing them would be refused with: Invalid or Unknown, or Conflict where another version is next.
    """
    proposed.check()
    version = model.rules_in_force(connection).version
    if proposed.version != version + 1:
        raise Conflict("scoring.version_not_next", f"Version {version} is in force: {version + 1} is the next.")
    if board.scope not in {Scope.MOVEMENT, Scope.CAMPAIGN, Scope.CHAPTER}:
        msg = f"{board.scope} is not a board of supporters"
        raise ValueError(msg)
    fold = _Fold(connection, model, proposed, board, at)
    with closing(_Weights()) as weights:
        fold.run(weights, progress)
        return Preview(
            version=proposed.version,
            applies=proposed.applies,
            size_before=weights.size("before"),
            size_after=weights.size("after"),
            ranks_moved=weights.moved("rank_before", "rank_after"),
            points_moved=weights.moved("before", "after"),
            topics=_topics(fold.before, fold.after),
            awards=[AwardGiven(rule.award, rule.title, fold.given[rule.award]) for rule in proposed.awards],
            top=fold.explained(weights.top(top)),
            movers=fold.explained(weights.movers(top)),
        )


class _Fold:
    """Scores supporters as they stand, and as they would stand."""

    def __init__(
        self, connection: Connection, model: Leaderboards, proposed: Publish, board: Board, at: datetime
    ) -> None:
        self._connection, self._model, self._board, self._at = connection, model, board, at
        self._rules = Rules.of(proposed.version, proposed.points, proposed.daily_cap)
        self._anew = proposed.applies is Applies.TO_ALL_HISTORY
        self._awards = proposed.awards if self._anew else ()
        self.before: Counter[str] = Counter()
        self.after: Counter[str] = Counter()
        self.given: Counter[str] = Counter()

    def run(self, weights: "_Weights", progress: Progress) -> None:
        """Weigh all supporters."""
        entries = self._model.entries
        standing = sa.select(sa.func.count()).select_from(entries).where(self._model.standing_at(self._connection))
        total, done = self._connection.scalar(standing) or 0, 0
        progress(done, total)
        for supporters in self._persons():
            rows = self._rows(supporters)
            weighed = list(self._weigh(rows))
            weights.add(weighed)
            for each in weighed:
                self.before.update(each.before)
                self.after.update(each.after)
                self.given.update(rule.award for rule in each.awards)
            done += len(rows)
            progress(done, total)

    def explained(self, ranked: Sequence[Any]) -> list[Mover]:
        """Return why each of these stands where it would."""
        rows = self._rows([row.entity for row in ranked])
        weighed = {each.supporter: each for each in self._weigh(rows)}
        return [
            Mover(
                id=row.entity,
                rank_before=row.rank_before,
                rank_after=row.rank_after,
                points_before=number(row.before),
                points_after=number(row.after),
                topics=_topics(weighed[row.entity].before, weighed[row.entity].after),
                capped=number(weighed[row.entity].capped),
                awards=[rule.award for rule in weighed[row.entity].awards],
            )
            for row in ranked
        ]

    def _persons(self) -> Iterator[Sequence[UUID]]:
        column = self._model.entries.c.supporter
        query = sa.select(column).distinct().order_by(column).limit(PERSONS)
        last: UUID | None = None
        while page := self._connection.scalars(query if last is None else query.where(column > last)).all():
            yield page
            last = page[-1]

    def _rows(self, supporters: Sequence[UUID]) -> Sequence[Any]:
        """Return what stands in the ledger for supporters, each one's in order of the events."""
        table = self._model.entries
        query = sa.select(table).where(table.c.supporter.in_(supporters), self._model.standing_at(self._connection))
        query = query.order_by(table.c.supporter, table.c.event, sa.func.coalesce(table.c.of, 0))
        return self._connection.execute(query).all()

    def _weigh(self, rows: Sequence[Any]) -> Iterator[_Weighed]:
        of_each: defaultdict[UUID, list[Any]] = defaultdict(list)
        for row in rows:
            of_each[row.supporter].append(row)
        states = self._states(list(of_each)) if self._awards else {}
        living = self._living(list(states))
        for supporter, own in of_each.items():
            awards = newly_earned(self._awards, states.get(supporter, {}))
            before = self._before(own)
            if not self._anew:
                yield _Weighed(supporter, before, before, 0, awards)
                continue
            happenings = [read_happening(row) for row in own if row.of is None]
            happenings += self._receiving(supporter, awards, living.get(supporter))
            yield _Weighed(supporter, before, *self._after(happenings), awards)

    def _before(self, rows: Sequence[Any]) -> "Counter[str]":
        topics = {row.event: row.topic for row in rows if row.of is None}
        found: Counter[str] = Counter()
        for row in rows:
            if row.points and self._counts(row.campaign, row.chapters or ()):
                found[topics[row.of or row.event]] += row.points
        return found

    def _after(self, happenings: Sequence[Happening]) -> tuple["Counter[str]", int]:
        """Return one's points by topic, and how many points the cap keeps back."""
        topics = {happening.event: happening.topic for happening in happenings}
        scorer, found = Scorer(self._rules), Counter[str]()
        capped: defaultdict[UUID, int] = defaultdict(int)
        for happening in happenings:
            if happening.topic in TAKES_BACK:
                capped.pop(happening.stream, None)
            for where, of, points in scorer.score(happening):
                if not self._counts(where.campaign, map(str, where.chapters)):
                    continue
                if points:
                    found[topics[of or where.event]] += points
                if of is None:
                    capped[where.stream] += self._rules.points.get(where.topic, 0) - points
        return found, sum(capped.values())

    def _counts(self, campaign: UUID | None, chapters: Iterable[str]) -> bool:
        """Whether points count on the board; chapters as the ledger has them written."""
        match self._board.scope:
            case Scope.CAMPAIGN:
                return campaign == self._board.scope_id
            case Scope.CHAPTER:
                return str(self._board.scope_id) in chapters
            case _:
                return True

    def _states(self, supporters: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
        """Return what is known of supporters to those who give awards by rule."""
        table = reaction_states
        keys = [str(supporter) for supporter in supporters]
        query = sa.select(table.c.key, table.c.state).where(
            table.c.reaction == AutomaticAwards.name, table.c.key.in_(keys)
        )
        return {UUID(key): json.loads(state) for key, state in self._connection.execute(query)}

    def _living(self, supporters: Sequence[UUID]) -> dict[UUID, Any]:
        """Return in which time zone supporters live and to which chapters they belong, where that is known."""
        table = self._model.circumstances.members
        rows = self._connection.execute(sa.select(table).where(table.c.supporter.in_(supporters)))
        return {row.supporter: row for row in rows}

    def _receiving(self, supporter: UUID, awards: Sequence[AwardRule], lives: Any | None) -> Iterator[Happening]:  # noqa: ANN401 - a row
        """Yield the events by which the awards would be given, after all others."""
        day = self._at.astimezone(zone(lives.time_zone if lives and lives.time_zone else UTC_NAME)).date()
        chapters = read_ids(lives.chapters) if lives else ()
        for event, (rule, topic) in enumerate(product(awards, GIVEN), start=NEXT):
            stream = identify("recognition", f"preview:{rule.award}:{supporter}")
            yield Happening(event, supporter, stream, topic, self._at, day, None, chapters, None)


class _Weights:
    """Everybody's points before and after, in a scratch database."""

    def __init__(self) -> None:
        self._engine: Engine = scratch()
        self._connection = self._engine.connect()
        _weighed.create(self._connection)
        each = _weighed.c
        ranked = sa.select(
            _weighed,
            *(
                sa.case((points > 0, sa.func.rank().over(order_by=points.desc()))).label(f"rank_{points.name}")
                for points in (each.before, each.after)
            ),
        )
        self._ranked = ranked.subquery()

    def close(self) -> None:
        """Forget them."""
        self._connection.close()
        self._engine.dispose()

    def add(self, weighed: Sequence[_Weighed]) -> None:
        """Keep the sums of some supporters."""
        rows = [
            {"entity": each.supporter, "before": each.before.total(), "after": each.after.total()} for each in weighed
        ]
        self._connection.execute(_weighed.insert(), rows)

    def size(self, when: str) -> int:
        """Return how many have points."""
        query = sa.select(sa.func.count()).select_from(_weighed).where(_weighed.c[when] > 0)
        return self._connection.scalar(query) or 0

    def moved(self, before: str, after: str) -> int:
        """Return for how many one column differs from the other."""
        columns = self._ranked.c
        query = sa.select(sa.func.count()).select_from(self._ranked)
        return self._connection.scalar(query.where(columns[before].is_distinct_from(columns[after]))) or 0

    def top(self, limit: int) -> Sequence[Any]:
        """Return the head of the board afterwards."""
        columns = self._ranked.c
        query = sa.select(self._ranked).where(columns.after > 0)
        return self._connection.execute(query.order_by(columns.after.desc(), columns.entity).limit(limit)).all()

    def movers(self, limit: int) -> Sequence[Any]:
        """Return those whose rank changes most; who comes or goes, goes as if from the place after the last."""
        columns = self._ranked.c
        before = sa.func.coalesce(columns.rank_before, self.size("before") + 1)
        after = sa.func.coalesce(columns.rank_after, self.size("after") + 1)
        steps = sa.func.abs(before - after)
        query = sa.select(self._ranked).where(columns.rank_before.is_distinct_from(columns.rank_after))
        change = sa.func.abs(columns.after - columns.before)
        query = query.order_by(steps.desc(), change.desc(), columns.entity).limit(limit)
        return self._connection.execute(query).all()


def _topics(before: "Counter[str]", after: "Counter[str]") -> list[TopicChange]:
    """Return the topics that have points before or after, those that change most first."""
    topics = {topic for topic in {*before, *after} if before[topic] or after[topic]}
    return [
        TopicChange(topic, number(before[topic]), number(after[topic]))
        for topic in sorted(topics, key=lambda topic: (-abs(after[topic] - before[topic]), topic))
    ]
