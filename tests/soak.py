"""A longer torture than the test suite has time for: ``make soak``, or ``python -m tests.soak --kills 10000``.

On SQLite, on PostgreSQL, and on a durable PostgreSQL whose server is killed as well. It prints what happened, and ends
with an error, which names the seed, where anything was lost, doubled or halved.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.crashing import Torture
from tests.support.postgres import running_server
from tests.support.sender import Place


def main() -> None:
    """Torture the three of them, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--size", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    given = parser.parse_args()
    for scene in (_sqlite, _postgresql, _mortal_postgresql):
        name = scene.__name__.strip("_").replace("_", " ")
        print(f"{name}: {given.kills:,} kills in {given.size:,} commands, seed {given.seed} …", flush=True)
        start = time.monotonic()
        with (
            tempfile.TemporaryDirectory() as folder,
            scene(Path(folder), given.kills, given.size, given.seed) as torture,
        ):
            happened = torture.run()
        print(f"{name}: right, after {time.monotonic() - start:,.0f} s: {json.dumps(happened)}", flush=True)


@contextmanager
def _sqlite(folder: Path, kills: int, size: int, seed: int) -> Iterator[Torture]:
    yield Torture(Place(f"sqlite:///{folder / 'groundswell.sqlite3'}", folder), kills, size, seed)


@contextmanager
def _postgresql(folder: Path, kills: int, size: int, seed: int) -> Iterator[Torture]:
    with running_server() as server, server.new_database() as url:
        yield Torture(Place(url, folder), kills, size, seed)


@contextmanager
def _mortal_postgresql(folder: Path, kills: int, size: int, seed: int) -> Iterator[Torture]:
    """The server's own defaults for writing to disk; it is killed at one in five kills of its clients."""
    with running_server(durable=True) as server, server.new_database() as url:

        def kill_server() -> None:
            server.kill()
            server.wait_until_it_answers()

        yield Torture(Place(url, folder, comes_and_goes=True), kills, size, seed, kill_server=kill_server)


if __name__ == "__main__":
    main()
