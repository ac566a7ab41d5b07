"""The past: read models folded again from a cut of the history, each cut once for all who ask for it."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from history.reading import Log
from history.tables import events
from projections.projection import Projection
from projections.replay import PAGE, replay, scratch
from projections.retained import Retained, spacing
from projections.turns import Turns

Kinds = Sequence[type[Projection]]

KEPT: Final = 8
AT_ONCE: Final = 2
"""How many points are folded at once: more would only share the processor's cores."""
WAITING: Final = 14
"""How many wait for a point that is, or is to be, folded."""
BEGUN: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "campaigns": [("campaigns", "state"), ("asks", "statement")],
    "chapters": [("chapters", "state")],
    "policies": [("policies", "title")],
    "officials": [("officials", "name")],
    "supporters": [("supporters", "registered_at")],
    "partnerships": [("partnerships", "state"), ("deliverables", "title")],
}
"""By read model, the tables with the column that is given when what a row tells of begins."""


def happened_by(moment: datetime) -> sa.ColumnElement[bool]:
    """Say which events had happened by a moment: nothing can have happened to what had not begun by then."""
    first = events.alias()
    begun = sa.exists().where(
        first.c.stream_id == events.c.stream_id, first.c.version == 1, first.c.occurred_at <= moment
    )
    return sa.and_(events.c.occurred_at <= moment, sa.or_(events.c.version == 1, begun))


def leave_out(connection: Connection, models: Sequence[Projection]) -> None:
    """Take out what something happened to by a time, but which had not begun itself: nobody could say what it is."""
    for model in models:
        for table, column in BEGUN.get(model.name, ()):
            rows: sa.Table = getattr(model, table)
            connection.execute(rows.delete().where(rows.c[column].is_(None)))


@dataclass
class _Cut:
    """Read models as of a point: folded by the first who asks, while the others wait."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    engine: Engine | None = None
    readers: int = 0


class Past:
    """Folds read models as of points of the history; ``retained`` states spare the beginning of it."""

    def __init__(self, log: Log, retained: Retained | None = None) -> None:
        self._log, self._retained = log, retained
        self._cuts: OrderedDict[Any, _Cut] = OrderedDict()
        self._mutex = threading.Lock()
        self._turns = Turns(AT_ONCE, WAITING)

    @property
    def kept(self) -> int:
        """How many points of history are folded and kept in memory."""
        return len(self._cuts)

    @contextmanager
    def open(self, kinds: Kinds, position: int, by: datetime | None) -> Iterator[Connection]:
        """Give the kinds as of a position, and of what had happened by a time, in a database of their own.

        Raises Unavailable where too many wait already for what must be folded first.
        """
        key = (position, by, *sorted(kind.name for kind in kinds))
        with self._mutex:
            cut = self._cuts.setdefault(key, _Cut())
            self._cuts.move_to_end(key)
            cut.readers += 1
        try:
            with (cut.engine or self._first(cut, kinds, position, by)).connect() as connection:
                yield connection
        finally:
            with self._mutex:
                cut.readers -= 1
                if cut.engine is None and not cut.readers:
                    self._cuts.pop(key, None)
                self._keep(KEPT)

    def close(self) -> None:
        """Forget what was folded."""
        with self._mutex:
            self._keep(0)

    def _keep(self, number: int) -> None:
        """Let go of those used longest ago, except where somebody reads."""
        idle = [key for key, cut in self._cuts.items() if not cut.readers]
        for key in idle[: max(0, len(self._cuts) - number)]:
            engine = self._cuts.pop(key).engine
            if engine is not None:
                engine.dispose()

    def _first(self, cut: _Cut, kinds: Kinds, position: int, by: datetime | None) -> Engine:
        """Fold a cut, or wait for whoever folds it."""
        with self._turns.queued(), cut.lock:
            if cut.engine is None:
                with self._turns.turn():
                    cut.engine = self._fold(kinds, position, by)
            return cut.engine

    def _fold(self, kinds: Kinds, position: int, by: datetime | None) -> Engine:
        """Fold with models of its own: those of the runner may be in the middle of a batch."""
        engine = scratch()
        try:
            with engine.connect() as connection:
                self._replay(kinds, position, by, connection)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def _replay(self, kinds: Kinds, position: int, by: datetime | None, connection: Connection) -> None:
        """Fold from the nearest state that is kept, and keep states on the way."""
        where = [] if by is None else [happened_by(by)]
        models = [kind(1) for kind in kinds]
        whole = position if by is None else self._undivided(position, by)
        retained, head = self._retained, self._log.head()
        after = retained.restore(kinds, whole, connection) if retained else 0
        page = min(PAGE, spacing(head, 0))
        kept = after
        for reached in replay(self._log, models, connection, position, *where, after=after, page=page):
            connection.commit()
            if retained and kept < reached <= whole:
                retained.keep(kinds, reached, head, connection)
                kept = reached
            connection.begin()
        if by is not None:
            leave_out(connection, models)
        connection.commit()
        if retained and kept > after:
            retained.tidy()

    def _undivided(self, position: int, by: datetime) -> int:
        """Return the position up to which everything had happened by a time: a state there is as of that time too."""
        later = (
            sa.select(events.c.position)
            .where(events.c.position <= position, events.c.occurred_at > by)
            .order_by(events.c.position)
            .limit(1)
        )
        with self._log.database.read() as connection:
            found = connection.scalar(later)
        return position if found is None else found - 1
