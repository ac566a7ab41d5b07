"""Appending single commands from 64 threads, against the library's own recorders behind the same aggregate.

Both sides make one pledge per call, durable when the call returns. The peer is the library's `Application.save` with
its own recorder, mapper and JSON transcoder; ours does more per call (command id, decision on campaign and supporter,
metadata, leaf hash), and groups commits.
"""

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from api.bootstrap import SLICES
from benchmarks.library import Library, on_postgres, on_sqlite
from benchmarks.measure import Result, at_least, in_turn, rate, tuned
from domain.campaigns import AddAsk, AskKind, Draft, Launch
from domain.kernel import Actor, Context
from domain.pledges import Make, Pledge
from domain.supporters import Register
from history.engine import Engine, open_store
from history.envelope import Request, own_request
from tests.support.postgres import running_server

CALLERS = 64
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def request(command: Any, key: str) -> Request:  # noqa: ANN401 - any command
    """Make a request with an id of its own."""
    return own_request(command, Context(actor=Actor("api", "bench"), at=AT, command_id=key, correlation_id=key))


def new_pledge(number: int) -> Pledge:
    """Make the aggregate that both sides store."""
    names = {"campaign": uuid.uuid4(), "ask": "listen", "supporter": uuid.uuid4()}
    del number
    return Pledge.open(uuid.uuid4(), on=AT.date(), **names)


@contextmanager
def ours(url: str, supporters: int) -> Iterator[Engine]:
    """A store with a launched campaign and supporters who have not pledged yet."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_store(url.replace("FOLDER", folder), Path(folder), SLICES)
        setting = [
            Draft(campaign="c", title="Listening"),
            AddAsk(campaign="c", ask="listen", statement="I listen.", kind=AskKind.ONCE),
            Launch(campaign="c"),
            *(Register(supporter=f"s{n}") for n in range(supporters)),
        ]
        for start in range(0, len(setting), 500):
            engine.write([request(c, f"setting-{start + i}") for i, c in enumerate(setting[start : start + 500])])
        try:
            yield engine
        finally:
            engine.close()


def our_rate(url: str, calls: int) -> float:
    """Return our pledges per second."""
    with ours(url, calls) as engine, tuned():

        def call(number: int) -> None:
            command = Make(campaign="c", ask="listen", supporter=f"s{number}")
            answer = engine.writer.submit(request(command, f"pledge-{number}")).result()
            assert answer.status == "accepted", answer

        return rate(calls, CALLERS, call)


def library_rate(application: Library, calls: int) -> float:
    """Return the library's pledges per second."""
    try:
        return rate(calls, CALLERS, lambda number: application.save(new_pledge(number)))
    finally:
        application.close()


def run(calls: int = 4_000) -> Iterator[Result]:
    """Measure on both databases."""
    with running_server(durable=True) as server:

        def peer() -> float:
            with server.new_database() as url:
                return library_rate(on_postgres(url), calls // 4)

        def mine() -> float:
            with server.new_database() as url:
                return our_rate(url, calls)

        yield Result("append, 64 callers, PostgreSQL", "/s", *in_turn(mine, peer), at_least(5))

    def sqlite_peer() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return library_rate(on_sqlite(Path(folder)), calls // 4)

    def sqlite_mine() -> float:
        return our_rate("sqlite:///FOLDER/groundswell.sqlite3", calls)

    yield Result("append, 64 callers, SQLite", "/s", *in_turn(sqlite_mine, sqlite_peer), at_least(2.5))
