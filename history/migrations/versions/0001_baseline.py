"""Baseline: the log, commands, keys of persons, checkpoints, accounts, mails, and the triggers that keep history.

It says every table out: what the code declares may change, what this migration makes may not.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

SQLITE_TRIGGER = """
CREATE TRIGGER events_no_{verb} BEFORE {verb} ON events
BEGIN SELECT RAISE(ABORT, 'events are never changed or deleted'); END
"""

POSTGRESQL_FUNCTION = """
CREATE FUNCTION events_are_final() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'events are never changed or deleted' USING ERRCODE = 'restrict_violation'; END $$
"""

POSTGRESQL_TRIGGERS = """
CREATE TRIGGER events_final_rows BEFORE UPDATE OR DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION events_are_final();
CREATE TRIGGER events_final_table BEFORE TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_are_final();
"""


def upgrade() -> None:
    _log()
    _accounts()
    _mails()
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(SQLITE_TRIGGER.format(verb=verb))
        return
    op.execute(POSTGRESQL_FUNCTION)
    op.execute(POSTGRESQL_TRIGGERS)


def downgrade() -> None:
    msg = "There is no way back from the baseline: it would delete the history."
    raise NotImplementedError(msg)


def _log() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("size", BIG, primary_key=True, autoincrement=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("signed_at", sa.Text),
    )
    op.create_table(
        "commands",
        sa.Column("command_id", sa.Text, primary_key=True),
        sa.Column("request_hash", sa.LargeBinary, nullable=False),
        sa.Column("first_position", BIG, nullable=False),
        sa.Column("last_position", BIG, nullable=False),
        sa.Column("result", sa.Text),
    )
    op.create_table(
        "events",
        sa.Column("position", BIG, primary_key=True, autoincrement=False),
        sa.Column("stream_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("occurred_at", sa.Text, nullable=False),
        sa.Column("recorded_at", sa.Text, nullable=False),
        sa.Column("actor_kind", sa.Text, nullable=False),
        sa.Column("actor_id", sa.Text, nullable=False),
        sa.Column("correlation_id", sa.Text),
        sa.Column("causation_id", sa.Text),
        sa.Column("command_id", sa.Text),
        sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("stream_id", "version", name="events_stream_version"),
    )
    op.create_table(
        "parked_events",
        sa.Column("projection", sa.Text, primary_key=True),
        sa.Column("position", BIG, primary_key=True),
        sa.Column("stream_id", sa.Uuid, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("parked_at", sa.Text, nullable=False),
    )
    op.create_index("parked_events_stream", "parked_events", ["projection", "stream_id"])
    op.create_table(
        "person_index",
        sa.Column("blind", sa.LargeBinary, primary_key=True),
        sa.Column("person_id", sa.Uuid, primary_key=True),
    )
    op.create_index("person_index_person", "person_index", ["person_id"])
    op.create_table(
        "person_keys",
        sa.Column("person_id", sa.Uuid, primary_key=True),
        sa.Column("wrapped_key", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "projections",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("build", sa.Integer, primary_key=True),
        sa.Column("live", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("position", BIG, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("leased_until", sa.Text),
        sa.Column("trouble", sa.Text),
    )
    op.create_table(
        "reaction_states",
        sa.Column("reaction", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
    )
    op.create_table(
        "reactions",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("position", BIG, nullable=False),
        sa.Column("shared", sa.Text, nullable=False),
    )
    op.create_table(
        "store",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "subtrees",
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", BIG, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )


def _accounts() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False, unique=True),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("revoked_at", sa.Text),
    )
    op.create_table(
        "sessions",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Text, nullable=False),
    )
    op.create_table(
        "signin_links",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Text, nullable=False),
        sa.Column("used_at", sa.Text),
    )


def _mails() -> None:
    op.create_table(
        "digest_ranges",
        sa.Column("supporter", sa.Uuid, primary_key=True),
        sa.Column("position", BIG, nullable=False),
        sa.Column("rank", sa.Integer),
        sa.Column("at", sa.Text, nullable=False),
    )
    op.create_table(
        "mail_reactors",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("position", BIG, nullable=False),
    )
    op.create_table(
        "mail_runs",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("started_at", sa.Text, nullable=False),
        sa.Column("finished_at", sa.Text),
        sa.Column("planned", sa.Integer, nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
        sa.Column("trouble", sa.Text),
    )
    op.create_index("mail_runs_started", "mail_runs", ["started_at"])
    op.create_table(
        "mail_tokens",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("supporter", sa.Uuid, nullable=False),
        sa.Column("subject_version", sa.Integer),
        sa.Column("expires_at", sa.Text, nullable=False),
    )
    op.create_index("mail_tokens_expires", "mail_tokens", ["expires_at"])
    op.create_index("mail_tokens_supporter", "mail_tokens", ["supporter"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("supporter", sa.Uuid, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("due_at", sa.Text, nullable=False),
        sa.Column("not_before", sa.Text, nullable=False),
        sa.Column("from_position", BIG),
        sa.Column("to_position", BIG),
        sa.Column("rank", sa.Integer),
        sa.Column("subject_version", sa.Integer),
        sa.Column("mime", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("claimed_by", sa.Text),
        sa.Column("claimed_until", sa.Text),
        sa.Column("planned_at", sa.Text, nullable=False),
        sa.Column("changed_at", sa.Text, nullable=False),
        sa.UniqueConstraint("supporter", "kind", "period", name="outbox_once"),
    )
    op.create_index("outbox_changed", "outbox", ["changed_at"])
    op.create_index("outbox_work", "outbox", ["state", "not_before"])
