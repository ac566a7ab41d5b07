"""Reading what can be seen: the live read models, or the same as of a position or a time."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import StaticPool

from domain.kernel import Erased, Invalid, Sealed
from history.recorder import last_position
from history.tables import events
from history.tables import projections as checkpoints
from projections.changes import Changes
from projections.projection import Projection
from projections.runner import Runner

P = TypeVar("P", bound=Projection)
PAGE: Final = 1_000
KEPT: Final = 8
WAIT_SECONDS: Final = 2.0


@dataclass(frozen=True)
class AsOf:
    """A point from which history is looked at: what was known by a position, and what had happened by a time."""

    position: int | None = None
    occurred_by: datetime | None = None

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


class Reader:
    """Gives views of the read models that the runner keeps."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self._past: OrderedDict[Any, tuple[Engine, int]] = OrderedDict()
        self._mutex = threading.Lock()

    @contextmanager
    def open(self, kinds: Sequence[type[Projection]] = (), as_of: AsOf = PRESENT) -> Iterator[Views]:
        """Give views of the present, or of ``kinds`` as of a point of history."""
        if not as_of.live:
            engine, position = self._replayed(kinds, as_of)
            with engine.connect() as connection:
                yield Views(self, connection, position, {})
            return
        with self.runner.database.read() as connection:
            live = connection.execute(sa.select(checkpoints).where(checkpoints.c.live)).all()
            builds = {row.name: row.build for row in live}
            names = {kind.name for kind in kinds} or builds.keys()
            position = min((row.position for row in live if row.name in names), default=0)
            yield Views(self, connection, position, builds)

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

    def _replayed(self, kinds: Sequence[type[Projection]], as_of: AsOf) -> tuple[Engine, int]:
        """Return the kinds folded again from a cut of the history, in a database in memory of their own."""
        with self.runner.database.read() as connection:
            head = last_position(connection)
        position = head if as_of.position is None else as_of.position
        if position > head:
            raise Invalid("as_of.in_future", f"The history ends at position {head}.")
        key = (position, as_of.occurred_by, *sorted(kind.name for kind in kinds))
        with self._mutex:
            if key not in self._past:
                self._past[key] = (self._replay(kinds, position, as_of.occurred_by), position)
                if len(self._past) > KEPT:
                    self._past.popitem(last=False)
            self._past.move_to_end(key)
            return self._past[key]

    def _replay(self, kinds: Sequence[type[Projection]], position: int, by: datetime | None) -> Engine:
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        topics = sorted({topic for kind in kinds for topic in kind.handlers})
        where = [events.c.topic.in_(topics), events.c.position <= position]
        if by is not None:
            where.append(events.c.occurred_at <= by)
        with engine.begin() as connection:
            models = [self.runner.instance(kind, 1) for kind in kinds]
            for model in models:
                model.create(connection)
            after = 0
            while facts := self.runner.log.facts(after, PAGE, *where):
                for model in models:
                    changes = Changes(connection)
                    model.apply(facts, changes)
                    changes.flush()
                after = facts[-1].position
        return engine
