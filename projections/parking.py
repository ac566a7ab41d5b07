"""Sets aside what a read model cannot take: the event, and all that follows in its stream; the rest goes on.

An event that failed is tried again by itself some times, with growing pauses, because what was wrong may have passed.
After that it waits for a person.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import psycopg.errors
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from domain.kernel import GroundswellError, Unavailable, now
from domain.slices import Fact
from history.reading import Log
from history.tables import events, parked_events
from projections.changes import Changes
from projections.projection import Projection

log = logging.getLogger(__name__)

PAUSES: Final = (timedelta(seconds=1), timedelta(seconds=8), timedelta(minutes=1))
"""How long an event that failed rests before it is tried again, time after time."""
WAITS: Final = "waits for an earlier event of its stream"


def is_of_the_store(error: BaseException) -> bool:
    """Tell whether the store failed, and not the event that was just being applied."""
    if isinstance(error, DBAPIError):
        of_the_event = isinstance(error, DataError | IntegrityError)
        return not of_the_event and not isinstance(error.orig, psycopg.errors.ProgramLimitExceeded)
    return isinstance(error, Unavailable)


def reason(error: BaseException) -> str:
    """Say in one line what an error says."""
    if isinstance(error, GroundswellError):
        return f"{error.code}: {error}"
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    said = str(original).strip().splitlines()
    return f"{type(original).__name__}: {said[0]}" if said else type(original).__name__


class Parking:
    """The parked events of one store; each method works in the transaction of the connection it is given."""

    def __init__(self, log: Log, pauses: Sequence[timedelta] = PAUSES) -> None:
        self._log, self._pauses = log, tuple(pauses)

    # --- setting aside ---

    def streams(self, connection: Connection, names: Sequence[str]) -> dict[str, set[UUID]]:
        """Return by read model the streams of which something is parked."""
        query = sa.select(parked_events.c.projection, parked_events.c.stream_id).distinct()
        parked: dict[str, set[UUID]] = {name: set() for name in names}
        for name, stream in connection.execute(query.where(parked_events.c.projection.in_(names))):
            parked[name].add(stream)
        return parked

    def unparked(self, connection: Connection, name: str, facts: Sequence[Fact], parked: set[UUID]) -> Sequence[Fact]:
        """Return the facts whose streams are not parked; park the others behind what is parked already."""
        waiting = [fact for fact in facts if fact.stream in parked] if parked else []
        if not waiting:
            return facts
        connection.execute(parked_events.insert(), [_row(name, fact, WAITS) for fact in waiting])
        return [fact for fact in facts if fact.stream not in parked]

    def park(self, connection: Connection, name: str, fact: Fact, failure: Exception) -> None:
        """Set aside an event that failed; it is tried again after a pause."""
        values = _row(name, fact, reason(failure)) | self._failed(0)
        connection.execute(parked_events.insert().values(values))

    def take(self, connection: Connection, projection: Projection, facts: Sequence[Fact]) -> Exception | None:
        """Apply facts; return what they failed with, all undone, and raise what is the store's fault."""
        try:
            with connection.begin_nested():
                changes = Changes(connection)
                projection.apply(facts, changes)
                changes.flush()
        except Exception as failure:
            if is_of_the_store(failure):
                raise
            return failure
        return None

    def isolate(self, connection: Connection, projection: Projection, facts: Sequence[Fact], parked: set[UUID]) -> None:
        """Apply facts of which some fail: halve what fails until those are found, and park them."""
        facts = self.unparked(connection, projection.name, facts, parked)
        if not facts or (failure := self.take(connection, projection, facts)) is None:
            return
        if len(facts) > 1:
            half = len(facts) // 2
            self.isolate(connection, projection, facts[:half], parked)
            self.isolate(connection, projection, facts[half:], parked)
            return
        (fact,) = facts
        log.error("%s cannot take event %d (%s)", projection.name, fact.position, fact.topic, exc_info=failure)
        self.park(connection, projection.name, fact, failure)
        parked.add(fact.stream)

    # --- trying again ---

    def due(self, connection: Connection) -> set[str]:
        """Return the read models of which something is to be tried again now."""
        return set(connection.scalars(sa.select(parked_events.c.projection).where(self._is_due()).distinct()))

    def retry(self, connection: Connection, projection: Projection) -> int:
        """Try what is due, and what follows it in its stream; return how many events were applied."""
        mine = parked_events.c.projection == projection.name
        streams = set(connection.scalars(sa.select(parked_events.c.stream_id).where(mine, self._is_due())))
        applied, stuck = 0, set[UUID]()
        for position, stream in self.positions(connection, projection.name):
            if stream not in streams or stream in stuck:
                continue
            if self.retry_one(connection, projection, position):
                applied += 1
            else:
                stuck.add(stream)
        return applied

    def positions(self, connection: Connection, name: str) -> Sequence[tuple[int, UUID]]:
        """Return position and stream of all that a read model has parked, in order."""
        query = sa.select(parked_events.c.position, parked_events.c.stream_id)
        found = connection.execute(query.where(parked_events.c.projection == name).order_by(parked_events.c.position))
        return [(row.position, row.stream_id) for row in found]

    def retry_one(
        self, connection: Connection, projection: Projection, position: int, *, by_itself: bool = True
    ) -> bool:
        """Apply one parked event after all; where it fails again, note why, and when it is due again ``by_itself``."""
        mine = sa.and_(parked_events.c.projection == projection.name, parked_events.c.position == position)
        (row,) = self._log.rows(connection, 0, 1, events.c.position == position)
        try:
            failure = self.take(connection, projection, [self._log.mapper.fact(row)])
        except GroundswellError as error:
            if is_of_the_store(error):
                raise
            failure = error
        if failure is None:
            connection.execute(parked_events.delete().where(mine))
            return True
        attempts = connection.scalar(sa.select(parked_events.c.attempts).where(mine)) or 0
        again = self._failed(attempts)
        if not by_itself:
            again["retry_at"] = None
        connection.execute(parked_events.update().where(mine).values(error=reason(failure), **again))
        return False

    def _failed(self, attempts: int) -> dict[str, Any]:
        """Return how often an event has failed now, and when it is tried again, if it is."""
        pause = self._pauses[attempts] if attempts < len(self._pauses) else None
        return {"attempts": attempts + 1, "retry_at": now() + pause if pause is not None else None}

    def _is_due(self) -> sa.ColumnElement[bool]:
        """Its time has come, or is farther off than any pause: the clock was set back since."""
        until, moment = parked_events.c.retry_at, now()
        return sa.or_(until <= moment, until > moment + 2 * max(self._pauses, default=timedelta()))


def _row(name: str, fact: Fact, error: str) -> dict[str, Any]:
    return {
        "projection": name,
        "position": fact.position,
        "stream_id": fact.stream,
        "topic": fact.topic,
        "error": error,
        "parked_at": now(),
        "attempts": 0,
        "retry_at": None,
    }
