"""The ticker: asks once a minute what is due. A tick that is missed or comes twice changes nothing."""

import logging
from collections.abc import Callable
from datetime import UTC, timedelta
from typing import Any, Final

from apscheduler.schedulers.background import BackgroundScheduler

from domain.kernel import now

log = logging.getLogger(__name__)

SECONDS: Final = 60
TICK: Final = "tick"


class Ticker:
    """Calls ``tick`` each minute in a thread of its own, from ``start`` to ``stop``; nothing of it is stored."""

    def __init__(self, tick: Callable[[], Any], seconds: float = SECONDS) -> None:
        self._tick, self._seconds = tick, seconds
        self._scheduler: BackgroundScheduler | None = None

    def start(self) -> None:
        """Begin to tick."""
        if self._scheduler is not None:
            return
        self._scheduler = BackgroundScheduler(timezone=UTC)
        self._scheduler.add_job(
            self._safely,
            "interval",
            seconds=self._seconds,
            id=TICK,
            coalesce=True,
            misfire_grace_time=None,
            max_instances=1,
        )
        self._scheduler.start()

    def keep_time(self) -> None:
        """Tick at once where the clock was set back: the scheduler would wait until it is again what it was."""
        scheduler = self._scheduler
        job = scheduler.get_job(TICK) if scheduler is not None else None
        if job is not None and job.next_run_time - now() > 2 * timedelta(seconds=self._seconds):
            job.modify(next_run_time=now())

    def stop(self) -> None:
        """Let the tick at hand end, and tick no more."""
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=True)
            self._scheduler = None

    def _safely(self) -> None:
        try:
            self._tick()
        except Exception:
            log.exception("A tick failed; the next one tries again")
