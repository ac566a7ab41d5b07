"""Reading what can be seen: the live read models, or the same as of a position or a time."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from domain.kernel import Erased, Invalid, Sealed
from history.recorder import last_position
from history.tables import events
from history.tables import projections as checkpoints
from projections.projection import Projection
from projections.replay import replay, scratch
from projections.runner import Runner

P = TypeVar("P", bound=Projection)
KEPT: Final = 8
WAIT_SECONDS: Final = 2.0


@dataclass(frozen=True)
class AsOf:
    """A point from which history is looked at: what was known by a position, and what had happened by a time.

    ``recorded_by`` is the time that the position was asked for by, if it was asked for by a time.
    """

    position: int | None = None
    occurred_by: datetime | None = None
    recorded_by: datetime | None = None

    @property
    def live(self) -> bool:
        """Whether it is the present."""
        return self.position is None and self.occurred_by is None


PRESENT: Final = AsOf()


class Views:
    """Read models in one consistent state; ``views[Campaigns].find(views.connection, key)``."""

    def __init__(self, reader: "Reader", connection: Connection, position: int, builds: dict[str, int]) -> None:
        self._reader, self.connection, self.position, self._builds = reader, connection, position, builds

    def __getitem__(self, kind: type[P]) -> P:
        found = self._reader.runner.instance(kind, self._builds.get(kind.name, 1))
        assert isinstance(found, kind)  # noqa: S101 - instances are kept by name
        return found

    def open(self, sealed: Sequence[Sealed | None]) -> list[str | Erased | None]:
        """Open personal data, in one query; what was erased comes as ERASED."""
        if not any(sealed):
            return [None] * len(sealed)
        log = self._reader.runner.log
        if self.connection.engine is log.database.engine:
            return log.persons.open(self.connection, sealed)
        with log.database.read() as connection:
            return log.persons.open(connection, sealed)


@dataclass
class _Past:
    """Read models as of a point: folded by the first who asks, while the others wait."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    engine: Engine | None = None
    readers: int = 0


class Reader:
    """Gives views of the read models that the runner keeps."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self._past: OrderedDict[Any, _Past] = OrderedDict()
        self._mutex = threading.Lock()

    @contextmanager
    def open(self, kinds: Sequence[type[Projection]] = (), as_of: AsOf = PRESENT) -> Iterator[Views]:
        """Give views of the present, or of ``kinds`` as of a point of history."""
        if not as_of.live:
            with self._replayed(kinds, as_of) as (engine, position), engine.connect() as connection:
                yield Views(self, connection, position, {})
            return
        with self.runner.database.read() as connection:
            live = connection.execute(sa.select(checkpoints).where(checkpoints.c.live)).all()
            builds = {row.name: row.build for row in live}
            names = {kind.name for kind in kinds or self.runner.kinds}
            position = min((row.position for row in live if row.name in names), default=0)
            yield Views(self, connection, position, builds)

    @property
    def kept(self) -> int:
        """How many points of history are folded and kept."""
        return len(self._past)

    def close(self) -> None:
        """Forget what was folded as of some point."""
        with self._mutex:
            self._keep(0)

    def wait(self, position: int, seconds: float = WAIT_SECONDS) -> bool:
        """Wait until all live read models have come to the position; tell whether they have."""
        deadline = time.monotonic() + seconds
        while True:
            with self.runner.database.read() as connection:
                if self.runner.position(connection) >= position:
                    return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            with self.runner.moved:
                self.runner.moved.wait(min(left, 0.02))

    def known_by(self, moment: datetime) -> int:
        """Return the position of the last event recorded by a moment."""
        with self.runner.database.read() as connection:
            query = sa.select(sa.func.max(events.c.position)).where(events.c.recorded_at <= moment)
            return connection.scalar(query) or 0

    @contextmanager
    def _replayed(self, kinds: Sequence[type[Projection]], as_of: AsOf) -> Iterator[tuple[Engine, int]]:
        """Give the kinds folded again from a cut of the history, in a database of their own."""
        with self.runner.database.read() as connection:
            head = last_position(connection)
        position = head if as_of.position is None else as_of.position
        if position > head:
            raise Invalid("as_of.in_future", f"The history ends at position {head}.")
        key = (position, as_of.occurred_by, *sorted(kind.name for kind in kinds))
        with self._mutex:
            past = self._past.setdefault(key, _Past())
            self._past.move_to_end(key)
            past.readers += 1
        try:
            with past.lock:
                if past.engine is None:
                    past.engine = self._replay(kinds, position, as_of.occurred_by)
            yield past.engine, position
        finally:
            with self._mutex:
                past.readers -= 1
                self._keep(KEPT)

    def _keep(self, number: int) -> None:
        """Let go of those used longest ago, except where somebody reads."""
        idle = [key for key, past in self._past.items() if not past.readers]
        for key in idle[: max(0, len(self._past) - number)]:
            engine = self._past.pop(key).engine
            if engine is not None:
                engine.dispose()

    def _replay(self, kinds: Sequence[type[Projection]], position: int, by: datetime | None) -> Engine:
        """Fold with models of its own: those of the runner may be in the middle of a batch."""
        where = [] if by is None else [events.c.occurred_at <= by]
        engine = scratch()
        with engine.begin() as connection:
            for _ in replay(self.runner.log, [kind(1) for kind in kinds], connection, position, *where):
                pass
        return engine
