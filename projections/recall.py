"""What the score ledger must recall before a batch is scored: what streams gave, and what capped days already have."""

from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Table

from projections.ledger import Happening, Scorer, recalled

PERSONS: Final = 200
"""How many supporters one query names."""


class Recall:
    """Reads those entries of the ledger for which the condition ``standing`` holds: that they count."""

    def __init__(self, connection: Connection, entries: Table, standing: sa.ColumnElement[bool]) -> None:
        self._connection, self._entries, self._standing = connection, entries, standing

    def given(self, scorer: Scorer, taking: Sequence[Happening]) -> None:
        """Fetch what the streams gave whose points these happenings take back."""
        entry = self._entries.c
        for start in range(0, len(taking), PERSONS):
            part = taking[start : start + PERSONS]
            these = entry.stream.in_({happening.stream for happening in part})
            query = sa.select(self._entries).where(these).order_by(entry.position, entry.number)
            scorer.given.update(recalled(self._of({happening.supporter for happening in part}, query)))

    def days(self, scorer: Scorer, happenings: Sequence[Happening]) -> None:
        """Fetch how many points the supporters have on the days of these happenings, where there is a cap."""
        if scorer.rules.daily_cap is None or not happenings:
            return
        entry, days = self._entries.c, [happening.day for happening in happenings]
        between = entry.day.between(min(days), max(days))
        query = sa.select(entry.supporter, entry.day, entry.points).where(between)
        for row in self._of({happening.supporter for happening in happenings}, query):
            key = (row.supporter, row.day)
            scorer.days[key] = scorer.days.get(key, 0) + row.points

    def _of(self, supporters: set[UUID], query: sa.Select[Any]) -> Iterator[Any]:
        entry, ordered = self._entries.c, sorted(supporters)
        query = query.where(self._standing, entry.points != 0)
        for start in range(0, len(ordered), PERSONS):
            yield from self._connection.execute(query.where(entry.supporter.in_(ordered[start : start + PERSONS])))
