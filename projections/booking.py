"""Writing the score ledger: entries, and which of them count for a team."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Table

from history.statements import hexadecimal, insert, run
from history.tables import moment_text
from projections.ledger import Entry, Happening, Scorer, row_of, write_ids
from projections.projection import texts_as_json

PLAIN: Final = "?, 0, ?, NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
"""The values of an entry that takes nothing back: its position is that of its event, and its number is 0."""


class Booking:
    """Writes into the ledger."""

    def __init__(self, connection: Connection, entries: Table) -> None:
        self._connection, self._table = connection, entries
        self._entries = insert(entries, tuple(entries.c.keys()), connection.dialect)

    def write(self, entries: Sequence[Entry]) -> None:
        """Write entries of any kind."""
        if entries:
            self._entries.execute(self._connection, [row_of(entry) for entry in entries])

    def write_plain(self, scorer: Scorer, happenings: Sequence[Happening]) -> None:
        """Score happenings of supporters from whom nothing is taken back, and write their entries, on SQLite.

        They are nearly all of what is folded in bulk, and cost half of what ``score`` and ``write`` take for the same.
        """
        if not happenings:
            return
        scored = [(each, scorer.points_of(each)) for each in happenings]
        sql = f"INSERT INTO {self._table.name} VALUES ({PLAIN})"  # noqa: S608 - names
        run(self._connection, sql, list(_plain(scored, scorer.rules.version)), many=True)

    def write_for_teams(self, entries: Sequence[Entry], teams: Table) -> None:
        """Write into the list of what counts for each team which of the entries do."""
        scored = [entry for entry in entries if entry.points]
        if counted := [(team, one.position, one.number) for one in scored for team in _teams(one.happening)]:
            insert(teams, tuple(teams.c.keys()), self._connection.dialect).execute(self._connection, counted)


def _teams(happening: Happening) -> tuple[UUID, ...]:
    """Return the chapters and the partnership for which it counts."""
    partnership = happening.partnership
    return happening.chapters if partnership is None else (*happening.chapters, partnership)


def _plain(scored: Iterable[tuple[Happening, int]], version: int) -> Iterator[tuple[Any, ...]]:
    """Yield for each what ``row_of`` returns, as SQLite's driver takes it and PLAIN names it."""
    for happening, points in scored:
        event, supporter, stream, topic, occurred_at, day, campaign, chapters, partnership = happening
        yield (
            event,
            event,
            hexadecimal(supporter),
            hexadecimal(stream),
            topic,
            points,
            version,
            moment_text(occurred_at),
            day.isoformat(),
            None if campaign is None else hexadecimal(campaign),
            _ids(chapters) if chapters else None,
            None if partnership is None else hexadecimal(partnership),
        )


@functools.lru_cache(maxsize=4_096)
def _ids(ids: tuple[UUID, ...]) -> str:
    return texts_as_json(write_ids(ids) or ())
