"""Scoring all history anew: by rules that were published for it, supporter by supporter."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Table

from history.statements import insert
from projections.ledger import Happening, Rules, Scorer
from projections.totals import each_chapter

PERSONS: Final = 1_000
"""How many supporters are scored at a time."""


def score_anew(connection: Connection, entries: Table, rules: Rules, stood: range) -> None:
    """Write what stood at some positions anew by the rules, at the position after them.

    Values stay as the driver gives them: to read and write them as our types would take most of the time.
    """
    into = insert(entries, tuple(entries.c.keys()), connection.dialect)
    into = replace(into, processors=[None] * len(into.processors))
    written = 0
    for first, last in _persons(connection, entries):
        own = [entries.c.supporter.between(first, last), entries.c.position.between(stood.start, stood.stop - 1)]
        scorer = Scorer(rules)
        rows = [
            (stood.stop, written + number, where[0], of, *where[1:4], points, rules.version, *where[4:])
            for number, (where, of, points) in enumerate(
                scored for row in _happenings(connection, entries, own) for scored in scorer.score(row)
            )
        ]
        if rows:
            into.execute(connection, rows)
        written += len(rows)


def _persons(connection: Connection, entries: Table) -> Iterator[tuple[UUID, UUID]]:
    """Yield the first and the last of so many supporters after the other."""
    column = entries.c.supporter
    query = sa.select(column).distinct().order_by(column).limit(PERSONS)
    last: UUID | None = None
    while page := connection.scalars(query if last is None else query.where(column > last)).all():
        last = page[-1]
        yield page[0], last


def _happenings(connection: Connection, entries: Table, own: Sequence[sa.ColumnElement[bool]]) -> Iterator[Happening]:
    """Yield the happenings of some supporters, each one's in order of history, with values as the driver gives them."""
    columns: list[Any] = [sa.type_coerce(entries.c[name], sa.types.NullType()) for name in Happening._fields]
    query = sa.select(*columns).where(*own, entries.c.of.is_(None)).order_by(entries.c.supporter, entries.c.event)
    yield from map(Happening._make, connection.execute(query))


def write_teams(connection: Connection, entries: Table, teams: Table, *among: sa.ColumnElement[bool]) -> None:
    """Write into the list of what counts for each team which entries do, of all or of these."""
    entry = entries.c
    counts = *among, entry.points != 0
    chapter, rows = each_chapter(entries, connection.dialect.name)
    of_chapters = sa.select(chapter, entry.position, entry.number).select_from(rows)
    of_partnerships = sa.select(entry.partnership, entry.position, entry.number).where(entry.partnership.is_not(None))
    for query in (of_chapters.where(entry.chapters.is_not(None)), of_partnerships):
        connection.execute(teams.insert().from_select(["team", "position", "number"], query.where(*counts)))
