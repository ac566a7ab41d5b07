"""Reading what can be seen: the live read models, or the same as of a position or a time."""

import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.kernel import Erased, Invalid, Sealed
from history.recorder import last_position
from history.tables import events
from history.tables import projections as checkpoints
from projections.past import Past
from projections.projection import Projection
from projections.retained import Retained
from projections.runner import Runner
from projections.turns import Turns

P = TypeVar("P", bound=Projection)
WAIT_SECONDS: Final = 2.0
COMPARING, WAITING = 2, 8
"""How many compare two points of history at once, each with connections of its own, and how many wait for that."""


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


class Reader:
    """Gives views of the read models that the runner keeps.

    In ``folder``, if there is one, states of the past are retained, so that it need not be folded from its beginning.
    """

    def __init__(self, runner: Runner, folder: Path | None = None) -> None:
        self.runner = runner
        self._past = Past(runner.log, None if folder is None else Retained(folder, runner.database))
        self.comparing = Turns(COMPARING, WAITING)
        """Whose turn it is to compare two points: it reads all that happened between them."""

    @contextmanager
    def open(self, kinds: Sequence[type[Projection]] = (), as_of: AsOf = PRESENT) -> Iterator[Views]:
        """Give views of the present, or of ``kinds`` as of a point of history."""
        if not as_of.live:
            position = self.position_of(as_of)
            with self._past.open(kinds, position, as_of.occurred_by) as connection:
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
        """How many points of history are folded and kept in memory."""
        return self._past.kept

    def close(self) -> None:
        """Forget what was folded as of some point."""
        self._past.close()

    def wait(self, position: int, seconds: float = WAIT_SECONDS, kinds: Sequence[type[Projection]] = ()) -> bool:
        """Wait until the live ones of ``kinds``, or all, have come to a position; tell whether they have.

        Nobody waits for what is not recorded yet, nor for a read model that stands still in trouble.
        """
        deadline = time.monotonic() + seconds
        while True:
            with self.runner.database.read() as connection:
                if not 0 < position <= last_position(connection):
                    return position <= 0
                come = self.runner.awaited(connection, position, kinds or self.runner.kinds)
                if come is not False:
                    return bool(come)
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            with self.runner.moved:
                self.runner.moved.wait(min(left, 0.02))

    def known_by(self, moment: datetime) -> int:
        """Return the position of the last event recorded by a moment; what is recorded never steps back in time."""
        when, position = events.c.recorded_at, events.c.position
        first = sa.select(when).where(position >= sa.bindparam("least")).order_by(position).limit(1)
        with self.runner.database.read() as connection:

            def recorded_at(least: int) -> datetime:
                found: datetime = connection.execute(first, {"least": least}).scalar_one()
                return found

            return bisect_right(range(1, last_position(connection) + 1), moment, key=recorded_at)

    def position_of(self, as_of: AsOf) -> int:
        """Return the position of a point; raise Invalid where the history has not come to it."""
        head = self.runner.log.head()
        if as_of.position is not None and as_of.position > head:
            raise Invalid("as_of.in_future", f"The history ends at position {head}.")
        return head if as_of.position is None else as_of.position
