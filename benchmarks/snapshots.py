"""Loading a campaign of 100,000 events, against one of 100; and what snapshots cost those who append.

Both are loaded as by a process that has just started. The long one is as far behind its snapshot as it can be, so each
replays some 100 events. Appending is measured where it hurts most: batches of events of one and the same campaign.
"""

import time
from collections.abc import Iterator
from itertools import count
from unittest.mock import patch
from uuid import UUID

from benchmarks.append import request
from benchmarks.importing import SQLITE, new_store
from benchmarks.measure import Result, at_most, in_turn
from domain.campaigns import Frame
from history import snapshots
from history.engine import Engine
from history.loading import Loader
from history.snapshots import EVERY
from history.tables import snapshots as kept
from tests.support.long_streams import lengthen, long_campaign
from tests.support.postgres import running_server

LONG, SHORT = 100_000, 100
LOADS, REPLAYS = 50, 1
BATCHES, BATCH = 10, 500
NEVER = 1_000_000_000

_numbers = count()


def loading(engine: Engine, stream: UUID, times: int = LOADS) -> float:
    """Return the milliseconds that it takes to load an aggregate."""
    begun = time.perf_counter()
    for _ in range(times):
        with engine.database.read() as connection:
            assert Loader(engine.mapper, engine.persons).load(connection, [stream])[stream]
    return (time.perf_counter() - begun) / times * 1_000


def appending(engine: Engine, every: int) -> float:
    """Return the events per second that go to one campaign."""
    titles = [[f"Escutar {next(_numbers)}" for _ in range(BATCH)] for _ in range(BATCHES)]
    batches = [[request(Frame(campaign="hot", locale="pt", title=each), each) for each in batch] for batch in titles]
    with patch.object(snapshots, "EVERY", every):
        begun = time.perf_counter()
        for batch in batches:
            assert {answer.status for answer in engine.write(batch)} == {"accepted"}
        return BATCHES * BATCH / (time.perf_counter() - begun)


def compare(url: str, database: str) -> Iterator[Result]:
    """Measure on one database."""
    with new_store(url) as (engine, _):
        short = long_campaign(engine, SHORT, "short")
        long = long_campaign(engine, LONG - 1, "long")
        long_campaign(engine, 4, "hot")
        engine.write([request(Frame(campaign="long", locale="pt", title="Ouvir"), "the 100,000th")])
        lengthen(engine, long, LONG + EVERY - 1)
        what = f"load a campaign of {LONG:,} events, {database}"
        peer = f"one of {SHORT}"
        times = in_turn(lambda: loading(engine, long), lambda: loading(engine, short))
        yield Result(f"{what}, and {peer}", "ms", *times, at_most(1.5))
        rates = in_turn(lambda: appending(engine, EVERY), lambda: appending(engine, NEVER))
        yield Result(f"append to one campaign, with snapshots and without, {database}", "/s", *rates)
        with engine.database.write() as connection:
            connection.execute(kept.delete())
        times = in_turn(lambda: loading(engine, long, REPLAYS), lambda: loading(engine, short))
        yield Result(f"{what}, without its snapshot, and {peer}", "ms", *times)


def run() -> Iterator[Result]:
    """Measure on both databases."""
    yield from compare(SQLITE, "SQLite")
    with running_server(durable=True) as server, server.new_database() as url:
        yield from compare(url, "PostgreSQL")
