"""The score ledger: which event gave how many points, under which rules; every board is a fold of it.

An event about one supporter has one entry of its own, be it of 0 points, so that other rules can score it anew; an
event that takes points back has one more for each event whose points it takes. Such an entry counts where the points
it takes back counted: on the same day, in the same campaign, for the same chapters and partnership.
"""

import functools
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from domain.scoring import DEFAULT_POINTS, TAKES_BACK


class Happening(NamedTuple):
    """An event that can score, with all that decides what its points count for.

    ``day`` is the supporter's own and ``chapters`` are those they were a member of when it happened; ``partnership``
    is the one whose referral code the promise came by.
    """

    event: int
    supporter: UUID
    stream: UUID
    topic: str
    occurred_at: datetime
    day: date
    campaign: UUID | None
    chapters: tuple[UUID, ...]
    partnership: UUID | None


class Entry(NamedTuple):
    """Points that an event gave, or took back from the event at the position ``of``; in hundredths.

    ``position`` is where it became part of the ledger: at the event, or where new rules scored it again.
    """

    position: int
    number: int
    happening: Happening
    of: int | None
    points: int
    rules_version: int


@dataclass(frozen=True)
class Rules:
    """The scoring rules in force, in hundredths of points; ``daily_cap``: the most that one gets for one's own day."""

    version: int
    points: Mapping[str, int]
    daily_cap: int | None

    @classmethod
    def of(cls, version: int, points: Mapping[str, float], daily_cap: float | None) -> "Rules":
        """Return the rules as they were published."""
        cap = None if daily_cap is None else hundredths(daily_cap)
        return cls(version, {topic: hundredths(each) for topic, each in points.items()}, cap)


def hundredths(points: float) -> int:
    """Return points of at most two decimals as a whole number."""
    return round(points * 100)


DEFAULT_RULES: Final = Rules.of(0, DEFAULT_POINTS, None)


class Given:
    """The points that the events of one stream gave and that were not taken back."""

    __slots__ = ("standing",)

    def __init__(self) -> None:
        self.standing: dict[int, tuple[Happening, int]] = {}

    def give(self, happening: Happening, points: int) -> None:
        """Note what an event gave."""
        if points:
            self.standing[happening.event] = (happening, points)

    def take(self) -> Iterator[tuple[Happening, int]]:
        """Yield, and forget, what stands."""
        yield from self.standing.values()
        self.standing.clear()


Scored = tuple[Happening, int | None, int]
"""Where points count, the event whose points are taken back | None, hundredths."""


class Scorer:
    """Scores happenings in order of history; ``given`` by stream and ``days`` by supporter and day say what was before.

    ``given`` must be complete for streams whose points are taken back, ``days`` for days on which a cap holds.
    ``ending`` names the only streams whose points can be taken back; by default they all can.
    """

    def __init__(self, rules: Rules, ending: Container[UUID] | None = None) -> None:
        self.rules, self.ending = rules, ending
        self.given: defaultdict[UUID, Given] = defaultdict(Given)
        self.days: dict[tuple[UUID, date], int] = {}

    def score(self, happening: Happening) -> Iterable[Scored]:
        """Return what it gives and takes back, the event's own first."""
        stream, topic = happening.stream, happening.topic
        taken = list(self.given[stream].take()) if topic in TAKES_BACK else ()
        if self.rules.daily_cap is not None:
            for before, each in taken:
                self._count(before, -each)
        points = self.points_of(happening)
        if self.ending is None or stream in self.ending:
            self.given[stream].give(happening, points)
        own = (happening, None, points)
        if not taken:
            return (own,)
        event, at = happening.event, happening.occurred_at
        back = (
            (before._replace(event=event, topic=topic, occurred_at=at), before.event, -each) for before, each in taken
        )
        return (own, *back)

    def points_of(self, happening: Happening) -> int:
        """Return what it gives, and count that for its day."""
        points, cap = self.rules.points.get(happening.topic, 0), self.rules.daily_cap
        if not points or cap is None:
            return points
        key = (happening.supporter, happening.day)
        before = self.days.get(key, 0)
        if points > 0:
            points = max(0, min(points, cap - before))
        if points:
            self.days[key] = before + points
        return points

    def _count(self, happening: Happening, points: int) -> None:
        if points:
            key = (happening.supporter, happening.day)
            self.days[key] = self.days.get(key, 0) + points


def at_once(scorer: Scorer, happenings: Iterable[Happening]) -> Iterator[Entry]:
    """Yield the entries of happenings that are scored when they are recorded."""
    for happening in happenings:
        for number, (where, of, points) in enumerate(scorer.score(happening)):
            yield Entry(happening.event, number, where, of, points, scorer.rules.version)


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


def row_of(entry: Entry) -> tuple[Any, ...]:
    """Return the values of an entry's columns, in their order."""
    where = entry.happening
    return (
        entry.position,
        entry.number,
        where.event,
        entry.of,
        where.supporter,
        where.stream,
        where.topic,
        entry.points,
        entry.rules_version,
        where.occurred_at,
        where.day,
        where.campaign,
        write_ids(where.chapters),
        where.partnership,
    )


def read_happening(row: Any) -> Happening:  # noqa: ANN401 - a row of the entries table
    """Return the happening of an entry's row."""
    return Happening(
        row.event,
        row.supporter,
        row.stream,
        row.topic,
        row.occurred_at,
        row.day,
        row.campaign,
        read_ids(row.chapters),
        row.partnership,
    )


def read_ids(written: Iterable[str] | None) -> tuple[UUID, ...]:
    """Return ids that are kept as JSON."""
    return tuple(UUID(each) for each in written or ())


@functools.lru_cache(maxsize=4_096)
def write_ids(ids: tuple[UUID, ...]) -> tuple[str, ...] | None:
    """Return ids as JSON; none at all as null."""
    return tuple(str(each) for each in ids) or None
