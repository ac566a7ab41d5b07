"""Actions one by one, with what came back."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Date, Integer, Text, Uuid

from domain.actions import Action
from domain.slices import Fact
from history.tables import BigInt, Moment
from projections.changes import Changes
from projections.projection import Projection, SealedText, given, newest, on, sealed


class Actions(Projection, name="actions"):
    """Every action; ``reason`` is why it came into the state it is in, ``position`` that of its being logged."""

    def define(self) -> None:
        """One row per action, and one per response."""
        self.actions = self.table(
            "actions",
            Column("id", Uuid, primary_key=True),
            Column("reference", Text),
            Column("policy", Uuid),
            Column("supporter", Uuid),
            Column("kind", Text),
            Column("official", Uuid),
            Column("on", Date),
            Column("minutes", Integer),
            Column("note", SealedText),
            Column("evidence_url", Text),
            Column("state", Text),
            Column("reason", Text),
            Column("logged_at", Moment),
            Column("changed_at", Moment),
            Column("position", BigInt),
            index=[("policy", "position"), ("supporter", "position"), ("position",)],
        )
        self.responses = self.table(
            "action_responses",
            Column("action", Uuid, primary_key=True),
            Column("number", Integer, primary_key=True),
            Column("summary", Text),
            Column("on", Date),
            Column("recorded_at", Moment),
            Column("position", BigInt),
        )

    @on(Action.Logged)
    def logged(self, fact: Fact, event: Action.Logged, changes: Changes) -> None:
        """Something was done."""
        values = given(event) | {"kind": str(event.kind), "note": sealed(event.note), "state": "logged"}
        times = {"logged_at": fact.occurred_at, "changed_at": fact.occurred_at}
        changes.put(self.actions, fact.stream, **values, **times, reason=None, position=fact.position)

    @on(Action.Verified, Action.Rejected, Action.Retracted)
    def moved(self, fact: Fact, _event: Action.Event, changes: Changes) -> None:
        """It was found to be so, or not, or taken back."""
        state = fact.topic.partition(".")[2].lower()
        changes.put(self.actions, fact.stream, state=state, reason=fact.reason, changed_at=fact.occurred_at)

    @on(Action.ResponseRecorded)
    def responded(self, fact: Fact, event: Action.ResponseRecorded, changes: Changes) -> None:
        """Something came back."""
        changes.put(
            self.responses,
            fact.stream,
            fact.version,
            summary=event.summary,
            on=event.on,
            recorded_at=fact.occurred_at,
            position=fact.position,
        )

    # --- questions ---

    def all(
        self, connection: Connection, *, states: Sequence[str] = (), before: int | None = None, limit: int = 50
    ) -> Sequence[Any]:
        """Return actions, those logged last first, ``before`` the position of one of them."""
        return newest(connection, self.actions, states=states, before=before, limit=limit)

    def of_policy(
        self,
        connection: Connection,
        policy: UUID,
        *,
        states: Sequence[str] = (),
        before: int | None = None,
        limit: int = 50,
    ) -> Sequence[Any]:
        """Return what was done for a policy, those logged last first."""
        where = self.actions.c.policy == policy
        return newest(connection, self.actions, where, states=states, before=before, limit=limit)

    def of_supporter(
        self,
        connection: Connection,
        supporter: UUID,
        *,
        states: Sequence[str] = (),
        before: int | None = None,
        limit: int = 50,
    ) -> Sequence[Any]:
        """Return what a supporter did, those logged last first."""
        where = self.actions.c.supporter == supporter
        return newest(connection, self.actions, where, states=states, before=before, limit=limit)

    def policies_of(
        self, connection: Connection, supporters: Sequence[UUID], policies: Sequence[UUID], states: Sequence[str]
    ) -> Sequence[Any]:
        """Return (supporter, policy) for which of these policies some supporters did something that stands so."""
        table = self.actions
        query = sa.select(table.c.supporter, table.c.policy).distinct()
        among = table.c.supporter.in_(supporters), table.c.policy.in_(policies), table.c.state.in_(states)
        return connection.execute(query.where(*among).order_by(table.c.supporter, table.c.policy)).all()

    def answers_to(self, connection: Connection, supporters: Sequence[UUID], after: int) -> Sequence[Any]:
        """Return what came back to what some supporters did, after a position.

        Each is (supporter, policy, summary, on, position), in the order in which it was recorded.
        """
        done, back = self.actions, self.responses
        query = sa.select(done.c.supporter, done.c.policy, back.c.summary, back.c.on, back.c.position)
        query = query.join_from(done, back, back.c.action == done.c.id)
        query = query.where(done.c.supporter.in_(supporters), back.c.position > after)
        return connection.execute(query.order_by(back.c.position)).all()

    def find(self, connection: Connection, action: UUID) -> Any | None:  # noqa: ANN401 - a row of the actions table
        """Return one action, or None."""
        return connection.execute(sa.select(self.actions).where(self.actions.c.id == action)).first()

    def responses_of(self, connection: Connection, actions: Sequence[UUID]) -> Sequence[Any]:
        """Return what came back (action, summary, on, recorded_at), in the order in which it was recorded."""
        query = sa.select(self.responses).where(self.responses.c.action.in_(actions))
        return connection.execute(query.order_by(self.responses.c.action, self.responses.c.number)).all()
