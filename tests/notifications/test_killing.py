"""Senders under kill -9 at every point where they may die: nobody gets two digests, and every mail has its end."""

from pathlib import Path

import pytest

from tests.support.mail_killing import POINTS
from tests.support.torture import MINUTES, tortured


@pytest.mark.timeout(MINUTES * 60 + 30)
@pytest.mark.parametrize("senders", [1, 4])
def test_senders_that_are_killed_at_every_point(database_url: str, tmp_path: Path, senders: int) -> None:
    where = ("--url", database_url, "--folder", str(tmp_path))
    happened = tortured("tests.support.mail_killing", *where, "--senders", str(senders))
    assert happened["kills"] == 2 * len(POINTS)
    assert happened["accepted"] > 0
    assert happened["unknown"] > 0
