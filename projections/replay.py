"""Folding the history again from its beginning, into a database of its own that leaves nothing behind."""

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from operator import attrgetter
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import StaticPool

from domain.slices import Fact
from history.mapper import Raw
from history.reading import SealedLog
from history.tables import events
from projections.changes import Changes
from projections.projection import Projection

PAGE: Final = 5_000
_POSITION: Final = attrgetter("position")


def scratch() -> Engine:
    """Return an empty database, in memory until it grows large; ``dispose`` ends it."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect("", check_same_thread=False)
        connection.execute("PRAGMA cache_size=-65536")
        return connection

    return create_engine("sqlite://", creator=connect, poolclass=StaticPool)


def replay(
    log: SealedLog,
    models: Sequence[Projection],
    connection: Connection,
    position: int,
    *where: sa.ColumnElement[bool],
    after: int = 0,
    page: int = PAGE,
    indexed: bool = True,
    settled: bool = True,
) -> Iterator[int]:
    """Fold what happened up to a position into new tables, or into those that hold a state; yield what was reached.

    Between two pages the tables hold a state, from which another replay may go on ``after`` the position yielded.
    Indexes that only readers need are made at the end, if they are to be ``indexed`` at all; and what a fold in bulk
    leaves for its end is ``settled``, or left to the caller.
    """
    for model in models:
        model.create_tables(connection)
        model.index(connection, only_for_fold=True)
    topics = sorted({topic for model in models for topic in model.handlers})
    for reached, rows in _pages(log, after, position, page, events.c.topic.in_(topics), *where):
        _fold(models, connection, [log.mapper.raw_fact(row) for row in rows])
        yield reached
    for model in models:
        if settled:
            model.derive(connection)
            model.settle(connection)
        if indexed:
            model.index(connection)


def _pages(
    log: SealedLog, after: int, position: int, page: int, *where: sa.ColumnElement[bool]
) -> Iterator[tuple[int, Sequence[Raw]]]:
    """Yield (position reached, rows) for so many positions at a time; PostgreSQL reads ahead while a page is folded.

    SQLite reads in this process, and one thread would wait for the other at each row.
    """

    def read(start: int) -> Sequence[Raw]:
        within = events.c.position <= min(start + page, position)  # a range: no database reads more than it
        with log.database.read() as connection:
            return log.raw(connection, start, page, within, *where)

    with ThreadPoolExecutor(1) as ahead:
        coming: Future[Sequence[Raw]] | None = None
        for start in range(after, position, page):
            rows = coming.result() if coming else read(start)
            following = start + page
            coming = None
            if following < position and not log.database.is_sqlite:
                coming = ahead.submit(read, following)
            yield min(following, position), rows


def _fold(models: Sequence[Projection], connection: Connection, facts: Sequence[Fact]) -> None:
    by_topic = _by_topic(facts)
    for model in models:
        if own := _among(by_topic, model.handlers):
            changes = Changes(connection, bulk=True)
            model.fold(own, changes)
            changes.flush()


def _by_topic(facts: Sequence[Fact]) -> dict[str, list[Fact]]:
    found: defaultdict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        found[fact.event.TOPIC].append(fact)
    return found


def _among(by_topic: Mapping[str, list[Fact]], topics: Collection[str]) -> Sequence[Fact]:
    """Return the facts of some topics in order of position."""
    lists = [facts for topic, facts in by_topic.items() if topic in topics]
    return lists[0] if len(lists) == 1 else sorted(chain.from_iterable(lists), key=_POSITION)
