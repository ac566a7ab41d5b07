"""The outbox: what shall be sent, once per supporter, kind and period, and what became of it.

States: pending → claimed → rendered → transmitting → accepted | deferred | refused | unknown, or suppressed. A row is
``transmitting`` in the store before the first byte goes out; if its claim ends in that state, nobody knows whether the
mail went out: it becomes ``unknown`` and is not sent again.
"""

import json
import random
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from domain.kernel import Sealed
from history.persons import Persons, associated, seal
from notifications.tables import digest_ranges, mail_runs, mail_tokens, outbox

CLAIM: Final = timedelta(minutes=15)
ATTEMPTS: Final = 8
FIRST_WAIT: Final = timedelta(minutes=5)
LONGEST_WAIT: Final = timedelta(hours=6)
KEPT: Final = timedelta(days=30)
"""How long the message of a finished row is kept."""

PART: Final = 500


class Kind(StrEnum):
    """What is sent; in this order when both wait."""

    CONFIRM = "confirm"
    DIGEST = "digest"


class State(StrEnum):
    """Where a row stands."""

    PENDING = "pending"
    CLAIMED = "claimed"
    RENDERED = "rendered"
    TRANSMITTING = "transmitting"
    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    SUPPRESSED = "suppressed"


WAITING: Final = (State.PENDING, State.DEFERRED)
HELD: Final = (State.CLAIMED, State.RENDERED)
SENT: Final = (State.ACCEPTED, State.UNKNOWN)
"""Where the mail went out, or may have."""
FINAL: Final = (State.ACCEPTED, State.REFUSED, State.UNKNOWN, State.SUPPRESSED)


@dataclass(frozen=True)
class Planned:
    """One mail to be sent."""

    kind: Kind
    supporter: UUID
    period: str
    due_at: datetime
    subject_version: int | None = None


def plan(connection: Connection, mails: Iterable[Planned], now: datetime, host: str) -> int:
    """Put mails into the outbox and return how many are new; an older digest that still waits gives way to a new one.

    What gives way is not lost: its range of history is told by the new one.
    """
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(outbox).on_conflict_do_nothing().returning(outbox.c.id, outbox.c.supporter)
    rows = [_new_row(mail, now, host) for mail in mails]
    new = 0
    for start in range(0, len(rows), PART):
        part = rows[start : start + PART]
        added = connection.execute(statement, part).all()
        new += len(added)
        digests = {row["id"] for row in part if row["kind"] == Kind.DIGEST} & {row.id for row in added}
        if digests:
            _give_way(connection, [row.supporter for row in added if row.id in digests], digests, now)
    return new


def _new_row(mail: Planned, now: datetime, host: str) -> dict[str, Any]:
    key = uuid.uuid4()
    return {
        "id": key,
        "kind": str(mail.kind),
        "supporter": mail.supporter,
        "period": mail.period,
        "state": str(State.PENDING),
        "message_id": f"<{key.hex}@{host}>",
        "due_at": mail.due_at,
        "not_before": mail.due_at,
        "subject_version": mail.subject_version,
        "attempts": 0,
        "planned_at": now,
        "changed_at": now,
    }


def _give_way(connection: Connection, supporters: Sequence[UUID], new: set[UUID], now: datetime) -> None:
    connection.execute(
        outbox.update()
        .where(
            outbox.c.supporter.in_(supporters),
            outbox.c.kind == str(Kind.DIGEST),
            outbox.c.state.in_(WAITING),
            outbox.c.id.not_in(new),
        )
        .values(state=str(State.SUPPRESSED), reason="superseded", mime=None, changed_at=now)
    )


def claim(connection: Connection, owner: str, now: datetime, limit: int) -> Sequence[Any]:
    """Take rows that may be sent now, so that nobody else does; the connection must be one that writes."""
    lost = sa.and_(outbox.c.state == str(State.TRANSMITTING), outbox.c.claimed_until < now)
    connection.execute(
        outbox.update()
        .where(lost)
        .values(state=str(State.UNKNOWN), reason="sender_died", claimed_by=None, changed_at=now)
    )
    free = sa.or_(
        sa.and_(outbox.c.state.in_(WAITING), outbox.c.not_before <= now),
        sa.and_(outbox.c.state.in_(HELD), outbox.c.claimed_until < now),
    )
    query = sa.select(outbox).where(free).order_by(outbox.c.kind, outbox.c.due_at, outbox.c.id).limit(limit)
    rows = connection.execute(query.with_for_update(skip_locked=True)).all()
    if rows:
        connection.execute(
            outbox.update()
            .where(outbox.c.id.in_([row.id for row in rows]))
            .values(state=str(State.CLAIMED), claimed_by=owner, claimed_until=now + CLAIM, changed_at=now)
        )
    return rows


STATE: Final = outbox.c.state


def one(row: UUID) -> sa.Select[Any]:
    """Return the query for one row."""
    return sa.select(outbox).where(outbox.c.id == row)


def move(connection: Connection, row: UUID, owner: str, state: State, now: datetime, **values: Any) -> bool:  # noqa: ANN401
    """Bring a claimed row into a state; tell whether it was still ours."""
    values |= {"state": str(state), "changed_at": now}
    if state not in (*HELD, State.TRANSMITTING):
        values |= {"claimed_by": None, "claimed_until": None}
    mine = outbox.c.id == row, outbox.c.claimed_by == owner
    return connection.execute(outbox.update().where(*mine).values(**values)).rowcount == 1


def name(row: Any) -> str:  # noqa: ANN401 - a row of the outbox
    """Return what the message of a row is called on its way, the same on every attempt."""
    return f"{row.kind}-{row.id}"


def wait_after(attempts: int) -> timedelta:
    """Return how long to wait after so many attempts: doubling, with jitter, at most six hours."""
    wait = min(FIRST_WAIT * 2.0 ** min(attempts - 1, 10), LONGEST_WAIT)
    return wait * random.uniform(0.8, 1.2)  # noqa: S311 - not for secrets


def freeze(connection: Connection, persons: Persons, row: Any, field: str, text: str) -> str | None:  # noqa: ANN401
    """Return a text of a row sealed under the person's key, None where there is no key any more."""
    key = persons.keys(connection, [row.supporter]).get(row.supporter)
    return None if key is None else seal(key, text, associated(row.id, 0, field))


def thaw(connection: Connection, persons: Persons, row: Any, field: str) -> str | None:  # noqa: ANN401
    """Return a frozen text of a row, None where there is none or the person was erased."""
    frozen = getattr(row, field)
    if frozen is None:
        return None
    (opened,) = persons.open(connection, [Sealed(row.supporter, row.id, 0, field, frozen)])
    return opened if isinstance(opened, str) else None


# --- how far digests told ---


def told(connection: Connection, supporter: UUID) -> tuple[int, int | None] | None:
    """Return (up to which position the supporter's digests told, the rank they told), None before the first."""
    row = connection.execute(sa.select(digest_ranges).where(digest_ranges.c.supporter == supporter)).first()
    return (row.position, row.rank) if row else None


def tell(connection: Connection, supporter: UUID, position: int, rank: int | None, now: datetime) -> None:
    """Note how far a digest told that went out."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    values = {"position": position, "rank": rank, "at": now}
    statement = dialect.insert(digest_ranges).values(supporter=supporter, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["supporter"], set_=values))


# --- forgetting ---


def forget(connection: Connection, supporter: UUID) -> dict[str, int]:
    """Purge what was to be sent to a person and the tokens of their links; return how much of each there was.

    That mails were sent stays countable.
    """
    own = outbox.c.supporter == supporter
    said = sa.or_(outbox.c.mime.is_not(None), outbox.c.last_error.is_not(None))
    bodies = connection.scalar(sa.select(sa.func.count()).where(own, outbox.c.mime.is_not(None))) or 0
    connection.execute(outbox.update().where(own, said).values(mime=None, last_error=None))
    unsent = own, outbox.c.state.in_((*WAITING, *HELD))
    none_claims_it = {"state": str(State.SUPPRESSED), "reason": "erased", "claimed_by": None}
    stopped = connection.execute(outbox.update().where(*unsent).values(**none_claims_it))
    links = connection.execute(mail_tokens.delete().where(mail_tokens.c.supporter == supporter))
    connection.execute(digest_ranges.delete().where(digest_ranges.c.supporter == supporter))
    return {"mail_bodies": bodies, "mails_stopped": stopped.rowcount, "mail_links": links.rowcount}


def of_person(connection: Connection, supporter: UUID) -> Sequence[Any]:
    """Return the rows of one person: ``id``, ``kind`` and ``state``."""
    query = sa.select(outbox.c.id, outbox.c.kind, outbox.c.state).where(outbox.c.supporter == supporter)
    return connection.execute(query).all()


def purge(connection: Connection, now: datetime) -> None:
    """Drop the messages of rows that are long finished."""
    old = outbox.c.state.in_(FINAL), outbox.c.mime.is_not(None), outbox.c.changed_at < now - KEPT
    connection.execute(outbox.update().where(*old).values(mime=None))


# --- runs ---


def begin_run(connection: Connection, now: datetime, planned: int) -> UUID:
    """Note that a run began."""
    key = uuid.uuid4()
    connection.execute(mail_runs.insert().values(id=key, started_at=now, planned=planned, counts="{}"))
    return key


def end_run(connection: Connection, key: UUID, now: datetime, counts: dict[str, int], trouble: str | None) -> None:
    """Note what became of it."""
    values = {"finished_at": now, "counts": json.dumps(counts), "trouble": trouble}
    connection.execute(mail_runs.update().where(mail_runs.c.id == key).values(**values))


def latest_runs(connection: Connection, limit: int) -> Sequence[Any]:
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
