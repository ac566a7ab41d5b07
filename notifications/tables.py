"""The durable tables of what is sent; the migrations in history/migrations/versions create and change them."""

from typing import Final

from sqlalchemy import Column, Index, Integer, LargeBinary, Table, Text, UniqueConstraint, Uuid, text

from history.tables import BigInt, Moment, metadata

RETURNED: Final = text("returned IS NOT NULL")
WITH_REASON: Final = text("state IN ('suppressed', 'refused')")
"""Of those that ended so, the reasons are counted."""

outbox: Final = Table(
    "outbox",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("supporter", Uuid, nullable=False),
    Column("period", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("message_id", Text, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("not_before", Moment, nullable=False),
    Column("from_position", BigInt),
    Column("to_position", BigInt),
    Column("rank", Integer),
    Column("subject_version", Integer),
    Column("attempts", Integer, nullable=False),
    Column("last_error", Text),
    Column("claimed_by", Text),
    Column("claimed_until", Moment),
    Column("planned_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("returned", Text),
    UniqueConstraint("supporter", "kind", "period", name="outbox_once"),
    Index("outbox_work", "state", "kind", "not_before"),
    Index("outbox_changed", "changed_at", "state", "reason", "returned"),
    Index("outbox_returned", "returned", sqlite_where=RETURNED, postgresql_where=RETURNED),
    Index("outbox_explained", "state", "reason", sqlite_where=WITH_REASON, postgresql_where=WITH_REASON),
)
"""One row per supporter, kind and period, whoever plans it and how often. ``last_error`` is what the mail server said
of it last, sealed under the person's key; ``subject_version`` is the version of the supporter's stream that set the
address to be confirmed; ``returned`` is what came back of one that was sent: ``bounced``, ``undelivered`` (for now),
``blocked`` or ``complained``."""

mail_messages: Final = Table(
    "mail_messages",
    metadata,
    Column("mail", Uuid, primary_key=True),
    Column("sealed", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Index("mail_messages_at", "at"),
)
"""The frozen messages of mails, sealed under their person's key, since they were made."""

mail_outcomes: Final = Table(
    "mail_outcomes",
    metadata,
    Column("mail", Uuid, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("supporter", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("reason", Text),
    Column("subject_version", Integer),
    Column("from_position", BigInt),
    Column("to_position", BigInt),
    Column("at", Moment, nullable=False),
    Index("mail_outcomes_at", "at"),
)
"""What became of mails and is not yet in the history: written with the state of the row, deleted when it is there."""

digest_ranges: Final = Table(
    "digest_ranges",
    metadata,
    Column("supporter", Uuid, primary_key=True),
    Column("position", BigInt, nullable=False),
    Column("rank", Integer),
    Column("at", Moment, nullable=False),
)
"""Up to which position a supporter's digests told the history, and the rank on the movement's board they told."""

mail_tokens: Final = Table(
    "mail_tokens",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("supporter", Uuid, nullable=False),
    Column("subject_version", Integer),
    Column("expires_at", Moment, nullable=False),
    Column("mail", Uuid),
    Index("mail_tokens_supporter", "supporter"),
    Index("mail_tokens_expires", "expires_at"),
)
"""What the links in mails carry, as SHA-256; ``mail`` is the row of the outbox whose links carry it."""

mail_reactors: Final = Table(
    "mail_reactors",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInt, nullable=False),
)
"""How far each reactor has come; it starts at the head and is never rebuilt."""

mail_runs: Final = Table(
    "mail_runs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Column("planned", Integer, nullable=False),
    Column("counts", Text, nullable=False),
    Column("trouble", Text),
    Index("mail_runs_started", "started_at"),
)
"""What became of each run: counts by outcome as JSON."""
