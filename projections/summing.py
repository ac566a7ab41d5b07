"""Summing up the whole score ledger at once: read in order of supporter, so that it takes no memory for supporters."""

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

from projections.boards import Key, counted_on
from projections.ledger import read_ids

PAGE: Final = 5_000
CIRCUMSTANCES: Final = 50_000
"""How many different circumstances are summed up apart before they are put to their boards."""

_json = msgspec.json.Decoder(list[str])


@dataclass
class Sums:
    """What boards come to: ``entries`` that count on each, and the points of ``teams`` by (number of board, team)."""

    entries: defaultdict[Key, int] = field(default_factory=lambda: defaultdict(int))
    teams: defaultdict[tuple[int, UUID], int] = field(default_factory=lambda: defaultdict(int))

    def add(self, found: dict[Any, list[int]]) -> None:
        """Take in by circumstances (how many entries, how many points), and forget them."""
        for circumstances, (number, points) in found.items():
            for key, board, team in _counted_on(*circumstances):
                self.entries[key] += number
                if team is not None:
                    self.teams[board, team] += points
        found.clear()


def supporters(
    connection: Connection, entries: Table, standing: Sequence[sa.ColumnElement[bool]], sums: Sums
) -> Iterator[tuple[int, UUID, int]]:
    """Yield (number of board, supporter, hundredths of points); at the end ``sums`` has the rest."""
    found: dict[Any, list[int]] = {}
    for supporter, rows in groupby(_rows(connection, entries, standing), key=itemgetter(0)):
        points_on: dict[int, int] = {}
        for _, campaign, chapters, partnership, day, points in rows:
            circumstances = (campaign, chapters, partnership, day)
            for board in _own_boards(*circumstances):
                points_on[board] = points_on.get(board, 0) + points
            if circumstances in found:
                both = found[circumstances]
                both[0] += 1
                both[1] += points
            else:
                found[circumstances] = [1, points]
        key = _id(supporter)
        yield from ((board, key, points) for board, points in points_on.items())
        if len(found) > CIRCUMSTANCES:
            sums.add(found)
    sums.add(found)


def _rows(connection: Connection, entries: Table, standing: Sequence[sa.ColumnElement[bool]]) -> Iterator[Any]:
    """Yield (supporter, campaign, chapters, partnership, day, points) as the driver gives them."""
    names = ("supporter", "campaign", "chapters", "partnership", "day", "points")
    raw = (sa.type_coerce(entries.c[name], NullType()).label(name) for name in names)
    query = sa.select(*raw).where(*standing).order_by(entries.c.supporter)
    with connection.execute(query, execution_options={"yield_per": PAGE}) as result:
        yield from result


@functools.lru_cache(maxsize=65_536)
def _counted_on(
    campaign: UUID | str | None, chapters: str | None, partnership: UUID | str | None, day: date | str
) -> Sequence[tuple[Key, int, UUID | None]]:
    """Return on which boards points count whose circumstances are as the driver gave them."""
    return counted_on(
        campaign and _id(campaign),
        read_ids(_json.decode(chapters) if chapters else None),
        partnership and _id(partnership),
        day if isinstance(day, date) else date.fromisoformat(day),
    )


@functools.lru_cache(maxsize=65_536)
def _own_boards(*circumstances: Any) -> tuple[int, ...]:  # noqa: ANN401 - as the driver gave them
    """Return the numbers of the boards on which the supporter gets the points."""
    return tuple(board for _, board, team in _counted_on(*circumstances) if team is None)


def _id(given: UUID | str) -> UUID:
    return given if isinstance(given, UUID) else UUID(given)
