"""Summing up the whole score ledger at once: read in order, so that it takes no memory for supporters."""

import functools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, Table
from sqlalchemy.types import NullType

from projections.boards import Key, Window, board_id, counted_on, places, windows
from projections.ledger import read_ids

PAGE: Final = 5_000
REMEMBERED: Final = 4_096
WINDOW_BITS: Final = 32

Conditions = Sequence[sa.ColumnElement[bool]]

_ids = msgspec.json.Decoder(list[str])


def of_supporters(
    connection: Connection, entries: Table, standing: Conditions
) -> Iterator[tuple[int, UUID | str, int]]:
    """Yield (number of board, supporter as the driver has it, hundredths) for all boards on which supporters stand."""
    numbers = _Numbers()
    rows = _rows(connection, entries, standing, "supporter", "campaign", "chapters", "day", "points")
    for supporter, own in groupby(rows, key=itemgetter(0)):
        points_on: dict[int, int] = {}
        for _, campaign, chapters, day, points in own:
            for board in numbers.boards(campaign, chapters, day):
                if board in points_on:
                    points_on[board] += points
                else:
                    points_on[board] = points
        for board, points in points_on.items():
            yield board, supporter, points


class _Numbers:
    """Finds the numbers of boards by small numbers for places and windows, which are quick to look up."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, UUID], int] = {}
        self._windows: dict[tuple[str, date], int] = {}
        self._boards: dict[int, int] = {}
        self._lately: dict[Any, list[int]] = {}
        self._of_circumstances = functools.lru_cache(maxsize=REMEMBERED)(self._number_places)
        self._of_day = functools.lru_cache(maxsize=REMEMBERED)(self._number_windows)

    def boards(self, campaign: Any, chapters: Any, day: Any) -> Sequence[int]:  # noqa: ANN401 - as the driver gives them
        """Return the numbers of the boards on which a supporter gets points of these circumstances."""
        circumstances = (campaign, chapters, day)
        found = self._lately.get(circumstances)
        if found is None:
            if len(self._lately) > REMEMBERED:
                self._lately.clear()
            found = self._lately[circumstances] = self._find(campaign, chapters, day)
        return found

    def _find(self, campaign: Any, chapters: Any, day: Any) -> list[int]:  # noqa: ANN401
        boards, of_day, found = self._boards, self._of_day(day), []
        for place, own in self._of_circumstances(campaign, chapters):
            for window, number in of_day:
                key = own | number
                board = boards.get(key)
                if board is None:
                    board = boards[key] = board_id((*place, *window))
                found.append(board)
        return found

    def _number_places(self, campaign: Any, chapters: Any) -> list[tuple[tuple[str, UUID], int]]:  # noqa: ANN401
        person = UUID(int=1)
        own = places(person, campaign and _id(campaign), _chapters(chapters), None)
        found = [(scope, scope_id) for scope, scope_id, entity in own if entity == person]
        return [(place, self._places.setdefault(place, len(self._places)) << WINDOW_BITS) for place in found]

    def _number_windows(self, day: Any) -> list[tuple[tuple[str, date], int]]:  # noqa: ANN401
        return [(each, self._windows.setdefault(each, len(self._windows))) for each in windows(_day(day))]


@dataclass
class Others:
    """What else boards come to: ``entries`` that count on each, and points of ``teams`` by (number of board, team)."""

    entries: defaultdict[Key, int] = field(default_factory=lambda: defaultdict(int))
    teams: defaultdict[tuple[int, UUID], int] = field(default_factory=lambda: defaultdict(int))

    def add(self, counted: Sequence[tuple[Key, int, UUID | None]], count: int, points: int) -> None:
        """Count entries on boards, and points of teams."""
        for key, board, team in counted:
            self.entries[key] += count
            if team is not None:
                self.teams[board, team] += points


def of_others(connection: Connection, entries: Table, standing: Conditions) -> Others:
    """Return the entries that count on all boards, and the points of the teams."""
    found, few = Others(), len(Window)  # the first boards that anything counts on are those of the movement
    for campaign, day, count, _ in _by_day(connection, entries.c.campaign, standing):
        for key, _, _ in counted_on(campaign and _id(campaign), (), None, day):
            found.entries[key] += count
    for chapters, day, count, points in _by_day(connection, entries.c.chapters, standing):
        found.add(counted_on(None, _chapters(chapters), None, day)[few:], count, points)
    for partnership, day, count, points in _by_day(connection, entries.c.partnership, standing):
        found.add(counted_on(None, (), partnership and _id(partnership), day)[few:], count, points)
    return found


def _by_day(
    connection: Connection, column: sa.Column[Any], standing: Conditions
) -> Iterator[tuple[Any, date, int, int]]:
    """Yield (value as the driver gives it, day, how many entries, their points)."""
    entries = column.table
    day, points = entries.c.day, sa.cast(sa.func.sum(entries.c.points), sa.BigInteger)
    query = sa.select(sa.type_coerce(column, NullType()), day, sa.func.count(), points)
    return _each(connection, query.where(*standing).group_by(column, day))


def _rows(connection: Connection, entries: Table, standing: Conditions, *names: str) -> Iterator[Any]:
    """Yield columns as the driver gives them, in order of the first of them."""
    raw = (sa.type_coerce(entries.c[name], NullType()).label(name) for name in names)
    return _each(connection, sa.select(*raw).where(*standing).order_by(entries.c[names[0]]))


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
