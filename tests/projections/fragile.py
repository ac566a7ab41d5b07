"""A read model that breaks where a test wants it, and what the store keeps of it."""

from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Integer, Text, Uuid

from domain.kernel import Event, identify
from domain.slices import Fact
from domain.supporters import Supporter
from history.tables import parked_events
from history.tables import projections as checkpoints
from projections.changes import Changes
from projections.projection import Projection, on
from tests.support.store import Store

ANNA, BEN = (identify("supporter", name) for name in ("anna", "ben"))
WAITS = "waits for an earlier event of its stream"


class Fragile(Projection, name="fragile"):
    """Counts what supporters do, and breaks on a consent to “break” while there is an error to break with."""

    error: ClassVar[Exception | None] = ValueError("broken")

    def define(self) -> None:
        self.deeds = self.table(
            "deeds", Column("supporter", Uuid, primary_key=True), Column("count", Integer), Column("last", Text)
        )

    @on(Supporter.Registered, Supporter.DigestSet, Supporter.ConsentRecorded)
    def did(self, fact: Fact, event: Event, changes: Changes) -> None:
        changes.add(self.deeds, fact.stream, count=1)
        changes.put(self.deeds, fact.stream, last=fact.topic)
        if isinstance(event, Supporter.ConsentRecorded) and event.subject == "break" and self.error:
            raise self.error

    def counts(self, connection: Connection) -> dict[Any, int]:
        query = sa.select(self.deeds.c.supporter, self.deeds.c.count.label("number"))
        return {row.supporter: row.number for row in connection.execute(query)}


def break_anna(store: Store) -> None:
    """Positions: 1 anna, 2 ben, 3 anna breaks, 4 ben, 5 anna."""
    store.run("supporters.register", supporter="anna")
    store.run("supporters.register", supporter="ben")
    store.run("supporters.consent", supporter="anna", topic="break", granted=True, wording="Yes")
    store.run("supporters.set_digest", supporter="ben", frequency="daily")
    store.run("supporters.set_digest", supporter="anna", frequency="daily")


def deeds(store: Store) -> dict[Any, int]:
    """Return what the read model shows as it stands."""
    with store.views() as views:
        return views[Fragile].counts(views.connection)


def checkpoint(store: Store, kind: type[Projection]) -> sa.Row[Any]:
    """Return the checkpoint of the live build."""
    with store.engine.database.read() as connection:
        query = sa.select(checkpoints).where(checkpoints.c.name == kind.name, checkpoints.c.live)
        return connection.execute(query).one()


def parked(store: Store) -> list[tuple[str, int, str]]:
    """Return what is parked: the read model, the position, and why."""
    with store.engine.database.read() as connection:
        rows = connection.execute(sa.select(parked_events).order_by(parked_events.c.position))
        return [(row.projection, row.position, row.error) for row in rows]


def attempts(store: Store) -> list[tuple[int, int, bool]]:
    """Return of what is parked: the position, how often it was tried, and whether it will be again by itself."""
    with store.engine.database.read() as connection:
        rows = connection.execute(sa.select(parked_events).order_by(parked_events.c.position))
        return [(row.position, row.attempts, row.retry_at is not None) for row in rows]
