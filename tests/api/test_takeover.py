"""Two workers on one store: when the one that owns the read models is killed, the other goes on in its place."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from api.bootstrap import Groundswell, open_groundswell
from api.settings import Settings
from history.tables import projections as checkpoints
from tests.api.conftest import Api
from tests.support.cli import Cli

PATIENCE = 60.0  # seconds; the aim is 20, and benchmarks/freshness.py measures it


@pytest.fixture
def groundswell(database_url: str, tmp_path: Path) -> Iterator[Groundswell]:
    with open_groundswell(Settings(data_dir=tmp_path, database_url=database_url)) as opened:
        yield opened


@pytest.fixture
def workers(groundswell: Groundswell, tmp_path: Path) -> Iterator[list["subprocess.Popen[str]"]]:
    settings = groundswell.settings
    cli = Cli(tmp_path, GROUNDSWELL_DATABASE_URL=settings.database_url, GROUNDSWELL_DATA_DIR=str(settings.data_dir))
    with ExitStack() as stack:
        started = []
        for _ in range(2):
            process = stack.enter_context(cli.start("work"))
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "Working; Ctrl+C stops.\n"
            started.append(process)
        yield started


def owner(groundswell: Groundswell) -> int:
    """Return the process that owns the read models, each of which has one."""
    with groundswell.engine.database.read() as connection:
        (name,) = set(connection.scalars(sa.select(checkpoints.c.owner).where(checkpoints.c.live)))
    found = re.fullmatch(r".+:(\d+):[0-9a-f]{8}", name)
    assert found is not None
    return int(found[1])


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def come(groundswell: Groundswell) -> bool:
    with groundswell.engine.database.read() as connection:
        return groundswell.runner.position(connection) == groundswell.engine.log.head()


def test_killing_the_owner_moves_its_work(groundswell: Groundswell, workers: list["subprocess.Popen[str]"]) -> None:
    api = Api(groundswell)
    assert api.command("chapters.found", {"chapter": "a", "name": "A"}).status_code == 201
    until(lambda: come(groundswell))
    first = owner(groundswell)
    assert first in {process.pid for process in workers}
    os.kill(first, signal.SIGKILL)
    assert api.command("chapters.found", {"chapter": "b", "name": "B"}).status_code == 201
    until(lambda: come(groundswell))
    second = owner(groundswell)
    assert {first, second} == {process.pid for process in workers}
    assert len(api.get("/chapters")["chapters"]) == 2
    for process in workers:
        process.send_signal(signal.SIGTERM)
    until(lambda: all(process.poll() is not None for process in workers))
    assert {process.pid: process.returncode for process in workers} == {first: -signal.SIGKILL, second: 0}
