"""How the mails stand: what became of them, what waits and for how long, and what somebody must decide."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from notifications import messages
from notifications.outbox import FINAL, HELD, WAITING, State
from notifications.runs import latest
from notifications.tables import WITH_REASON, outbox

DAY: Final = timedelta(days=1)
SPANS: Final[dict[str, timedelta | None]] = {"day": DAY, "week": timedelta(days=7), "all": None}
"""Over what outcomes are counted: the last 24 hours, the last 7 days, ever."""

EXPLAINED: Final = (State.SUPPRESSED, State.REFUSED)
"""The states whose reasons are counted."""
UNDER_WAY: Final = (*HELD, State.TRANSMITTING)


@dataclass(frozen=True)
class Outcomes:
    """What became of the mails that ended within some time; what came back of those sent counts as sent too."""

    accepted: int = 0
    refused: int = 0
    unknown: int = 0
    suppressed: int = 0
    bounced: int = 0
    undelivered: int = 0
    """Given up by a server on its way, for now; another mail may arrive."""
    blocked: int = 0
    """Refused by a server that takes nothing of ours, or not this; no fault of the address."""
    complained: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    """Of those suppressed, by reason."""
    refusals: dict[str, int] = field(default_factory=dict)
    """Of those refused, by reason."""

    def counts(self) -> dict[str, int]:
        """Return the counts by outcome."""
        return {name: value for name, value in vars(self).items() if isinstance(value, int)}


@dataclass(frozen=True)
class Waiting:
    """What is yet to be sent: ``waiting`` for its turn, of it ``deferred`` for another attempt; ``under_way`` now."""

    waiting: int = 0
    deferred: int = 0
    under_way: int = 0
    oldest: datetime | None = None
    """Since when the first of these has waited."""


@dataclass(frozen=True)
class Unsettled:
    """A mail of which nobody knows whether it went out, and nobody has said yet what shall become of it."""

    id: UUID
    kind: str
    supporter: UUID
    period: str
    since: datetime
    attempts: int
    kept: bool
    """Whether its message is still kept, so that it could be sent again."""


@dataclass(frozen=True)
class Run:
    """What became of one run."""

    started_at: datetime
    finished_at: datetime | None
    planned: int
    counts: dict[str, int]
    trouble: str | None


def outcomes(connection: Connection, since: datetime | None = None) -> Outcomes:
    """Count the mails that ended, or that ended since a moment."""
    found, reasons, refusals = Counter[str](), Counter[str](), Counter[str]()
    for returned, reason, state, number in _ever(connection) if since is None else _since(connection, since):
        if state in FINAL:
            found[state] += number
        if returned is not None:
            found[returned] += number
        if state == State.SUPPRESSED:
            reasons[reason or "other"] += number
        if state == State.REFUSED:
            refusals[reason or "other"] += number
    return Outcomes(**found, reasons=dict(sorted(reasons.items())), refusals=dict(sorted(refusals.items())))


Counted = tuple[str | None, str | None, str | None, int]
"""How many mails have (what came back, why, the state); a state that is None was counted before."""


def _since(connection: Connection, since: datetime) -> Iterable[Counted]:
    # In another order SQLite would scan its index of states, whatever the moment.
    columns = outbox.c.returned, outbox.c.reason, outbox.c.state
    query = sa.select(*columns, sa.func.count()).where(outbox.c.changed_at >= since).group_by(*columns)
    return (tuple(row) for row in connection.execute(query))


def _ever(connection: Connection) -> Iterator[Counted]:
    """Count by indices alone, without reading what was ever sent."""
    state, reason, returned, number = outbox.c.state, outbox.c.reason, outbox.c.returned, sa.func.count()
    for name, count in connection.execute(sa.select(state, number).group_by(state)):
        if name not in EXPLAINED:
            yield None, None, name, count
    # As text, for a database must see that an index of only these will do.
    explained = sa.select(reason, state, number).where(WITH_REASON).group_by(state, reason)
    for why, name, count in connection.execute(explained):
        yield None, why, name, count
    came_back = sa.select(returned, number).where(returned.is_not(None)).group_by(returned)
    for verdict, count in connection.execute(came_back):
        yield verdict, None, None, count


def waiting(connection: Connection) -> Waiting:
    """Count what is yet to be sent."""
    query = (
        sa.select(outbox.c.state, sa.func.count().label("number"), sa.func.min(outbox.c.planned_at).label("oldest"))
        .where(outbox.c.state.in_((*WAITING, *UNDER_WAY)))
        .group_by(outbox.c.state)
    )
    rows = {row.state: row for row in connection.execute(query)}
    numbers = {state: row.number for state, row in rows.items()}
    return Waiting(
        waiting=sum(numbers.get(state, 0) for state in WAITING),
        deferred=numbers.get(State.DEFERRED, 0),
        under_way=sum(numbers.get(state, 0) for state in UNDER_WAY),
        oldest=min((row.oldest for state, row in rows.items() if state in WAITING), default=None),
    )


def unsettled(connection: Connection, limit: int | None = None) -> list[Unsettled]:
    """Return the mails that are held because nobody knows whether they went out, the newest first."""
    query = (
        sa.select(outbox)
        .where(outbox.c.state == str(State.UNKNOWN))
        .order_by(outbox.c.changed_at.desc(), outbox.c.id)
        .limit(limit)
    )
    rows = connection.execute(query).all()
    kept = messages.known(connection, [row.id for row in rows])
    return [
        Unsettled(row.id, row.kind, row.supporter, row.period, row.changed_at, row.attempts, row.id in kept)
        for row in rows
    ]


def count_unsettled(connection: Connection) -> int:
    """Return how many mails are held for that reason."""
    query = sa.select(sa.func.count()).where(outbox.c.state == str(State.UNKNOWN))
    return connection.scalar(query) or 0


def runs(connection: Connection, limit: int) -> Sequence[Run]:
    """Return the last runs, the newest first."""
    return [_run(row) for row in latest(connection, limit)]


def _run(row: Any) -> Run:  # noqa: ANN401 - a row of mail_runs
    return Run(row.started_at, row.finished_at, row.planned, json.loads(row.counts), row.trouble)
