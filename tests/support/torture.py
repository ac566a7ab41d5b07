"""Tortures run as programs of their own, because only a process without threads may fork."""

import json
import os
import random
import signal
import subprocess
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
MINUTES: Final = 10
"""On the slowest of machines; it is a fraction of one."""

Happened = dict[str, int]


def tortured(module: str, *arguments: str) -> Counter[str]:
    """Run a torture; return how often what happened, 0 times included. Whatever it started is ended with it."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
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
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, err
    return Counter(json.loads(out))


def parser(description: str | None) -> ArgumentParser:
    """Return a parser of what every torture is told: which store, in which folder, and which dice."""
    made = ArgumentParser(description=description)
    made.add_argument("--url", required=True)
    made.add_argument("--folder", required=True, type=Path)
    made.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    return made


def report(seed: int, torture: Callable[[], Happened]) -> None:
    """Run a torture here, and print what happened as JSON; name the seed where it fails."""
    try:
        happened = torture()
    except BaseException as error:
        error.add_note(f"the seed was {seed}")
        raise
    sys.stdout.write(json.dumps(happened))
