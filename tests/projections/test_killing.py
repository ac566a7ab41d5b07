"""Read models under kill -9 and pauses during a real import: nothing is lost, nothing is counted twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("civic-chapters", "polis-15-per-hour-seattle", "polis-football-concussions", "us-congress")
KILLS, PAUSES = 200, 20
MINUTES = 10  # on the slowest of machines; it is less than one


@pytest.mark.timeout(MINUTES * 60 + 30)
def test_runners_that_are_killed_200_times_and_paused_until_their_leases_are_stolen(
    database_url: str, tmp_path: Path, shared_data: Path
) -> None:
    files = [shutil.copy(shared_data / "commands" / f"{name}.jsonl.gz", tmp_path) for name in FILES]
    where = ("--url", database_url, "--folder", str(tmp_path))
    happened = tortured(*where, "--kills", str(KILLS), "--pauses", str(PAUSES), *map(str, files))
    assert (happened["kills"], happened["pauses"], happened["events"]) == (KILLS, PAUSES, 11_471)
    assert happened["steps"] > KILLS


def tortured(*arguments: str) -> dict[str, int]:
    """Run the torture as a program of its own, because only a process without threads may fork."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.killing", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=MINUTES * 60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and those that it started
    assert process.returncode == 0, err
    happened: dict[str, int] = json.loads(out)
    return happened
