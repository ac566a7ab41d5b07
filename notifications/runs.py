"""What became of the last runs, and where mails stand."""

import json
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from notifications.outbox import State
from notifications.tables import mail_runs, outbox


def begin(connection: Connection, now: datetime, planned: int) -> UUID:
    """Note that a run began."""
    key = uuid.uuid4()
    connection.execute(mail_runs.insert().values(id=key, started_at=now, planned=planned, counts="{}"))
    return key


def end(connection: Connection, key: UUID, now: datetime, counts: dict[str, int], trouble: str | None) -> None:
    """Note what became of it."""
    values = {"finished_at": now, "counts": json.dumps(counts), "trouble": trouble}
    connection.execute(mail_runs.update().where(mail_runs.c.id == key).values(**values))


def latest(connection: Connection, limit: int) -> Sequence[Any]:
    """Return the last runs, the newest first."""
    return connection.execute(sa.select(mail_runs).order_by(mail_runs.c.started_at.desc()).limit(limit)).all()


def standing(connection: Connection) -> dict[str, int]:
    """Return how many mails are in each state; suppressed ones by reason, as ``suppressed: no_consent``."""
    query = sa.select(outbox.c.state, outbox.c.reason, sa.func.count()).group_by(outbox.c.state, outbox.c.reason)
    found: dict[str, int] = {}
    for state, reason, count in connection.execute(query.order_by(outbox.c.state, outbox.c.reason)):
        name = f"{state}: {reason}" if state == State.SUPPRESSED and reason else state
        found[name] = found.get(name, 0) + count
    return found
