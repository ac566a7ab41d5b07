"""Counters and durations of this process in the text format of Prometheus (version 0.0.4)."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEDIA_TYPE: Final = "text/plain; version=0.0.4"
PREFIX: Final = "/api/v1"
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds; each bucket counts what took no longer."""

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """What this process counted since it started."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._commands: defaultdict[str, int] = defaultdict(int)
        self._buckets: dict[Labels, list[int]] = {}
        self._sums: defaultdict[Labels, float] = defaultdict(float)

    def commands(self, statuses: Iterable[str]) -> None:
        """Count what became of commands."""
        with self._mutex:
            for status in statuses:
                self._commands[status] += 1

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one HTTP request."""
        labels = (("method", method), ("route", route), ("status", str(status)))
        with self._mutex:
            counts = self._buckets.setdefault(labels, [0] * (len(BOUNDS) + 1))
            place = next((i for i, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))
            counts[place] += 1
            self._sums[labels] += seconds

    def lines(self) -> Iterator[str]:
        """Yield the lines of everything counted."""
        with self._mutex:
            commands = dict.fromkeys(("accepted", "repeated", "rejected"), 0) | self._commands
            buckets = {labels: list(counts) for labels, counts in self._buckets.items()}
            sums = dict(self._sums)
        yield from family(
            "groundswell_commands_total",
            "counter",
            "Commands that came to this process over HTTP, by what became of them.",
            [((("status", status),), count) for status, count in commands.items()],
        )
        name = "groundswell_http_request_duration_seconds"
        yield from head(name, "histogram", "How long this process took to answer.")
        for labels, counts in sorted(buckets.items()):
            total = 0
            for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True):
                total += count
                yield sample(f"{name}_bucket", (*labels, ("le", bound)), total)
            yield sample(f"{name}_sum", labels, round(sums[labels], 6))
            yield sample(f"{name}_count", labels, total)


def head(name: str, kind: str, text: str) -> Iterator[str]:
    """Yield the lines that come before the samples of a metric."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def sample(name: str, labels: Labels, value: float) -> str:
    """Return the line of one sample."""
    inside = ",".join(f'{label}="{escaped(text)}"' for label, text in labels)
    return f"{name}{{{inside}}} {value}" if inside else f"{name} {value}"


def escaped(text: str) -> str:
    """Return the value of a label as it is written between quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def family(name: str, kind: str, text: str, samples: Iterable[tuple[Labels, float]]) -> Iterator[str]:
    """Yield all lines of one metric."""
    yield from head(name, kind, text)
    for labels, value in samples:
        yield sample(name, labels, value)


class Timing:
    """Middleware that measures every HTTP request by the template of its route, never by its address."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and measure it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        status, start = 500, time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            return await self.app(scope, receive, watched)
        finally:
            self.metrics.request(scope["method"], template(scope), status, time.perf_counter() - start)


def template(scope: Scope) -> str:
    """Return the template of the route that was found; routers keep theirs without the prefix they hang under."""
    route = getattr(scope.get("route"), "path_format", None)
    if route is None:
        return "none"
    under = scope["path"].startswith(f"{PREFIX}/") and not route.startswith(f"{PREFIX}/")
    return f"{PREFIX}{route}" if under else f"{route}"
