"""Summing up the whole score ledger at once: read in order, so that it takes no memory for supporters."""

import functools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, Table
from sqlalchemy.types import NullType

from projections.boards import NOWHERE, Key, board_id, places, windows
from projections.ledger import read_ids

PAGE: Final = 5_000
REMEMBERED: Final = 4_096
WINDOW_BITS: Final = 26
BOARD_BITS: Final = 52
TIMES_BITS: Final = 32
"""An amount is hundredths of points above so many bits, which count the entries that gave them."""
WINDOW, BOARD, TIMES = ((1 << bits) - 1 for bits in (WINDOW_BITS, BOARD_BITS, TIMES_BITS))
COLUMNS: Final = ("supporter", "points", "campaign", "chapters", "partnership", "day")

Conditions = Sequence[sa.ColumnElement[bool]]
Place = tuple[str, UUID]
Span = tuple[str, date]
T = TypeVar("T")

_ids = msgspec.json.Decoder(list[str])


class Sums:
    """What boards come to; how many entries count on each, and the points of teams, is known after the supporters'.

    Places and windows are numbered, and a number made of both stands for a board: it is quick to make, and to look up.
    Points are added up by window before they are added to boards, together with how many entries gave them.
    """

    def __init__(self) -> None:
        self._places, self._windows, self._teams = _Numbers[Place](), _Numbers[Span](), _Numbers[UUID]()
        self._boards: dict[int, tuple[int, Key]] = {}
        self._entries: defaultdict[int, int] = defaultdict(int)
        self._of_teams: defaultdict[int, int] = defaultdict(int)
        self._of_circumstances = functools.lru_cache(maxsize=REMEMBERED)(self._number_places)
        self._of_day = functools.lru_cache(maxsize=REMEMBERED)(self._number_windows)

    def of_supporters(
        self, connection: Connection, entries: Table, standing: Conditions
    ) -> Iterator[tuple[int, UUID | str, int]]:
        """Yield (number of board, supporter as the driver has it, hundredths) for all boards on which they stand."""
        times, of_teams = self._entries, self._of_teams
        places_of, windows_of = self._of_circumstances, self._of_day
        for supporter, own in groupby(_rows(connection, entries, standing), key=itemgetter(0)):
            counted: defaultdict[_Counted, defaultdict[int, int]] = defaultdict(_amounts)
            for _, points, campaign, chapters, partnership, day in own:
                amounts = counted[places_of(campaign, chapters, partnership)]
                amount = (points << TIMES_BITS) + 1
                for span in windows_of(day):
                    amounts[span] += amount
            mine: defaultdict[int, int] = defaultdict(int)
            for where, amounts in counted.items():
                for span, amount in amounts.items():
                    for place in where.mine:
                        mine[place | span] += amount
                    for place in where.theirs:
                        of_teams[place | span] += amount
            for board, amount in mine.items():
                times[board] += amount & TIMES
                yield self._board(board)[0], supporter, amount >> TIMES_BITS

    def of_teams(self) -> Iterator[tuple[int, UUID, int]]:
        """Yield (number of board, team, hundredths)."""
        for key, amount in self._of_teams.items():
            self._entries[key & BOARD] += amount & TIMES
            yield self._board(key & BOARD)[0], self._teams.named[key >> BOARD_BITS], amount >> TIMES_BITS

    def of_boards(self) -> Iterator[tuple[int, Key, int]]:
        """Yield (number of board, board, how many entries count on it)."""
        for board, times in self._entries.items():
            yield *self._board(board), times

    def _board(self, board: int) -> tuple[int, Key]:
        """Return the number that a board is kept under, and what it is."""
        found = self._boards.get(board)
        if found is None:
            key = (*self._places.named[board >> WINDOW_BITS], *self._windows.named[board & WINDOW])
            found = self._boards[board] = board_id(key), key
        return found

    def _number_places(self, campaign: Any, chapters: Any, partnership: Any) -> "_Counted":  # noqa: ANN401
        where = _Counted()
        own = places(NOWHERE, campaign and _id(campaign), _chapters(chapters), partnership and _id(partnership))
        for scope, scope_id, who in own:
            place = self._places.of((scope, scope_id)) << WINDOW_BITS
            if who == NOWHERE:
                where.mine.append(place)
            else:
                where.theirs.append(self._teams.of(who) << BOARD_BITS | place)
        return where

    def _number_windows(self, day: Any) -> list[int]:  # noqa: ANN401
        return [self._windows.of(each) for each in windows(_day(day))]


class _Counted:
    """Places at which points count: for the supporter, and each with its team for teams."""

    __slots__ = ("mine", "theirs")

    def __init__(self) -> None:
        self.mine: list[int] = []
        self.theirs: list[int] = []


def _amounts() -> defaultdict[int, int]:
    return defaultdict(int)


class _Numbers(Generic[T]):
    """Numbers things in the order in which they come; ``named`` are the things."""

    def __init__(self) -> None:
        self.named: list[T] = []
        self._numbers: dict[T, int] = {}

    def of(self, thing: T) -> int:
        """Return the number of a thing."""
        number = self._numbers.setdefault(thing, len(self.named))
        if number == len(self.named):
            self.named.append(thing)
        return number


def _rows(connection: Connection, entries: Table, standing: Conditions) -> Iterator[Any]:
    """Yield the columns as the driver gives them, in order of the supporter.

    Sorted: to follow the index of supporters, which an expression prevents, takes SQLite three times as long.
    """
    raw = (sa.type_coerce(entries.c[name], NullType()).label(name) for name in COLUMNS)
    in_order = sa.case((sa.true(), entries.c.supporter))
    return _each(connection, sa.select(*raw).where(*standing).order_by(in_order))


def _each(connection: Connection, query: sa.Executable) -> Iterator[Any]:
    with connection.execute(query, execution_options={"yield_per": PAGE}) as result:
        for page in result.partitions():
            yield from page


@functools.lru_cache(maxsize=REMEMBERED)
def _chapters(given: str | None) -> tuple[UUID, ...]:
    return read_ids(_ids.decode(given)) if given else ()


def _id(given: UUID | str) -> UUID:
    return given if isinstance(given, UUID) else UUID(given)


def _day(given: date | str) -> date:
    return given if isinstance(given, date) else date.fromisoformat(given)
