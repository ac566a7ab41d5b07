"""How campaigns, chapters and policies moved over a range of history: read once, shared by all recipients of a run."""

from array import array
from bisect import bisect_right
from collections import defaultdict
from typing import Final
from uuid import UUID

from domain.actions import Action
from domain.campaigns import Campaign
from domain.kernel import Event
from domain.pledges import Pledge
from domain.policies import Policy
from domain.recognitions import Recognition
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
)
PERSONAL: Final = (Recognition.Awarded, Recognition.Revoked, Action.ResponseRecorded)
TOPICS: Final = tuple(event.TOPIC for event in (*COUNTED, *MEMBERS, Supporter.Erased, *TOLD, *PERSONAL))

Range = tuple[int, int]
"""(from, to]: two positions."""


class Sums:
    """A number that events changed: by how much, up to each of their positions."""

    __slots__ = ("positions", "sums")

    def __init__(self) -> None:
        self.positions, self.sums = array("q"), array("q")

    def add(self, position: int, amount: int) -> None:
        """Note a change, later than all before."""
        self.sums.append((self.sums[-1] if self.sums else 0) + amount)
        self.positions.append(position)

    def change(self, of: Range) -> int:
        """Return by how much the number changed in a range."""
        first, last = (bisect_right(self.positions, position) for position in of)
        return (self.sums[last - 1] if last else 0) - (self.sums[first - 1] if first else 0)

    def behind(self, of: Range) -> list[int]:
        """Return the positions of the events of a range."""
        first, last = (bisect_right(self.positions, position) for position in of)
        return self.positions[first:last].tolist()

    def prepend(self, earlier: "Sums") -> None:
        """Put what happened earlier before it."""
        base = earlier.sums[-1] if earlier.sums else 0
        self.sums = earlier.sums + array("q", (base + one for one in self.sums))
        self.positions = earlier.positions + self.positions


CHECK_INS: Final = "check_ins"
MEMBERSHIPS: Final = "members"


class Movement:
    """What happened in a range of the log; ``cover`` reads only what it has not read yet."""

    def __init__(self, log: Log, start: int, end: int) -> None:
        self._log = log
        self.start = self.end = start
        self._sums: defaultdict[tuple[UUID, str], Sums] = defaultdict(Sums)
        self._facts: defaultdict[UUID, list[Fact]] = defaultdict(list)
        self.cover(start, end)

    def cover(self, start: int, end: int) -> None:
        """Extend to a range, in both directions."""
        if end > self.end:
            self._read(self.end, end)
            self.end = end
        if start < self.start:
            earlier = Movement(self._log, start, self.start)
            for key, sums in earlier._sums.items():
                self._sums[key].prepend(sums)
            for about, facts in earlier._facts.items():
                self._facts[about] = facts + self._facts[about]
            self.start = start

    def change(self, about: UUID, what: str, of: Range) -> int:
        """Return by how much a number of a campaign or chapter changed."""
        sums = self._sums.get((about, what))
        return sums.change(of) if sums else 0

    def behind(self, about: UUID, of: Range) -> tuple[int, ...]:
        """Return the positions of all that changed the numbers of a campaign or chapter."""
        found: set[int] = set()
        for what in (*STATES, CHECK_INS, MEMBERSHIPS):
            if sums := self._sums.get((about, what)):
                found.update(sums.behind(of))
        return tuple(sorted(found))

    def facts(self, about: UUID, of: Range) -> list[Fact]:
        """Return what is told of a campaign, a policy or a supporter in a range, oldest first."""
        return [fact for fact in self._facts.get(about, ()) if of[0] < fact.position <= of[1]]

    def _read(self, after: int, upto: int) -> None:
        wanted = (events.c.topic.in_(TOPICS), events.c.position <= upto)
        for fact in self._log.follow(*wanted, after=after):
            self._take(fact, fact.event)

    def _take(self, fact: Fact, event: Event) -> None:
        if isinstance(event, Pledge.CheckedIn):
            self._sums[event.campaign, CHECK_INS].add(fact.position, 1)
        elif isinstance(event, Pledge.Event):
            for state, amount in steps(event).items():
                self._sums[event.campaign, state].add(fact.position, amount)
        elif isinstance(event, MEMBERS):
            amount = 1 if isinstance(event, Supporter.ChapterJoined) else -1
            self._sums[event.chapter, MEMBERSHIPS].add(fact.position, amount)
        elif isinstance(event, Supporter.Erased):
            for chapter in self._chapters(fact):
                self._sums[chapter, MEMBERSHIPS].add(fact.position, -1)
        elif isinstance(event, PERSONAL):
            if event.supporter is not None:
                self._facts[event.supporter].append(fact)
        else:
            self._facts[fact.stream].append(fact)

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
