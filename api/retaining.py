"""Sees to it that large boards have the pages from which their past is found, also after they were built anew."""

import threading
import time
from typing import Final

from api.loop import Loop
from projections.leaderboards import Leaderboards
from projections.retaining import complete
from projections.runner import Runner

EVERY_SECONDS: Final = 60.0


class BoardPages:
    """Asks every minute for boards that lack pages, in a thread of its own, and makes them.

    Where another process runs the boards, it leaves that to it.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._loop = Loop("pages of boards", self._make)
        self._stopping = threading.Event()
        self._due = time.monotonic()

    def start(self) -> None:
        """Begin to work."""
        self._stopping.clear()
        self._loop.start()

    def stop(self) -> None:
        """Stop, also in the middle of a board: it is begun again the next time."""
        self._stopping.set()
        self._loop.stop()

    def _make(self) -> None:
        if time.monotonic() < self._due:
            return
        with self._runner.database.read() as connection:
            mine = [standing.projection for standing in self._runner.standings(connection)]
        for model in mine:
            for _ in complete(self._runner.database, model) if isinstance(model, Leaderboards) else ():
                if self._stopping.is_set():
                    return
        self._due = time.monotonic() + EVERY_SECONDS
