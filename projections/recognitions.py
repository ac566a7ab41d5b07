"""Recognitions, from nomination to award, with those who endorsed them."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Text, Uuid

from domain.awards import AutomaticAwards
from domain.kernel import Actor
from domain.recognitions import Recognition
from domain.slices import Fact
from history.tables import BigInt, Moment
from projections.changes import Changes
from projections.counts import count_column
from projections.projection import Projection, given, newest, on

GIVER: Final = Actor("system", AutomaticAwards.name)


class Recognitions(Projection, name="recognitions"):
    """Every recognition; ``award`` is the slug of the rule that gave it, None where people did."""

    def define(self) -> None:
        """One row per recognition, and one per endorsement."""
        self.recognitions = self.table(
            "recognitions",
            Column("id", Uuid, primary_key=True),
            Column("reference", Text),
            Column("title", Text),
            Column("recipient_kind", Text),
            Column("recipient", Uuid),
            Column("nominator", Uuid),
            Column("citation", Text),
            Column("award", Text),
            Column("state", Text),
            Column("reason", Text),
            Column("nominated_at", Moment),
            Column("awarded_at", Moment),
            Column("declined_at", Moment),
            Column("revoked_at", Moment),
            Column("position", BigInt),
            count_column("endorsements"),
            index=[("recipient", "position"), ("position",)],
        )
        self.endorsements = self.table(
            "endorsements",
            Column("recognition", Uuid, primary_key=True),
            Column("supporter", Uuid, primary_key=True),
            Column("at", Moment),
            Column("position", BigInt),
        )

    @on(Recognition.Nominated)
    def nominated(self, fact: Fact, event: Recognition.Nominated, changes: Changes) -> None:
        """Somebody is proposed for an award."""
        values = given(event) | {"recipient_kind": str(event.recipient_kind), "award": _award(fact, event)}
        del values["supporter"]
        changes.put(
            self.recognitions,
            fact.stream,
            **values,
            state="nominated",
            nominated_at=fact.occurred_at,
            position=fact.position,
        )

    @on(Recognition.Endorsed)
    def endorsed(self, fact: Fact, event: Recognition.Endorsed, changes: Changes) -> None:
        """A supporter agrees with the nomination."""
        changes.put(self.recognitions, fact.stream, state="endorsed")
        changes.add(self.recognitions, fact.stream, endorsements=1)
        changes.put(self.endorsements, fact.stream, event.endorser, at=fact.occurred_at, position=fact.position)

    @on(Recognition.Awarded, Recognition.Declined, Recognition.Revoked)
    def decided(self, fact: Fact, _event: Recognition.Event, changes: Changes) -> None:
        """The award was given, or not, or taken back."""
        state = fact.topic.partition(".")[2].lower()
        moved = {"state": state, f"{state}_at": fact.occurred_at, "reason": fact.reason}
        changes.put(self.recognitions, fact.stream, **moved)

    # --- questions ---

    def all(
        self, connection: Connection, *, states: Sequence[str] = (), before: int | None = None, limit: int = 50
    ) -> Sequence[Any]:
        """Return recognitions, those nominated last first, ``before`` the position of one of them."""
        return newest(connection, self.recognitions, states=states, before=before, limit=limit)

    def of_recipient(
        self,
        connection: Connection,
        recipient: UUID,
        *,
        states: Sequence[str] = (),
        before: int | None = None,
        limit: int = 50,
    ) -> Sequence[Any]:
        """Return the recognitions of a supporter, chapter or partnership, those nominated last first."""
        where = self.recognitions.c.recipient == recipient
        return newest(connection, self.recognitions, where, states=states, before=before, limit=limit)

    def decided_for(self, connection: Connection, recipients: Sequence[UUID], states: Sequence[str]) -> Sequence[Any]:
        """Return (id, recipient) of the recognitions of some supporters, chapters or partnerships in some states."""
        table = self.recognitions
        query = sa.select(table.c.id, table.c.recipient)
        return connection.execute(query.where(table.c.recipient.in_(recipients), table.c.state.in_(states))).all()

    def find(self, connection: Connection, recognition: UUID) -> Any | None:  # noqa: ANN401 - a row of recognitions
        """Return one recognition, or None."""
        return connection.execute(sa.select(self.recognitions).where(self.recognitions.c.id == recognition)).first()

    def endorsements_of(
        self, connection: Connection, recognition: UUID, *, after: int = 0, limit: int | None = None
    ) -> Sequence[Any]:
        """Return who endorsed it (supporter, at, position), in the order in which they did, after a position."""
        table = self.endorsements
        query = sa.select(table).where(table.c.recognition == recognition, table.c.position > after)
        return connection.execute(query.order_by(table.c.position).limit(limit)).all()


def _award(fact: Fact, event: Recognition.Nominated) -> str | None:
    """Return the slug in the reference of an automatic award (``auto:SLUG:SUPPORTER:NUMBER``)."""
    if fact.actor != GIVER or event.reference is None:
        return None
    return event.reference.removeprefix("auto:").rsplit(":", 2)[0]
