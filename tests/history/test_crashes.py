"""A load under kill -9: what was acknowledged is there once, nothing is half there, and nobody has to help."""

from pathlib import Path

import pytest

from tests.support.torture import MINUTES, tortured

KILLS, COMMANDS = 100, 20_000


@pytest.mark.timeout(MINUTES * 60 + 30)
def test_a_load_that_is_killed_100_times(database_url: str, tmp_path: Path) -> None:
    where = ("--url", database_url, "--folder", str(tmp_path))
    happened = tortured("tests.support.crashing", *where, "--kills", str(KILLS), "--size", str(COMMANDS))
    assert happened["kills"] >= KILLS
    assert happened["accepted"] + happened["repeated"] > COMMANDS * 0.9
    assert happened["checkpoints"] > 10
