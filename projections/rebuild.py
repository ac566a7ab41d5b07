"""Building read models anew beside the live ones: swapped in at once, or only compared."""

import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Table

from domain.kernel import Conflict
from history.recorder import last_position
from history.tables import parked_events
from history.tables import projections as checkpoints
from projections.changes import Changes
from projections.crew import FOLDING, build, shares
from projections.drafts import Draft, Overtaken, alone, clear
from projections.projection import Projection
from projections.replay import PAGE, replay, scratch
from projections.runner import Runner

Progress = Callable[[str, int], Any]
Reached = Callable[[int], Any]
DRAFTS: Final = "drafts"
"""The folder, in the data directory, where read models are built anew."""
LAST: Final = 500
"""How many events are folded while nobody can append."""


@dataclass(frozen=True)
class Difference:
    """The first row in which a live table and a freshly built one differ; None stands for a row that is not there."""

    projection: str
    table: str
    live: dict[str, Any] | None
    fresh: dict[str, Any] | None


def rebuild(
    runner: Runner,
    kinds: Sequence[type[Projection]],
    progress: Progress = lambda _stage, _done: None,
    folder: Path | None = None,
) -> None:
    """Build the read models anew, beside the live ones, and swap them in. Strict: a fold that fails, fails this.

    They are folded in a draft in the folder (on SQLite: beside the file), loaded from there, and brought up to the
    head. Can be interrupted: with the same folder the next call goes on where this one ended. Readers see the old
    tables until the swap. ``progress`` is told the stage, "rebuilding" or "writing", and how many events are done.
    """
    runner.prepare()
    builds = [begin(runner, kind) for kind in kinds]
    with _place(runner, folder) as place, alone(place):
        _draw_up(runner, builds, progress, place)
    while not _swapped(runner, builds, progress):
        with suppress(Overtaken), runner.database.write() as connection:
            waiting = pending(connection, builds)
            positions = [_position(connection, projection) for projection in waiting]
            lowest = min(positions, default=0)
            group = [p for p, position in zip(waiting, positions, strict=True) if position == lowest]
            limit = min([PAGE, *(position - lowest for position in positions if position > lowest)])
            progress(FOLDING, _advance(runner, connection, group, lowest, limit))


def _draw_up(runner: Runner, builds: Sequence[Projection], progress: Progress, folder: Path) -> None:
    """Fold and load those builds of which nothing is there yet; a draft of which some are loaded is gone on with."""
    with runner.database.read() as connection:
        waiting = pending(connection, builds)
        fresh = [model for model in waiting if _position(connection, model) == 0]
        head = last_position(connection)
    drafts = [Draft(share, folder) for share in shares(waiting, head) if any(model in fresh for model in share)]
    if not drafts:
        return
    clear(folder, runner.log, drafts)
    build(runner.log, drafts, head, progress)


@contextmanager
def _place(runner: Runner, folder: Path | None) -> Iterator[Path]:
    """Give the folder for drafts: on SQLite beside the file, so that all who rebuild it wait for each other."""
    if runner.database.path is not None:
        folder = runner.database.path.parent / DRAFTS
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="groundswell-") as made:
        yield Path(made)


def _swapped(runner: Runner, builds: Sequence[Projection], progress: Progress) -> bool:
    """Take the last few events while nobody can append, and swap; return False where it are more than a few."""
    with suppress(Overtaken), runner.database.append() as connection:
        waiting = pending(connection, builds)
        positions = [_position(connection, projection) for projection in waiting]
        head = last_position(connection)
        if head - min(positions, default=head) > LAST:
            return False
        for projection, position in zip(waiting, positions, strict=True):
            _advance(runner, connection, [projection], position, LAST)
            _swap(connection, projection)
        progress(FOLDING, head)
        return True
    return False


def begin(runner: Runner, kind: type[Projection]) -> Projection:
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


def pending(connection: Connection, builds: Sequence[Projection]) -> list[Projection]:
    """Return those that are not live yet: somebody else may have swapped some in; raise Conflict where one is gone."""
    rows = connection.execute(sa.select(checkpoints.c.name, checkpoints.c.build, checkpoints.c.live))
    live = {(row.name, row.build): row.live for row in rows}
    if gone := [model.name for model in builds if (model.name, model.build) not in live]:
        raise Conflict("rebuild.overtaken", f"Another rebuild took the place of this one ({', '.join(gone)}).")
    return [model for model in builds if not live[model.name, model.build]]


def _position(connection: Connection, projection: Projection) -> int:
    query = sa.select(checkpoints.c.position).where(
        checkpoints.c.name == projection.name, checkpoints.c.build == projection.build
    )
    return connection.scalar(query) or 0


def _advance(runner: Runner, connection: Connection, group: Sequence[Projection], after: int, limit: int) -> int:
    """Fold the events after a position, and return the position reached; raise Overtaken where it is not at it."""
    facts = [runner.log.mapper.raw_fact(row) for row in runner.log.raw(connection, after, limit)]
    if not facts:
        return after
    for projection in group:
        moved = connection.execute(
            checkpoints.update()
            .where(
                checkpoints.c.name == projection.name,
                checkpoints.c.build == projection.build,
                checkpoints.c.position == after,
            )
            .values(position=facts[-1].position)
        )
        if moved.rowcount != 1:
            raise Overtaken
        changes = Changes(connection)
        projection.apply(facts, changes)
        changes.flush()
    return facts[-1].position


def _swap(connection: Connection, projection: Projection) -> None:
    mine = checkpoints.c.name == projection.name
    connection.execute(checkpoints.update().where(mine).values(live=False, owner=None, leased_until=None))
    connection.execute(
        checkpoints.update().where(mine, checkpoints.c.build == projection.build).values(live=True, trouble=None)
    )
    connection.execute(parked_events.delete().where(parked_events.c.projection == projection.name))


def compare(runner: Runner, kinds: Sequence[type[Projection]], progress: Reached = lambda _: None) -> list[Difference]:
    """Fold the history anew elsewhere, up to where the live read models stand, and compare both row by row.

    Nobody waits for it: the live tables are read in one consistent state while others go on writing.
    """
    runner.prepare()
    runner.catch_up()
    differences: list[Difference] = []
    with runner.database.read() as connection, _scratch() as beside:
        standing = [(kind, _live(connection, kind)) for kind in kinds]
        for position in sorted({row.position for _, row in standing}):
            pairs = [(runner.instance(kind, row.build), kind(1)) for kind, row in standing if row.position == position]
            for reached in replay(runner.log, [fresh for _, fresh in pairs], beside, position, indexed=False):
                progress(reached)
            for live, fresh in pairs:
                differences += _differences((connection, live), (beside, fresh))
    return differences


def _live(connection: Connection, kind: type[Projection]) -> Any:  # noqa: ANN401 - a row of checkpoints
    """Return the checkpoint of the live build; raise Conflict where this release has other tables."""
    mine = checkpoints.c.name == kind.name, checkpoints.c.live
    row = connection.execute(sa.select(checkpoints).where(*mine)).one()
    if row.version != kind.version:
        raise Conflict("projection.stale", f"{kind.name} must first be rebuilt: this release changed it.")
    return row


@contextmanager
def _scratch() -> Iterator[Connection]:
    engine = scratch()
    with engine.begin() as connection:
        yield connection
    engine.dispose()


Side = tuple[Connection, Projection]


def _differences(live: Side, fresh: Side) -> Iterator[Difference]:
    """Yield the first difference of each table."""
    for ours, theirs in zip(live[1].metadata.tables.values(), fresh[1].metadata.tables.values(), strict=True):
        if ours.info["cache"]:
            continue
        with closing(_rows(live[0], ours)) as left, closing(_rows(fresh[0], theirs)) as right:
            for one, other in zip_longest(left, right):
                if one != other:
                    yield Difference(live[1].name, ours.name.rpartition("_v")[0], one, other)
                    break


def _rows(connection: Connection, table: Table) -> Generator[dict[str, Any], None, None]:
    """Yield the rows in order of primary key, which is the same on every database."""
    query = sa.select(table).order_by(*(_in_bytes(column, connection) for column in table.primary_key))
    with connection.execute(query.execution_options(yield_per=PAGE)) as result:
        for row in result.mappings():
            yield dict(row)


def _in_bytes(column: sa.Column[Any], connection: Connection) -> sa.ColumnElement[Any]:
    """Order text by its bytes, as SQLite does."""
    if connection.dialect.name == "sqlite" or column.type.python_type is not str:
        return column
    return sa.collate(column, "C")
