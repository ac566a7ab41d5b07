"""Boards: the scopes and windows in which points are counted, and how whoever has them is ranked."""

import functools
from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Final
from uuid import UUID

NOWHERE: Final = UUID(int=0)
"""The scope id of the boards of which there is only one."""

ALWAYS: Final = date.min
"""The start of the window that has none."""

Key = tuple[str, UUID, str, date]
"""Scope, scope id, window and its first day: what tells a board from all others."""

Points = tuple[UUID, int]
"""Who has how many hundredths of points."""


class Scope(StrEnum):
    """Whose points are ranked: supporters in all, in a campaign, in a chapter; chapters as teams; partnerships."""

    MOVEMENT = "movement"
    CAMPAIGN = "campaign"
    CHAPTER = "chapter"
    CHAPTERS = "chapters"
    PARTNERSHIPS = "partnerships"


class Window(StrEnum):
    """Over which days, each supporter's own: all, a calendar month, or a week of ISO 8601 (from Monday)."""

    ALL = "all"
    MONTH = "month"
    WEEK = "week"


def window_start(window: Window, day: date) -> date:
    """Return the first day of the window that the day lies in."""
    match window:
        case Window.ALL:
            return ALWAYS
        case Window.MONTH:
            return day.replace(day=1)
        case Window.WEEK:
            return day - timedelta(days=day.weekday())


def window_end(window: Window, start: date) -> date:
    """Return the last day of the window that begins on a day; that of the calendar where it would end later."""
    match window:
        case Window.ALL:
            return date.max
        case Window.MONTH:
            return start.replace(day=monthrange(start.year, start.month)[1])
        case Window.WEEK:
            return start + min(timedelta(days=6), date.max - start)


@functools.lru_cache(maxsize=4_096)
def windows(day: date) -> tuple[tuple[str, date], ...]:
    """Return the windows that a day lies in, each with its first day."""
    return tuple((window.value, window_start(window, day)) for window in Window)


@dataclass(frozen=True)
class Board:
    """One board: a scope (``scope_id`` names the campaign or chapter) over the window that ``on`` lies in.

    ``on`` defaults to nothing for the window "all", which has no days to choose from.
    """

    scope: Scope
    scope_id: UUID | None = None
    window: Window = Window.ALL
    on: date | None = None

    @property
    def start(self) -> date:
        """The first day of the window."""
        return window_start(self.window, self.on or ALWAYS)

    @property
    def end(self) -> date:
        """The last day of the window."""
        return window_end(self.window, self.start)

    @property
    def key(self) -> Key:
        """What tells it from all others."""
        return (self.scope.value, self.scope_id or NOWHERE, self.window.value, self.start)

    @property
    def id(self) -> int:
        """The number that its totals are kept under."""
        return board_id(self.key)

    @property
    def of_teams(self) -> bool:
        """Whether chapters or partnerships are ranked, not supporters."""
        return self.scope in {Scope.CHAPTERS, Scope.PARTNERSHIPS}


@functools.lru_cache(maxsize=4_096)
def board_id(key: Key) -> int:
    """Return the number that a board is kept under: 63 bits of a hash, so that it is the same in every build."""
    scope, scope_id, window, start = key
    digest = sha256(f"{scope} {scope_id} {window} {start}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1


@dataclass(frozen=True, slots=True)
class Standing:
    """Who stands where: equal points share a rank, and the ranks after them are left out (1, 2, 2, 4)."""

    rank: int
    id: UUID
    points: float


def places(
    supporter: UUID, campaign: UUID | None, chapters: tuple[UUID, ...], partnership: UUID | None
) -> Iterator[tuple[str, UUID, UUID]]:
    """Yield (scope, scope id, who gets the points) for every board that points count on."""
    yield Scope.MOVEMENT.value, NOWHERE, supporter
    if campaign is not None:
        yield Scope.CAMPAIGN.value, campaign, supporter
    for chapter in chapters:
        yield Scope.CHAPTER.value, chapter, supporter
        yield Scope.CHAPTERS.value, NOWHERE, chapter
    if partnership is not None:
        yield Scope.PARTNERSHIPS.value, NOWHERE, partnership


@functools.lru_cache(maxsize=1_024)
def counted_on(
    campaign: UUID | None, chapters: tuple[UUID, ...], partnership: UUID | None, day: date
) -> Sequence[tuple[Key, int, UUID | None]]:
    """Return (board, its number, the team that gets the points | None for the supporter) of all boards they count on.

    The campaign, chapters, partnership and day are those of whatever gave the points.
    """
    found = []
    for scope, scope_id, entity in places(NOWHERE, campaign, chapters, partnership):
        for window, start in windows(day):
            key = (scope, scope_id, window, start)
            found.append((key, board_id(key), None if entity == NOWHERE else entity))
    return found


def ranked(rows: Sequence[Points], more: int, same: int) -> Iterator[Standing]:
    """Yield standings in order, where so many have more points than the first, and so many as many."""
    points, rank, ahead = rows[0][1], more + 1, None
    for place, (entity, mine) in enumerate(rows):
        if mine != points:
            ahead = more + same - place if ahead is None else ahead
            points, rank = mine, ahead + place + 1
        yield Standing(rank, entity, number(mine))


def number(hundredths: int) -> float:
    """Return points as they are shown: 13 or 2.5."""
    return hundredths // 100 if hundredths % 100 == 0 else hundredths / 100
