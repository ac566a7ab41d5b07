"""Migrations of the durable tables (Alembic); read models are never migrated, they are rebuilt."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from history.database import Database


def migrate(database: Database) -> None:
    """Bring the durable tables up to this release's form, in one transaction."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    wanted = ScriptDirectory.from_config(config).get_current_head()
    with database.read() as connection:
        if MigrationContext.configure(connection).get_current_revision() == wanted:
            return
    with database.append() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
