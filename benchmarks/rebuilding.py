"""Rebuilding all read models, against the library's `ProjectionRunner` keeping one counter table.

Both read the same events: the demonstration's half year, as often as the number of events takes (see histories.py).
Ours folds all read models anew, loads them and swaps them in, in a program of its own. The library's runner
counts events by topic, in a table of its own on PostgreSQL, from a part of the events large enough to tell its rate.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL, Identifier

from api.bootstrap import PROJECTIONS, SLICES, open_groundswell
from api.process import tune
from api.settings import Settings
from benchmarks.histories import Row, half_a_year, write
from benchmarks.importing import SQLITE
from benchmarks.library import Library, on_postgres
from benchmarks.measure import RUNS, Result, at_least, at_most
from benchmarks.peak import peak
from domain.kernel import Event
from domain.pledges import Pledge
from history.engine import open_store
from history.mapper import Mapper
from history.tables import events
from projections.rebuild import DRAFTS, rebuild
from tests.support.postgres import PostgresServer, running_server

SHORT: Final = 100_000
LONG: Final = 1_000_000
LONGEST: Final = 5_000_000
BESIDE: Final = 3
"""So often the short history is folded before a long one, and as often after it: the machine is not always as fast."""
DATABASES: Final = ("PostgreSQL", "SQLite")
SAMPLE: Final = 3_000
FEW: Final = 100
"""So many the library sends at a time without waiting for the server for ever."""
WRITABLE: Final = {Pledge.Made.TOPIC, Pledge.CheckedIn.TOPIC, Pledge.Kept.TOPIC}
EVEN: Final = 0.8
"""A rate that is within a fifth of another is at least so many times it."""


@dataclass(frozen=True)
class Run:
    """What a rebuild took; ``peak`` is that of the largest of its processes, in MiB."""

    rate: float
    peak: float


# --- ours ---


@contextmanager
def long_history(url: str, rows: Sequence[Row], number: int) -> Iterator[Settings]:
    """A store with so many events."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), database_url=url.replace("FOLDER", folder))
        engine = open_store(settings.database_url, settings.data_dir, SLICES)
        write(engine.database, rows, number)
        engine.close()
        yield settings


def rebuilt(settings: Settings) -> Run:
    """Rebuild all read models in a process of its own."""
    arguments = [sys.executable, "-m", "benchmarks.rebuilding", settings.database_url, str(settings.data_dir)]
    said = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, env=os.environ).stdout
    return Run(**json.loads(said))


def main(url: str, folder: str) -> None:
    """Rebuild, and say as JSON how it went."""
    with open_groundswell(Settings(data_dir=Path(folder), database_url=url)) as groundswell:
        tune()
        head = groundswell.engine.log.head()
        begun = time.perf_counter()
        rebuild(groundswell.runner, PROJECTIONS, folder=groundswell.settings.data_dir / DRAFTS)
        seconds = time.perf_counter() - begun
    # What the system says of this process would count the one that started it, as `benchmarks.peak` says.
    largest = max(peak(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    print(json.dumps({"rate": head / seconds, "peak": largest / 1024}))


# --- the peer ---


class Counts(PostgresTrackingRecorder):
    """How many events there were of each topic."""

    def __init__(self, datastore: PostgresDatastore, **options: Any) -> None:  # noqa: ANN401 - the library's signature
        super().__init__(datastore, **options)
        table = Identifier(datastore.schema, "topic_counts")
        self.sql_create_statements.append(
            SQL("CREATE TABLE IF NOT EXISTS {} (topic text PRIMARY KEY, number bigint NOT NULL)").format(table)
        )
        self._count = SQL(
            "INSERT INTO {} AS counts VALUES (%s, 1) ON CONFLICT (topic) DO UPDATE SET number = counts.number + 1"
        ).format(table)

    def count(self, topic: str, tracking: Tracking) -> None:
        """Count one event, and note that it was."""
        with self.datastore.get_connection() as connection, connection.transaction(), connection.cursor() as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(self._count, (topic,), prepare=True)


class Counting(Projection[Counts]):
    """The smallest read model there is."""

    name = "counting"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ANN401 - the library's signature
        """Count the event."""
        self.view.count(domain_event.TOPIC, tracking)


def library_store(url: str, rows: Sequence[Row]) -> Library:
    """Open the library's application with the first of those events that its transcoder can write as they are."""
    application = on_postgres(url)
    mapper = Mapper(aggregate for one in SLICES for aggregate in one.aggregates)
    chosen: list[Event] = []
    for row in rows:
        named = dict(zip(events.c.keys(), row, strict=True))
        if len(chosen) < SAMPLE and named["topic"] in WRITABLE:
            event, _ = mapper.decode(named["topic"], named["data"], named["stream_id"], named["version"])
            vars(event).update(timestamp=named["occurred_at"], note=None)
            chosen.append(event)
    for start in range(0, SAMPLE, FEW):
        part = chosen[start : start + FEW]
        application.recorder.insert_events([application.mapper.to_stored_event(event) for event in part])
    return application


def library_rate(application: Library, number: int) -> float:
    """Return how many events per second the library's runner counts; ``number`` names a read model of its own."""
    env = dict(application.env) | {"PERSISTENCE_MODULE": "eventsourcing.postgres"}
    kind = type(f"Counting{number}", (Counting,), {"name": f"counting{number}"})
    begun = time.perf_counter()
    with ProjectionRunner(application_class=Library, projection_class=kind, view_class=Counts, env=env) as runner:
        runner.projection.view.wait(Library.__name__, SAMPLE, timeout=120)
        return SAMPLE / (time.perf_counter() - begun)


# --- side by side ---


def run() -> Iterator[Result]:
    """Measure 100,000 events on both databases against the library, and a million against them."""
    with half_a_year() as rows, running_server(durable=True) as server:
        yield from against_the_library(server, rows)
        for database in DATABASES:
            yield from long_against_short(database, server, rows, LONG)


def run_longest() -> Iterator[Result]:
    """Measure five million events against 100,000."""
    with half_a_year() as rows, running_server(durable=True) as server:
        for database in DATABASES:
            yield from long_against_short(database, server, rows, LONGEST)


def against_the_library(server: PostgresServer, rows: Sequence[Row]) -> Iterator[Result]:
    """Compare in turn: PostgreSQL, SQLite, the library."""
    with ExitStack() as stores:
        ours = {name: stores.enter_context(stored(name, server, rows, SHORT)) for name in DATABASES}
        peer = library_store(stores.enter_context(server.new_database()), rows)
        runs: dict[str, list[Run]] = {name: [] for name in ours}
        counted = []
        for number in range(RUNS):
            for name, settings in ours.items():
                runs[name].append(rebuilt(settings))
            counted.append(library_rate(peer, number))
        peer.close()
    rates = {name: [each.rate for each in found] for name, found in runs.items()}
    what = f"rebuild of {len(PROJECTIONS)} read models, {SHORT:,} events"
    yield Result(f"{what}, PostgreSQL, against the library's runner", "/s", rates["PostgreSQL"], counted, at_least(15))
    yield Result(f"{what}, SQLite, against the library's runner on PostgreSQL", "/s", rates["SQLite"], counted)
    yield Result(f"{what}, SQLite against PostgreSQL", "/s", rates["SQLite"], rates["PostgreSQL"], at_least(1))


def long_against_short(database: str, server: PostgresServer, rows: Sequence[Row], number: int) -> Iterator[Result]:
    """Compare rate and memory; the long history is folded once, between folds of the short one, whose median counts."""
    with stored(database, server, rows, SHORT) as short, stored(database, server, rows, number) as long:
        few = [rebuilt(short) for _ in range(BESIDE)]
        many = rebuilt(long)
        few += [rebuilt(short) for _ in range(BESIDE)]
    rate, held = (statistics.median(getattr(each, name) for each in few) for name in ("rate", "peak"))
    what = f"rebuild, {number:,} events against {SHORT:,} (one run), {database}"
    yield Result(f"{what}: rate", "/s", [many.rate], [rate], at_least(EVEN))
    yield Result(f"{what}: peak of memory", "MiB", [many.peak], [held], at_most(1.2))


@contextmanager
def stored(database: str, server: PostgresServer, rows: Sequence[Row], number: int) -> Iterator[Settings]:
    """A history of so many events on a database."""
    if database == "SQLite":
        with long_history(SQLITE, rows, number) as settings:
            yield settings
    else:
        with server.new_database() as url, long_history(url, rows, number) as settings:
            yield settings


if __name__ == "__main__":
    main(*sys.argv[1:])
