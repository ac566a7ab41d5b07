"""Who is due now: a question to the read model of supporters and the outbox, the same answer however often asked."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.schedule import Period, Wish, latest
from domain.subscriptions import DIGEST
from notifications.outbox import WAITING, Kind, Planned
from notifications.tables import outbox
from projections.supporters import Supporters
from projections.views import Views

PAGE: Final = 2_000
QUERY: Final = 500


def due(views: Views, now: datetime) -> Iterator[list[Planned]]:
    """Yield, page by page, the digests that have fallen due and are not planned yet.

    Only for those with a confirmed address who consented before the digest fell due.
    """
    periods: dict[Wish, Period | None] = {}
    for rows in _willing(views):
        page = []
        for row in rows:
            wish = Wish(row.digest_frequency, row.digest_weekday, row.digest_hour, row.time_zone)
            if wish not in periods:
                periods[wish] = latest(wish, now)
            period = periods[wish]
            if period is not None and row.at <= period.due_at:
                page.append(Planned(Kind.DIGEST, row.id, period.key, period.due_at))
        yield _unplanned(views.connection, page)


def waiting(connection: Connection, now: datetime) -> int:
    """Return how many digests are planned and wait to be sent."""
    query = sa.select(sa.func.count()).select_from(outbox)
    where = outbox.c.kind == str(Kind.DIGEST), outbox.c.state.in_(WAITING), outbox.c.not_before <= now
    return connection.scalar(query.where(*where)) or 0


def _willing(views: Views) -> Iterator[Sequence[Any]]:
    model = views[Supporters]
    who, consents = model.supporters.c, model.consents.c
    query = (
        sa.select(who.id, who.digest_frequency, who.digest_weekday, who.digest_hour, who.time_zone, consents.at)
        .join(model.consents, sa.and_(consents.supporter == who.id, consents.topic == DIGEST))
        .where(
            who.email_confirmed,
            who.erased_at.is_(None),
            consents.granted,
            sa.func.coalesce(who.digest_frequency, "weekly") != "off",
        )
        .order_by(who.id)
        .limit(PAGE)
    )
    last = None
    while rows := views.connection.execute(query if last is None else query.where(who.id > last)).all():
        yield rows
        last = rows[-1].id


def _unplanned(connection: Connection, page: list[Planned]) -> list[Planned]:
    known: set[tuple[Any, str]] = set()
    for start in range(0, len(page), QUERY):
        part = page[start : start + QUERY]
        query = sa.select(outbox.c.supporter, outbox.c.period).where(
            outbox.c.supporter.in_([one.supporter for one in part]),
            outbox.c.kind == str(Kind.DIGEST),
            outbox.c.period.in_(sorted({one.period for one in part})),
        )
        known.update((row.supporter, row.period) for row in connection.execute(query))
    return [one for one in page if (one.supporter, one.period) not in known]
