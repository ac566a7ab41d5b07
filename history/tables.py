"""The durable tables, on SQLite and PostgreSQL; migrations/ creates and changes them."""

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
)

metadata = MetaData()

BigInt = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits on both; on SQLite only INTEGER may be the row id."""

EXAMPLE: Final = "2026-11-22T05:13:04.581695Z"
WIDTH: Final = len(EXAMPLE)
MARKED: Final = slice(4, 20, 3)
MARKS: Final = EXAMPLE[MARKED]
"""What stands between the digits, at every third place from the fifth on."""
REMEMBERED: Final = 65_536
"""So many moments: those of some batches of events that read models are folded from."""
_texts: Final[dict[datetime, str]] = {}


def moment_text(moment: datetime) -> str:
    """Return the moment in UTC as text of fixed width, so that order of text is order of time."""
    text = _texts.get(moment)
    if text is None:
        if moment.tzinfo is not UTC:
            moment = moment.astimezone(UTC)
        text = _texts[moment] = moment.isoformat(timespec="microseconds")[:26] + "Z"
        if len(_texts) > REMEMBERED:
            _texts.clear()
    return text


def read_moment(text: str) -> datetime:
    """Return the moment that was written as text; read models write it again, and then it takes a tenth of the time.

    A text that is not as we write it, in a row that somebody spoilt, is read, but must not be written again.
    """
    moment = datetime.fromisoformat(text)
    if len(text) == WIDTH and text[MARKED] == MARKS and text[-1] == "Z":
        _texts[moment] = text
        if len(_texts) > REMEMBERED:
            _texts.clear()
    return moment


class Moment(TypeDecorator[datetime]):
    """A moment in UTC, kept as ``2026-11-22T05:13:04.581695Z``: the same bytes on every database."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> str | None:
        """Write the moment as text."""
        return None if value is None else moment_text(value)

    def process_result_value(self, value: Any | None, _dialect: Dialect) -> datetime | None:  # noqa: ANN401
        """Read it back."""
        return None if value is None else datetime.fromisoformat(value)


events = Table(
    "events",
    metadata,
    Column("position", BigInt, primary_key=True, autoincrement=False),
    Column("stream_id", Uuid, nullable=False),
    Column("version", Integer, nullable=False),
    Column("topic", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("occurred_at", Moment, nullable=False),
    Column("recorded_at", Moment, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("correlation_id", Text),
    Column("causation_id", Text),
    Column("command_id", Text),
    Column("leaf_hash", LargeBinary, nullable=False),
    UniqueConstraint("stream_id", "version", name="events_stream_version"),
)

commands = Table(
    "commands",
    metadata,
    Column("command_id", Text, primary_key=True),
    Column("request_hash", LargeBinary, nullable=False),
    Column("first_position", BigInt, nullable=False),
    Column("last_position", BigInt, nullable=False),
    Column("result", Text),
)

person_keys = Table(
    "person_keys",
    metadata,
    Column("person_id", Uuid, primary_key=True),
    Column("wrapped_key", LargeBinary, nullable=False),
)

person_index = Table(
    "person_index",
    metadata,
    Column("blind", LargeBinary, primary_key=True),
    Column("person_id", Uuid, primary_key=True),
    Index("person_index_person", "person_id"),
)
"""Blind index: HMAC-SHA-256 of a findable value under a key kept with the master key; purged by erasure."""

erasures = Table(
    "erasures",
    metadata,
    Column("person_id", Uuid, primary_key=True),
    Column("position", BigInt, nullable=False),
    Column("destroyed", Text, nullable=False),
    Column("purged_at", Moment),
    Index("erasures_purged", "purged_at"),
)
"""Who was erased by the event at ``position``; what was destroyed, counted by kind as JSON; when nothing was left."""

store = Table(
    "store",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""What belongs to the store as a whole: its identity, a check value of its master key."""

snapshots = Table(
    "snapshots",
    metadata,
    Column("stream_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("aggregate", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("state", LargeBinary, nullable=False),
)
"""What long streams made of their aggregates, personal data sealed: derived, and can always be deleted."""

subtrees = Table(
    "subtrees",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInt, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)
"""Merkle hashes of 256^level events, level 1 and up, so that a root needs few reads: derived, and can be rebuilt."""

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("size", BigInt, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text),
    Column("signed_at", Moment),
)
"""Sizes and roots the log has committed itself to, written before the signed note exists."""

projections = Table(
    "projections",
    metadata,
    Column("name", Text, primary_key=True),
    Column("build", Integer, primary_key=True),
    Column("live", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("position", BigInt, nullable=False),
    Column("owner", Text),
    Column("leased_until", Moment),
    Column("trouble", Text),
)
"""Checkpoints: ``build`` numbers the tables of a read model (``campaigns_v3``), ``live`` says which one readers use."""

parked_events = Table(
    "parked_events",
    metadata,
    Column("projection", Text, primary_key=True),
    Column("position", BigInt, primary_key=True),
    Column("stream_id", Uuid, nullable=False),
    Column("topic", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("parked_at", Moment, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("retry_at", Moment),
    Index("parked_events_stream", "projection", "stream_id"),
)
"""What read models could not take, and what follows in its stream (no attempts); no ``retry_at``: a person must."""

reactions = Table(
    "reactions",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInt, nullable=False),
    Column("shared", Text, nullable=False),
)

reaction_states = Table(
    "reaction_states",
    metadata,
    Column("reaction", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("state", Text, nullable=False),
)
