"""Feeds the history to the read models: in batches, decoded once for all that stand at the same position.

One transaction applies a batch and moves the checkpoints, which it only does where position and owner are still what
they were (compare-and-set), so a runner whose lease was stolen cannot apply anything twice.
"""

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from domain.kernel import GroundswellError, Unavailable, now
from domain.slices import Fact
from history.mapper import UnknownTopic, Unreadable
from history.reading import Log
from history.tables import parked_events
from history.tables import projections as checkpoints
from projections.changes import Changes
from projections.projection import Projection

log = logging.getLogger(__name__)

BATCH: Final = 5_000
"""Large, because the pages of an index over random ids are then written once where they were written five times."""
LEASE: Final = timedelta(seconds=15)

Progress = Callable[[int], Any]


class LeaseLost(Exception):
    """Another runner has taken over; what this one was about to write is rolled back."""


@dataclass
class Standing:
    """A live read model and how far it has come."""

    projection: Projection
    position: int

    @property
    def build(self) -> tuple[str, int]:
        """Which build of which read model it is."""
        return self.projection.name, self.projection.build


class Runner:
    """Runs the given read models on one store."""

    def __init__(self, history: Log, kinds: Iterable[type[Projection]], *, batch: int = BATCH) -> None:
        self.log, self.kinds, self.batch = history, tuple(kinds), batch
        self.database = history.database
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self.moved = threading.Condition()
        self._instances: dict[tuple[str, int], Projection] = {}
        self._stuck: dict[tuple[str, int], int] = {}
        self._leased = False

    # --- builds ---

    def instance(self, kind: type[Projection], build: int) -> Projection:
        """Return the read model with the tables of one build."""
        key = (kind.name, build)
        if key not in self._instances:
            self._instances[key] = kind(build)
        return self._instances[key]

    def prepare(self) -> list[type[Projection]]:
        """Make the first build of every read model that has none; return those that must be built anew."""
        stale = []
        with self.database.append() as connection:
            rows = connection.execute(sa.select(checkpoints)).all()
            for kind in self.kinds:
                live = [row for row in rows if row.name == kind.name and row.live]
                if not live:
                    self.begin(connection, kind, 1, live=True)
                elif live[0].version != kind.version:
                    stale.append(kind)
        return stale

    def begin(self, connection: Connection, kind: type[Projection], build: int, *, live: bool) -> Projection:
        """Create the empty tables of a build, and its checkpoint at 0."""
        projection = self.instance(kind, build)
        projection.create(connection)
        connection.execute(
            checkpoints.insert().values(name=kind.name, build=build, live=live, version=kind.version, position=0)
        )
        return projection

    def standings(self, connection: Connection) -> list[Standing]:
        """Return the live builds that this release can run and no other runner holds, in order of name."""
        by_name = {kind.name: kind for kind in self.kinds}
        query = sa.select(checkpoints).where(checkpoints.c.live, self._free()).order_by(checkpoints.c.name)
        return [
            Standing(self.instance(by_name[row.name], row.build), row.position)
            for row in connection.execute(query)
            if row.name in by_name and by_name[row.name].version == row.version
        ]

    def position(self, connection: Connection) -> int:
        """Return how far all live read models of this release have come."""
        mine = checkpoints.c.live, checkpoints.c.name.in_([kind.name for kind in self.kinds])
        return connection.scalar(sa.select(sa.func.min(checkpoints.c.position)).where(*mine)) or 0

    # --- running ---

    def catch_up(self, progress: Progress = lambda _: None) -> int:
        """Run until all read models stand at the head, or others run them; return the position reached."""
        reached = 0
        while (step := self.step()) is not None:
            reached = step
            progress(reached)
        return reached

    def step(self) -> int | None:
        """Apply one batch to those that are farthest behind; return the position reached, None if all is done."""
        with self.database.read() as connection:
            group, rows = self._due(connection)
        if not rows:
            return None
        try:
            facts = self._readable(rows)
        except (UnknownTopic, Unreadable) as error:
            return self._stand_still(group, error)
        try:
            self._apply(group, facts)
        except LeaseLost:
            return group[0].position
        except (Unavailable, OperationalError):
            raise  # the database failed, not an event
        except Exception as error:  # noqa: BLE001 - whatever a fold raises must not stop the others
            self._one_by_one(group, facts, error)
        with self.moved:
            self.moved.notify_all()
        return facts[-1].position

    def _due(self, connection: Connection) -> tuple[list[Standing], Sequence[Any]]:
        """Return those that stand farthest behind, and the rows of the log that come next for them."""
        standings = [s for s in self.standings(connection) if self._stuck.get(s.build) != s.position]
        if not standings:
            return [], []
        lowest = min(s.position for s in standings)
        ahead = [s.position - lowest for s in standings if s.position > lowest]
        rows = self.log.raw(connection, lowest, min([self.batch, *ahead]))
        return [s for s in standings if s.position == lowest], rows

    def _readable(self, rows: Sequence[Any]) -> list[Fact]:
        """Return the facts up to the first that cannot be read; raise what is wrong with it if that is the first."""
        facts: list[Fact] = []
        try:
            for row in rows:
                facts.append(self.log.mapper.raw_fact(row))  # noqa: PERF401 - those before a failure are wanted
        except (UnknownTopic, Unreadable):
            if not facts:
                raise
        return facts

    def _apply(self, group: Sequence[Standing], facts: Sequence[Fact]) -> None:
        with self.database.write() as connection:
            self._take(connection, group, facts[-1].position)
            parked = self._parked(connection, [standing.projection.name for standing in group])
            for standing in group:
                changes = Changes(connection)
                name = standing.projection.name
                standing.projection.apply(self._unparked(connection, name, facts, parked[name]), changes)
                changes.flush()

    def _take(self, connection: Connection, group: Sequence[Standing], position: int) -> None:
        """Move the checkpoints, or raise LeaseLost where somebody else did or holds the lease."""
        if not self.database.is_sqlite:
            # What a crash may lose of it is computed again: the checkpoint is lost with it.
            connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")
        moved = connection.execute(
            checkpoints.update()
            .where(
                checkpoints.c.name == sa.bindparam("kind"),
                checkpoints.c.build == sa.bindparam("number"),
                checkpoints.c.position == sa.bindparam("before"),
                self._free(),
            )
            .values(position=position, owner=self.owner, leased_until=now() + LEASE, trouble=None),
            [{"kind": s.projection.name, "number": s.projection.build, "before": s.position} for s in group],
        )
        if moved.rowcount != len(group):
            raise LeaseLost
        self._leased = True

    def _free(self) -> sa.ColumnElement[bool]:
        """Held by nobody else: a lease that ends later than any lease can was taken before the clock was set back."""
        until, moment = checkpoints.c.leased_until, now()
        ended = sa.or_(until < moment, until > moment + 2 * LEASE)
        return sa.or_(checkpoints.c.owner.is_(None), checkpoints.c.owner == self.owner, ended)

    def release(self) -> None:
        """Give the leases back, if there are any, so that another process need not wait for them to end."""
        if not self._leased:
            return
        with self.database.write() as connection:
            mine = checkpoints.c.owner == self.owner
            connection.execute(checkpoints.update().where(mine).values(owner=None, leased_until=None))

    # --- trouble ---

    def _stand_still(self, group: Sequence[Standing], error: GroundswellError) -> int:
        """Keep the reason beside the checkpoint; nothing is lost, a newer release goes on from there."""
        log.error("Projections stand still: %s", error)
        with self.database.write() as connection:
            for standing in group:
                name, build = standing.build
                self._stuck[standing.build] = standing.position
                mine = checkpoints.c.name == name, checkpoints.c.build == build
                connection.execute(checkpoints.update().where(*mine).values(trouble=f"{error.code}: {error}"))
        return group[0].position

    def _one_by_one(self, group: Sequence[Standing], facts: Sequence[Fact], error: Exception) -> None:
        """Apply the batch per read model and event, and park what fails with all that follows it in its stream."""
        log.warning("A batch failed and is applied one by one: %r", error)
        for standing in group:
            with self.database.write() as connection:
                try:
                    self._take(connection, [standing], facts[-1].position)
                except LeaseLost:
                    continue
                name = standing.projection.name
                parked = self._parked(connection, [name])[name]
                for fact in self._unparked(connection, name, facts, parked):
                    try:
                        with connection.begin_nested():
                            changes = Changes(connection)
                            standing.projection.apply(self._unparked(connection, name, [fact], parked), changes)
                            changes.flush()
                    except OperationalError:
                        raise  # the database failed, not the event
                    except Exception as failure:
                        log.exception("%s cannot take event %d (%s)", name, fact.position, fact.topic)
                        self._park(connection, name, fact, f"{type(failure).__name__}: {failure}")
                        parked.add(fact.stream)

    def _park(self, connection: Connection, name: str, fact: Fact, error: str) -> None:
        connection.execute(
            parked_events.insert().values(
                projection=name,
                position=fact.position,
                stream_id=fact.stream,
                topic=fact.topic,
                error=error,
                parked_at=now(),
            )
        )

    def _parked(self, connection: Connection, names: Sequence[str]) -> dict[str, set[UUID]]:
        """Return by read model the streams of which something is parked."""
        query = sa.select(parked_events.c.projection, parked_events.c.stream_id).distinct()
        parked: dict[str, set[UUID]] = {name: set() for name in names}
        for name, stream in connection.execute(query.where(parked_events.c.projection.in_(names))):
            parked[name].add(stream)
        return parked

    def _unparked(self, connection: Connection, name: str, facts: Sequence[Fact], parked: set[UUID]) -> Sequence[Fact]:
        """Return the facts whose streams are not parked; park the others behind what is parked already."""
        for fact in facts if parked else ():
            if fact.stream in parked:
                self._park(connection, name, fact, "waits for an earlier event of its stream")
        return [fact for fact in facts if fact.stream not in parked] if parked else facts
