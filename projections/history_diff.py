"""What changed between two points of history, and which events did it: the read models as of both, side by side."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from domain.campaigns import Campaign
from domain.chapters import Chapter
from domain.kernel import Invalid
from domain.partnerships import Partnership
from domain.pledges import Pledge
from domain.policies import Policy
from domain.recognitions import Recognition
from domain.slices import Fact
from domain.supporters import Supporter
from history.tables import events
from projections.boards import Board, Scope
from projections.campaigns import Campaigns
from projections.chapters import Chapters
from projections.counts import STATES, steps
from projections.leaderboards import Leaderboards
from projections.partnerships import Partnerships
from projections.past import happened_by
from projections.policies import Policies
from projections.projection import Projection
from projections.recognitions import Recognitions
from projections.views import PRESENT, AsOf, Reader, Views

KINDS: Final[tuple[type[Projection], ...]] = (
    Campaigns,
    Chapters,
    Policies,
    Partnerships,
    Recognitions,
)
"""What is compared besides a board."""
TOP: Final = 50
MOST_POSITIONS: Final = 100
"""How many positions a change names; it always says how many there are."""

MOVEMENT: Final = Board(Scope.MOVEMENT)

Subject = tuple[str, ...]
Json = dict[str, Any]


@dataclass(frozen=True)
class Compared:
    """One table that is compared: by its key, in these columns; ``name`` is the column that says what a row is."""

    kind: type[Projection]
    table: str
    key: tuple[str, ...]
    name: str
    columns: tuple[str, ...]

    @property
    def shown(self) -> tuple[str, ...]:
        """The columns, and the number of pledges made where they are counted by state."""
        return (*self.columns, "made") if STATES[0] in self.columns else self.columns


COMPARED: Final = {
    "campaigns": Compared(Campaigns, "campaigns", ("id",), "title", ("title", "state", *STATES)),
    "asks": Compared(Campaigns, "asks", ("campaign", "ask"), "statement", STATES),
    "chapters": Compared(Chapters, "chapters", ("id",), "name", ("name", "parent", "state", "members")),
    "policies": Compared(Policies, "policies", ("id",), "title", ("title", "stage", "outcome", "concluded_on")),
    "partnerships": Compared(Partnerships, "partnerships", ("id",), "name", ("name", "state", *STATES)),
    "recognitions": Compared(Recognitions, "recognitions", ("id",), "title", ("title", "state", "endorsements")),
}


def diff(reader: Reader, since: AsOf, until: AsOf = PRESENT, board: Board = MOVEMENT) -> Json:
    """Return what changed from one point to a later one, as plain JSON; ranks and points are those of one board.

    ``{from, to, events, supporters: {new, erased}, board: [...]}`` and, under each name in COMPARED, a list of
    ``{id, name, changes: {column: {from, to}}, events, positions}``: how many events did it, and where the first
    hundred of them are. On the board, ``changes`` are of rank and points. A point that is the present needs no
    replay. Raises Invalid where the second point is the earlier one, or in the future, and Unavailable where too many
    compare already.
    """
    with ExitStack() as stack:
        stack.enter_context(reader.comparing.queued())
        stack.enter_context(reader.comparing.turn())
        after, before = _open(reader, until, board, stack), _open(reader, since, board, stack)
        then, now = before.point, after.point
        if then.position > now.position or _later(then.occurred_by, now.occurred_by):
            raise Invalid("history.backwards", "The first of the two points must be the earlier one.")
        attributed = _attributed(before.views, after.views)
        happened = Happened(_between(reader, then, now), partial(_chapters_of, before.views), attributed)
        found: Json = {
            "from": _point(then),
            "to": _point(now),
            "events": happened.number,
            "supporters": {"new": happened.registered, "erased": happened.erased},
        }
        for name, compared in COMPARED.items():
            found[name] = list(_changed(compared, before.views, after.views, happened.by[name]))
        found["board"] = list(_moved(before.ranked, after.ranked))
        return found


@dataclass(frozen=True)
class Point:
    """A point of history, its position found."""

    position: int
    occurred_by: datetime | None


@dataclass(frozen=True)
class Ranked:
    """A board: folded as of a point, or what a later one's ledger says that was known by then."""

    board: Board
    views: Views
    by: int | None

    def top(self) -> dict[UUID, Json]:
        """Return who has the most points, with their rank."""
        found = self.views[Leaderboards].top(self.views.connection, self.board, limit=TOP, by=self.by)
        return {each.id: {"rank": each.rank, "points": each.points} for each in found}

    def standing(self, entity: UUID) -> Json:
        """Return the rank and the points of one, nothing where there are none."""
        found = self.views[Leaderboards].standing(self.views.connection, self.board, entity, by=self.by)
        return {} if found is None else {"rank": found.rank, "points": found.points}

    def scored(self, entity: UUID) -> set[tuple[int, tuple[Any, ...]]]:
        """Return the entries of one, each with the position that made it part of the ledger."""
        entries = self.views[Leaderboards].entries_of(self.views.connection, self.board, entity, by=self.by)
        return {(entry.since, (entry.position, entry.of, entry.points, entry.rules_version)) for entry in entries}


@dataclass(frozen=True)
class Side:
    """One of the two points: what is compared as of it."""

    point: Point
    views: Views
    ranked: Ranked


def _open(reader: Reader, as_of: AsOf, board: Board, stack: ExitStack) -> Side:
    """Open what is compared as of a point: the live read models where that is where they stand."""
    ranked = None
    if as_of.occurred_by is None:
        live = stack.enter_context(reader.open((*KINDS, Leaderboards)))
        if as_of.position in {None, live.position}:
            return Side(Point(live.position, None), live, Ranked(board, live, None))
        if (as_of.position or 0) < live.position:
            ranked = Ranked(board, live, as_of.position)
    views = stack.enter_context(reader.open(KINDS, as_of))
    ranked = ranked or Ranked(board, stack.enter_context(reader.open([Leaderboards], as_of)), None)
    return Side(Point(views.position, as_of.occurred_by), views, ranked)


def _later(one: datetime | None, other: datetime | None) -> bool:
    return other is not None and (one is None or one > other)


def _point(point: Point) -> Json:
    return {"position": point.position, "occurred_by": plain(point.occurred_by)}


def _between(reader: Reader, then: Point, now: Point) -> Iterator[Fact]:
    """Yield the facts that are part of history as of the later point only."""
    where = [events.c.position <= now.position]
    if now.occurred_by is not None:
        where.append(happened_by(now.occurred_by))
    if then.occurred_by is None:
        return reader.runner.log.follow(*where, after=then.position)
    new = sa.or_(events.c.position > then.position, sa.not_(happened_by(then.occurred_by)))
    return reader.runner.log.follow(*where, new)


def _chapters_of(views: Views, supporter: UUID) -> set[UUID]:
    table = views[Chapters].memberships
    return set(views.connection.scalars(sa.select(table.c.chapter).where(table.c.supporter == supporter)))


def _attributed(*points: Views) -> defaultdict[UUID, set[UUID]]:
    found: defaultdict[UUID, set[UUID]] = defaultdict(set)
    for views in points:
        table = views[Partnerships].attributed
        for row in views.connection.execute(sa.select(table.c.pledge, table.c.partnership)):
            found[row.pledge].add(row.partnership)
    return found


class Positions:
    """How many events there are, and where the first of them are."""

    __slots__ = ("first", "number")

    def __init__(self, positions: Iterable[int] = ()) -> None:
        self.number, self.first = 0, list[int]()
        for position in positions:
            self.add(position)

    def add(self, position: int) -> None:
        """Count one more; only the first are kept."""
        self.number += 1
        if self.number <= MOST_POSITIONS:
            self.first.append(position)

    def shown(self) -> Json:
        """Return both as they are shown."""
        return {"events": self.number, "positions": self.first}


class Happened:
    """The events between two points, by what they changed, in ``by[name][subject]``.

    ``chapters_of`` has the chapters of a supporter as of the first point: an erasure ends them without naming them.
    ``attributed`` are the partnerships that each pledge belongs to as of either point: its events do not name them.
    """

    def __init__(
        self,
        facts: Iterable[Fact],
        chapters_of: Callable[[UUID], set[UUID]],
        attributed: defaultdict[UUID, set[UUID]],
    ) -> None:
        self.number = self.registered = self.erased = 0
        self.by: dict[str, dict[Subject, Positions]] = defaultdict(lambda: defaultdict(Positions))
        moved: defaultdict[UUID, dict[UUID, bool]] = defaultdict(dict)
        for fact in facts:
            self.number += 1
            match fact.event:
                case Supporter.Registered():
                    self.registered += 1
                case Supporter.Erased():
                    self.erased += 1
                    left = {chapter for chapter, joined in moved[fact.stream].items() if not joined}
                    self._leave(fact, {*chapters_of(fact.stream), *moved[fact.stream]} - left)
                case Supporter.ChapterJoined(chapter=chapter):
                    moved[fact.stream][chapter] = True
                case Supporter.ChapterLeft(chapter=chapter):
                    moved[fact.stream][chapter] = False
                case Pledge.Event() as event if steps(event):
                    for partnership in attributed.get(fact.stream, ()):
                        self.by["partnerships"][(str(partnership),)].add(fact.position)
            for name, *subject in subjects(fact):
                self.by[name][tuple(map(str, subject))].add(fact.position)

    def _leave(self, fact: Fact, chapters: set[UUID]) -> None:
        for chapter in chapters:
            self.by["chapters"][(str(chapter),)].add(fact.position)


def subjects(fact: Fact) -> Iterator[tuple[str, *tuple[object, ...]]]:
    """Yield (a name in COMPARED, the key) of everything whose row a fact can change, as far as the fact says it."""
    match fact.event:
        case Pledge.Event(campaign=campaign, ask=ask):
            yield "campaigns", campaign
            yield "asks", campaign, ask
        case Campaign.AskAdded(ask=ask):
            yield "campaigns", fact.stream
            yield "asks", fact.stream, ask
        case Campaign.Event():
            yield "campaigns", fact.stream
        case Chapter.Event():
            yield "chapters", fact.stream
        case Supporter.ChapterJoined(chapter=chapter) | Supporter.ChapterLeft(chapter=chapter):
            yield "chapters", chapter
        case Policy.Event():
            yield "policies", fact.stream
        case Partnership.Event():
            yield "partnerships", fact.stream
        case Recognition.Event():
            yield "recognitions", fact.stream


def _changed(compared: Compared, before: Views, after: Views, happened: dict[Subject, Positions]) -> Iterator[Json]:
    """Yield the rows of one table that differ."""
    old, new = _rows(compared, before), _rows(compared, after)
    for key in sorted({*old, *new}):
        one, other = old.get(key, {}), new.get(key, {})
        changes = _changes(one, other, compared.shown)
        if changes:
            named = (other or one)["_name"]
            yield {**_key(key), "name": named, "changes": changes, **happened.get(key, Positions()).shown()}


def _rows(compared: Compared, views: Views) -> dict[Subject, Json]:
    table: sa.Table = getattr(views[compared.kind], compared.table)
    columns = [table.c[name] for name in (*compared.key, *compared.columns)]
    rows = views.connection.execute(sa.select(table.c[compared.name].label("_name"), *columns)).mappings()
    return {tuple(str(row[name]) for name in compared.key): _with_made(dict(row)) for row in rows}


def _with_made(row: Json) -> Json:
    return row | {"made": sum(row[state] for state in STATES)} if STATES[0] in row else row


def _key(key: Subject) -> Json:
    return dict(zip(("id", "ask"), key, strict=False))


def _changes(one: Json, other: Json, columns: Sequence[str]) -> Json:
    pairs = ((name, one.get(name), other.get(name)) for name in columns)
    return {name: {"from": plain(old), "to": plain(new)} for name, old, new in pairs if old != new}


def _moved(before: Ranked, after: Ranked) -> Iterator[Json]:
    """Yield whoever is at the top at either point and changed rank or points; others' events can change a rank."""
    above, below = after.top(), before.top()
    for entity in dict.fromkeys([*above, *below]):
        old, new = below.get(entity) or before.standing(entity), above.get(entity) or after.standing(entity)
        changes = _changes(old, new, ("rank", "points"))
        if changes:
            scored = after.scored(entity) - before.scored(entity) if "points" in changes else set()
            by = Positions(sorted({position for position, _ in scored}))
            yield {"id": str(entity), "changes": changes, **by.shown()}


def plain(value: object) -> object:
    """Return a value as JSON has it."""
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case UUID():
            return str(value)
        case _:
            return value
