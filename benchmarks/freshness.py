"""How soon after a command is answered a reader sees what it did, while nothing else happens; against the aim, 50 ms.

One client pledges over HTTP and then reads the campaign, without asking for any position, until it counts the pledge:
from `up` on both databases, and from `serve` with a `work` beside it, where only PostgreSQL's NOTIFY tells of it. And
how soon it is counted when the `work` that keeps the read models was just killed and another is there; the aim is 20 s.
"""

import http.client
import json
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from benchmarks.measure import RUNS, Aim, Result, at_most
from benchmarks.web import ASK, CAMPAIGN, SERVE, WORK, our_store, running
from history.database import Database
from history.tables import projections as checkpoints
from tests.support.postgres import running_server

UP: Final = [*SERVE[:-3], "up", *SERVE[-2:]]
CALLS: Final = 20
IDLE_SECONDS: Final = 0.05
AIM_MS: Final = 50.0
AIM_SECONDS: Final = 20.0


class Reader:
    """Pledges, and looks until the pledge is counted."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def lag(self, number: int) -> float:
        """Return the milliseconds between the answer to a pledge and its being counted."""
        data = {"campaign": CAMPAIGN, "ask": ASK, "supporter": f"s{number}"}
        body = {"id": f"pledge-{number}", "command": "pledges.make", "data": data}
        self._ask("POST", "/api/v1/commands", json.dumps(body))
        answered = time.perf_counter()
        while self._ask("GET", f"/api/v1/campaigns/{CAMPAIGN}")["counts"]["made"] <= number:
            pass
        return 1_000 * (time.perf_counter() - answered)

    def _ask(self, method: str, path: str, body: str | None = None) -> dict[str, dict[str, int]]:
        self._connection.request(method, path, body, self._headers)
        with self._connection.getresponse() as answer:
            assert answer.status in {200, 201}, answer.read()
            found: dict[str, dict[str, int]] = json.loads(answer.read())
            return found


def once(url: str, programs: list[list[str]]) -> list[float]:
    """Run programs on a new store, the first of which serves; return the median of each run, in milliseconds."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        token, environment = our_store(url.replace("FOLDER", str(folder)), folder, CALLS * (RUNS + 1))
        port, *_ = [stack.enter_context(running(program, environment)) for program in programs]
        reader = stack.enter_context(closing(Reader(port, token)))
        medians = []
        for run in range(RUNS + 1):
            lags = []
            for number in range(CALLS * run, CALLS * (run + 1)):
                lags.append(reader.lag(number))
                time.sleep(IDLE_SECONDS)
            medians.append(statistics.median(lags))
        return medians[1:]  # the first was to warm up


def takeover(url: str) -> float:
    """Kill the worker that owns the read models; return the seconds until the other one has done its work."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        token, environment = our_store(url.replace("FOLDER", str(folder)), folder, 2)
        port = stack.enter_context(running(SERVE, environment))
        for _ in range(2):
            stack.enter_context(running(WORK, environment))
        reader = stack.enter_context(closing(Reader(port, token)))
        reader.lag(0)
        database = stack.enter_context(closing(Database(environment["GROUNDSWELL_DATABASE_URL"])))
        with database.read() as connection:
            (owner,) = set(connection.scalars(sa.select(checkpoints.c.owner).where(checkpoints.c.live)))
        os.kill(int(owner.split(":")[-2]), signal.SIGKILL)
        return reader.lag(1) / 1_000


def run() -> Iterator[Result]:
    """Measure on both databases, and in several processes."""
    with running_server(durable=True) as server:
        for what, programs, aim in (("`up`", [UP], at_most(1)), ("`serve` and `work`", [SERVE, WORK], None)):
            with server.new_database() as url:
                yield _result(f"{what}, PostgreSQL", once(url, programs), aim)
        with server.new_database() as url:
            yield _taken_over("PostgreSQL", takeover(url))
    sqlite = "sqlite:///FOLDER/groundswell.sqlite3"
    yield _result("`up`, SQLite", once(sqlite, [UP]), at_most(1))
    yield _taken_over("SQLite", takeover(sqlite))


def _taken_over(database: str, seconds: float) -> Result:
    what = f"a pledge is counted after the worker was killed, {database}; against {AIM_SECONDS:g} s"
    return Result(what, "s", [seconds], [AIM_SECONDS], at_most(1))


def _result(where: str, medians: list[float], aim: Aim | None) -> Result:
    what = f"a pledge is counted for readers, median while idle, {where}; against {AIM_MS:g} ms"
    return Result(what, "ms", medians, [AIM_MS] * len(medians), aim)
