"""Pledges one by one, with their check-ins and streaks."""

from collections.abc import Collection, Sequence
from datetime import date
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Date, Integer, Text, Uuid
from sqlalchemy.types import NullType

from domain.pledges import Pledge, streaks
from domain.slices import Fact
from history.statements import Shape, select_among, upsert, uuid_of
from history.tables import BigInt, Moment
from projections.changes import Changes
from projections.projection import Projection, SealedText, on, sealed

STREAK: Final = ("check_ins", "streak", "longest_streak", "last_check_in")
PAGE: Final = 5_000


class Pledges(Projection, name="pledges"):
    """Every pledge; a streak is a fold over its checked-in days, computed anew whenever one is added."""

    weight = 3

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
            settled=True,
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
        """Fetch the days already checked in of those challenges whose streaks change, or whose days are to go."""
        changing = {Pledge.Renewed} if changes.bulk else {Pledge.CheckedIn, Pledge.Renewed}
        touched = {fact.stream for fact in facts if type(fact.event) in changing}
        self._days: dict[UUID, set[date]] = {pledge: set() for pledge in touched}
        self._rest: dict[UUID, int] = dict.fromkeys(touched, 0)
        self._checked: set[UUID] = set()
        select = f"SELECT pledge, day FROM {self.check_ins.name}"  # noqa: S608 - a name
        if touched:
            for pledge, day in select_among(changes.connection, select, self.check_ins.c.pledge, touched):
                self._days[uuid_of(pledge)].add(_day(day))
        if not changes.bulk:
            for row in changes.rows(self.pledges, "id", touched):
                self._rest[row.id] = row.rest_days or 0
            for fact in facts:
                if isinstance(fact.event, Pledge.Made | Pledge.Renewed) and fact.stream in touched:
                    self._rest[fact.stream] = fact.event.rest_days or 0

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
        pledge = event.originator_id
        if self._days and pledge in self._days:
            self._days[pledge].add(event.on)
        if not changes.bulk:
            self._checked.add(pledge)
        changes.put(
            self.check_ins,
            pledge,
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
        if changes.bulk:
            return
        for pledge in sorted(self._checked):
            if self._days[pledge]:
                streak = dict(zip(STREAK, _streak(self._days[pledge], self._rest[pledge]), strict=True))
                changes.put(self.pledges, pledge, **streak)

    def settle(self, connection: Connection) -> None:
        """Compute the streaks of all challenges that were checked in."""
        change = upsert(self.pledges, Shape(STREAK), connection.dialect)
        pledge, rest, day = self.check_ins.c.pledge, self.pledges.c.rest_days, self.check_ins.c.day
        query = sa.select(sa.type_coerce(pledge, NullType()), rest, sa.type_coerce(day, NullType()))
        query = query.join_from(self.check_ins, self.pledges, self.pledges.c.id == pledge)
        rows = connection.execute(query.order_by(pledge), execution_options={"yield_per": PAGE})
        challenges = ((uuid_of(key), list(own)) for key, own in groupby(rows, key=itemgetter(0)))
        changed = ((key, *_streak([_day(row[2]) for row in own], own[0][1] or 0)) for key, own in challenges)
        while page := list(islice(changed, PAGE)):
            change.execute(connection, page)

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

    def of_supporters(self, connection: Connection, supporters: Sequence[UUID]) -> Sequence[Any]:
        """Return all pledges of some supporters without their notes, the newest first."""
        table = self.pledges
        columns = [column for column in table.c if column.name != "note"]
        query = sa.select(*columns).where(table.c.supporter.in_(supporters))
        return connection.execute(query.order_by(table.c.made_at.desc(), table.c.id)).all()


def _day(given: date | str) -> date:
    """Return a day as the driver gives it."""
    return date.fromisoformat(given) if isinstance(given, str) else given


def _streak(days: Collection[date], rest_days: int) -> tuple[int, int, int, date]:
    """Return the values of the columns in STREAK."""
    last, longest = streaks(days, rest_days)
    return len(days), last, longest, max(days)


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
