"""The outbox: what shall be sent, once per supporter, kind and period, and what became of it.

States: pending → claimed → rendered → transmitting → accepted | deferred | refused | unknown, or suppressed. A row is
``transmitting`` in the store before the first byte goes out; if its claim ends in that state, nobody knows whether the
mail went out: it becomes ``unknown``, and is sent again only where the settings say so, as the same message.
"""

import random
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from domain.kernel import Sealed
from domain.schedule import AHEAD
from history.persons import Persons, associated, seal
from history.statements import insert
from notifications import messages
from notifications.tables import digest_ranges, mail_messages, mail_outcomes, mail_tokens, outbox

CLAIM: Final = timedelta(minutes=15)
ATTEMPTS: Final = 16
FIRST_WAIT: Final = timedelta(minutes=5)
LONGEST_WAIT: Final = timedelta(hours=6)
TOO_OLD: Final = timedelta(days=3)
"""So long after it was planned, a digest that could not be sent is left to the next one, which tells its range too."""

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
SENDER_DIED: Final = "sender_died"
SAID: Final = "last_error"

_LIGHT: Final = [
    outbox.c[name]
    for name in (
        *("id", "kind", "supporter", "period", "state", "due_at", "not_before", "attempts"),
        *("from_position", "to_position", "rank", "subject_version"),
    )
]
"""What is needed of a row to say what became of it."""


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
    statement = dialect.insert(outbox).on_conflict_do_nothing().returning(outbox.c.id)
    rows = [_new_row(mail, now, host) for mail in mails]
    new = 0
    for start in range(0, len(rows), PART):
        part = rows[start : start + PART]
        digests = {row["id"]: row["supporter"] for row in part if row["kind"] == Kind.DIGEST}
        older = _waiting(connection, list(digests.values()))
        added = {row.id for row in connection.execute(statement, part)}
        new += len(added)
        replaced = {supporter for key, supporter in digests.items() if key in added}
        settle(connection, [Settled(r, State.SUPPRESSED, "superseded") for r in older if r.supporter in replaced], now)
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


def _waiting(connection: Connection, supporters: Sequence[UUID]) -> Sequence[Any]:
    """Return the digests of supporters that wait; asked before new ones are there, the database finds few."""
    if not supporters:
        return []
    own = outbox.c.supporter.in_(supporters), outbox.c.kind == str(Kind.DIGEST), outbox.c.state.in_(WAITING)
    return connection.execute(sa.select(*_LIGHT).where(*own).with_for_update()).all()


# --- claiming ---


def claim(connection: Connection, owner: str, now: datetime, limit: int, *, resend: bool = False) -> Sequence[Any]:
    """Take rows that may be sent now, so that nobody else does; the connection must be one that writes.

    With ``resend`` also those of which nobody knows whether they went out.
    """
    rows: list[Any] = []
    for wanted in _claimable(now, resend=resend):
        query = sa.select(outbox).where(*wanted).order_by(outbox.c.not_before).limit(limit - len(rows))
        rows += connection.execute(query.with_for_update(skip_locked=True)).all()
        if len(rows) == limit:
            break
    if rows:
        values = {"state": str(State.CLAIMED), "claimed_by": owner, "claimed_until": now + CLAIM, "changed_at": now}
        connection.execute(outbox.update().where(outbox.c.id.in_([row.id for row in rows])).values(**values))
    return rows


def _claimable(now: datetime, *, resend: bool) -> Iterable[tuple[sa.ColumnElement[bool], ...]]:
    """Yield conditions for which the index has the order: what waits, and what a sender left that died."""
    for kind in Kind:
        due = outbox.c.kind == str(kind), outbox.c.not_before <= now
        for state in WAITING:
            yield outbox.c.state == str(state), *due
        for state in HELD:
            yield outbox.c.state == str(state), *due, _ended(now)
        if resend:
            kept = outbox.c.id.in_(sa.select(mail_messages.c.mail))
            again = kept, outbox.c.attempts < ATTEMPTS, outbox.c.planned_at > now - TOO_OLD
            yield outbox.c.state == str(State.UNKNOWN), *due, *again


def _ended(now: datetime) -> sa.ColumnElement[bool]:
    """Of a claim: it has ended, or was made by a clock that was wrong."""
    return sa.or_(outbox.c.claimed_until < now, outbox.c.claimed_until > now + AHEAD)


def expire(connection: Connection, now: datetime) -> int:
    """Make ``unknown`` what a sender was transmitting whose claim has ended; return how many mails these are."""
    lost = outbox.c.state == str(State.TRANSMITTING), _ended(now)
    rows = connection.execute(sa.select(*_LIGHT).where(*lost).with_for_update(skip_locked=True)).all()
    settle(connection, [Settled(row, State.UNKNOWN, SENDER_DIED) for row in rows], now)
    return len(rows)


def take(connection: Connection, owner: str, rows: Collection[UUID], now: datetime) -> dict[UUID, Any]:
    """Bring rows into the state in which they go out; return, by id, those that are still this sender's to send."""
    ready = outbox.c.id.in_(rows), outbox.c.claimed_by == owner, outbox.c.state.in_(HELD)
    values = {
        "state": str(State.TRANSMITTING),
        "attempts": outbox.c.attempts + 1,
        "claimed_until": now + CLAIM,
        "changed_at": now,
    }
    taken = connection.execute(outbox.update().where(*ready).values(**values).returning(*_LIGHT))
    return {row.id: row for row in taken}


def mine(connection: Connection, owner: str, rows: Collection[UUID]) -> set[UUID]:
    """Return those of the rows of which this sender may still say what became of them, and lock them.

    That may also be one that was given up for lost meanwhile, because this sender was held up.
    """
    held_up = sa.and_(outbox.c.state == str(State.UNKNOWN), outbox.c.reason == SENDER_DIED)
    own = outbox.c.id.in_(rows), sa.or_(outbox.c.claimed_by == owner, held_up)
    return set(connection.scalars(sa.select(outbox.c.id).where(*own).with_for_update()))


class Later(NamedTuple):
    """A row that is to be tried from a moment on, and why not now."""

    row: UUID
    moment: datetime
    why: str | None = None


def put_back(connection: Connection, owner: str, rows: Sequence[Later], now: datetime) -> None:
    """Let claimed rows wait that were not even tried."""
    if rows:
        given = [{"key": one.row, "moment": one.moment, "why": one.why, "owner": owner} for one in rows]
        connection.execute(_PUT_BACK.values(changed_at=now), given)


_PUT_BACK: Final = (
    outbox.update()
    .where(outbox.c.id == sa.bindparam("key"), outbox.c.claimed_by == sa.bindparam("owner"))
    .values(
        state=str(State.PENDING),
        reason=sa.bindparam("why"),
        not_before=sa.bindparam("moment"),
        attempts=outbox.c.attempts - sa.case((outbox.c.state == str(State.TRANSMITTING), 1), else_=0),
        claimed_by=None,
        claimed_until=None,
    )
)


def next_of(connection: Connection, why: str) -> datetime | None:
    """Return the next moment of those that wait for this reason, None where there is none."""
    waiting = outbox.c.state == str(State.PENDING), outbox.c.reason == why
    query = sa.select(outbox.c.not_before).where(*waiting).order_by(outbox.c.not_before)
    found: datetime | None = connection.scalar(query.limit(1))
    return found


# --- what becomes of rows ---


@dataclass(frozen=True)
class Settled:
    """What became of an attempt to send a row: its next state, why, and what is kept of what was said, sealed.

    ``attempts`` is how many there were, where that is not what the row says.
    """

    row: Any
    state: State
    reason: str | None = None
    said: str | None = None
    not_before: datetime | None = None
    attempts: int | None = None

    def values(self) -> dict[str, Any]:
        """Return what the row is changed to."""
        return {
            "key": self.row.id,
            "new_state": str(self.state),
            "new_reason": self.reason,
            "new_last_error": self.said,
            "new_not_before": self.not_before or self.row.not_before,
            "new_attempts": self._attempts,
        }

    def outcome(self, now: datetime) -> dict[str, Any]:
        """Return what is to be told to the history."""
        row = self.row
        return {
            "mail": row.id,
            "outcome": str(self.state),
            "attempt": self._attempts,
            "supporter": row.supporter,
            "kind": row.kind,
            "period": row.period,
            "due_at": row.due_at,
            "reason": self.reason,
            "subject_version": row.subject_version,
            "from_position": row.from_position,
            "to_position": row.to_position,
            "at": now,
        }

    def sealed(self, key: bytes | None) -> "Settled":
        """Return it with what was said sealed under the person's key: mail servers repeat addresses."""
        said = None if key is None or self.said is None else seal(key, self.said, associated(self.row.id, 0, SAID))
        return replace(self, said=said)

    @property
    def _attempts(self) -> int:
        return self.row.attempts if self.attempts is None else self.attempts


def settle(connection: Connection, settled: Sequence[Settled], now: datetime) -> None:
    """Bring rows into the states they came to, and keep that as what is to be told to the history."""
    if not settled:
        return
    connection.execute(_SETTLE.values(changed_at=now), [one.values() for one in settled])
    if stopped := [one.row.id for one in settled if one.state is State.SUPPRESSED]:
        messages.drop(connection, stopped)
    _tell(connection, [one.outcome(now) for one in settled])


def _tell(connection: Connection, outcomes: Sequence[dict[str, Any]]) -> None:
    """Keep outcomes for the history; one that waits there already stays, as when a sender comes back from the dead."""
    statement = insert(mail_outcomes, tuple(outcomes[0]), connection.dialect)
    added = replace(statement, sql=f"{statement.sql} ON CONFLICT DO NOTHING")
    added.execute(connection, (outcome.values() for outcome in outcomes))


_SETTLE: Final = (
    outbox.update()
    .where(outbox.c.id == sa.bindparam("key"))
    .values({name: sa.bindparam(f"new_{name}") for name in ("state", "reason", "last_error", "not_before", "attempts")})
    .values(claimed_by=None, claimed_until=None)
)


def wait_after(attempts: int) -> timedelta:
    """Return how long to wait after so many attempts: doubling, with jitter, at most six hours."""
    wait = min(FIRST_WAIT * 2.0 ** min(attempts - 1, 10), LONGEST_WAIT)
    return wait * random.uniform(0.8, 1.2)  # noqa: S311 - not for secrets


def name(row: Any) -> str:  # noqa: ANN401 - a row of the outbox
    """Return what the message of a row is called on its way, the same on every attempt."""
    return f"{row.kind}-{row.id}"


def said_of(connection: Connection, persons: Persons, row: Any) -> str | None:  # noqa: ANN401 - a row of the outbox
    """Return what the mail server said of a row last, None where it said nothing or the person was erased."""
    box = None if row.last_error is None else Sealed(row.supporter, row.id, 0, SAID, row.last_error)
    (opened,) = persons.open(connection, [box])
    return opened if isinstance(opened, str) else None


# --- forgetting ---


def forget(connection: Connection, supporter: UUID, now: datetime) -> dict[str, int]:
    """Purge what was to be sent to a person and the tokens of their links; return how much of each there was.

    That mails were sent stays countable.
    """
    own = outbox.c.supporter == supporter
    bodies = messages.forget(connection, supporter)
    connection.execute(outbox.update().where(own, outbox.c.last_error.is_not(None)).values(last_error=None))
    unsent = own, outbox.c.state.in_((*WAITING, *HELD))
    stopped = connection.execute(sa.select(*_LIGHT).where(*unsent).with_for_update()).all()
    settle(connection, [Settled(row, State.SUPPRESSED, "erased") for row in stopped], now)
    links = connection.execute(mail_tokens.delete().where(mail_tokens.c.supporter == supporter))
    connection.execute(digest_ranges.delete().where(digest_ranges.c.supporter == supporter))
    return {"mail_bodies": bodies, "mails_stopped": len(stopped), "mail_links": links.rowcount}


def of_person(connection: Connection, supporter: UUID) -> Sequence[Any]:
    """Return the rows of one person: ``id``, ``kind`` and ``state``."""
    query = sa.select(outbox.c.id, outbox.c.kind, outbox.c.state).where(outbox.c.supporter == supporter)
    return connection.execute(query).all()
