"""The first to read by a type are many threads at once, as where a server has just begun."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("what", ["commands", "aggregates"])
def test_many_threads_may_be_the_first_to_read(what: str) -> None:
    program = [sys.executable, "-m", "tests.support.first_use", what]
    ran = subprocess.run(program, check=False, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
