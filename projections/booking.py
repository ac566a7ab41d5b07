"""Writing the score ledger: entries, and what counts for a team."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table

from history.statements import insert, run
from history.tables import moment_text
from projections.ledger import Entry, Happening, Scorer, row_of, write_ids
from projections.projection import texts_as_json


class Booking:
    """Writes into the ledger and into the list of what counts for each team."""

    def __init__(self, connection: Connection, entries: Table, teams: Table) -> None:
        self._connection = connection
        self._entries = insert(entries, tuple(entries.c.keys()), connection.dialect)
        self._teams = insert(teams, tuple(teams.c.keys()), connection.dialect)

    def write(self, entries: Sequence[Entry]) -> None:
        """Write entries of any kind."""
        if entries:
            self._entries.execute(self._connection, [row_of(entry) for entry in entries])
        scored = [entry for entry in entries if entry.points]
        self._for_teams([(team, one.position, one.number) for one in scored for team in _teams(one.happening)])

    def write_plain(self, scorer: Scorer, happenings: Sequence[Happening]) -> None:
        """Score happenings of supporters from whom nothing is taken back, and write their entries, on SQLite.

        They are nearly all of what is folded in bulk, and cost half of what ``score`` and ``write`` take for the same.
        """
        if not happenings:
            return
        scored = [(each, scorer.points_of(each)) for each in happenings]
        run(self._connection, self._entries.sql, list(_plain(scored, scorer.rules.version)), many=True)
        self._for_teams([(team, each.event, 0) for each, points in scored if points for team in _teams(each)])

    def _for_teams(self, counted: Sequence[tuple[UUID, int, int]]) -> None:
        if counted:
            self._teams.execute(self._connection, counted)


def _teams(happening: Happening) -> tuple[UUID, ...]:
    """Return the chapters and the partnership for which it counts."""
    partnership = happening.partnership
    return happening.chapters if partnership is None else (*happening.chapters, partnership)


def _plain(scored: Iterable[tuple[Happening, int]], version: int) -> Iterator[tuple[Any, ...]]:
    """Yield what ``row_of`` returns for each, as SQLite's driver takes it."""
    for happening, points in scored:
        event, supporter, stream, topic, occurred_at, day, campaign, chapters, partnership = happening
        yield (
            event,
            0,
            event,
            None,
            f"{supporter.int:032x}",
            f"{stream.int:032x}",
            topic,
            points,
            version,
            moment_text(occurred_at),
            day.isoformat(),
            None if campaign is None else f"{campaign.int:032x}",
            _ids(chapters) if chapters else None,
            None if partnership is None else f"{partnership.int:032x}",
        )


@functools.lru_cache(maxsize=4_096)
def _ids(ids: tuple[UUID, ...]) -> str:
    return texts_as_json(write_ids(ids) or ())
