"""Appending single commands from 64 threads, against the library's own recorders behind the same aggregate.

Both sides make one pledge per call, durable when the call returns. The peer is the library's `Application.save` with
its own recorder, mapper and JSON transcoder; ours does more per call (command id, decision on campaign and supporter,
metadata, leaf hash), and groups commits.
"""

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from eventsourcing.application import Application
from eventsourcing.persistence import JSONTranscoder, Transcoding

from api.bootstrap import SLICES
from benchmarks.measure import Result, at_least, in_turn, rate
from domain.campaigns import AddAsk, AskKind, Draft, Launch
from domain.kernel import Actor, Context
from domain.pledges import Make, Pledge
from domain.supporters import Register
from history.engine import Engine, open_store
from history.envelope import Request, own_request
from tests.support.postgres import running_server

CALLERS = 64
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


class DateAsText(Transcoding):
    """The library's transcoder has none for dates."""

    type = date
    name = "date"

    def encode(self, obj: date) -> str:
        """Write a date."""
        return obj.isoformat()

    def decode(self, data: str) -> date:
        """Read a date."""
        return date.fromisoformat(data)


class Library(Application[uuid.UUID]):
    """The library's application, as its documentation builds it."""

    def register_transcodings(self, transcoder: Any) -> None:  # noqa: ANN401 - the library's signature
        """Add the transcoding of dates."""
        super().register_transcodings(transcoder)
        cast("JSONTranscoder", transcoder).register(DateAsText())


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
    with ours(url, calls) as engine:

        def call(number: int) -> None:
            command = Make(campaign="c", ask="listen", supporter=f"s{number}")
            answer = engine.writer.submit(request(command, f"pledge-{number}")).result()
            assert answer.status == "accepted", answer

        return rate(calls, CALLERS, call)


def library_rate(environment: dict[str, str], calls: int) -> float:
    """Return the library's pledges per second."""
    application = Library(env=environment)
    try:
        return rate(calls, CALLERS, lambda number: application.save(new_pledge(number)))
    finally:
        application.close()


def library_on_postgres(url: str) -> dict[str, str]:
    """Return the library's settings for a database."""
    parts = urlsplit(url)
    host = parts.hostname or parse_qs(parts.query)["host"][0]
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path.lstrip("/"),
        "POSTGRES_HOST": host,
        "POSTGRES_PORT": str(parts.port or parse_qs(parts.query).get("port", ["5432"])[0]),
        "POSTGRES_USER": parts.username or "postgres",
        "POSTGRES_PASSWORD": parts.password or "",
        "POSTGRES_POOL_SIZE": "20",
        "POSTGRES_MAX_OVERFLOW": "50",
    }


def run(calls: int = 4_000) -> Iterator[Result]:
    """Measure on both databases."""
    with running_server(durable=True) as server:

        def peer() -> float:
            with server.new_database() as url:
                return library_rate(library_on_postgres(url), calls // 4)

        def mine() -> float:
            with server.new_database() as url:
                return our_rate(url, calls)

        yield Result("append, 64 callers, PostgreSQL", "/s", *in_turn(mine, peer), at_least(5))

    def sqlite_peer() -> float:
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "library.sqlite3")  # noqa: PTH118 - a setting is a string
            environment = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": file}
            return library_rate(environment, calls // 4)

    def sqlite_mine() -> float:
        return our_rate("sqlite:///FOLDER/groundswell.sqlite3", calls)

    yield Result("append, 64 callers, SQLite", "/s", *in_turn(sqlite_mine, sqlite_peer), at_least(2.5))
