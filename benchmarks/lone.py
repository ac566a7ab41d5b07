"""The latency of a lone command that an endpoint awaits, against commits that are not grouped.

One caller awaits one pledge after another, as the endpoints do. The peers are our own transaction around one command
and the library's `Application.save`, which block and are awaited from a thread, as FastAPI has it for such calls. The
three take turns call by call, so that what disturbs one disturbs all.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from api.inbox import inbox
from benchmarks.append import new_pledge, ours, request
from benchmarks.importing import SQLITE
from benchmarks.library import Library, on_postgres, on_sqlite
from benchmarks.measure import RUNS, Result, at_most
from domain.pledges import Make
from history.answers import Answer
from history.engine import Engine
from history.envelope import Request
from tests.support.postgres import running_server

CALLS = 200
NO_WORSE = at_most(1.05)
"""Less is not told from chance."""


def pledging(supporter: str) -> Request:
    """Return the command of a supporter who has not pledged yet."""
    return request(Make(campaign="c", ask="listen", supporter=supporter), f"pledge-{supporter}")


async def once(engine: Engine, library: Library, start: int) -> list[float]:
    """Return the medians in milliseconds of (the writer, a transaction of its own, the library)."""
    took: list[list[float]] = [[], [], []]
    for number in range(start, start + 2 * CALLS, 2):
        calls: list[Callable[[], Awaitable[Any]]] = [
            partial(submitted, engine, pledging(f"s{number}")),
            partial(run_in_threadpool, engine.write, [pledging(f"s{number + 1}")]),
            partial(run_in_threadpool, library.save, new_pledge(number)),
        ]
        for turn in range(number, number + len(calls)):
            side = turn % len(calls)
            took[side].append(await timed(calls[side]))
    return [1_000 * statistics.median(each) for each in took]


async def submitted(engine: Engine, one: Request) -> Answer:
    """Hand a command to the writer and await its answer."""
    return await inbox().wait(engine.writer.submit(one))


async def timed(call: Callable[[], Awaitable[Any]]) -> float:
    """Return the seconds that a call takes."""
    begun = time.perf_counter()
    await call()
    return time.perf_counter() - begun


def compared(database: str, engine: Engine, library: Library) -> Iterator[Result]:
    """Compare the writer with both; the library's save keeps less, and its row has no aim."""

    async def all_runs() -> list[list[float]]:
        await once(engine, library, 0)
        return [await once(engine, library, 2 * CALLS * n) for n in range(1, RUNS + 1)]

    mine, own, others = zip(*asyncio.run(all_runs()), strict=True)
    library.close()
    yield Result(f"lone command against the library's save, {database}", "ms", mine, others)
    yield Result(f"lone command against its own transaction, {database}", "ms", mine, own, NO_WORSE)


def run() -> Iterator[Result]:
    """Measure on both databases."""
    supporters = 2 * CALLS * (RUNS + 1)
    with (
        running_server(durable=True) as server,
        server.new_database() as url,
        server.new_database() as other,
        ours(url, supporters) as engine,
    ):
        yield from compared("PostgreSQL", engine, on_postgres(other))
    with tempfile.TemporaryDirectory() as folder, ours(SQLITE, supporters) as engine:
        yield from compared("SQLite", engine, on_sqlite(Path(folder)))
