"""How far digests told: each goes on where the last one that went out ended.

A restored store knows that by its history alone, for an archive holds no mails.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from history.statements import Shape, select_among, upsert, uuid_of
from notifications.outbox import State
from notifications.tables import digest_ranges, outbox
from projections.subscriptions import Subscriptions
from projections.views import Views

Told = tuple[int, int | None]
"""(up to which position the supporter's digests told, the rank they told)."""

_TOLD: Final = "SELECT supporter, position, rank FROM digest_ranges"
_TELL: Final = Shape(sets=("position", "rank", "at"))
_FURTHER: Final = "WHERE digest_ranges.position < excluded.position"


def told(connection: Connection, supporters: Iterable[UUID]) -> dict[UUID, Told]:
    """Return how far the digests of each of the supporters told; those who had none are not in it."""
    rows = select_among(connection, _TOLD, digest_ranges.c.supporter, supporters)
    return {uuid_of(supporter): (position, rank) for supporter, position, rank in rows}


def known(views: Views, supporters: Sequence[UUID]) -> dict[UUID, Told]:
    """Return the same; of those of whom nothing is noted, what the history says, without a rank."""
    noted = told(views.connection, supporters)
    missing = [supporter for supporter in supporters if supporter not in noted]
    if not missing:
        return noted
    recorded = views[Subscriptions].told_to(views.connection, missing)
    return {**noted, **{supporter: (min(to, views.position), None) for supporter, to in recorded.items()}}


def tell(connection: Connection, rows: Sequence[Any], now: datetime) -> None:
    """Note how far digests told that went out, rows of the outbox; one that comes late takes nothing back.

    One that begins where something came back that is to be told before it does not count: the next tells it all.
    """
    noted = told(connection, [row.supporter for row in rows])
    values = [
        (row.supporter, row.to_position, row.rank, now)
        for row in rows
        if row.to_position is not None and not _leaves_out(row, noted.get(row.supporter))
    ]
    if values:
        statement = upsert(digest_ranges, _TELL, connection.dialect)
        replace(statement, sql=f"{statement.sql} {_FURTHER}").execute(connection, values)


def take_back(connection: Connection, row: Any, now: datetime) -> None:  # noqa: ANN401 - a row of the outbox
    """Let the next digest tell what this one told, which did not arrive, and all since; nothing where another told it.

    Of several that come back, whatever the order, the next goes on where the oldest began.
    """
    if row.from_position is None or _told_again(connection, row):
        return
    further = digest_ranges.c.supporter == row.supporter, digest_ranges.c.position > row.from_position
    values = {"position": row.from_position, "rank": None, "at": now}
    connection.execute(digest_ranges.update().where(*further).values(**values))


def _told_again(connection: Connection, row: Any) -> bool:  # noqa: ANN401 - a row of the outbox
    """Tell whether another digest told the range too, of which nothing came back."""
    another = outbox.c.supporter == row.supporter, outbox.c.kind == row.kind, outbox.c.id != row.id
    arrived = outbox.c.state == str(State.ACCEPTED), outbox.c.returned.is_(None)
    all_of_it = outbox.c.from_position <= row.from_position, outbox.c.to_position >= row.to_position
    found = sa.select(outbox.c.id).where(*another, *arrived, *all_of_it).limit(1)
    return connection.scalar(found) is not None


def _leaves_out(row: Any, noted: Told | None) -> bool:  # noqa: ANN401 - a row of the outbox
    return noted is not None and row.from_position is not None and row.from_position > noted[0]
