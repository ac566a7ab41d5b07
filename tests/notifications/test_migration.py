"""The tables of what is sent are there, whoever made them first."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

import history.migrations
from history.database import Database
from history.migrations import migrate
from history.tables import metadata
from notifications import tables

OURS = ("outbox", "digest_ranges", "mail_tokens", "mail_reactors", "mail_runs")


def shape(database: Database) -> dict[str, object]:
    inspector = sa.inspect(database.engine)
    return {
        name: (
            sorted((column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(name)),
            sorted(str(sorted(index["column_names"], key=str)) for index in inspector.get_indexes(name)),
            sorted(str(unique["column_names"]) for unique in inspector.get_unique_constraints(name)),
            inspector.get_pk_constraint(name)["constrained_columns"],
        )
        for name in OURS
    }


@pytest.mark.parametrize("made_by", ["baseline", "migration"])
def test_the_migration_makes_what_the_code_declares(database_url: str, made_by: str) -> None:
    database = Database(database_url)
    try:
        if made_by == "baseline":
            migrate(database)
        else:
            _as_if_the_baseline_knew_nothing_of_them(database)
        declared = {column.name for column in tables.outbox.columns}
        found = shape(database)
        assert {name for name, *_ in found["outbox"][0]} == declared  # type: ignore[index]
        assert found == _expected(database)
    finally:
        database.close()


def _expected(database: Database) -> dict[str, object]:
    """Make the tables anew from their declarations and look at those."""
    with database.write() as connection:
        for name in OURS:
            metadata.tables[name].drop(connection)
        metadata.create_all(connection, [metadata.tables[name] for name in OURS])
    return shape(database)


def _as_if_the_baseline_knew_nothing_of_them(database: Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(history.migrations.__file__).parent))
    with database.append() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for name in OURS:
            metadata.tables[name].drop(connection)
    migrate(database)
