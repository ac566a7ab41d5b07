"""Policies with their stages, the officials who decide on them, and what was done for them."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Connection, Date, Integer, Text, Uuid

from domain.actions import Action
from domain.kernel import Event
from domain.officials import Official
from domain.policies import Policy
from domain.slices import Fact
from history.tables import BigInt, Moment
from projections.changes import Changes
from projections.counts import count_column
from projections.projection import Projection, given, on

ACTION_STATES: Final = ("logged", "verified", "rejected", "retracted")
MOVING: Final = frozenset((Action.Verified, Action.Rejected, Action.Retracted))
KNOWN_AS: Final = ("name", "office", "party")


class Policies(Projection, name="policies"):
    """Every policy; it keeps its own copy of the officials' names, so that one question answers with them."""

    def define(self) -> None:
        """One row per policy, stage, official with a part in it, official's name, kind of action, and action."""
        self.policies = self.table(
            "policies",
            Column("id", Uuid, primary_key=True),
            Column("reference", Text),
            Column("title", Text),
            Column("kind", Text),
            Column("jurisdiction", Text),
            Column("stage", Text),
            Column("url", Text),
            Column("ask", Text),
            Column("outcome", Text),
            Column("concluded_on", Date),
            Column("tracked_at", Moment),
            Column("last_action_at", Moment),
        )
        self.stages = self.table(
            "policy_stages",
            Column("policy", Uuid, primary_key=True),
            Column("number", Integer, primary_key=True),
            Column("stage", Text),
            Column("on", Date),
            Column("position", BigInt),
        )
        self.stances = self.table(
            "policy_stances",
            Column("policy", Uuid, primary_key=True),
            Column("official", Uuid, primary_key=True),
            Column("target", Boolean, nullable=False, server_default=sa.false()),
            Column("stance", Text),
            Column("evidence", Text),
            Column("at", Moment),
            Column("position", BigInt),
            index=[("official",)],
        )
        self.names = self.table(
            "policy_officials",
            Column("official", Uuid, primary_key=True),
            *(Column(name, Text) for name in KNOWN_AS),
        )
        self.kinds = self.table(
            "policy_actions_by_kind",
            Column("policy", Uuid, primary_key=True),
            Column("kind", Text, primary_key=True),
            *(count_column(state) for state in ACTION_STATES),
        )
        self.actions = self.table(
            "policy_actions",
            Column("action", Uuid, primary_key=True),
            Column("state", Text),
        )

    def prepare(self, facts: Sequence[Fact], changes: Changes) -> None:
        """Fetch the states that the actions were in before this batch."""
        touched = {fact.stream for fact in facts if type(fact.event) in MOVING}
        self._states: dict[UUID, str] = {row.action: row.state for row in changes.rows(self.actions, "action", touched)}

    @on(Policy.Tracked)
    def tracked(self, fact: Fact, event: Policy.Tracked, changes: Changes) -> None:
        """Work on a policy began; its first stage counts from that day (UTC)."""
        values = given(event) | {"kind": str(event.kind), "tracked_at": fact.occurred_at}
        changes.put(self.policies, fact.stream, **values)
        if event.stage is not None:
            on_day = fact.occurred_at.date()
            changes.put(self.stages, fact.stream, fact.version, stage=event.stage, on=on_day, position=fact.position)

    @on(Policy.Advanced)
    def advanced(self, fact: Fact, event: Policy.Advanced, changes: Changes) -> None:
        """It came to another stage."""
        changes.put(self.policies, fact.stream, stage=event.stage)
        changes.put(self.stages, fact.stream, fact.version, stage=event.stage, on=event.on, position=fact.position)

    @on(Policy.TargetAdded, Policy.TargetRemoved)
    def target_set(self, fact: Fact, event: Policy.TargetAdded | Policy.TargetRemoved, changes: Changes) -> None:
        """An official's decision is sought, or no longer."""
        changes.put(self.stances, fact.stream, event.official, target=isinstance(event, Policy.TargetAdded))

    @on(Policy.PositionRecorded)
    def position_recorded(self, fact: Fact, event: Policy.PositionRecorded, changes: Changes) -> None:
        """Where an official stands, target or not."""
        changes.put(
            self.stances,
            fact.stream,
            event.official,
            stance=str(event.stance),
            evidence=event.evidence,
            at=fact.occurred_at,
            position=fact.position,
        )

    @on(Policy.Concluded)
    def concluded(self, fact: Fact, event: Policy.Concluded, changes: Changes) -> None:
        """The work ended."""
        changes.put(self.policies, fact.stream, outcome=str(event.outcome), concluded_on=event.on)

    @on(Official.Registered, Official.Reinstated, Official.Amended)
    def named(self, fact: Fact, event: Event, changes: Changes) -> None:
        """What an official is called."""
        known_as = {name: value for name, value in given(event).items() if name in KNOWN_AS}
        changes.put(self.names, fact.stream, **known_as)

    @on(Action.Logged, Action.Verified, Action.Rejected, Action.Retracted)
    def acted(self, fact: Fact, event: Action.Event, changes: Changes) -> None:
        """Something was done for the policy, or found to be so or not."""
        state = fact.topic.partition(".")[2].lower()
        amounts = {state: 1}
        if fact.stream in self._states:
            amounts[self._states[fact.stream]] = -1
        self._states[fact.stream] = state
        changes.put(self.actions, fact.stream, state=state)
        changes.add(self.kinds, event.policy, str(event.kind), **amounts)
        if isinstance(event, Action.Logged):
            changes.most(self.policies, event.policy, last_action_at=fact.occurred_at)

    # --- questions ---

    def all(
        self, connection: Connection, *, state: str = "all", after: UUID | None = None, limit: int = 50
    ) -> Sequence[Any]:
        """Return policies that are ``open``, ``concluded`` or ``all`` in order of id, after one of them."""
        column = self.policies.c
        query = sa.select(self.policies).order_by(column.id).limit(limit)
        if state != "all":
            query = query.where(column.outcome.is_(None) if state == "open" else column.outcome.is_not(None))
        if after is not None:
            query = query.where(column.id > after)
        return connection.execute(query).all()

    def find(self, connection: Connection, policy: UUID) -> Any | None:  # noqa: ANN401 - a row of the policies table
        """Return one policy, or None."""
        return connection.execute(sa.select(self.policies).where(self.policies.c.id == policy)).first()

    def several(self, connection: Connection, policies: Sequence[UUID]) -> dict[UUID, Any]:
        """Return those of the policies that exist, by id."""
        query = sa.select(self.policies).where(self.policies.c.id.in_(policies))
        return {row.id: row for row in connection.execute(query)}

    def stages_of(self, connection: Connection, policy: UUID) -> Sequence[Any]:
        """Return the stages (stage, on, position) in the order in which they were recorded."""
        query = sa.select(self.stages).where(self.stages.c.policy == policy).order_by(self.stages.c.number)
        return connection.execute(query).all()

    def targets_of(self, connection: Connection, policies: Sequence[UUID]) -> Sequence[Any]:
        """Return the targets (policy, official, name, office, party, stance, evidence, at) in order of name."""
        return self._stances(connection, self.stances.c.policy.in_(policies), self.stances.c.target)

    def stances_of(self, connection: Connection, policy: UUID) -> Sequence[Any]:
        """Return all known positions, of targets and others, as ``targets_of`` does and with ``target``."""
        return self._stances(connection, self.stances.c.policy == policy, self.stances.c.stance.is_not(None))

    def of_official(self, connection: Connection, official: UUID) -> Sequence[Any]:
        """Return the policies in which the official is a target or has a position, with ``target`` and ``stance``."""
        return self._stances(
            connection,
            self.stances.c.official == official,
            sa.or_(self.stances.c.target, self.stances.c.stance.is_not(None)),
        )

    def actions_by_kind(self, connection: Connection, policies: Sequence[UUID]) -> Sequence[Any]:
        """Return (policy, kind, logged, verified, rejected, retracted): each action counts in the state it is in."""
        table = self.kinds
        query = sa.select(table).where(table.c.policy.in_(policies)).order_by(table.c.policy, table.c.kind)
        return connection.execute(query).all()

    def _stances(self, connection: Connection, *where: sa.ColumnElement[bool]) -> Sequence[Any]:
        names = (self.names.c[name] for name in KNOWN_AS)
        query = sa.select(self.stances, *names).outerjoin(self.names, self.stances.c.official == self.names.c.official)
        order = self.stances.c.policy, self.names.c.name, self.stances.c.official
        return connection.execute(query.where(*where).order_by(*order)).all()
