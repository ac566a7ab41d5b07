"""Boards of 1,000,000 supporters, against those of 10,000: their head, one person's rank, their head in the past.

The history is made up in SQL, as score entries, ten for each supporter on average: whose an entry is, is the product of
two even draws, so that the busiest have fifteen times as many. They lie over 364 days, in order. Of twenty entries
twelve are check-ins (2 points), five are pledges (1), two are promises kept (10) and one is a recognition (20), so that
a million supporters share a few hundred different scores. A quarter counts in one of four campaigns, one in twenty for
one of fifty chapters. There are totals of the movement: of all days, the last two months and the last eight weeks. The
pages of the past are made by walking the ledger, by the same code as for a real history.
"""

import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import date, timedelta
from functools import partial
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from benchmarks.importing import SQLITE, new_store
from benchmarks.measure import RUNS, Result, at_most
from history.database import Database
from history.statements import run as run_sql
from projections.boards import Board, Scope, Window, number
from projections.leaderboards import Leaderboards
from projections.retaining import walk
from tests.support.postgres import running_server

SMALL, LARGE = 10_000, 1_000_000
ENTRIES_EACH = 10
DAYS = 364
FIRST_DAY = date(2026, 1, 5)
LONGEST_MS = 10.0
QUESTIONS, CHECKED = 200, 3
HEAD = 50

MOVEMENT = Board(Scope.MOVEMENT)
LAST_DAY = FIRST_DAY + timedelta(DAYS - 1)
BOARDS = (
    MOVEMENT,
    *(Board(Scope.MOVEMENT, None, Window.MONTH, LAST_DAY - timedelta(31 * months)) for months in range(2)),
    *(Board(Scope.MOVEMENT, None, Window.WEEK, LAST_DAY - timedelta(weeks=weeks)) for weeks in range(8)),
)

# Multiplicative hashing by primes: the same numbers on both databases, without any function of one of them.
_EVEN = "(({number} * {prime}) % 4294967296)"
_IDS = ("2654435761", "2246822519", "3266489917", "668265263")


def ledger(table: str, supporters: int, dialect: str) -> str:
    """Return the statement that makes up the score entries of so many supporters."""
    entries = supporters * ENTRIES_EACH
    if dialect == "sqlite":
        numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {entries})"  # noqa: S608
        part, day, whole = "printf('%08x', {})", "date('{}', '+' || ({}) || ' days')", "CAST({} AS integer)"
    else:
        numbers = f"WITH n(i) AS (SELECT generate_series(1::bigint, {entries}))"
        part, day, whole = "lpad(to_hex({}), 8, '0')", "date '{}' + ({})::integer", "floor({})::bigint"

    def even(number: str, prime: str) -> str:
        return _EVEN.format(number=number, prime=prime)

    def key(number: str) -> str:
        written = " || ".join(part.format(even(f"({number})", prime)) for prime in _IDS)
        return written if dialect == "sqlite" else f"({written})::uuid"

    one, other = even("i", "2654435761"), even("i", "40503997")
    person = whole.format(f"{supporters} * ({one} / 4294967296.0) * ({other} / 4294967296.0)")
    chapter = f"CASE WHEN who % 20 = 0 THEN '[\"' || {key('1000000007 + who % 1000 / 20')} || '\"]' END"
    return f"""
        INSERT INTO {table} {numbers}
        SELECT i, 0, i, NULL, {key("who + 1")}, {key("i")},
            CASE WHEN i % 20 < 12 THEN 'pledges.CheckedIn' WHEN i % 20 < 17 THEN 'pledges.Made'
                WHEN i % 20 < 19 THEN 'pledges.Kept' ELSE 'recognitions.Awarded' END,
            CASE WHEN i % 20 < 12 THEN 200 WHEN i % 20 < 17 THEN 100 WHEN i % 20 < 19 THEN 1000 ELSE 2000 END,
            0, '2026-01-05T12:00:00.000000Z', {day.format(FIRST_DAY, f"i * {DAYS - 1} / {entries}")},
            CASE WHEN i % 4 = 0 THEN {key("2000000011 + i / 4 % 4")} END, {chapter}, NULL
        FROM (SELECT i, {person} AS who FROM n) AS given
    """  # noqa: S608 - names and numbers


def sum_up(connection: Connection, model: Leaderboards, board: Board) -> None:
    """Write the totals of a board of the movement, and how many have as many points."""
    entry, total, count = model.entries.c, model.totals.totals, model.totals.counts
    points = sa.cast(sa.func.sum(entry.points), sa.BigInteger)
    sums = sa.select(sa.literal(board.id, sa.BigInteger), entry.supporter, points).group_by(entry.supporter)
    sums = sums if board is MOVEMENT else sums.where(entry.day.between(board.start, board.end))
    connection.execute(total.insert().from_select(["board", "entity", "points"], sums))
    alike = sa.select(total.c.board, total.c.points, sa.func.count()).where(total.c.board == board.id)
    alike = alike.group_by(total.c.board, total.c.points)
    connection.execute(count.insert().from_select(["board", "points", "entities"], alike))


def build(database: Database, supporters: int) -> Leaderboards:
    """Make up a history of so many supporters in an empty store, with the pages of the board of the movement."""
    model = Leaderboards(1)
    with database.write() as connection:
        model.create_tables(connection)
        run_sql(connection, ledger(model.entries.name, supporters, connection.dialect.name))
        model.index(connection)
        for board in BOARDS:
            sum_up(connection, model, board)
    for _ in walk(database, model, MOVEMENT):
        pass
    database.scrub(list(model.metadata.tables))  # as it is some time after so much was written
    return model


class Asking:
    """Asks a history at random; the same draws for each history of the same size."""

    def __init__(self, database: Database, supporters: int) -> None:
        self._database, self._dice = database, random.Random(1)  # noqa: S311 - draws, no secrets
        self.model, self._last = build(database, supporters), supporters * ENTRIES_EACH
        with database.read() as connection:
            assert self.model.top(connection, MOVEMENT) == self.model.top(connection, MOVEMENT, by=self._last)
            column = self.model.entries.c.supporter
            drawn = self.model.entries.c.position.in_([self._dice.randint(1, self._last) for _ in range(1_000)])
            self._persons: Sequence[UUID] = connection.scalars(sa.select(column).where(drawn)).all()

    def head(self) -> list[float]:
        """Ask for the head of the movement, of all days, of a month or a week."""
        boards = [self._dice.choice(BOARDS) for _ in range(QUESTIONS)]
        return [self._asked(partial(self.model.top, board=each, limit=HEAD)) for each in boards]

    def rank(self) -> list[float]:
        """Ask for the rank of somebody who has points."""
        persons = [self._dice.choice(self._persons) for _ in range(QUESTIONS)]
        return [self._asked(partial(self.model.standing, board=MOVEMENT, entity=each)) for each in persons]

    def past(self) -> list[float]:
        """Ask for the head as of a position."""
        positions = [self._dice.randint(1, self._last) for _ in range(QUESTIONS)]
        return [self._asked(partial(self.model.top, board=MOVEMENT, limit=HEAD, by=each)) for each in positions]

    def present(self) -> list[float]:
        """Ask for the head as it is."""
        return [self._asked(partial(self.model.top, board=MOVEMENT, limit=HEAD)) for _ in range(QUESTIONS)]

    def _asked(self, question: Callable[[Connection], object]) -> float:
        """Return the milliseconds that a question takes, with its connection."""
        begun = time.perf_counter()
        with self._database.read() as connection:
            question(connection)
        return (time.perf_counter() - begun) * 1_000

    def check(self) -> None:
        """Compare some heads as of a position with the sums of the whole ledger up to it."""
        with self._database.read() as connection:
            for by in (self._last, *(self._dice.randint(1, self._last) for _ in range(CHECKED))):
                found = [(each.id, each.points) for each in self.model.top(connection, MOVEMENT, limit=HEAD, by=by)]
                sums = self.model.past.top_of_ledger(connection, MOVEMENT, 0, by, HEAD)
                assert found == [(entity, number(points)) for entity, points in sums], by


def ninety_ninth(times: Sequence[float]) -> float:
    """Return what 99 of 100 stay under."""
    return statistics.quantiles(times, n=100)[-1]


def compare(what: str, large: Asking, small: Asking) -> Iterator[Result]:
    """Measure on one database."""
    for question, ask in (("top 50", Asking.head), ("one rank", Asking.rank)):
        pairs = [(ask(large), ask(small)) for _ in range(RUNS)]
        slowest, most = [ninety_ninth(times) for times, _ in pairs], [LONGEST_MS] * RUNS
        yield Result(f"{question} of {LARGE:,}, p99, and {LONGEST_MS:g} ms, {what}", "ms", slowest, most, at_most(1))
        ours, peer = ([statistics.median(pair[side]) for pair in pairs] for side in (0, 1))
        yield Result(f"{question} of {LARGE:,}, median, and of {SMALL:,}, {what}", "ms", ours, peer, at_most(2))
    large.check()
    times = [(statistics.fmean(large.past()), statistics.fmean(large.present())) for _ in range(RUNS)]
    past, present = zip(*times, strict=True)
    yield Result(
        f"top 50 of {LARGE:,} as of a random position, mean, and now, {what}", "ms", past, present, at_most(20)
    )


def on(name: str, *urls: str) -> Iterator[Result]:
    """Measure in two empty databases of the same kind."""
    with ExitStack() as stores:
        large, small = (stores.enter_context(new_store(url))[0].database for url in urls)
        yield from compare(name, Asking(large, LARGE), Asking(small, SMALL))


def run() -> Iterator[Result]:
    """Measure on both kinds."""
    yield from on("SQLite", SQLITE, SQLITE)
    with running_server(durable=True) as server, server.new_database() as one, server.new_database() as other:
        yield from on("PostgreSQL", one, other)
