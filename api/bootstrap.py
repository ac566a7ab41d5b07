"""The composition root: lists what the application is made of, and puts it together."""

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import cached_property
from types import TracebackType
from typing import Any, Final, Self

from api.accounts import Accounts
from api.loop import Loop
from api.retaining import BoardPages
from api.settings import Settings
from domain import (
    actions,
    awards,
    campaigns,
    chapters,
    mails,
    officials,
    partnerships,
    pledges,
    policies,
    preferences,
    recognitions,
    scoring,
    supporters,
)
from domain.kernel import Unavailable, Unknown
from domain.slices import Slice
from history.checkpoints import Checkpoints
from history.engine import Engine, open_store
from history.hints import Hints
from notifications.service import Notifications
from projections.actions import Actions
from projections.campaigns import Campaigns
from projections.chapters import Chapters
from projections.leaderboards import Leaderboards
from projections.officials import Officials
from projections.partnerships import Partnerships
from projections.pledges import Pledges
from projections.policies import Policies
from projections.projection import Projection
from projections.rebuild import DRAFTS, rebuild
from projections.recognitions import Recognitions
from projections.runner import Runner
from projections.subscriptions import Subscriptions
from projections.supporters import Supporters
from projections.timeline import Timeline
from projections.views import Reader

SLICES: Final[tuple[Slice, ...]] = (
    supporters.SLICE,
    preferences.SLICE,
    chapters.SLICE,
    campaigns.SLICE,
    pledges.SLICE,
    officials.SLICE,
    policies.SLICE,
    actions.SLICE,
    partnerships.SLICE,
    recognitions.SLICE,
    scoring.SLICE,
    awards.SLICE,
    mails.SLICE,
)

PROJECTIONS: Final[tuple[type[Projection], ...]] = (
    Supporters,
    Chapters,
    Campaigns,
    Pledges,
    Officials,
    Policies,
    Actions,
    Partnerships,
    Recognitions,
    Leaderboards,
    Timeline,
    Subscriptions,
)

IDLE_SECONDS: Final = 0.5
"""How often the store is asked for events of other processes while nothing happens in this one."""
LONGEST_PAUSE: Final = 30.0
PAST: Final = "past"
"""The folder in the data directory that holds states of the past: a cache, which may be deleted at any time."""

Progress = Callable[[str, int], Any]


class Stopped(Exception):
    """Work was left in the middle because its process is to end; it is gone on with the next time."""


class Groundswell:
    """One store with everything that works on it; a context manager that closes it."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.settings, self.engine = settings, engine
        self.runner = Runner(engine.log, PROJECTIONS)
        self.reader = Reader(self.runner, settings.data_dir / PAST)
        self.accounts = Accounts(engine.database)
        self.worker = Worker(self)
        self.stale = self.runner.prepare()
        self.notifications = Notifications(engine, self.reader, settings)

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """What the log commits itself to."""
        return Checkpoints(self.engine.database, self.settings.data_dir, self.settings.base_url)

    def catch_up(self, progress: Progress = lambda _stage, _position: None) -> None:
        """Let everything follow from the history that follows: reactions, read models, and what erasures purge.

        Where one of these fails, the others are done all the same before that is raised.
        """
        with ExitStack() as then:
            then.callback(self.follow_up, progress)
            then.callback(self.runner.catch_up, lambda position: progress("read models", position))
            self.engine.react(lambda position: progress("reactions", position))

    def follow_up(self, progress: Progress = lambda _stage, _position: None) -> None:
        """Do all that but bring the read models up to date, save those that must be built anew."""
        with ExitStack() as then:
            then.callback(self.notifications.purge)
            then.callback(self._rebuild, progress)
            self.engine.react(lambda position: progress("reactions", position))

    def _rebuild(self, progress: Progress) -> None:
        """Build anew what this release has otherwise than the store; keep why it cannot be, if so."""
        if not self.stale:
            return
        try:
            progress("rebuilding", 0)
            rebuild(self.runner, self.stale, progress, self.settings.data_dir / DRAFTS)
        except Stopped:
            raise
        except Exception as error:
            self.runner.explain(self.stale, error)
            raise
        self.stale = []

    def close(self) -> None:
        """Finish what is under way and close the store."""
        self.worker.stop()
        with suppress(Unavailable):  # then the leases end by themselves
            self.runner.release()
        self.reader.close()
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Worker:
    """Keeps up what follows from the history, in threads of their own: the read models, and everything else.

    Where another process does all that, it only sees to it that this one remembers nobody who was erased there.
    """

    def __init__(self, groundswell: Groundswell) -> None:
        self._groundswell = groundswell
        self._housekeeping = Loop("housekeeping", self._keep_house)
        self._followers = (Loop("read models", self._catch_up), Loop("reactions", self._follow_up))
        self._stopping = threading.Event()
        self._pages = BoardPages(groundswell.runner)
        self._hints = Hints(groundswell.engine.database, self._hear)

    def start(self, *, follow: bool = True) -> None:
        """Begin to work; new events of this process wake the worker at once, and so do hints of others."""
        self._housekeeping.start()
        if not follow:
            return
        self._groundswell.engine.writer.listeners.append(self._wake)
        self._groundswell.notifications.start()
        for loop in self._followers:
            loop.start()
        self._pages.start()
        self._hints.start()

    def stop(self) -> None:
        """Finish what is at hand, be it in the middle of a rebuild, and stop."""
        self._stopping.set()
        self._hints.stop()
        self._pages.stop()
        self._groundswell.notifications.stop()
        for loop in (*self._followers, self._housekeeping):
            loop.stop()

    def _catch_up(self) -> None:
        while not self._stopping.is_set() and self._groundswell.runner.step() is not None:
            pass

    def _follow_up(self) -> None:
        with suppress(Stopped):
            self._groundswell.follow_up(self._go_on)

    def _go_on(self, _stage: str, _position: int) -> None:
        if self._stopping.is_set():
            raise Stopped

    def _wake(self, _position: int) -> None:
        for loop in self._followers:
            loop.wake()

    def _hear(self) -> None:
        self._housekeeping.wake()
        self._wake(0)

    def _keep_house(self) -> None:
        self._groundswell.notifications.keep_time()
        self._groundswell.engine.writer.notice()


def open_groundswell(
    settings: Settings, *, create: bool = True, keyless: bool = False, busy_seconds: float = 30
) -> Groundswell:
    """Open the store of these settings; raise Unavailable where it cannot be opened (see ``open_store``)."""
    engine = open_store(
        settings.database_url, settings.data_dir, SLICES, create=create, keyless=keyless, busy_seconds=busy_seconds
    )
    return Groundswell(settings, engine)


def kinds(names: Sequence[str]) -> list[type[Projection]]:
    """Return the projections of these names, each once, all where none is named; raise Unknown."""
    by_name = {kind.name: kind for kind in PROJECTIONS}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise Unknown("projection.unknown", f"There is no projection {unknown[0]}; there are {', '.join(by_name)}.")
    return [by_name[name] for name in dict.fromkeys(names)] if names else list(PROJECTIONS)
