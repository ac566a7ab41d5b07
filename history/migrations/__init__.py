"""Migrations of the durable tables (Alembic); read models are never migrated, they are rebuilt."""

import threading
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from domain.kernel import Unavailable
from history.database import Database

_one_at_a_time: Final = threading.Lock()
"""Alembic keeps the migration at hand in a global variable."""


def migrate(database: Database, *, create: bool = True) -> None:
    """Bring the durable tables up to this release's form, in one transaction; processes may do so at once.

    Raises Unavailable: ``store.newer`` where a newer release wrote the store, ``store.missing`` where there are no
    tables and none may be made.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    scripts = ScriptDirectory.from_config(config)
    with database.read() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found == scripts.get_current_head():
        return
    if found is None and not create:
        raise Unavailable("store.missing", "There is no store in this database; `groundswell up` makes one.")
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise Unavailable(
            "store.newer", f"A newer release of groundswell wrote this store ({found}); use that release."
        )
    with _one_at_a_time, database.append() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
