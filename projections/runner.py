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

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.kernel import Fact, GroundswellError, now
from history.mapper import UnknownTopic
from history.reading import Log
from history.tables import parked_events
from history.tables import projections as checkpoints
from projections.changes import Changes
from projections.projection import Projection

log = logging.getLogger(__name__)

BATCH: Final = 1_000
LEASE: Final = timedelta(seconds=15)

Progress = Callable[[int], Any]


class LeaseLost(Exception):
    """Another runner has taken over; what this one was about to write is rolled back."""


@dataclass
class Standing:
    """A live read model and how far it has come."""

    projection: Projection
    position: int
    trouble: str | None = None


class Runner:
    """Runs the given read models on one store."""

    def __init__(self, history: Log, kinds: Iterable[type[Projection]], *, batch: int = BATCH) -> None:
        self.log, self.kinds, self.batch = history, tuple(kinds), batch
        self.database = history.database
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self.moved = threading.Condition()
        self._instances: dict[tuple[str, int], Projection] = {}

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
        """Return the live builds that this release can run."""
        by_name = {kind.name: kind for kind in self.kinds}
        query = sa.select(checkpoints).where(checkpoints.c.live).order_by(checkpoints.c.name)
        return [
            Standing(self.instance(by_name[row.name], row.build), row.position, row.trouble)
            for row in connection.execute(query)
            if row.name in by_name and by_name[row.name].version == row.version
        ]

    def position(self, connection: Connection) -> int:
        """Return how far all live read models have come."""
        live = sa.select(sa.func.min(checkpoints.c.position)).where(checkpoints.c.live)
        return connection.scalar(live) or 0

    # --- running ---

    def catch_up(self, progress: Progress = lambda _: None) -> int:
        """Run until all read models stand at the head; return the position reached."""
        reached = 0
        while (step := self.step()) is not None:
            reached = step
            progress(reached)
        return reached

    def step(self) -> int | None:
        """Apply one batch to those that are farthest behind; return the position reached, None if all is done."""
        head = self.log.head()
        with self.database.read() as connection:
            standings = [s for s in self.standings(connection) if s.position < head and not s.trouble]
        if not standings:
            return None
        lowest = min(s.position for s in standings)
        group = [s for s in standings if s.position == lowest]
        ahead = [s.position for s in standings if s.position > lowest]
        limit = min(self.batch, min(ahead) - lowest) if ahead else self.batch
        try:
            facts = self.log.facts(lowest, limit)
        except UnknownTopic as unknown:
            return self._stand_still(group, unknown)
        try:
            self._apply(group, facts)
        except LeaseLost:
            return None
        except Exception as error:  # noqa: BLE001 - whatever a fold raises must not stop the others
            self._one_by_one(group, facts, error)
        with self.moved:
            self.moved.notify_all()
        return lowest + len(facts)

    def _apply(self, group: Sequence[Standing], facts: Sequence[Fact]) -> None:
        with self.database.write() as connection:
            for standing in group:
                self._take(connection, standing, facts[-1].position)
                changes = Changes(connection)
                name = standing.projection.name
                standing.projection.apply(self._unparked(connection, name, facts), changes)
                changes.flush()

    def _take(self, connection: Connection, standing: Standing, position: int) -> None:
        """Move the checkpoint, or raise LeaseLost where somebody else did or holds the lease."""
        moment = now()
        free = sa.or_(
            checkpoints.c.owner.is_(None), checkpoints.c.owner == self.owner, checkpoints.c.leased_until < moment
        )
        moved = connection.execute(
            checkpoints.update()
            .where(
                checkpoints.c.name == standing.projection.name,
                checkpoints.c.build == standing.projection.build,
                checkpoints.c.position == standing.position,
                free,
            )
            .values(position=position, owner=self.owner, leased_until=moment + LEASE, trouble=None)
        )
        if moved.rowcount != 1:
            raise LeaseLost

    def release(self) -> None:
        """Give the leases back, so that another process need not wait for them to end."""
        with self.database.write() as connection:
            mine = checkpoints.c.owner == self.owner
            connection.execute(checkpoints.update().where(mine).values(owner=None, leased_until=None))

    # --- trouble ---

    def _stand_still(self, group: Sequence[Standing], error: GroundswellError) -> int | None:
        """Keep the reason beside the checkpoint; nothing is lost, a newer release goes on from there."""
        log.error("Projections stand still: %s", error)
        with self.database.write() as connection:
            for standing in group:
                connection.execute(
                    checkpoints.update()
                    .where(
                        checkpoints.c.name == standing.projection.name,
                        checkpoints.c.build == standing.projection.build,
                    )
                    .values(trouble=f"{error.code}: {error}")
                )
        return None

    def _one_by_one(self, group: Sequence[Standing], facts: Sequence[Fact], error: Exception) -> None:
        """Apply the batch per read model and event, and park what fails with all that follows it in its stream."""
        log.warning("A batch failed and is applied one by one: %r", error)
        for standing in group:
            with self.database.write() as connection:
                try:
                    self._take(connection, standing, facts[-1].position)
                except LeaseLost:
                    continue
                name = standing.projection.name
                for fact in self._unparked(connection, name, facts):
                    try:
                        with connection.begin_nested():
                            changes = Changes(connection)
                            standing.projection.apply(self._unparked(connection, name, [fact]), changes)
                            changes.flush()
                    except Exception as failure:
                        log.exception("%s cannot take event %d (%s)", name, fact.position, fact.topic)
                        self._park(connection, name, fact, f"{type(failure).__name__}: {failure}")

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

    def _unparked(self, connection: Connection, name: str, facts: Sequence[Fact]) -> Sequence[Fact]:
        """Return the facts whose streams are not parked; park the others behind what is parked already."""
        streams = set(
            connection.scalars(
                sa.select(parked_events.c.stream_id).where(parked_events.c.projection == name).distinct()
            )
        )
        if not streams:
            return facts
        held = [fact for fact in facts if fact.stream in streams]
        known = set(
            connection.scalars(
                sa.select(parked_events.c.position).where(
                    parked_events.c.projection == name, parked_events.c.position.in_([fact.position for fact in held])
                )
            )
        )
        for fact in held:
            if fact.position not in known:
                self._park(connection, name, fact, "waits for an earlier event of its stream")
        return [fact for fact in facts if fact.stream not in streams]
