"""A number as of a position: from the nearest state that is retained, against a replay from the beginning.

The history is the demonstration's half year, and that again and again (see benchmarks/histories.py). Positions are
drawn at random, each time for a process that has just started and has folded nothing. What keeping the states costs is
measured too: the very first question, which replays everything and keeps them, against the same that keeps nothing.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from api.bootstrap import PROJECTIONS, SLICES
from benchmarks.histories import Row, half_a_year, write
from benchmarks.importing import SQLITE
from benchmarks.measure import RUNS, Result, in_turn
from history.engine import Engine, open_store
from projections.campaigns import Campaigns
from projections.chapters import Chapters
from projections.history_diff import KINDS
from projections.projection import Projection
from projections.runner import Runner
from projections.views import AsOf, Reader
from tests.support.postgres import running_server

SMALL, LARGE = 50_000, 500_000
QUESTIONS: Final = 3
ASKED: Final[dict[str, Sequence[type[Projection]]]] = {
    "campaigns": [Campaigns],
    "chapters": [Chapters],
    "all that is compared between two points": KINDS,
}


def asking(
    engine: Engine, kinds: Sequence[type[Projection]], draws: Iterator[Sequence[int]], folder: Path | None
) -> float:
    """Return the median milliseconds until read models as of one of the positions drawn next can be read."""
    times = []
    for position in next(draws):
        reader = Reader(Runner(engine.log, PROJECTIONS), folder)
        begun = time.perf_counter()
        with reader.open(kinds, AsOf(position)):
            times.append(time.perf_counter() - begun)
        reader.close()
    return 1_000 * statistics.median(times)


def compare(engine: Engine, size: int, database: str) -> Iterator[Result]:
    """Measure on one history of so many events."""
    dice = random.Random(size)  # noqa: S311 - draws, no secrets
    for name, kinds in ASKED.items() if size == SMALL else [("campaigns", [Campaigns])]:
        with tempfile.TemporaryDirectory() as folder:
            asking(engine, kinds, iter([[size]]), Path(folder))
            draws = [[1 + dice.randrange(size) for _ in range(QUESTIONS)] for _ in range(RUNS)]
            warm = partial(asking, engine, kinds, iter(draws), Path(folder))
            times = in_turn(warm, partial(asking, engine, kinds, iter(draws), None))
            what = f"{name} as of a position of {size:,}: from a state, from the beginning, {database}"
            yield Result(what, "ms", *times)
    kept = in_turn(lambda: first(engine, size), lambda: asking(engine, [Campaigns], iter([[size]]), None))
    yield Result(f"campaigns as of {size:,}, the first question: states kept, not kept, {database}", "ms", *kept)


def first(engine: Engine, size: int) -> float:
    """Return the milliseconds of the first question ever, which keeps the states."""
    with tempfile.TemporaryDirectory() as folder:
        return asking(engine, [Campaigns], iter([[size]]), Path(folder))


def run() -> Iterator[Result]:
    """Measure on both databases."""
    with half_a_year() as rows, running_server(durable=True) as server:
        for size in (SMALL, LARGE):
            yield from on(SQLITE, rows, size, "SQLite")
            with server.new_database() as url:
                yield from on(url, rows, size, "PostgreSQL")


def on(url: str, rows: Sequence[Row], size: int, database: str) -> Iterator[Result]:
    """Measure on one database."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_store(url.replace("FOLDER", folder), Path(folder), SLICES)
        write(engine.database, rows, size)
        yield from compare(engine, size, database)
        engine.close()
