"""Read models under kill -9 and pauses during a real import: nothing is lost, nothing is counted twice."""

import shutil
from pathlib import Path

import pytest

from tests.support.torture import MINUTES, tortured

FILES = ("civic-chapters", "polis-15-per-hour-seattle", "polis-football-concussions", "us-congress")
KILLS, PAUSES = 200, 20


@pytest.mark.timeout(MINUTES * 60 + 30)
def test_runners_that_are_killed_200_times_and_paused_until_their_leases_are_stolen(
    database_url: str, tmp_path: Path, shared_data: Path
) -> None:
    files = [shutil.copy(shared_data / "commands" / f"{name}.jsonl.gz", tmp_path) for name in FILES]
    where = ("--url", database_url, "--folder", str(tmp_path))
    happened = tortured(
        "tests.support.killing", *where, "--kills", str(KILLS), "--pauses", str(PAUSES), *map(str, files)
    )
    assert (happened["kills"], happened["pauses"], happened["events"]) == (KILLS, PAUSES, 11_471)
    assert happened["steps"] > KILLS
