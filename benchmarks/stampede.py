"""A campaign that everybody pledges to at once, and how the read models keep up.

64 writers pledge to one ask as fast as they are answered; as in `up`, one event loop awaits the answers, and the worker
is beside it. The lag is the age of the oldest event that some read model has not taken. Measured are the seconds from
the end of the load until the lag is under a second, against the aim of 5, and how large the lag became.
"""

import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from api.bootstrap import Groundswell, open_groundswell
from api.inbox import inbox
from api.settings import Settings
from benchmarks.append import CALLERS, request
from benchmarks.measure import Result, at_most, tuned
from benchmarks.web import ASK, CAMPAIGN, our_store
from domain.kernel import now
from domain.pledges import Make
from history.tables import events
from tests.support.postgres import running_server

PLEDGES: Final = 20_000
TIMES: Final = 3
AIM_SECONDS, SMALL_SECONDS = 5.0, 1.0
LOOK_SECONDS: Final = 0.05
PATIENCE_SECONDS: Final = 120.0


def lag(groundswell: Groundswell) -> float:
    """Return the age in seconds of the oldest event that some read model has not taken, 0 where there is none."""
    with groundswell.engine.database.read() as connection:
        position = groundswell.runner.position(connection)
        recorded = connection.scalar(sa.select(events.c.recorded_at).where(events.c.position == position + 1))
    return (now() - recorded).total_seconds() if recorded else 0.0


def once(url: str) -> tuple[float, float, float]:
    """Return pledges per second, the largest lag in seconds, and the seconds that the lag outlasted the load."""
    with tempfile.TemporaryDirectory() as folder:
        url = url.replace("FOLDER", folder)
        our_store(url, Path(folder), PLEDGES)
        with open_groundswell(Settings(data_dir=Path(folder), database_url=url)) as groundswell, tuned():
            groundswell.worker.start()
            lags: list[float] = []
            over = threading.Event()
            watching = threading.Thread(target=_watch, args=(groundswell, lags, over))
            watching.start()
            begun = time.monotonic()
            asyncio.run(_pledge(groundswell))
            pledged = PLEDGES / (time.monotonic() - begun)
            over.set()
            watching.join()
            ended = time.monotonic()
            while (found := lag(groundswell)) >= SMALL_SECONDS:
                lags.append(found)
                assert time.monotonic() - ended < PATIENCE_SECONDS
                time.sleep(LOOK_SECONDS)
            outlasted = time.monotonic() - ended
            _check(groundswell)
            return pledged, max(lags), outlasted


def _watch(groundswell: Groundswell, lags: list[float], over: threading.Event) -> None:
    while not over.wait(LOOK_SECONDS):
        lags.append(lag(groundswell))


async def _pledge(groundswell: Groundswell) -> None:
    numbers = iter(range(PLEDGES))

    async def write() -> None:
        for number in numbers:
            command = Make(campaign=CAMPAIGN, ask=ASK, supporter=f"s{number}")
            answer = await inbox().wait(groundswell.engine.writer.submit(request(command, f"pledge-{number}")))
            assert answer.status == "accepted", answer

    async with asyncio.TaskGroup() as writers:
        for _ in range(CALLERS):
            writers.create_task(write())


def _check(groundswell: Groundswell) -> None:
    """Fail unless nothing was parked and all was counted."""
    with groundswell.engine.database.read() as connection:
        head = groundswell.engine.log.head()
        deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with groundswell.engine.database.read() as connection:
            if groundswell.runner.position(connection) >= head:
                assert groundswell.runner.parking.streams(connection, ["campaigns"]) == {"campaigns": set()}
                return
        assert time.monotonic() < deadline
        time.sleep(LOOK_SECONDS)


def run() -> Iterator[Result]:
    """Measure on both databases."""
    with running_server(durable=True) as server:
        found = []
        for _ in range(TIMES):
            with server.new_database() as url:
                found.append(once(url))
        yield from _results("PostgreSQL", found)
    yield from _results("SQLite", [once("sqlite:///FOLDER/groundswell.sqlite3") for _ in range(TIMES)])


def _results(database: str, found: list[tuple[float, float, float]]) -> Iterator[Result]:
    rates, largest, outlasted = zip(*found, strict=True)
    what = f"{PLEDGES:,} pledges to one ask by {CALLERS} writers at {min(rates):,.0f}-{max(rates):,.0f}/s, {database}"
    aim = [AIM_SECONDS] * len(found)
    yield Result(f"{what}: seconds until the lag is under 1 s again, against 5", "s", outlasted, aim, at_most(1))
    yield Result(f"{what}: the largest lag, against 5 s", "s", largest, aim)
