"""Erasures: what was destroyed of whom, and whether every copy is purged; those of before are purged once more."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
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


def downgrade() -> None:
    op.drop_table("erasures")
