"""Feeds the history to the read models: in batches, decoded once for all that stand at the same position.

One transaction applies a batch and moves the checkpoints, which it only does where position and owner are still what
they were (compare-and-set), so a runner whose lease was stolen cannot apply anything twice. What fails in one read
model holds up no other: a fault of the store makes it rest for a while, an event that it cannot take is parked.
"""

import logging
import os
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.kernel import GroundswellError, Unavailable, now
from domain.slices import Fact
from history.database import NOT_AWAITED
from history.mapper import UnknownTopic, Unreadable
from history.reading import Log
from history.statements import run
from history.tables import projections as checkpoints
from projections.changes import Changes
from projections.parking import PAUSES, Parking, is_of_the_store, reason
from projections.projection import Projection

log = logging.getLogger(__name__)

BATCH: Final = 5_000
"""Large, because the pages of an index over random ids are then written once where they were written five times."""
LEASE: Final = timedelta(seconds=15)
"""How long a runner that says nothing more keeps others from its read models."""
SHORTEST_REST, LONGEST_REST = 0.5, 30.0
"""Seconds that a read model rests after the store failed it, the first time and after many times in a row."""
PART: Final = 250
"""How many events are applied in one transaction while those that fail are looked for."""

Progress = Callable[[int], Any]


class LeaseLost(Exception):
    """Another runner has taken over; what this one was about to write is rolled back."""


@dataclass(frozen=True)
class Standing:
    """A live read model and how far it has come."""

    projection: Projection
    position: int

    @property
    def build(self) -> tuple[str, int]:
        """Which build of which read model it is."""
        return self.projection.name, self.projection.build


@dataclass
class _Rest:
    """How often the store failed a read model in a row, and until when (monotonic) it is left alone."""

    failures: int
    until: float = field(init=False)

    def __post_init__(self) -> None:
        self.until = time.monotonic() + self.seconds

    @property
    def seconds(self) -> float:
        """How long it rests."""
        return min(LONGEST_REST, SHORTEST_REST * 2.0 ** min(self.failures - 1, 10))


class Runner:
    """Runs the given read models on one store; ``pauses`` are those before a parked event is tried again."""

    def __init__(
        self,
        history: Log,
        kinds: Iterable[type[Projection]],
        *,
        batch: int = BATCH,
        lease: timedelta = LEASE,
        pauses: Sequence[timedelta] = PAUSES,
    ) -> None:
        self.log, self.kinds, self.batch, self.lease = history, tuple(kinds), batch, lease
        self.database = history.database
        self.parking = Parking(history, pauses)
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self.moved = threading.Condition()
        self._one_at_a_time = threading.Lock()
        self.retries: Counter[str] = Counter()
        self._instances: dict[tuple[str, int], Projection] = {}
        self._stuck: dict[tuple[str, int], int] = {}
        self._resting: dict[tuple[str, int], _Rest] = {}
        self._turns = 0
        self._leased = False
        self._before_it_writes = (
            # What a crash may lose is computed again, its checkpoint being lost with it. A process that is paused in
            # here would hold on to the checkpoints longer than its lease.
            f"{NOT_AWAITED}; "
            f"SET LOCAL idle_in_transaction_session_timeout = {max(1, lease // timedelta(milliseconds=1))}"
        )

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
        """Note a build at 0; create its empty tables where it is to be ``live`` at once."""
        projection = self.instance(kind, build)
        if live:
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

    def awaited(self, connection: Connection, position: int, kinds: Sequence[type[Projection]]) -> bool | None:
        """Tell whether these live read models have come so far; None where only trouble keeps them from it."""
        mine = checkpoints.c.live, checkpoints.c.name.in_([kind.name for kind in kinds])
        late = sa.select(checkpoints.c.trouble).where(*mine, checkpoints.c.position < position)
        troubles = connection.scalars(late).all()
        return None if troubles and all(troubles) else not troubles

    # --- running ---

    def catch_up(self, progress: Progress = lambda _: None) -> int:
        """Run until all stand at the head, or rest, or others run them; return the position that all have reached."""
        reached = 0
        while (step := self.step()) is not None:
            reached = step
            progress(reached)
        return reached

    def step(self) -> int | None:
        """Apply one batch, and try again what was parked; return how far all have come, None if all is done."""
        with self._one_at_a_time:
            return self._step()

    def _step(self) -> int | None:
        with self.database.read() as connection:
            standings = [standing for standing in self.standings(connection) if not self._waits(standing)]
            group, rows = self._next(connection, standings)
            again = self.parking.due(connection)
        self._retry([standing for standing in standings if standing.projection.name in again])
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
        except Exception as error:  # noqa: BLE001 - whatever a fold raises must not stop the others
            self._apart(group, facts, error)
        with self.moved:
            self.moved.notify_all()
        return min([facts[-1].position, *(s.position for s in standings if s not in group)])

    def _waits(self, standing: Standing) -> bool:
        """Whether it stands before an event that this release cannot read, or rests."""
        rest = self._resting.get(standing.build)
        stuck = self._stuck.get(standing.build) == standing.position
        return stuck or (rest is not None and rest.until > time.monotonic())

    def _next(self, connection: Connection, standings: Sequence[Standing]) -> tuple[list[Standing], Sequence[Any]]:
        """Return those that stand at one position, and the rows of the log that come next for them.

        They are those farthest behind and those farthest ahead by turns, so that a read model that has much to catch
        up with does not hold up the others.
        """
        positions = sorted({standing.position for standing in standings})
        following = dict(zip(positions, [*positions[1:], None], strict=False))
        self._turns += 1
        for position in positions if self._turns % 2 else reversed(positions):
            ahead = following[position]
            limit = self.batch if ahead is None else min(self.batch, ahead - position)
            if rows := self.log.raw(connection, position, limit):
                return [standing for standing in standings if standing.position == position], rows
        return [], []

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
            parked = self.parking.streams(connection, [standing.projection.name for standing in group])
            for standing in group:
                changes = Changes(connection)
                name = standing.projection.name
                standing.projection.apply(self.parking.unparked(connection, name, facts, parked[name]), changes)
                changes.flush()
        for standing in group:
            self._resting.pop(standing.build, None)

    def _take(self, connection: Connection, group: Sequence[Standing], position: int) -> None:
        """Move the checkpoints, or raise LeaseLost where somebody else did or holds the lease."""
        if not self.database.is_sqlite:
            run(connection, self._before_it_writes)
        moved = connection.execute(
            checkpoints.update()
            .where(
                checkpoints.c.name == sa.bindparam("kind"),
                checkpoints.c.build == sa.bindparam("number"),
                checkpoints.c.position == sa.bindparam("before"),
                checkpoints.c.live,
                self._free(),
            )
            .values(position=position, owner=self.owner, leased_until=now() + self.lease, trouble=None),
            [{"kind": s.projection.name, "number": s.projection.build, "before": s.position} for s in group],
        )
        if moved.rowcount != len(group):
            raise LeaseLost
        self._leased = True

    def _free(self) -> sa.ColumnElement[bool]:
        """Held by nobody else: a lease that ends later than any lease can was taken before the clock was set back."""
        until, moment = checkpoints.c.leased_until, now()
        ended = sa.or_(until < moment, until > moment + 2 * max(self.lease, LEASE))
        return sa.or_(checkpoints.c.owner.is_(None), checkpoints.c.owner == self.owner, ended)

    def release(self) -> None:
        """Give the leases back, if there are any, so that another process need not wait for them to end."""
        if not self._leased:
            return
        with self._one_at_a_time, self.database.write() as connection:
            mine = checkpoints.c.owner == self.owner
            connection.execute(checkpoints.update().where(mine).values(owner=None, leased_until=None))

    # --- trouble ---

    def _stand_still(self, group: Sequence[Standing], error: GroundswellError) -> int:
        """Keep the reason beside the checkpoint; nothing is lost, a newer release goes on from there."""
        log.error("Projections stand still: %s", error)
        for standing in group:
            self._note(standing, error)
            self._stuck[standing.build] = standing.position
        return group[0].position

    def explain(self, kinds: Iterable[type[Projection]], error: Exception) -> None:
        """Keep beside the live checkpoints of these read models why they cannot go on."""
        names = [kind.name for kind in kinds]
        with self.database.write() as connection:
            mine = checkpoints.c.live, checkpoints.c.name.in_(names)
            connection.execute(checkpoints.update().where(*mine).values(trouble=reason(error)))

    def _note(self, standing: Standing, error: Exception) -> None:
        """Keep beside the checkpoint why the read model stands still there."""
        mine = checkpoints.c.name == standing.projection.name, checkpoints.c.build == standing.projection.build
        with self.database.write() as connection:
            there = checkpoints.c.position == standing.position
            connection.execute(checkpoints.update().where(*mine, there).values(trouble=reason(error)))

    def _apart(self, group: Sequence[Standing], facts: Sequence[Fact], error: Exception) -> None:
        """Apply the batch to each read model by itself, so that what fails in one holds up no other."""
        if self.database.is_sqlite and isinstance(error, Unavailable):
            raise error  # its one file
        log.warning("A batch failed and is applied to each read model by itself: %s", reason(error))
        for standing in group:
            try:
                self._by_itself(standing, facts)
            except LeaseLost:
                continue
            except Exception as failure:
                if not is_of_the_store(failure):
                    raise
                self._rest(standing, failure)

    def _by_itself(self, standing: Standing, facts: Sequence[Fact]) -> None:
        """Apply the batch to one read model, in parts where it fails, and park what it cannot take."""
        try:
            self._apply([standing], facts)
        except LeaseLost:
            raise
        except Exception as error:
            if is_of_the_store(error):
                raise
        else:
            return
        for start in range(0, len(facts), PART):
            part = facts[start : start + PART]
            with self.database.write() as connection:
                self._take(connection, [standing], part[-1].position)
                parked = self.parking.streams(connection, [standing.projection.name])
                self.parking.isolate(connection, standing.projection, part, parked[standing.projection.name])
            standing = Standing(standing.projection, part[-1].position)
        self._resting.pop(standing.build, None)

    def _rest(self, standing: Standing, error: Exception) -> None:
        """Leave a read model alone for a while, longer each time, because the store failed it."""
        self._note(standing, error)
        before = self._resting.get(standing.build)
        rest = _Rest(before.failures + 1 if before else 1)
        log.warning("%s rests for %.1f s: %s", standing.projection.name, rest.seconds, reason(error))
        self._resting[standing.build] = rest
        self.retries[standing.projection.name] += 1

    def _retry(self, standings: Sequence[Standing]) -> None:
        """Try again what these read models have parked and is due."""
        for standing in standings:
            name = standing.projection.name
            try:
                with self.database.write() as connection:
                    self._take(connection, [standing], standing.position)
                    applied = self.parking.retry(connection, standing.projection)
            except LeaseLost:
                continue
            except Exception as error:
                if not is_of_the_store(error) or (self.database.is_sqlite and isinstance(error, Unavailable)):
                    raise
                self._rest(standing, error)
                continue
            self.retries[name] += 1
            log.info("%s was given again what it had parked, and took %d events", name, applied)
