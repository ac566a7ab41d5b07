"""Building read models anew beside the live ones: swapped in at once, or only compared."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Table

from history.recorder import last_position
from history.tables import parked_events
from history.tables import projections as checkpoints
from projections.changes import Changes
from projections.projection import Projection
from projections.runner import Runner

Progress = Callable[[int], Any]
PAGE = 1_000


@dataclass(frozen=True)
class Difference:
    """The first row in which a live table and a freshly built one differ; None stands for a row that is not there."""

    projection: str
    table: str
    live: dict[str, Any] | None
    fresh: dict[str, Any] | None


def rebuild(runner: Runner, kinds: Sequence[type[Projection]], progress: Progress = lambda _: None) -> None:
    """Build the read models anew, beside the live ones, and swap them in. Strict: a fold that fails, fails this.

    Can be interrupted: the next call goes on where this one ended. Readers see the old tables until the swap.
    """
    runner.prepare()
    builds = [_begin(runner, kind) for kind in kinds]
    while True:
        with runner.database.append() as connection:
            positions = [_position(connection, projection) for projection in builds]
            head = last_position(connection)
            if head - min(positions) <= PAGE:
                for projection, position in zip(builds, positions, strict=True):
                    _advance(runner, connection, [projection], position, PAGE)
                    _swap(connection, projection)
                break
        lowest = min(positions)
        group = [p for p, position in zip(builds, positions, strict=True) if position == lowest]
        limit = min([PAGE, *(position - lowest for position in positions if position > lowest)])
        with runner.database.write() as connection:
            progress(_advance(runner, connection, group, lowest, limit))
    progress(head)


def _begin(runner: Runner, kind: type[Projection]) -> Projection:
    """Return the build in the making, which may be one that was interrupted; drop builds older than the live one."""
    with runner.database.append() as connection:
        mine = checkpoints.c.name == kind.name
        rows = connection.execute(sa.select(checkpoints).where(mine).order_by(checkpoints.c.build)).all()
        live = next(row.build for row in rows if row.live)
        for row in rows:
            if row.build < live or (row.build > live and row.version != kind.version):
                runner.instance(kind, row.build).drop(connection)
                connection.execute(checkpoints.delete().where(mine, checkpoints.c.build == row.build))
            elif row.build > live:
                return runner.instance(kind, row.build)
        return runner.begin(connection, kind, max(row.build for row in rows) + 1, live=False)


def _position(connection: Connection, projection: Projection) -> int:
    query = sa.select(checkpoints.c.position).where(
        checkpoints.c.name == projection.name, checkpoints.c.build == projection.build
    )
    return connection.scalar(query) or 0


def _advance(runner: Runner, connection: Connection, group: Sequence[Projection], after: int, limit: int) -> int:
    rows = runner.log.rows(connection, after, limit)
    if not rows:
        return after
    facts = [runner.log.mapper.fact(row) for row in rows]
    for projection in group:
        changes = Changes(connection)
        projection.apply(facts, changes)
        changes.flush()
        connection.execute(
            checkpoints.update()
            .where(checkpoints.c.name == projection.name, checkpoints.c.build == projection.build)
            .values(position=facts[-1].position)
        )
    return facts[-1].position


def _swap(connection: Connection, projection: Projection) -> None:
    mine = checkpoints.c.name == projection.name
    connection.execute(checkpoints.update().where(mine).values(live=False, owner=None, leased_until=None))
    connection.execute(
        checkpoints.update().where(mine, checkpoints.c.build == projection.build).values(live=True, trouble=None)
    )
    connection.execute(parked_events.delete().where(parked_events.c.projection == projection.name))


def compare(runner: Runner, kinds: Sequence[type[Projection]], progress: Progress = lambda _: None) -> list[Difference]:
    """Build the read models anew, compare them with the live ones row by row, and drop them again."""
    runner.prepare()
    runner.catch_up()
    differences: list[Difference] = []
    for kind in kinds:
        with runner.database.append() as connection:
            row = connection.execute(
                sa.select(checkpoints).where(checkpoints.c.name == kind.name, checkpoints.c.live)
            ).one()
            newest = sa.select(sa.func.max(checkpoints.c.build)).where(checkpoints.c.name == kind.name)
            fresh = kind((connection.scalar(newest) or 0) + 1_000_000)
            fresh.create(connection)
            position = 0
            while position < row.position:
                facts = [
                    runner.log.mapper.fact(found)
                    for found in runner.log.rows(connection, position, min(PAGE, row.position - position))
                ]
                changes = Changes(connection)
                fresh.apply(facts, changes)
                changes.flush()
                position = facts[-1].position
                progress(position)
            differences += _differences(connection, runner.instance(kind, row.build), fresh)
            fresh.drop(connection)
    return differences


def _differences(connection: Connection, live: Projection, fresh: Projection) -> Iterator[Difference]:
    for ours, theirs in zip(live.metadata.sorted_tables, fresh.metadata.sorted_tables, strict=True):
        pair = zip_longest_rows(connection, ours, theirs)
        for one, other in pair:
            if one != other:
                name = ours.name.rpartition("_v")[0]
                yield Difference(live.name, name, one, other)
                break


def zip_longest_rows(
    connection: Connection, ours: Table, theirs: Table
) -> Iterator[tuple[dict[str, Any] | None, dict[str, Any] | None]]:
    """Yield the rows of both tables side by side, in order of primary key."""
    left = iter(connection.execute(sa.select(ours).order_by(*ours.primary_key)).mappings())
    right = iter(connection.execute(sa.select(theirs).order_by(*theirs.primary_key)).mappings())
    while True:
        one, other = next(left, None), next(right, None)
        if one is None and other is None:
            return
        yield (dict(one) if one is not None else None, dict(other) if other is not None else None)
