"""Who is due now: a question to a read model and the outbox, the same answer however often asked.

The read model (projections/subscriptions.py) keeps for each supporter the moment when the next digest falls due, with
an index: the question costs what is due, not how many supporters there are. It learns of a digest when its outcome is
in the history; what is planned since then, the outbox says.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.schedule import Frequency, Period, Told, Wish, key_of, latest
from notifications.outbox import WAITING, Kind, Planned
from notifications.tables import outbox
from projections.subscriptions import Subscriptions, standing
from projections.views import Views

KINDS: Final = (Subscriptions,)
"""The read model that is asked."""

PAGE: Final = 2_000
QUERY: Final = 500
RECENTLY: Final = range(-3, 2)
"""Days from today, within which what is planned may not have come back by the history."""


def due(views: Views, now: datetime, *, astray: bool = False) -> Iterator[list[Planned]]:
    """Yield, page by page, the digests that have fallen due and are not planned yet; no page is empty.

    Only for those with a confirmed address who consented before the digest fell due. Memory holds one page. With
    ``astray`` what lies ahead of now was told by a clock that was wrong, and has not been; that cannot be told from a
    clock that is behind, so somebody must say it.
    """
    return pages(lambda: nullcontext(views), now, astray=astray)


def pages(
    opened: Callable[[], AbstractContextManager[Views]], now: datetime, *, astray: bool = False
) -> Iterator[list[Planned]]:
    """Yield the same, each page from views of its own, closed before it: SQLite's log grows while one stays open."""
    periods: dict[Wish, Period | None] = {}
    questions = [(Subscriptions.due, "next_at"), (Subscriptions.ahead, "counted_from")]
    for ask, name in questions if astray else questions[:1]:
        after: tuple[datetime, UUID] | None = None
        while True:
            with opened() as views:
                rows = ask(views[Subscriptions], views.connection, now, after=after, limit=PAGE)
                page = _page(views.connection, rows, periods, now, astray=astray)
            if not rows:
                break
            after = getattr(rows[-1], name), rows[-1].supporter
            if page:
                yield page


def _page(
    connection: Connection, rows: Sequence[Any], periods: dict[Wish, Period | None], now: datetime, *, astray: bool
) -> list[Planned]:
    candidates = [(row, period) for row in rows if (period := _period(row, periods, now)) is not None]
    planned = _planned(connection, candidates, now)
    return [
        Planned(Kind.DIGEST, row.supporter, period.key, period.due_at)
        for row, period in candidates
        if _allowed(row, period, planned.get(row.supporter, ()), now if astray else None)
    ]


def waiting(connection: Connection, now: datetime) -> int:
    """Return how many digests are planned and wait to be sent."""
    return connection.scalar(sa.select(sa.func.count()).select_from(outbox).where(*_waits(now))) or 0


def who_waits(connection: Connection, now: datetime) -> Iterator[Sequence[UUID]]:
    """Yield, page by page, whose digests these are."""
    last: UUID | None = None
    query = sa.select(outbox.c.id, outbox.c.supporter).where(*_waits(now)).order_by(outbox.c.id).limit(PAGE)
    while rows := connection.execute(query if last is None else query.where(outbox.c.id > last)).all():
        last = rows[-1].id
        yield [row.supporter for row in rows]


def _waits(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return outbox.c.kind == str(Kind.DIGEST), outbox.c.state.in_(WAITING), outbox.c.not_before <= now


def _period(row: Any, periods: dict[Wish, Period | None], now: datetime) -> Period | None:  # noqa: ANN401 - of subscriptions
    wish = Wish(row.frequency, row.weekday, row.hour, row.time_zone)
    if wish not in periods:
        periods[wish] = latest(wish, now)
    return periods[wish]


def _allowed(row: Any, period: Period, planned: Sequence[Told], now: datetime | None) -> bool:  # noqa: ANN401 - a row of subscriptions
    """Tell whether a period may be told after what was told up to a moment, and after each that was planned since."""
    person = standing(row)
    bounds = person.bounds if now is None else person.bounds.at(now)
    return bounds.allow(person.wish, period) and all(
        replace(bounds, told=told).allow(person.wish, period) for told in planned
    )


def _planned(connection: Connection, candidates: Sequence[tuple[Any, Period]], now: datetime) -> dict[UUID, list[Told]]:
    """Return what is planned lately, by supporter; and what is planned for the periods at hand."""
    recent = [now.date() + timedelta(days=days) for days in RECENTLY]
    names = {key_of(frequency, day) for frequency in Frequency if frequency != Frequency.OFF for day in recent}
    periods = sorted(names | {period.key for _, period in candidates})
    found: dict[UUID, list[Told]] = {}
    for start in range(0, len(candidates), QUERY):
        query = sa.select(outbox.c.supporter, outbox.c.period, outbox.c.due_at).where(
            outbox.c.supporter.in_([row.supporter for row, _ in candidates[start : start + QUERY]]),
            outbox.c.kind == str(Kind.DIGEST),
            outbox.c.period.in_(periods),
        )
        for row in connection.execute(query):
            found.setdefault(row.supporter, []).append(Told(row.period, row.due_at))
    return found
