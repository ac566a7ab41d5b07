"""Parked events are tried again by themselves, some times.

Those parked before wait for a person, as they did.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("parked_events", sa.Column("attempts", sa.Integer, nullable=False, server_default="0"))
    op.add_column("parked_events", sa.Column("retry_at", sa.Text))


def downgrade() -> None:
    op.drop_column("parked_events", "retry_at")
    op.drop_column("parked_events", "attempts")
