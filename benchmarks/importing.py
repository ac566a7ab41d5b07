"""Importing a file of real commands, against the same commands one at a time through the library's `Application.save`.

Ours is what `groundswell import` does up to the last durable acknowledgement; benchmarks/memory.py runs the whole
program. Both sides read a line with the same code and decide with the same aggregates. The library is spared ids,
leaf hashes and reading again what it has seen. It gets the lines after the campaign's own, and so many that its rate
can be told.
"""

import gzip
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from api.bootstrap import SLICES
from api.imports import Import, Interruption, Source
from benchmarks.library import Library, Runner, on_postgres, on_sqlite
from benchmarks.measure import Result, at_least, in_turn, tuned
from domain.kernel import Actor, Refusal
from history.engine import Engine, open_store
from history.envelope import Catalogue
from tests.support.postgres import running_server

FILE = Path(__file__).parents[2] / "shared/data/commands/polis-austria-climate.jsonl.gz"
LINES, REJECTED = 40_240, 378
SETTING, SAMPLE = 524, 3_000
SQLITE = "sqlite:///FOLDER/groundswell.sqlite3"


def there() -> bool:
    """Whether the file is there; says so where it is not."""
    if not FILE.exists():
        print(f"skipped: there is no {FILE}")
    return FILE.exists()


@contextmanager
def new_store(url: str) -> Iterator[tuple[Engine, Path]]:
    """An empty store with its data directory; FOLDER in the address stands for that."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_store(url.replace("FOLDER", folder), Path(folder), SLICES)
        try:
            yield engine, Path(folder)
        finally:
            engine.close()


def import_file(engine: Engine, folder: Path) -> None:
    """Import the file into a store."""
    copy = Path(shutil.copy(FILE, folder))  # what is refused is written beside it
    with Interruption() as interruption:
        summary, _ = Import(engine.write, engine.catalogue, interruption).run(Source(str(copy)))
    assert (summary.lines, summary.rejected) == (LINES, REJECTED), summary


def our_rate(url: str) -> float:
    """Return our lines per second."""
    with new_store(url) as (engine, folder), tuned():
        begun = time.perf_counter()
        import_file(engine, folder)
        return LINES / (time.perf_counter() - begun)


def library_rate(application: Library) -> float:
    """Return the library's lines per second."""
    runner, catalogue = Runner(application), Catalogue(SLICES)
    importer = Actor("system", "cli")

    def run(line: bytes) -> None:
        request = catalogue.request(catalogue.open(line), importer)
        try:
            runner.run(request)
        except Refusal as refusal:
            if refusal.code != "pledge.already_active":
                raise

    with gzip.open(FILE) as lines:
        for line in islice(lines, SETTING):
            run(line)
        begun = time.perf_counter()
        for line in islice(lines, SAMPLE):
            run(line)
        seconds = time.perf_counter() - begun
    application.close()
    return SAMPLE / seconds


def run() -> Iterator[Result]:
    """Measure on both databases."""
    if not there():
        return

    def library_on_sqlite() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return library_rate(on_sqlite(Path(folder)))

    yield compared("SQLite", lambda: our_rate(SQLITE), library_on_sqlite, 3)

    with running_server(durable=True) as server:

        def on_new(measured: Callable[[str], float]) -> Callable[[], float]:
            def once() -> float:
                with server.new_database() as url:
                    return measured(url)

            return once

        yield compared("PostgreSQL", on_new(our_rate), on_new(lambda url: library_rate(on_postgres(url))), 12)


def compared(database: str, ours: Callable[[], float], peer: Callable[[], float], bound: float) -> Result:
    """Compare our import with the peer."""
    what = f"import of polis-austria-climate, {database}"
    return Result(what, "lines/s", *in_turn(ours, peer), at_least(bound))
