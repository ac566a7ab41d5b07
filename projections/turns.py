"""Turns at work that takes long: few do it at once, some wait for it, and whoever comes after them is refused.

Anyone may ask for the past. Without this, those who ask for much of it would take all threads and all connections from
everybody else.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from domain.kernel import Unavailable


class Turns:
    """Lets so many work ``at_once``, and so many ``waiting`` besides."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self.at_once, self.waiting = at_once, waiting
        self._turn = threading.BoundedSemaphore(at_once)
        self._mutex = threading.Lock()
        self._inside = 0

    @contextmanager
    def queued(self) -> Iterator[None]:
        """Be one of those who work or wait; raise Unavailable where they are too many."""
        with self._mutex:
            if self._inside >= self.at_once + self.waiting:
                raise Unavailable("history.busy", "Many are looking at the past just now; ask again in a moment.")
            self._inside += 1
        try:
            yield
        finally:
            with self._mutex:
                self._inside -= 1

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Work, as soon as it is one's turn; whoever does so is ``queued``."""
        with self._turn:
            yield
