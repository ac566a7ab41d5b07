"""Baseline: the log, the commands, the keys of persons, checkpoints, and the triggers that keep history as it is."""

from alembic import op

from history.tables import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

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
    connection = op.get_bind()
    metadata.create_all(connection)
    if connection.dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(SQLITE_TRIGGER.format(verb=verb))
        return
    op.execute(POSTGRESQL_FUNCTION)
    op.execute(POSTGRESQL_TRIGGERS)


def downgrade() -> None:
    msg = "There is no way back from the baseline: it would delete the history."
    raise NotImplementedError(msg)
