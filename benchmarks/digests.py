"""Personal digests from one process on one core to a mail server in another, beside the naive loop (digests_sides.py).

The people are the demonstration's, with pledges, check-ins and policies in three languages, so that digests have items,
figures and a chart. Each had a digest a month ago; beside that stands what first digests take, which tell half a year.
A rate is of all that is accepted, in the time from the beginning of planning to the last outcome in the history. How
much memory is held is shown for five times as many people who get a plain digest. Those who are due among a million are
due by rows of the read model that is asked, made up here.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from api.bootstrap import PROJECTIONS, SLICES, open_groundswell
from api.demo import fill
from api.settings import Settings
from benchmarks.measure import RUNS, Result, at_least, at_most
from domain.kernel import Actor
from domain.supporters import Supporter
from history.database import Database
from history.engine import Engine, open_store
from history.envelope import Envelope
from history.statements import insert_rows
from history.tables import events
from notifications.tables import digest_ranges, outbox
from projections.runner import Runner
from projections.subscriptions import Subscriptions
from tests.support.postgres import running_server

SIDE: Final = [sys.executable, "-m", "benchmarks.digests_sides"]
SUPPORTERS: Final = 4_000
NAIVE: Final = 150
"""To how many the naive loop sends."""
FEWER, MORE, MOST = 10_000, 50_000, 200_000
"""Fewer do not fill the caches of which each connection has one, and whatever comes to more would look like growth."""
KNOWN, DUE_IN = 1_000_000, 100
"""Of how many supporters one in so many is due."""
AIM_RATE: Final = 250.0
AIM_SECONDS: Final = 5.0
SQLITE: Final = "sqlite:///FOLDER/groundswell.sqlite3"
BATCH: Final = 500
PAGE: Final = 20_000
NOBODY: Final = Actor("system", "bench")
MONDAY: Final = datetime(2026, 3, 9, 9, tzinfo=UTC)


# --- stores ---


def caught_up(engine: Engine) -> None:
    """Bring the read models of a store to its head, and leave them."""
    engine.react()
    runner = Runner(engine.log, PROJECTIONS)
    runner.prepare()
    runner.catch_up()
    runner.release()


@contextmanager
def demonstration(supporters: int) -> Iterator[tuple[Path, datetime]]:
    """Make a store of the demonstration on SQLite; give (its folder, the moment at which it ends)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engine = open_store(SQLITE.replace("FOLDER", name), folder, SLICES)
        fill(engine, supporters)
        caught_up(engine)
        with engine.database.read() as connection:
            last = max(connection.scalars(sa.select(events.c.occurred_at)))
        engine.close()
        yield folder, last + timedelta(hours=1)


def tell_all_but_a_month(store: Path, moment: datetime) -> None:
    """Let everybody's last digest be one of a month ago."""
    database = Database(SQLITE.replace("FOLDER", str(store)))
    with database.write() as connection:
        earlier = events.c.occurred_at <= moment - timedelta(days=30)
        position = connection.scalar(sa.select(sa.func.max(events.c.position)).where(earlier))
        joined = sa.select(events.c.stream_id).where(events.c.topic == Supporter.Registered.TOPIC, earlier)
        rows = [{"supporter": one, "position": position, "at": moment} for one in connection.scalars(joined)]
        insert_rows(connection, digest_ranges, rows)
    database.close()


@contextmanager
def crowd(supporters: int) -> Iterator[Path]:
    """Make a store of so many people who each made one pledge, and who all get a digest on Monday."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engine = open_store(SQLITE.replace("FOLDER", name), folder, SLICES)
        asked = {"campaign": "listen", "ask": "circle"}
        setting = [
            ("campaigns.draft", {"campaign": "listen", "title": "Twenty-one days of listening"}),
            ("campaigns.add_ask", {**asked, "statement": "Hold a circle", "kind": "once"}),
            ("campaigns.launch", {"campaign": "listen"}),
        ]
        write(engine, setting)
        for start in range(0, supporters, BATCH):
            names = [f"s{number}" for number in range(start, min(start + BATCH, supporters))]
            write(engine, [command for name in names for command in joining(name, asked)])
        caught_up(engine)
        engine.close()
        yield folder


def joining(name: str, asked: Mapping[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """Return the commands by which somebody joins, asks for a digest, and pledges."""
    return [
        ("supporters.register", {"supporter": name, "email": f"{name}@example.org", "name": name, "time_zone": "UTC"}),
        ("supporters.confirm_email", {"supporter": name}),
        ("supporters.consent", {"supporter": name, "topic": "digest", "granted": True, "wording": "Yes."}),
        ("pledges.make", {**asked, "supporter": name}),
    ]


def write(engine: Engine, commands: list[tuple[str, dict[str, Any]]]) -> None:
    """Have commands decided, long before Monday."""
    at = (MONDAY - timedelta(days=20)).isoformat()
    numbers = [f"{name}:{data.get('supporter', '')}" for name, data in commands]
    envelopes = [
        Envelope(id=number, command=name, at=at, data=data)
        for number, (name, data) in zip(numbers, commands, strict=True)
    ]
    for answer in engine.write([engine.catalogue.request(envelope, NOBODY) for envelope in envelopes]):
        assert answer.error is None, answer.error


# --- sending ---


@contextmanager
def sink() -> Iterator[str]:
    """Run the mail server; give its URL."""
    with subprocess.Popen([*SIDE, "sink"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"smtp://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def sent(side: str, store: Path, moment: datetime, limit: int = 0) -> dict[str, Any]:
    """Let one side send what is due from a copy of a store; return what was measured."""
    with sink() as smtp_url, tempfile.TemporaryDirectory() as name:
        copy = shutil.copytree(store, Path(name) / "store")
        given = [SQLITE.replace("FOLDER", str(copy)), str(copy), smtp_url, moment.isoformat(), str(limit)]
        done = subprocess.run([*SIDE, side, *given], stdout=subprocess.PIPE, text=True, check=True)
        measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return measured


def per_second(measured: Mapping[str, Any]) -> float:
    """Return how many digests were accepted each second."""
    return float(measured["accepted"] / measured["seconds"])


def run_pairs(supporters: int = SUPPORTERS, runs: int = RUNS) -> Iterator[Result]:
    """Send with both sides in turn, and print what a digest takes of ours."""
    with demonstration(supporters) as (store, moment):
        first = per_second(sent("ours", store, moment))
        tell_all_but_a_month(store, moment)
        pairs = [(sent("ours", store, moment), sent("naive", store, moment, NAIVE)) for _ in range(runs)]
        rates = [per_second(mine) for mine, _ in pairs]
        what = f"digests from one process on one core, SQLite, {pairs[0][0]['accepted']:,} of {supporters:,} supporters"
        yield Result(f"{what}; against {AIM_RATE:g} a second", "1/s", rates, [AIM_RATE] * runs, at_least(1))
        yield Result(
            f"{what}; against the naive loop", "1/s", rates, [per_second(peer) for _, peer in pairs], at_least(3)
        )
        cpu = [1_000 * mine["cpu"] / mine["accepted"] for mine, _ in pairs]
        naive = [1_000 * peer["cpu"] / peer["accepted"] for _, peer in pairs]
        yield Result(f"{what}: processor time of one, against the naive loop", "ms", cpu, naive)
        what = f"first digests, which tell half a year, SQLite; against {AIM_RATE:g} a second"
        yield Result(what, "1/s", [first], [AIM_RATE])
        print_stages(sent("stages", store, moment))


def print_stages(measured: Mapping[str, Any]) -> None:
    """Say what bounds the rate."""
    stages = {name: 1_000 * seconds / measured["accepted"] for name, seconds in measured["stages"].items()}
    stages["all else"] = 1_000 * measured["cpu"] / measured["accepted"] - sum(stages.values())
    for name, spent in sorted(stages.items(), key=lambda one: -one[1]):
        print(f"  {spent:.2f} ms of processor time a digest: {name}")


# --- memory ---


def run_memory(fewer: int = FEWER, more: int = MORE) -> Iterator[Result]:
    """Compare the peaks of sending to few and to many."""
    peaks = []
    for number in (fewer, more):
        with crowd(number) as store:
            measured = sent("ours", store, MONDAY)
            assert measured["accepted"] == number
            peaks.append(measured["peak"])
    what = f"peak of memory while digests go to {more:,} people, against {fewer:,} (one run), SQLite"
    yield Result(what, "MiB", [peaks[1]], [peaks[0]], at_most(1.2))


def run_longest() -> Iterator[Result]:
    """Compare the peaks for as many as there may be."""
    yield from run_memory(FEWER, MOST)


# --- planning ---


def people(database: Database, model: Subscriptions, known: int) -> None:
    """Make up subscribers, of whom one in DUE_IN is due, and the others some days later."""
    long_ago = MONDAY - timedelta(days=60)
    due, later = MONDAY - timedelta(hours=1), MONDAY + timedelta(days=3)
    for start in range(0, known, PAGE):
        rows = [
            {
                "supporter": UUID(int=(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128),
                "addressed": True,
                "email_confirmed": True,
                "consented": True,
                "eligible_since": long_ago,
                "frequency": "weekly",
                "weekday": 1 if number % DUE_IN == 0 else 4,
                "time_zone": "UTC",
                "erased": False,
                "told_period": "weekly:2026-W10",
                "told_due_at": due - timedelta(days=7) if number % DUE_IN == 0 else later - timedelta(days=7),
                "next_at": due if number % DUE_IN == 0 else later,
                "counted_from": (due if number % DUE_IN == 0 else later) - timedelta(days=7),
            }
            for number in range(start, min(start + PAGE, known))
        ]
        with database.write() as connection:
            insert_rows(connection, model.subscriptions, rows)


def planned(url: str, known: int, runs: int) -> list[float]:
    """Return the seconds that planning takes, each time from the beginning."""
    with tempfile.TemporaryDirectory() as name:
        settings = Settings(data_dir=Path(name), database_url=url.replace("FOLDER", name))
        seconds = []
        with open_groundswell(settings) as groundswell:
            database = groundswell.engine.database
            with groundswell.reader.open() as views:
                model = views[Subscriptions]
            people(database, model, known)
            for _ in range(runs):
                begun = time.perf_counter()
                assert groundswell.notifications.plan(MONDAY) == known // DUE_IN
                seconds.append(time.perf_counter() - begun)
                with database.write() as connection:
                    connection.execute(outbox.delete())
        return seconds


def run_planning(known: int = KNOWN, runs: int = RUNS) -> Iterator[Result]:
    """Plan on both databases."""
    what = f"planning, {known:,} supporters of whom 1 in {DUE_IN} is due"
    with running_server(durable=True) as server, server.new_database() as postgresql:
        for database, url in (("SQLite", SQLITE), ("PostgreSQL", postgresql)):
            seconds = planned(url, known, runs)
            aimed = f"{what}, {database}; against {AIM_SECONDS:g} s"
            yield Result(aimed, "s", seconds, [AIM_SECONDS] * runs, at_most(1))


def run() -> Iterator[Result]:
    """Measure all."""
    yield from run_pairs()
    yield from run_memory()
    yield from run_planning()
