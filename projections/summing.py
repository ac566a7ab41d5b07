"""Summing up the whole score ledger at once: read in order, so that it takes no memory for supporters."""

import functools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, Table
from sqlalchemy.types import NullType

from projections.boards import NOWHERE, Key, board_id, places, windows
from projections.ledger import read_ids

PAGE: Final = 5_000
REMEMBERED: Final = 4_096
LATELY: Final = 16_384
"""Of so many circumstances the boards are at hand."""
WINDOW_BITS: Final = 32
COLUMNS: Final = ("supporter", "points", "campaign", "chapters", "partnership", "day")

Conditions = Sequence[sa.ColumnElement[bool]]
Place = tuple[str, UUID]
Circumstances = tuple[Any, Any, Any, Any]
"""Campaign, chapters, partnership and day, as the driver gives them."""

_ids = msgspec.json.Decoder(list[str])


class Sums:
    """What boards come to: how many ``entries`` count on each, and the points of ``teams``, by (number, team).

    Both are complete when ``of_supporters`` has come to its end; ``keys`` tells the boards by their numbers.
    """

    def __init__(self) -> None:
        self.keys: dict[int, Key] = {}
        self.entries: defaultdict[int, int] = defaultdict(int)
        self.teams: defaultdict[tuple[int, UUID], int] = defaultdict(int)
        self._places: dict[Place, int] = {}
        self._windows: dict[tuple[str, date], int] = {}
        self._boards: dict[int, int] = {}
        self._lately: dict[Circumstances, _Counted] = {}
        self._of_circumstances = functools.lru_cache(maxsize=REMEMBERED)(self._number_places)
        self._of_day = functools.lru_cache(maxsize=REMEMBERED)(self._number_windows)

    def of_supporters(
        self, connection: Connection, entries: Table, standing: Conditions
    ) -> Iterator[tuple[int, UUID | str, int]]:
        """Yield (number of board, supporter as the driver has it, hundredths) for all boards on which they stand."""
        rows = _rows(connection, entries, standing)
        for supporter, own in groupby(rows, key=itemgetter(0)):
            points_on: dict[int, int] = {}
            for _, points, campaign, chapters, partnership, day in own:
                where = (campaign, chapters, partnership, day)
                counted = self._lately.get(where) or self._remember(where)
                counted.entries += 1
                counted.points += points
                for board in counted.boards:
                    if board in points_on:
                        points_on[board] += points
                    else:
                        points_on[board] = points
            for board, points in points_on.items():
                yield board, supporter, points
        self._add()

    def _remember(self, where: Circumstances) -> "_Counted":
        if len(self._lately) >= LATELY:
            self._add()
        counted = self._lately[where] = _Counted(*self._find(where))
        return counted

    def _add(self) -> None:
        """Add what was counted lately, and forget it."""
        for counted in self._lately.values():
            for board in counted.boards:
                self.entries[board] += counted.entries
            for board, team in counted.teams:
                self.entries[board] += counted.entries
                self.teams[board, team] += counted.points
        self._lately.clear()

    def _find(self, where: Circumstances) -> tuple[list[int], list[tuple[int, UUID]]]:
        """Return the boards on which the supporter gets points, and those on which teams do.

        Small numbers for places and windows are quicker to look up than the boards' keys.
        """
        *circumstances, day = where
        boards, of_day, found, teams = self._boards, self._of_day(day), list[int](), list[tuple[int, UUID]]()
        for place, own, team in self._of_circumstances(*circumstances):
            for window, number in of_day:
                board = boards.get(own | number)
                if board is None:
                    key = (*place, *window)
                    board = boards[own | number] = board_id(key)
                    self.keys[board] = key
                if team is None:
                    found.append(board)
                else:
                    teams.append((board, team))
        return found, teams

    def _number_places(self, campaign: Any, chapters: Any, partnership: Any) -> list[tuple[Place, int, UUID | None]]:  # noqa: ANN401
        own = places(NOWHERE, campaign and _id(campaign), _chapters(chapters), partnership and _id(partnership))
        return [
            ((scope, scope_id), self._place(scope, scope_id), None if who == NOWHERE else who)
            for scope, scope_id, who in own
        ]

    def _place(self, scope: str, scope_id: UUID) -> int:
        return self._places.setdefault((scope, scope_id), len(self._places)) << WINDOW_BITS

    def _number_windows(self, day: Any) -> list[tuple[tuple[str, date], int]]:  # noqa: ANN401
        return [(each, self._windows.setdefault(each, len(self._windows))) for each in windows(_day(day))]


class _Counted:
    """The boards that points of the same circumstances count on, and what was counted of such."""

    __slots__ = ("boards", "entries", "points", "teams")

    def __init__(self, boards: Sequence[int], teams: Sequence[tuple[int, UUID]]) -> None:
        self.boards, self.teams = boards, teams
        self.entries = self.points = 0


def _rows(connection: Connection, entries: Table, standing: Conditions) -> Iterator[Any]:
    """Yield the columns named as the driver gives them, in order of the first of them."""
    raw = (sa.type_coerce(entries.c[name], NullType()).label(name) for name in COLUMNS)
    return _each(connection, sa.select(*raw).where(*standing).order_by(entries.c[COLUMNS[0]]))


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
