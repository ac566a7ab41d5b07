"""Pledging over HTTP with 64 keep-alive connections, against rows inserted by FastAPI and SQLAlchemy (web_peer.py).

Both run as one uvicorn process with the same settings and a pool of the same size, on a durable PostgreSQL. There are
two routes: the public form, where everybody is new (a supporter and a pledge), and a program's command for supporters
who are known. The form's rate limits stay on: each request comes, as behind a proxy, from an address of its own. Our
read models follow in a `groundswell work`; the rows that have one beside the server say so. The peer has none.
"""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

from api.accounts import Role
from api.bootstrap import open_groundswell
from api.settings import Settings
from benchmarks import web_peer
from benchmarks.append import request
from benchmarks.load import Load, measure, post
from benchmarks.measure import RUNS, Result, at_least, at_most
from domain.campaigns import AddAsk, AskKind, Draft, Launch
from domain.supporters import Register
from tests.support.postgres import PostgresServer, running_server

SERVE = [sys.executable, "-m", "api.cli", "serve", "--port", "0"]
WORK = [sys.executable, "-m", "api.cli", "work"]
PEER = [sys.executable, "-m", "benchmarks.web_peer"]
OURS, PEERS = 8_000, 3_000
"""More requests than are answered in the time; where they are not, the clock stops with the last."""
CAMPAIGN, ASK = "listen", "ten-minutes"
Seeded = Callable[[str, Path, int], tuple[str, dict[str, str]]]


def form(number: int) -> bytes:
    """The public form, filled in by somebody new at a network address of their own."""
    said = {"ask": ASK, "email": f"person-{number}@example.org", "name": f"Person {number}", "locale": "pt"}
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    headers = {"Idempotency-Key": f"form-{number}", "X-Forwarded-For": address}
    return post(f"/api/v1/campaigns/{CAMPAIGN}/pledges", headers, json.dumps(said).encode())


def command(number: int, token: str) -> bytes:
    """A program's command for a supporter who is known."""
    data = {"campaign": CAMPAIGN, "ask": ASK, "supporter": f"s{number}"}
    envelope = {"id": f"pledge-{number}", "command": "pledges.make", "at": "2026-03-01T12:00:00Z", "data": data}
    return post("/api/v1/commands", {"Authorization": f"Bearer {token}"}, json.dumps(envelope).encode())


def our_store(url: str, folder: Path, supporters: int) -> tuple[str, dict[str, str]]:
    """Make a store with a launched campaign and supporters; return (token, the server's environment)."""
    with open_groundswell(Settings(data_dir=folder, database_url=url)) as groundswell:
        setting = [
            Draft(campaign=CAMPAIGN, title="Listening"),
            AddAsk(campaign=CAMPAIGN, ask=ASK, statement="I listen ten minutes a day.", kind=AskKind.ONCE),
            Launch(campaign=CAMPAIGN),
            *(Register(supporter=f"s{n}") for n in range(supporters)),
        ]
        for start in range(0, len(setting), 500):
            part = [request(each, f"setting-{start + n}") for n, each in enumerate(setting[start : start + 500])]
            assert all(answer.status == "accepted" for answer in groundswell.engine.write(part))
        groundswell.catch_up()
        _, token = groundswell.accounts.create_token("bench", Role.SUPPORTER)
    return token, {"GROUNDSWELL_DATABASE_URL": url, "GROUNDSWELL_DATA_DIR": str(folder)}


def peer_store(url: str, _folder: Path, supporters: int) -> tuple[str, dict[str, str]]:
    """Make the same as rows."""
    url = url.replace("postgresql://", "postgresql+psycopg://")
    engine = sa.create_engine(url)
    campaign, token = uuid4(), uuid4().hex
    with engine.begin() as connection:
        web_peer.metadata.create_all(connection)
        digest = hashlib.sha256(token.encode()).hexdigest()
        connection.execute(web_peer.tokens.insert().values(digest=digest, role="supporter", name="bench"))
        connection.execute(web_peer.campaigns.insert().values(id=campaign, reference=CAMPAIGN, state="launched"))
        connection.execute(web_peer.asks.insert().values(campaign=campaign, ask=ASK, statement="I listen."))
        people = [{"id": uuid4(), "reference": f"s{n}"} for n in range(supporters)]
        connection.execute(web_peer.supporters.insert(), people)
    engine.dispose()
    return token, {"PEER_URL": url}


@contextmanager
def running(program: list[str], environment: dict[str, str]) -> Iterator[int]:
    """Run a program until the block ends; give the port that it names in its first line, 0 where it names none."""
    with subprocess.Popen(program, env=os.environ | environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            named = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
            yield int(named[1]) if named else 0
        finally:
            process.send_signal(signal.SIGTERM)


def once(
    server: PostgresServer, seeded: Seeded, program: list[str], calls: int, *, beside: list[str] | None = None
) -> tuple[Load, Load]:
    """Measure one side on a new database: (the form, the command)."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(server.new_database())
        token, environment = seeded(url, folder, calls)
        if beside:
            stack.enter_context(running(beside, environment))
        port = stack.enter_context(running(program, environment))
        return (
            measure(port, [form(n) for n in range(calls)], 202, folder),
            measure(port, [command(n, token) for n in range(calls)], 201, folder),
        )


def run() -> Iterator[Result]:
    """Measure both routes."""
    with running_server(durable=True) as server:
        pairs = [(once(server, our_store, SERVE, OURS), once(server, peer_store, PEER, PEERS)) for _ in range(RUNS)]
        beside = [once(server, our_store, SERVE, OURS, beside=WORK) for _ in range(RUNS)]
    peer = [each for _, each in pairs]
    ours = [each for each, _ in pairs]
    for route, what in enumerate(("POST …/pledges, 64 connections", "POST …/commands (pledges.make), 64 connections")):
        yield from compared(what, [each[route] for each in ours], [each[route] for each in peer], aimed=True)
        yield from compared(f"{what}, `work` beside", [each[route] for each in beside], [each[route] for each in peer])


def compared(what: str, ours: list[Load], peer: list[Load], *, aimed: bool = False) -> Iterator[Result]:
    """Compare the rates and the latencies of one route."""
    least, most = (at_least(5), at_most(1)) if aimed else (None, None)
    yield Result(what, "/s", [one.rate for one in ours], [one.rate for one in peer], least)
    yield Result(f"{what}: p99", "ms", [one.p99 for one in ours], [one.p99 for one in peer], most)
    if aimed:
        yield Result(f"{what}: p50", "ms", [one.p50 for one in ours], [one.p50 for one in peer])
