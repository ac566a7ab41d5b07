"""A thread that does one kind of work again and again."""

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from domain.kernel import Unavailable

log = logging.getLogger(__name__)

IDLE_SECONDS: Final = 0.5
"""How often the work is done while nobody wakes it: what wakes it are only hints."""
GATHER_SECONDS: Final = 0.02
"""How long it rests after it was done, so that under load much is done at once."""
LONGEST_PAUSE: Final = 30.0


class Loop:
    """Does its work at once when woken, every so often in any case, and after failures less and less often."""

    def __init__(self, name: str, work: Callable[[], Any]) -> None:
        self.name, self._work = name, work
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to work."""
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Let the work be done soon: there may be something to do."""
        self._wake.set()

    def stop(self) -> None:
        """Finish the work at hand, and do no more."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self._work()
                failures = 0
            except Unavailable as error:
                failures += 1
                log.warning("Waiting with the %s: %s", self.name, error)
            except Exception:
                failures += 1
                log.exception("A fault in the %s; trying again", self.name)
            self._rest(failures)

    def _rest(self, failures: int) -> None:
        """Rest for a moment, so that nothing spins; then until woken, or for as long as is to be rested."""
        if not self._stopping.wait(IDLE_SECONDS if failures else GATHER_SECONDS):
            self._wake.wait(pause(failures))


def pause(failures: int) -> float:
    """Return how many seconds it rests after so many failures in a row."""
    return min(LONGEST_PAUSE, IDLE_SECONDS * 2.0 ** min(failures, 10))
