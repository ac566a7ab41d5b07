"""The peak of memory of `groundswell import` for ten times a file, against the file once.

The whole program, read models included, reads from a pipe. The file is repeated under other names: each time its
campaign, its supporters and its ids are new. A peak hardly varies, and ten times the file take long: one run each.
"""

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.importing import FILE, LINES, REJECTED, SQLITE, there
from benchmarks.measure import Result, at_most
from tests.support.postgres import running_server

TIMES = 10
IMPORT = [sys.executable, "-m", "benchmarks.peak", "import", "-"]
NAME = b"polis-austria-climate"


def imported(url: str, times: int) -> tuple[float, float]:
    """Import the file so many times over; return (peak in MiB, seconds)."""
    with tempfile.TemporaryDirectory() as folder:
        store = {"GROUNDSWELL_DATABASE_URL": url.replace("FOLDER", folder), "GROUNDSWELL_DATA_DIR": folder}
        store["PYTHONPATH"] = str(Path(__file__).parents[1])
        begun = time.perf_counter()
        with subprocess.Popen(
            IMPORT,
            cwd=folder,  # what is refused is written there
            env=os.environ | store,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdin
            for number in range(times):
                with gzip.open(FILE) as lines:
                    process.stdin.writelines(map(partial(renamed, name=b"%s-%d" % (NAME, number)), lines))
            out, err = process.communicate()
        seconds = time.perf_counter() - begun
    summary = json.loads(out.splitlines()[-1])
    assert (summary["lines"], summary["rejected"]) == (times * LINES, times * REJECTED), err
    return int(err.splitlines()[-1]) / 1024, seconds


def renamed(line: bytes, name: bytes) -> bytes:
    """Return the line with another name in all its ids and references."""
    return line.replace(NAME, name)


def run() -> Iterator[Result]:
    """Measure on SQLite."""
    if there():
        yield from compared("SQLite", SQLITE, SQLITE)


def run_postgresql() -> Iterator[Result]:
    """Measure on PostgreSQL."""
    if there():
        with running_server(durable=True) as server, server.new_database() as one, server.new_database() as ten:
            yield from compared("PostgreSQL", one, ten)


def compared(database: str, one: str, ten: str) -> Iterator[Result]:
    """Compare the peaks, and show the rates."""
    less, quick = imported(one, 1)
    more, slow = imported(ten, TIMES)
    what = f"`groundswell import`, {TIMES} x the file against the file once (one run), {database}"
    yield Result(f"{what}: peak of memory", "MiB", [more], [less], at_most(1.2))
    yield Result(f"{what}: rate", "lines/s", [TIMES * LINES / slow], [LINES / quick])
