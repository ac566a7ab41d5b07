"""What the migrations make is what the code declares, on both databases."""

import ast
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

import api.accounts
import notifications.tables
from domain.kernel import identify
from history import migrations
from history.database import Database
from history.migrations import migrate
from history.tables import erasures, metadata
from notifications import tokens
from notifications.tokens import Purpose, Token
from tests.support.mails import ANNA, MONDAY
from tests.support.store import Store

assert api.accounts.tokens.metadata is notifications.tables.outbox.metadata is metadata


def shape(database: Database) -> dict[str, object]:
    """What the database itself says of its tables."""
    inspector = sa.inspect(database.engine)
    return {
        name: (
            [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in inspector.get_columns(name)],
            sorted(
                (str(index["name"]), str(index["column_names"]), bool(index["unique"]))
                for index in inspector.get_indexes(name)
            ),
            sorted(str(unique["column_names"]) for unique in inspector.get_unique_constraints(name)),
            inspector.get_pk_constraint(name)["constrained_columns"],
        )
        for name in inspector.get_table_names()
        if name != "alembic_version"
    }


def downgrade(database: Database, to: str) -> None:
    """Make the tables what they were after an earlier migration."""
    with database.append() as connection:
        config = Config()
        config.set_main_option("script_location", migrations.__path__[0])
        config.attributes["connection"] = connection
        command.downgrade(config, to)


@pytest.fixture
def database(database_url: str) -> Database:
    return Database(database_url)


def test_the_migrations_make_what_the_code_declares(database: Database) -> None:
    try:
        migrate(database)
        made = shape(database)
        with database.write() as connection:
            metadata.drop_all(connection)
            metadata.create_all(connection)
        assert made == shape(database)
        assert set(made) == set(metadata.tables)
    finally:
        database.close()


def test_migrations_say_themselves_what_they_make() -> None:
    sources = sorted(Path(migrations.__path__[0], "versions").glob("0*.py"))
    assert sources
    for source in sources:
        imported = {
            node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
            for node in ast.walk(ast.parse(source.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        assert imported <= {"alembic", "sqlalchemy"}, source


def test_who_was_erased_before_erasures_were_noted_is_noted_by_the_migration(database_url: str, tmp_path: Path) -> None:
    with Store(database_url, tmp_path) as store:
        store.run("supporters.register", supporter="anna")
        store.run("supporters.register", supporter="ben")
        store.run("supporters.erase", supporter="ben", reason="asked")
        downgrade(store.engine.database, "0001")
    with Store(database_url, tmp_path) as store, store.engine.database.read() as connection:
        noted = connection.execute(sa.select(erasures)).all()
    assert [tuple(row) for row in noted] == [(identify("supporter", "ben"), 3, "{}", None)]


def test_links_that_only_unsubscribed_still_do_after_the_migration(database: Database) -> None:
    made = {"of-a-mail": Token(Purpose.MAIL, ANNA, 1), "to-confirm": Token(Purpose.CONFIRM, ANNA, 1)}
    try:
        migrate(database)
        with database.write() as connection:
            tokens.keep(connection, made, MONDAY)
        downgrade(database, "0003")
        with database.read() as connection:
            before = connection.execute(sa.text("SELECT purpose FROM mail_tokens")).scalars().all()
        migrate(database)
        with database.read() as connection:
            found = {secret: tokens.find(connection, made[secret].purpose, secret, MONDAY) for secret in made}
    finally:
        database.close()
    assert sorted(before) == ["confirm", "unsubscribe"]
    assert found == made
