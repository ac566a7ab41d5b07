"""How campaigns, chapters and policies moved over a range of history: read once, shared by all recipients."""

import threading
from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
REMEMBERED: Final = 2_000
"""Of how many ranges of how many things the movement is kept as it was worked out."""
BLOCK: Final = 1_024
"""Of how many pledges in a row the days are summed up."""
LONGEST: Final = 5_000_000
"""How many positions a process keeps the movement of: some 10 bytes each, or less."""

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

    def extend(self, later: "Steps") -> None:
        """Put what happened later after it."""
        self.ups += later.ups
        self.downs += later.downs


def _number(positions: "array[int]", of: Range) -> int:
    return bisect_right(positions, of[1]) - bisect_right(positions, of[0])


def _last(positions: "array[int]", of: Range) -> "array[int]":
    first, last = (bisect_right(positions, position) for position in of)
    return positions[max(first, last - EVIDENCE) : last]


class Made:
    """The positions of the events by which pledges were made, with the days on which they were.

    Each digest asks for a range, and a first digest for a long one: what whole blocks sum up to is kept.
    """

    __slots__ = ("_sums", "days", "positions")

    def __init__(self) -> None:
        self.positions, self.days = array("q"), array("l")
        self._sums: list[Counter[int]] = []

    def add(self, position: int, day: date) -> None:
        """Note one, later than all before."""
        self.positions.append(position)
        self.days.append(day.toordinal())

    def by_day(self, of: Range) -> Counter[int]:
        """Return how many pledges of a range were made on which day."""
        first, last = (bisect_right(self.positions, position) for position in of)
        start, end = -(-first // BLOCK), last // BLOCK
        if start >= end:
            return Counter(self.days[first:last])
        counts = Counter(self.days[first : start * BLOCK])
        for block in range(start, end):
            counts.update(self._sum(block))
        counts.update(self.days[end * BLOCK : last])
        return counts

    def _sum(self, block: int) -> Counter[int]:
        for number in range(len(self._sums), block + 1):
            self._sums.append(Counter(self.days[number * BLOCK : (number + 1) * BLOCK]))
        return self._sums[block]

    def extend(self, later: "Made") -> None:
        """Put what happened later after it."""
        self.positions += later.positions
        self.days += later.days


class Move(NamedTuple):
    """How the numbers of something changed: by how much, by how many events, and the positions of the newest."""

    changes: dict[str, int]
    events: int
    positions: tuple[int, ...]


class Movements:
    """The movement that a process has read, kept from run to run and from preview to preview."""

    def __init__(self, log: Log) -> None:
        self._log, self._alone = log, threading.Lock()
        self._movement: Movement | None = None

    def begin(self) -> None:
        """Begin a run: forget a movement that has become too long, which is not read anew for each batch of a run."""
        with self._alone:
            if (kept := self._movement) is not None and kept.end - kept.start > LONGEST:
                self._movement = None

    @contextmanager
    def upto(self, position: int) -> Iterator["Movement"]:
        """Give the movement, read up to a position or further; nobody else has it meanwhile."""
        with self._alone:
            kept = self._movement
            if kept is None:
                kept = self._movement = Movement(self._log, position, position)
            kept.cover(kept.start, position)
            yield kept


class Happened:
    """What was read of a stretch of the log: the steps of numbers, the pledges made, and the facts that are told."""

    def __init__(self) -> None:
        self.steps: defaultdict[tuple[UUID, str], Steps] = defaultdict(Steps)
        self.made: defaultdict[UUID, Made] = defaultdict(Made)
        self.facts: defaultdict[UUID, list[Fact]] = defaultdict(list)

    def extend(self, later: "Happened") -> None:
        """Put what happened later after it."""
        for key, steps_ in later.steps.items():
            self.steps[key].extend(steps_)
        for campaign, made in later.made.items():
            self.made[campaign].extend(made)
        for about, facts in later.facts.items():
            self.facts[about] += facts

    def step(self, about: UUID, what: str, amount: int, fact: Fact) -> None:
        """Note that a number was raised or lowered by one."""
        one = self.steps[about, what]
        (one.ups if amount > 0 else one.downs).append(fact.position)


class Movement:
    """What happened in a range of the log; ``cover`` reads only what it has not read yet.

    It keeps eight bytes of each event that changed a number, and whole those few that are told of.
    """

    def __init__(self, log: Log, start: int, end: int) -> None:
        self._log = log
        self.start = self.end = start
        self._happened = Happened()
        self._moves: dict[tuple[UUID, Range], Move] = {}
        self.cover(start, end)

    def cover(self, start: int, end: int) -> None:
        """Extend to a range, in both directions; what cannot be read whole is not taken in."""
        if end > self.end:
            self._happened.extend(self._read(self.end, end))
            self.end = end
        if start < self.start:
            earlier = self._read(start, self.start)
            earlier.extend(self._happened)
            self._happened, self.start = earlier, start

    def move(self, about: UUID, of: Range) -> Move:
        """Return how the numbers of a campaign or a chapter changed."""
        key = (about, of)
        if key not in self._moves:
            if len(self._moves) >= REMEMBERED:
                self._moves.clear()
            self._moves[key] = self._move(about, of)
        return self._moves[key]

    def _move(self, about: UUID, of: Range) -> Move:
        steps_ = self._happened.steps
        known = {what: each for what in (*STATES, CHECK_INS, MEMBERSHIPS) if (each := steps_.get((about, what)))}
        changes = {what: each.change(of) for what, each in known.items()}
        behind = [each for what, each in known.items() if what in {"active", CHECK_INS, MEMBERSHIPS}]
        newest = sorted(position for each in behind for position in each.newest(of))
        return Move(changes, sum(each.events(of) for each in behind), tuple(newest[-EVIDENCE:]))

    def made(self, campaign: UUID, of: Range) -> Mapping[int, int]:
        """Return how many pledges of a range were made on which day, the person's own, by its proleptic ordinal."""
        found = self._happened.made.get(campaign)
        return found.by_day(of) if found else {}

    def facts(self, about: UUID, of: Range) -> list[Fact]:
        """Return what is told of a campaign or a policy in a range, oldest first."""
        return [fact for fact in self._happened.facts.get(about, ()) if of[0] < fact.position <= of[1]]

    def told(self) -> list[UUID]:
        """Name the campaigns and policies of which anything is told."""
        return list(self._happened.facts)

    # --- reading ---

    def _read(self, after: int, upto: int) -> Happened:
        wanted = (events.c.topic.in_(TOPICS), events.c.position <= upto)
        found = Happened()
        for fact in self._log.follow(*wanted, after=after):
            self._take(fact, fact.event, found)
        return found

    def _take(self, fact: Fact, event: Event, into: Happened) -> None:
        if isinstance(event, Pledge.CheckedIn):
            into.step(event.campaign, CHECK_INS, 1, fact)
        elif isinstance(event, Pledge.Event):
            for state, amount in steps(event).items():
                into.step(event.campaign, state, amount, fact)
            if isinstance(event, Pledge.Made | Pledge.Renewed):
                into.made[event.campaign].add(fact.position, event.on)
        elif isinstance(event, MEMBERS):
            into.step(event.chapter, MEMBERSHIPS, 1 if isinstance(event, Supporter.ChapterJoined) else -1, fact)
        elif isinstance(event, Supporter.Erased):
            for chapter in self._chapters(fact):
                into.step(chapter, MEMBERSHIPS, -1, fact)
        else:
            into.facts[fact.stream].append(fact)

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
