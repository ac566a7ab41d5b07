"""What became of each attempt to send waits to be told to the history; one link of a mail serves all of its purposes.

What waits to be sent is found in the order in which it is to be sent, however much waits; what is counted by outcome,
without reading all that was ever sent. Messages are kept apart from the outbox, whose rows change several times.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "mail_outcomes",
        sa.Column("mail", sa.Uuid, primary_key=True),
        sa.Column("outcome", sa.Text, primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("supporter", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("due_at", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("subject_version", sa.Integer),
        sa.Column("from_position", BIG),
        sa.Column("to_position", BIG),
        sa.Column("at", sa.Text, nullable=False),
    )
    op.create_index("mail_outcomes_at", "mail_outcomes", ["at"])
    op.create_table(
        "mail_messages",
        sa.Column("mail", sa.Uuid, primary_key=True),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
    )
    op.create_index("mail_messages_at", "mail_messages", ["at"])
    op.execute("INSERT INTO mail_messages SELECT id, mime, changed_at FROM outbox WHERE mime IS NOT NULL")
    op.drop_column("outbox", "mime")
    op.add_column("mail_tokens", sa.Column("mail", sa.Uuid))
    op.execute("UPDATE mail_tokens SET purpose = 'mail' WHERE purpose = 'unsubscribe'")
    op.add_column("outbox", sa.Column("returned", sa.Text))
    op.drop_index("outbox_work", "outbox")
    op.create_index("outbox_work", "outbox", ["state", "kind", "not_before"])
    op.drop_index("outbox_changed", "outbox")
    op.create_index("outbox_changed", "outbox", ["changed_at", "state", "reason", "returned"])
    came_back = sa.text("returned IS NOT NULL")
    op.create_index("outbox_returned", "outbox", ["returned"], sqlite_where=came_back, postgresql_where=came_back)
    explained = sa.text("state IN ('suppressed', 'refused')")
    op.create_index(
        "outbox_explained", "outbox", ["state", "reason"], sqlite_where=explained, postgresql_where=explained
    )


def downgrade() -> None:
    op.drop_index("outbox_explained", "outbox")
    op.drop_index("outbox_returned", "outbox")
    op.drop_index("outbox_changed", "outbox")
    op.create_index("outbox_changed", "outbox", ["changed_at"])
    op.drop_index("outbox_work", "outbox")
    op.create_index("outbox_work", "outbox", ["state", "not_before"])
    op.drop_column("outbox", "returned")
    op.execute("UPDATE mail_tokens SET purpose = 'unsubscribe' WHERE purpose = 'mail'")
    op.drop_column("mail_tokens", "mail")
    op.add_column("outbox", sa.Column("mime", sa.Text))
    op.execute("UPDATE outbox SET mime = (SELECT sealed FROM mail_messages WHERE mail = outbox.id)")
    op.drop_table("mail_messages")
    op.drop_table("mail_outcomes")
