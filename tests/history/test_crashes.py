"""A load under kill -9: what was acknowledged is there once, nothing is half there, and nobody has to help."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KILLS, COMMANDS = 100, 20_000
MINUTES = 10  # on the slowest of machines; it is a fraction of one


@pytest.mark.timeout(MINUTES * 60 + 30)
def test_a_load_that_is_killed_100_times(database_url: str, tmp_path: Path) -> None:
    happened = tortured(
        "--url", database_url, "--folder", str(tmp_path), "--kills", str(KILLS), "--size", str(COMMANDS)
    )
    assert happened["kills"] >= KILLS
    assert happened["accepted"] + happened["repeated"] > COMMANDS * 0.9
    assert happened["checkpoints"] > 10


def tortured(*arguments: str) -> dict[str, int]:
    """Run the torture as a program of its own, because only a process without threads may fork."""
    command = [sys.executable, "-m", "tests.support.crashing", *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=MINUTES * 60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and those that it started
    assert process.returncode == 0, err
    happened: dict[str, int] = json.loads(out)
    return happened
