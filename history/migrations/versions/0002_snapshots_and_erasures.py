"""Snapshots of long streams, and erasures: what was destroyed of whom, and whether every copy is purged.

Those erased before are purged once more, and so is what mail servers said, which stood in the clear.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "snapshots",
        sa.Column("stream_id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("aggregate", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "erasures",
        sa.Column("person_id", sa.Uuid, primary_key=True),
        sa.Column("position", BIG, nullable=False),
        sa.Column("destroyed", sa.Text, nullable=False),
        sa.Column("purged_at", sa.Text),
    )
    op.create_index("erasures_purged", "erasures", ["purged_at"])
    op.execute(
        "INSERT INTO erasures (person_id, position, destroyed) "
        "SELECT stream_id, position, '{}' FROM events WHERE topic = 'supporters.Erased'"
    )
    op.execute("UPDATE outbox SET last_error = NULL")


def downgrade() -> None:
    op.drop_table("erasures")
    op.drop_table("snapshots")
