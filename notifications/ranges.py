"""How far digests told: each goes on where the last one that went out ended.

A restored store knows that by its history alone, for an archive holds no mails.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from history.statements import Shape, select_among, upsert, uuid_of
from notifications.tables import digest_ranges
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
    """Note how far digests told that went out, rows of the outbox; one that comes late takes nothing back."""
    values = [(row.supporter, row.to_position, row.rank, now) for row in rows if row.to_position is not None]
    if values:
        statement = upsert(digest_ranges, _TELL, connection.dialect)
        replace(statement, sql=f"{statement.sql} {_FURTHER}").execute(connection, values)


def take_back(connection: Connection, row: Any, now: datetime) -> None:  # noqa: ANN401 - a row of the outbox
    """Let the next digest tell what this one told, which did not arrive; nothing where a later one went out already."""
    mine = digest_ranges.c.supporter == row.supporter, digest_ranges.c.position == row.to_position
    if row.from_position is not None:
        values = {"position": row.from_position, "rank": None, "at": now}
        connection.execute(digest_ranges.update().where(*mine).values(**values))
