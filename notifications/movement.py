"""How campaigns, chapters and policies moved over a range of history: read once, shared by all recipients of a run."""

from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import date
from typing import Final, NamedTuple
from uuid import UUID

from domain.campaigns import Campaign
from domain.kernel import Event
from domain.pledges import Pledge
from domain.policies import Policy
from domain.slices import Fact
from domain.supporters import Supporter
from history.reading import Log
from history.tables import events
from projections.counts import STATES, steps

COUNTED: Final = (Pledge.Made, Pledge.Renewed, Pledge.Kept, Pledge.Lapsed, Pledge.Withdrawn, Pledge.CheckedIn)
MEMBERS: Final = (Supporter.ChapterJoined, Supporter.ChapterLeft)
MOVES: Final = tuple(event.TOPIC for event in MEMBERS)
TOLD: Final = (
    Campaign.Launched,
    Campaign.Paused,
    Campaign.Resumed,
    Campaign.Completed,
    Policy.Advanced,
    Policy.Concluded,
    Policy.PositionRecorded,
)
TOPICS: Final = tuple(event.TOPIC for event in (*COUNTED, *MEMBERS, Supporter.Erased, *TOLD))

CHECK_INS: Final = "check_ins"
MEMBERSHIPS: Final = "members"
EVIDENCE: Final = 50
"""How many of the events behind a change of numbers are named, the newest; all of them are counted."""
REMEMBERED: Final = 10_000

Range = tuple[int, int]
"""(from, to]: two positions."""


class Steps:
    """The positions of the events that raised a number by one, and of those that lowered it."""

    __slots__ = ("downs", "ups")

    def __init__(self) -> None:
        self.ups, self.downs = array("q"), array("q")

    def change(self, of: Range) -> int:
        """Return by how much the number changed in a range."""
        return _number(self.ups, of) - _number(self.downs, of)

    def events(self, of: Range) -> int:
        """Return how many events changed it in a range."""
        return _number(self.ups, of) + _number(self.downs, of)

    def newest(self, of: Range) -> list[int]:
        """Return the positions of the last events that changed it in a range, at most so many of each direction."""
        return [position for each in (self.ups, self.downs) for position in _last(each, of)]

    def prepend(self, earlier: "Steps") -> None:
        """Put what happened earlier before it."""
        self.ups, self.downs = earlier.ups + self.ups, earlier.downs + self.downs


def _number(positions: "array[int]", of: Range) -> int:
    return bisect_right(positions, of[1]) - bisect_right(positions, of[0])


def _last(positions: "array[int]", of: Range) -> "array[int]":
    first, last = (bisect_right(positions, position) for position in of)
    return positions[max(first, last - EVIDENCE) : last]


class Made:
    """The positions of the events by which pledges were made, with the days on which they were."""

    __slots__ = ("days", "positions")

    def __init__(self) -> None:
        self.positions, self.days = array("q"), array("l")

    def add(self, position: int, day: date) -> None:
        """Note one, later than all before."""
        self.positions.append(position)
        self.days.append(day.toordinal())

    def by_day(self, of: Range) -> Counter[int]:
        """Return how many pledges of a range were made on which day."""
        first, last = (bisect_right(self.positions, position) for position in of)
        return Counter(self.days[first:last])

    def prepend(self, earlier: "Made") -> None:
        """Put what happened earlier before it."""
        self.positions, self.days = earlier.positions + self.positions, earlier.days + self.days


class Move(NamedTuple):
    """How the numbers of something changed: by how much, by how many events, and the positions of the newest."""

    changes: dict[str, int]
    events: int
    positions: tuple[int, ...]


class Movement:
    """What happened in a range of the log; ``cover`` reads only what it has not read yet.

    It keeps eight bytes of each event that changed a number, and whole those few that are told of.
    """

    def __init__(self, log: Log, start: int, end: int) -> None:
        self._log = log
        self.start = self.end = start
        self._steps: defaultdict[tuple[UUID, str], Steps] = defaultdict(Steps)
        self._made: defaultdict[UUID, Made] = defaultdict(Made)
        self._facts: defaultdict[UUID, list[Fact]] = defaultdict(list)
        self._moves: dict[tuple[UUID, Range], Move] = {}
        self.cover(start, end)

    def cover(self, start: int, end: int) -> None:
        """Extend to a range, in both directions."""
        if end > self.end:
            self._read(self.end, end)
            self.end = end
        if start < self.start:
            earlier = Movement(self._log, start, self.start)
            for key, steps_ in earlier._steps.items():
                self._steps[key].prepend(steps_)
            for campaign, made in earlier._made.items():
                self._made[campaign].prepend(made)
            for about, facts in earlier._facts.items():
                self._facts[about] = facts + self._facts[about]
            self.start = start

    def move(self, about: UUID, of: Range) -> Move:
        """Return how the numbers of a campaign or a chapter changed."""
        key = (about, of)
        if key not in self._moves:
            if len(self._moves) >= REMEMBERED:
                self._moves.clear()
            self._moves[key] = self._move(about, of)
        return self._moves[key]

    def _move(self, about: UUID, of: Range) -> Move:
        known = {what: each for what in (*STATES, CHECK_INS, MEMBERSHIPS) if (each := self._steps.get((about, what)))}
        changes = {what: each.change(of) for what, each in known.items()}
        behind = [each for what, each in known.items() if what in {"active", CHECK_INS, MEMBERSHIPS}]
        newest = sorted(position for each in behind for position in each.newest(of))
        return Move(changes, sum(each.events(of) for each in behind), tuple(newest[-EVIDENCE:]))

    def made(self, campaign: UUID, of: Range) -> Mapping[int, int]:
        """Return how many pledges of a range were made on which day, the person's own, by its proleptic ordinal."""
        return self._made[campaign].by_day(of) if campaign in self._made else {}

    def facts(self, about: UUID, of: Range) -> list[Fact]:
        """Return what is told of a campaign or a policy in a range, oldest first."""
        return [fact for fact in self._facts.get(about, ()) if of[0] < fact.position <= of[1]]

    def told(self) -> list[UUID]:
        """Name the campaigns and policies of which anything is told."""
        return list(self._facts)

    def _read(self, after: int, upto: int) -> None:
        wanted = (events.c.topic.in_(TOPICS), events.c.position <= upto)
        for fact in self._log.follow(*wanted, after=after):
            self._take(fact, fact.event)

    def _take(self, fact: Fact, event: Event) -> None:
        if isinstance(event, Pledge.CheckedIn):
            self._step(event.campaign, CHECK_INS, 1, fact)
        elif isinstance(event, Pledge.Event):
            for state, amount in steps(event).items():
                self._step(event.campaign, state, amount, fact)
            if isinstance(event, Pledge.Made | Pledge.Renewed):
                self._made[event.campaign].add(fact.position, event.on)
        elif isinstance(event, MEMBERS):
            self._step(event.chapter, MEMBERSHIPS, 1 if isinstance(event, Supporter.ChapterJoined) else -1, fact)
        elif isinstance(event, Supporter.Erased):
            for chapter in self._chapters(fact):
                self._step(chapter, MEMBERSHIPS, -1, fact)
        else:
            self._facts[fact.stream].append(fact)

    def _step(self, about: UUID, what: str, amount: int, fact: Fact) -> None:
        one = self._steps[about, what]
        (one.ups if amount > 0 else one.downs).append(fact.position)

    def _chapters(self, erased: Fact) -> set[UUID]:
        """Return the chapters that an erased supporter was a member of: the erasure does not name them."""
        own = events.c.stream_id == erased.stream, events.c.topic.in_(MOVES), events.c.position < erased.position
        found: set[UUID] = set()
        for fact in self._log.follow(*own):
            match fact.event:
                case Supporter.ChapterJoined(chapter=chapter):
                    found.add(chapter)
                case Supporter.ChapterLeft(chapter=chapter):
                    found.discard(chapter)
        return found
