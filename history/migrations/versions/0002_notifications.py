"""What is sent: the outbox, how far digests told, the tokens of mail links, reactors and runs.

The baseline may have made these tables already, where the code that declares them was loaded; then nothing is done.
"""

import sqlalchemy as sa
from alembic import op

from history.tables import BigInt, Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    there = set(sa.inspect(op.get_bind()).get_table_names())
    if "outbox" not in there:
        _make_outbox()
    if "digest_ranges" not in there:
        op.create_table(
            "digest_ranges",
            sa.Column("supporter", sa.Uuid, primary_key=True),
            sa.Column("position", BigInt, nullable=False),
            sa.Column("rank", sa.Integer),
            sa.Column("at", Moment, nullable=False),
        )
    if "mail_tokens" not in there:
        op.create_table(
            "mail_tokens",
            sa.Column("hash", sa.LargeBinary, primary_key=True),
            sa.Column("purpose", sa.Text, nullable=False),
            sa.Column("supporter", sa.Uuid, nullable=False),
            sa.Column("subject_version", sa.Integer),
            sa.Column("expires_at", Moment, nullable=False),
        )
        op.create_index("mail_tokens_supporter", "mail_tokens", ["supporter"])
        op.create_index("mail_tokens_expires", "mail_tokens", ["expires_at"])
    if "mail_reactors" not in there:
        op.create_table(
            "mail_reactors",
            sa.Column("name", sa.Text, primary_key=True),
            sa.Column("position", BigInt, nullable=False),
        )
    if "mail_runs" not in there:
        op.create_table(
            "mail_runs",
            sa.Column("id", sa.Uuid, primary_key=True),
            sa.Column("started_at", Moment, nullable=False),
            sa.Column("finished_at", Moment),
            sa.Column("planned", sa.Integer, nullable=False),
            sa.Column("counts", sa.Text, nullable=False),
            sa.Column("trouble", sa.Text),
        )
        op.create_index("mail_runs_started", "mail_runs", ["started_at"])


def _make_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("supporter", sa.Uuid, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("due_at", Moment, nullable=False),
        sa.Column("not_before", Moment, nullable=False),
        sa.Column("from_position", BigInt),
        sa.Column("to_position", BigInt),
        sa.Column("rank", sa.Integer),
        sa.Column("subject_version", sa.Integer),
        sa.Column("mime", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("claimed_by", sa.Text),
        sa.Column("claimed_until", Moment),
        sa.Column("planned_at", Moment, nullable=False),
        sa.Column("changed_at", Moment, nullable=False),
        sa.UniqueConstraint("supporter", "kind", "period", name="outbox_once"),
    )
    op.create_index("outbox_work", "outbox", ["state", "not_before"])
    op.create_index("outbox_changed", "outbox", ["changed_at"])


def downgrade() -> None:
    msg = "There is no way back: it would delete what is known of mails sent."
    raise NotImplementedError(msg)
