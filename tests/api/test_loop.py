"""A loop works when it is woken and when it is not, goes on after failures, and loses no wake-up."""

import threading
from collections.abc import Callable, Iterator

import pytest

from api.loop import Loop
from domain.kernel import Unavailable

SOON = 30.0  # seconds, on the slowest of machines


class Work:
    """Counts how often it is done; fails the first times with these errors, and holds on while it is told to."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self._changed = threading.Condition()
        self.go = threading.Event()
        self.go.set()
        self.times = 0

    def __call__(self) -> None:
        with self._changed:
            self.times += 1
            self._changed.notify_all()
        assert self.go.wait(SOON)
        if self._errors:
            raise self._errors.pop(0)

    def until(self, times: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.times >= times, SOON)


@pytest.fixture
def started() -> Iterator[Callable[[Work], Loop]]:
    loops: list[Loop] = []

    def start(work: Work) -> Loop:
        loops.append(Loop("works", work))
        loops[-1].start()
        return loops[-1]

    yield start
    for loop in loops:
        loop.stop()


def test_it_works_when_nobody_wakes_it(started: Callable[[Work], Loop]) -> None:
    work = Work()
    started(work)
    assert work.until(3)


@pytest.mark.parametrize("error", [ValueError("a fault"), Unavailable("store.locked", "Locked.")])
def test_it_goes_on_after_a_failure(started: Callable[[Work], Loop], error: Exception) -> None:
    work = Work(error)
    started(work)
    assert work.until(2)


def test_a_wake_up_while_it_works_is_not_lost(started: Callable[[Work], Loop], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.loop.IDLE_SECONDS", 3_600.0)
    work = Work()
    work.go.clear()
    loop = started(work)
    assert work.until(1)
    loop.wake()
    work.go.set()
    assert work.until(2)


def test_it_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.loop.IDLE_SECONDS", 3_600.0)
    for errors in ([], [ValueError("a fault")]):
        work = Work(*errors)
        loop = Loop("works", work)
        loop.start()
        assert work.until(1)
        loop.stop()  # or the test takes too long
        assert work.times == 1
