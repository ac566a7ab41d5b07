"""Verifying a history, against reading the same rows and the SHA-256 of each, nothing else.

Verifying makes each event's entry anew, compares two hashes of it, and checks order, versions, the tree and a signed
checkpoint. The peer streams the same columns with the same driver: plainly, by SQLAlchemy, and, shown apart, with
nothing between it and the driver.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from benchmarks.importing import LINES, REJECTED, SQLITE, import_file, new_store, there
from benchmarks.measure import Result, at_most, in_turn
from history.checkpoints import Checkpoints
from history.database import Database
from history.engine import Engine
from history.verify import verify_store
from tests.support.postgres import running_server

EVENTS = LINES - REJECTED
ROWS = (
    "SELECT data, leaf_hash, position, stream_id, version, topic, event_id, occurred_at, recorded_at, actor_kind, "
    "actor_id, correlation_id, causation_id, command_id FROM events ORDER BY position"
)
PAGE = 2_048


def hashed(rows: Iterable[Any]) -> int:
    """Take the SHA-256 of each row; return how many there were."""
    count = 0
    for data, leaf, *texts in rows:
        sha256("|".join(map(str, texts)).encode() + data + leaf).digest()
        count += 1
    return count


def by_sqlalchemy(database: Database) -> int:
    """Read with SQLAlchemy, page by page from the server."""
    with database.read() as connection:
        return hashed(connection.execution_options(yield_per=PAGE).execute(sa.text(ROWS)))


def by_driver(database: Database) -> int:
    """Read with the driver alone."""
    if database.path is not None:
        with closing(sqlite3.connect(database.path)) as file:
            return hashed(file.execute(ROWS))
    with psycopg.connect(database.url) as connection, connection.cursor("rows") as cursor:
        cursor.itersize = PAGE
        return hashed(cursor.execute(ROWS))


def run() -> Iterator[Result]:
    """Measure on both databases."""
    if not there():
        return
    with new_store(SQLITE) as store:
        yield from compared("SQLite", *store)
    with running_server(durable=True) as server, server.new_database() as url, new_store(url) as store:
        yield from compared("PostgreSQL", *store)


def compared(database: str, engine: Engine, folder: Path) -> Iterator[Result]:
    """Compare with both ways of reading."""
    import_file(engine, folder)
    Checkpoints(engine.database, folder).make()

    def ours() -> int:
        verdict = verify_store(engine.database, folder)
        assert verdict.sound, verdict
        return verdict.size

    what = f"verify of {EVENTS:,} events, {database}"
    mine, peer = in_turn(timed(ours), timed(lambda: by_sqlalchemy(engine.database)))
    yield Result(what, "s", mine, peer, at_most(3))
    yield Result(
        f"{what}: peer without SQLAlchemy", "s", *in_turn(timed(ours), timed(lambda: by_driver(engine.database)))
    )


def timed(examine: Callable[[], int]) -> Callable[[], float]:
    """Return a function that returns how many seconds it takes to examine all events."""

    def once() -> float:
        begun = time.perf_counter()
        count = examine()
        seconds = time.perf_counter() - begun
        assert count == EVENTS, count
        return seconds

    return once
