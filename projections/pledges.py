"""Pledges one by one, with their check-ins and streaks."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Date, Integer, Text, Uuid

from domain.pledges import Pledge, streaks
from domain.slices import Fact
from history.tables import BigInt, Moment
from projections.changes import Changes
from projections.projection import Projection, SealedText, on, sealed

IDS = 500


class Pledges(Projection, name="pledges"):
    """Every pledge; a streak is a fold over its checked-in days, computed anew whenever one is added."""

    weight = 5

    def define(self) -> None:
        """One row per pledge, and one per checked-in day of the promise that stands."""
        self.pledges = self.table(
            "pledges",
            Column("id", Uuid, primary_key=True),
            Column("campaign", Uuid),
            Column("ask", Text),
            Column("supporter", Uuid),
            Column("state", Text),
            Column("made_at", Moment),
            Column("made_on", Date),
            Column("changed_at", Moment),
            Column("referral", Text),
            Column("note", SealedText),
            Column("days", Integer),
            Column("backdating_days", Integer),
            Column("rest_days", Integer),
            Column("check_ins", Integer, nullable=False, server_default="0"),
            Column("streak", Integer, nullable=False, server_default="0"),
            Column("longest_streak", Integer, nullable=False, server_default="0"),
            Column("last_check_in", Date),
            Column("position", BigInt),
            index=[("campaign", "ask", "id"), ("supporter",)],
        )
        self.check_ins = self.table(
            "check_ins",
            Column("pledge", Uuid, primary_key=True),
            Column("day", Date, primary_key=True),
            Column("time_zone", Text),
            Column("note", SealedText),
            Column("position", BigInt),
        )

    def prepare(self, facts: Sequence[Fact], changes: Changes) -> None:
        """Fetch the days already checked in of those challenges that this batch touches."""
        touched = {f.stream for f in facts if isinstance(f.event, Pledge.CheckedIn | Pledge.Renewed)}
        self._days: dict[UUID, set[date]] = {pledge: set() for pledge in touched}
        self._rest: dict[UUID, int] = dict.fromkeys(touched, 0)
        self._renewed: set[UUID] = set()
        ordered = sorted(touched)
        for start in range(0, len(ordered), IDS):
            part = ordered[start : start + IDS]
            query = sa.select(self.check_ins.c.pledge, self.check_ins.c.day).where(self.check_ins.c.pledge.in_(part))
            for pledge, day in changes.connection.execute(query):
                self._days[pledge].add(day)
            terms = sa.select(self.pledges.c.id, self.pledges.c.rest_days).where(self.pledges.c.id.in_(part))
            for pledge, rest_days in changes.connection.execute(terms):
                self._rest[pledge] = rest_days or 0
        for fact in facts:
            if isinstance(fact.event, Pledge.Made | Pledge.Renewed) and fact.stream in touched:
                self._rest[fact.stream] = fact.event.rest_days or 0
        self._checked: set[UUID] = set()

    @on(Pledge.Made)
    def made(self, fact: Fact, event: Pledge.Made, changes: Changes) -> None:
        """A new promise."""
        changes.put(
            self.pledges,
            fact.stream,
            campaign=event.campaign,
            ask=event.ask,
            supporter=event.supporter,
            **_terms(fact, event),
        )

    @on(Pledge.Renewed)
    def renewed(self, fact: Fact, event: Pledge.Renewed, changes: Changes) -> None:
        """Made again: its days are counted from now."""
        changes.put(self.pledges, fact.stream, check_ins=0, streak=0, longest_streak=0, last_check_in=None)
        changes.put(self.pledges, fact.stream, **_terms(fact, event))
        for day in self._days[fact.stream]:
            changes.remove(self.check_ins, fact.stream, day)
        self._days[fact.stream] = set()

    @on(Pledge.Amended)
    def amended(self, fact: Fact, event: Pledge.Amended, changes: Changes) -> None:
        """Another note."""
        changes.put(self.pledges, fact.stream, note=sealed(event.note), changed_at=fact.occurred_at)

    @on(Pledge.CheckedIn)
    def checked_in(self, fact: Fact, event: Pledge.CheckedIn, changes: Changes) -> None:
        """One more day."""
        self._days[fact.stream].add(event.on)
        self._checked.add(fact.stream)
        changes.put(
            self.check_ins,
            fact.stream,
            event.on,
            time_zone=event.time_zone,
            note=sealed(event.note),
            position=fact.position,
        )

    @on(Pledge.Kept, Pledge.Lapsed, Pledge.Withdrawn)
    def ended(self, fact: Fact, _event: Pledge.Event, changes: Changes) -> None:
        """The promise came to an end."""
        state = fact.topic.partition(".")[2].lower()
        changes.put(self.pledges, fact.stream, state=state, changed_at=fact.occurred_at, position=fact.position)

    def finish(self, changes: Changes) -> None:
        """Compute the streaks of the challenges that were checked in."""
        for pledge in sorted(self._checked):
            days = self._days[pledge]
            if not days:
                continue
            last, longest = streaks(days, self._rest[pledge])
            changes.put(
                self.pledges,
                pledge,
                check_ins=len(days),
                streak=last,
                longest_streak=longest,
                last_check_in=max(days),
            )

    # --- questions ---

    def of_ask(
        self, connection: Connection, campaign: UUID, ask: str, *, after: UUID | None = None, limit: int = 50
    ) -> Sequence[Any]:
        """Return pledges to one ask in order of id."""
        table = self.pledges
        query = sa.select(table).where(table.c.campaign == campaign, table.c.ask == ask)
        if after is not None:
            query = query.where(table.c.id > after)
        return connection.execute(query.order_by(table.c.id).limit(limit)).all()

    def of_supporter(self, connection: Connection, supporter: UUID) -> Sequence[Any]:
        """Return all pledges of one supporter, the newest first."""
        table = self.pledges
        query = sa.select(table).where(table.c.supporter == supporter)
        return connection.execute(query.order_by(table.c.made_at.desc(), table.c.id)).all()


def _terms(fact: Fact, event: Pledge.Made | Pledge.Renewed) -> dict[str, Any]:
    return {
        "state": "active",
        "made_at": fact.occurred_at,
        "made_on": event.on,
        "changed_at": fact.occurred_at,
        "referral": event.referral,
        "note": sealed(event.note),
        "days": event.days,
        "backdating_days": event.backdating_days,
        "rest_days": event.rest_days,
        "position": fact.position,
    }
