"""Looking for bytes in everything that a store is made of."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import sqlalchemy as sa

from history.database import Database


def in_files(folders: Iterable[Path], sought: Mapping[str, bytes]) -> dict[str, set[str]]:
    """Return by label the names of all files below the folders that hold these bytes."""
    found: dict[str, set[str]] = {}
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                content = path.read_bytes() if path.is_file() else b""
            except FileNotFoundError:
                continue  # the server needed it only for a moment
            for label, needle in sought.items():
                if needle in content:
                    found.setdefault(label, set()).add(path.name)
    return found


def in_tables(database: Database, sought: Mapping[str, bytes]) -> dict[str, set[str]]:
    """Return by label the tables of which some value holds these bytes, however long it is."""
    found: dict[str, set[str]] = {}
    with database.read() as connection:
        for name in sa.inspect(connection).get_table_names():
            for row in connection.exec_driver_sql(f'SELECT * FROM "{name}"'):  # noqa: S608 - a table's own name
                content = b"\0".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
                for label, needle in sought.items():
                    if needle in content:
                        found.setdefault(label, set()).add(name)
    return found
