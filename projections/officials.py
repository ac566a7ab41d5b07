"""Officials: those who decide on policies, in office or retired."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Text, Uuid

from domain.kernel import Event
from domain.officials import Official
from domain.slices import Fact
from history.tables import Moment
from projections.changes import Changes
from projections.projection import Projection, given, on


class Officials(Projection, name="officials"):
    """Every official; one who comes back to office is the same one."""

    def define(self) -> None:
        """One row per official."""
        self.officials = self.table(
            "officials",
            Column("id", Uuid, primary_key=True),
            Column("reference", Text),
            Column("name", Text),
            Column("office", Text),
            Column("jurisdiction", Text),
            Column("party", Text),
            Column("phone", Text),
            Column("address", Text),
            Column("url", Text),
            Column("state", Text),
            Column("registered_at", Moment),
            Column("retired_at", Moment),
        )

    @on(Official.Registered)
    def registered(self, fact: Fact, event: Official.Registered, changes: Changes) -> None:
        """A new official."""
        changes.put(self.officials, fact.stream, **given(event), state="in_office", registered_at=fact.occurred_at)

    @on(Official.Reinstated)
    def reinstated(self, fact: Fact, event: Official.Reinstated, changes: Changes) -> None:
        """Back in office, with new particulars."""
        changes.put(self.officials, fact.stream, **given(event), state="in_office", retired_at=None)

    @on(Official.Amended)
    def amended(self, fact: Fact, event: Official.Amended, changes: Changes) -> None:
        """Changed particulars."""
        changes.put(self.officials, fact.stream, **given(event))

    @on(Official.Retired)
    def retired(self, fact: Fact, _event: Event, changes: Changes) -> None:
        """Left office."""
        changes.put(self.officials, fact.stream, state="retired", retired_at=fact.occurred_at)

    # --- questions ---

    def all(
        self, connection: Connection, *, state: str = "in_office", after: UUID | None = None, limit: int = 50
    ) -> Sequence[Any]:
        """Return officials who are ``in_office``, ``retired`` or ``all`` in order of id, after one of them."""
        query = self._where(sa.select(self.officials), state).order_by(self.officials.c.id).limit(limit)
        if after is not None:
            query = query.where(self.officials.c.id > after)
        return connection.execute(query).all()

    def count(self, connection: Connection, *, state: str = "in_office") -> int:
        """Return how many officials there are."""
        return connection.scalar(self._where(sa.select(sa.func.count()).select_from(self.officials), state)) or 0

    def find(self, connection: Connection, official: UUID) -> Any | None:  # noqa: ANN401 - a row of the officials table
        """Return one official, or None."""
        return connection.execute(sa.select(self.officials).where(self.officials.c.id == official)).first()

    def several(self, connection: Connection, officials: Sequence[UUID]) -> dict[UUID, Any]:
        """Return those of the officials who exist, by id."""
        query = sa.select(self.officials).where(self.officials.c.id.in_(officials))
        return {row.id: row for row in connection.execute(query)}

    def _where(self, query: sa.Select[Any], state: str) -> sa.Select[Any]:
        return query if state == "all" else query.where(self.officials.c.state == state)
