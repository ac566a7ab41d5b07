"""Events that a read model could not take: listed, applied after all, or given up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.kernel import Unavailable, Unknown
from history.tables import parked_events
from history.tables import projections as checkpoints
from projections.projection import Projection
from projections.runner import Runner

Progress = Callable[[int], Any]


@dataclass(frozen=True)
class Parked:
    """An event that waits and why; how often it was tried (0: it follows one that failed), and when it is again."""

    projection: str
    position: int
    stream: UUID
    topic: str
    error: str
    parked_at: datetime
    attempts: int
    retry_at: datetime | None


@dataclass(frozen=True)
class Retried:
    """What a retry did: how many events were applied, and how many still wait."""

    applied: int
    waiting: int


def parked(runner: Runner, names: Sequence[str] = (), limit: int | None = None) -> list[Parked]:
    """Return what waits, of these read models or of all, in order of projection and position; so many at most."""
    query = sa.select(parked_events).order_by(parked_events.c.projection, parked_events.c.position).limit(limit)
    if names:
        query = query.where(parked_events.c.projection.in_(names))
    with runner.database.read() as connection:
        return [
            Parked(
                projection=row.projection,
                position=row.position,
                stream=row.stream_id,
                topic=row.topic,
                error=row.error,
                parked_at=row.parked_at,
                attempts=row.attempts,
                retry_at=row.retry_at,
            )
            for row in connection.execute(query)
        ]


def retry(runner: Runner, kind: type[Projection], progress: Progress = lambda _: None) -> Retried:
    """Apply the parked events of a read model in order; where one fails again, the rest of its stream waits on.

    The row of its checkpoint is held meanwhile, so that a runner cannot park more behind what is being applied.
    """
    applied = waiting = 0
    with runner.database.write() as connection:
        projection = _live(runner, connection, kind)
        stuck: set[UUID] = set()
        for position, stream in runner.parking.positions(connection, kind.name):
            if stream in stuck or not runner.parking.retry_one(connection, projection, position, by_itself=False):
                stuck.add(stream)
                waiting += 1
            else:
                applied += 1
            progress(applied + waiting)
    return Retried(applied, waiting)


def discard(runner: Runner, kind: type[Projection], positions: Sequence[int] = ()) -> int:
    """Give up parked events of a read model, all if no positions are named; return how many.

    The read model will not show them until it is rebuilt; what waited behind them can be applied by ``retry``.
    """
    mine = parked_events.c.projection == kind.name
    wanted = sa.and_(mine, parked_events.c.position.in_(list(positions))) if positions else mine
    with runner.database.write() as connection:
        _live(runner, connection, kind)
        found = set(connection.scalars(sa.select(parked_events.c.position).where(wanted)))
        missing = sorted(set(positions) - found)
        if missing:
            raise Unknown("parked.unknown", f"No event of position {missing[0]} is parked for {kind.name}.")
        connection.execute(parked_events.delete().where(wanted))
    return len(found)


def _live(runner: Runner, connection: Connection, kind: type[Projection]) -> Projection:
    query = sa.select(checkpoints).where(checkpoints.c.name == kind.name, checkpoints.c.live).with_for_update()
    row = connection.execute(query).first()
    if row is None or row.version != kind.version:
        raise Unavailable("projection.stale", f"{kind.name} must be rebuilt for this release first.")
    return runner.instance(kind, row.build)
