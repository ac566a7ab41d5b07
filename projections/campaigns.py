"""Campaigns and their asks, with the five counts of pledges: made = active + kept + lapsed + withdrawn."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Date, Integer, Text, Uuid

from domain.campaigns import Campaign
from domain.kernel import Event
from domain.pledges import Pledge
from domain.slices import Fact
from history.tables import Moment
from projections.changes import Changes
from projections.counts import STATES, count_columns, counts, steps
from projections.projection import Json, Projection, given, on


class Campaigns(Projection, name="campaigns"):
    """Every campaign with its words, asks and counts."""

    def define(self) -> None:
        """One row per campaign, per ask, and per framing."""
        self.campaigns = self.table(
            "campaigns",
            Column("id", Uuid, primary_key=True),
            Column("reference", Text),
            Column("title", Text),
            Column("summary", Text),
            Column("hashtag", Text),
            Column("goal", Json),
            Column("opens_on", Date),
            Column("closes_on", Date),
            Column("time_zone", Text),
            Column("chapter", Uuid),
            Column("state", Text),
            Column("drafted_at", Moment),
            Column("launched_at", Moment),
            Column("completed_at", Moment),
            *count_columns(),
        )
        self.asks = self.table(
            "asks",
            Column("campaign", Uuid, primary_key=True),
            Column("ask", Text, primary_key=True),
            Column("number", Integer),
            Column("statement", Text),
            Column("kind", Text),
            Column("days", Integer),
            Column("prompts", Json),
            Column("backdating_days", Integer),
            Column("rest_days", Integer),
            *count_columns(),
        )
        self.framings = self.table(
            "framings",
            Column("campaign", Uuid, primary_key=True),
            Column("locale", Text, primary_key=True),
            Column("title", Text),
            Column("summary", Text),
        )

    @on(Campaign.Drafted)
    def drafted(self, fact: Fact, event: Campaign.Drafted, changes: Changes) -> None:
        """A new campaign."""
        values = given(event) | {"goal": _goal(event.goal), "state": "drafted", "drafted_at": fact.occurred_at}
        changes.put(self.campaigns, fact.stream, **values)

    @on(Campaign.Amended)
    def amended(self, fact: Fact, event: Campaign.Amended, changes: Changes) -> None:
        """Changed particulars."""
        values = given(event)
        if "goal" in values:
            values["goal"] = _goal(values["goal"])
        changes.put(self.campaigns, fact.stream, **values)

    @on(Campaign.Framed)
    def framed(self, fact: Fact, event: Campaign.Framed, changes: Changes) -> None:
        """The campaign's words in one language."""
        changes.put(self.framings, fact.stream, event.locale, title=event.title, summary=event.summary)

    @on(Campaign.AskAdded)
    def ask_added(self, fact: Fact, event: Campaign.AskAdded, changes: Changes) -> None:
        """A new ask; its number keeps the order in which asks were added."""
        values = given(event) | {"kind": str(event.kind), "prompts": list(event.prompts), "number": fact.version}
        changes.put(self.asks, fact.stream, values.pop("ask"), **values)

    @on(Campaign.Launched, Campaign.Paused, Campaign.Resumed, Campaign.Completed, Campaign.Archived)
    def moved(self, fact: Fact, event: Event, changes: Changes) -> None:
        """The campaign moved on."""
        match event:
            case Campaign.Launched():
                changes.put(self.campaigns, fact.stream, state="launched", launched_at=fact.occurred_at)
            case Campaign.Completed():
                changes.put(self.campaigns, fact.stream, state="completed", completed_at=fact.occurred_at)
            case Campaign.Paused():
                changes.put(self.campaigns, fact.stream, state="paused")
            case Campaign.Resumed():
                changes.put(self.campaigns, fact.stream, state="launched")
            case _:
                changes.put(self.campaigns, fact.stream, state="archived")

    @on(Pledge.Made, Pledge.Renewed, Pledge.Kept, Pledge.Lapsed, Pledge.Withdrawn)
    def counted(self, _fact: Fact, event: Pledge.Event, changes: Changes) -> None:
        """A pledge was made, or came into another state."""
        amounts = steps(event)
        changes.add(self.campaigns, event.campaign, **amounts)
        changes.add(self.asks, event.campaign, event.ask, **amounts)

    # --- questions ---

    def all(
        self, connection: Connection, *, states: Sequence[str] = (), after: UUID | None = None, limit: int = 50
    ) -> Sequence[Any]:
        """Return campaigns in order of id, after one of them, at most ``limit``."""
        query = sa.select(self.campaigns).order_by(self.campaigns.c.id).limit(limit)
        if states:
            query = query.where(self.campaigns.c.state.in_(states))
        if after is not None:
            query = query.where(self.campaigns.c.id > after)
        return connection.execute(query).all()

    def totals(self, connection: Connection) -> tuple[int, dict[str, int]]:
        """Return how many campaigns there are, and the five counts of all their pledges."""
        sums = (sa.func.coalesce(sa.func.sum(self.campaigns.c[state]), 0).label(state) for state in STATES)
        row = connection.execute(sa.select(sa.func.count().label("number"), *sums).select_from(self.campaigns)).one()
        return row.number, {name: int(count) for name, count in counts(row).items()}

    def find(self, connection: Connection, campaign: UUID) -> Any | None:  # noqa: ANN401 - a row of the campaigns table
        """Return one campaign, or None."""
        return connection.execute(sa.select(self.campaigns).where(self.campaigns.c.id == campaign)).first()

    def several(self, connection: Connection, campaigns: Sequence[UUID]) -> dict[UUID, Any]:
        """Return those of the campaigns that exist, by id."""
        query = sa.select(self.campaigns).where(self.campaigns.c.id.in_(campaigns))
        return {row.id: row for row in connection.execute(query)}

    def asks_of(self, connection: Connection, campaigns: Sequence[UUID]) -> Sequence[Any]:
        """Return the asks of the campaigns, in the order in which they were added."""
        query = sa.select(self.asks).where(self.asks.c.campaign.in_(campaigns))
        return connection.execute(query.order_by(self.asks.c.campaign, self.asks.c.number)).all()

    def framings_of(self, connection: Connection, campaigns: Sequence[UUID]) -> Sequence[Any]:
        """Return the campaigns' words in each language."""
        query = sa.select(self.framings).where(self.framings.c.campaign.in_(campaigns))
        return connection.execute(query.order_by(self.framings.c.campaign, self.framings.c.locale)).all()


def _goal(goal: Any) -> dict[str, Any] | None:  # noqa: ANN401 - a Goal or None
    return {"count": goal.count, "unit": goal.unit} if goal else None
