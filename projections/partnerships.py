"""Partnerships with what was promised, and the pledges that came by their referral codes."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Date, Integer, Text, Uuid

from domain.kernel import Event
from domain.partnerships import Partnership
from domain.pledges import Pledge
from domain.referrals import ReferralCode
from domain.slices import Fact
from history.tables import BigInt, Moment
from projections.changes import Changes
from projections.counts import count_columns, state_after
from projections.projection import Projection, given, on

PROMISES: Final = frozenset((Pledge.Made, Pledge.Renewed))
MOVES: Final = frozenset((Pledge.Renewed, Pledge.Kept, Pledge.Lapsed, Pledge.Withdrawn))


class Partnerships(Projection, name="partnerships"):
    """Every partnership, with the counts of the pledges attributed to it.

    A pledge is attributed to the partnership whose code was active when it was made. Made again under another active
    code, it moves to that partnership; made again without one, it stays where it came from. An ended partnership keeps
    its pledges, and ``referral`` keeps the code it had.
    """

    def define(self) -> None:
        """One row per partnership, deliverable, code in use, and attributed pledge."""
        self.partnerships = self.table(
            "partnerships",
            Column("id", Uuid, primary_key=True),
            Column("reference", Text),
            Column("name", Text),
            Column("kind", Text),
            Column("channel", Text),
            Column("handle", Text),
            Column("audience", BigInt),
            Column("state", Text),
            Column("disclosure", Text),
            Column("terms", Text),
            Column("referral", Text),
            Column("proposed_at", Moment),
            Column("approached_at", Moment),
            Column("agreed_at", Moment),
            Column("activated_at", Moment),
            Column("declined_at", Moment),
            Column("ended_at", Moment),
            *count_columns(),
        )
        self.deliverables = self.table(
            "deliverables",
            Column("partnership", Uuid, primary_key=True),
            Column("deliverable", Text, primary_key=True),
            Column("number", Integer),
            Column("title", Text),
            Column("due_on", Date),
            Column("state", Text),
            Column("url", Text),
            Column("submitted_on", Date),
            Column("decided_on", Date),
        )
        self.codes = self.table(
            "referral_codes",
            Column("code", Text, primary_key=True),
            Column("partnership", Uuid),
        )
        self.attributed = self.table(
            "attributed_pledges",
            Column("pledge", Uuid, primary_key=True),
            Column("partnership", Uuid),
            Column("state", Text),
            Column("position", BigInt),
            index=[("partnership", "pledge")],
        )

    def prepare(self, facts: Sequence[Fact], changes: Changes) -> None:
        """Fetch who uses the codes that this batch names, and where its pledges are attributed."""
        promised: list[Any] = [fact.event for fact in facts if type(fact.event) in PROMISES]
        named = {event.referral.casefold() for event in promised if event.referral}
        self._users: dict[str, UUID] = {row.code: row.partnership for row in changes.rows(self.codes, "code", named)}
        touched = {fact.stream for fact in facts if type(fact.event) in MOVES}
        self._attributed: dict[UUID, tuple[UUID, str]] = {
            row.pledge: (row.partnership, row.state) for row in changes.rows(self.attributed, "pledge", touched)
        }

    @on(Partnership.Proposed)
    def proposed(self, fact: Fact, event: Partnership.Proposed, changes: Changes) -> None:
        """A new partnership."""
        values = given(event) | {"kind": str(event.kind), "state": "proposed", "proposed_at": fact.occurred_at}
        changes.put(self.partnerships, fact.stream, **values)

    @on(Partnership.Approached, Partnership.Declined, Partnership.Ended)
    def moved(self, fact: Fact, _event: Event, changes: Changes) -> None:
        """The partner was spoken to, nothing comes of it, or it ended."""
        state = fact.topic.partition(".")[2].lower()
        changes.put(self.partnerships, fact.stream, state=state, **{f"{state}_at": fact.occurred_at})

    @on(Partnership.Agreed)
    def agreed(self, fact: Fact, event: Partnership.Agreed, changes: Changes) -> None:
        """What is done, and what is given in return."""
        changes.put(
            self.partnerships,
            fact.stream,
            state="agreed",
            disclosure=event.disclosure,
            terms=event.terms,
            agreed_at=fact.occurred_at,
        )
        for number, each in enumerate(event.deliverables, start=1):
            changes.put(
                self.deliverables,
                fact.stream,
                each.deliverable,
                number=number,
                title=each.title,
                due_on=each.due_on,
                state="promised",
            )

    @on(Partnership.Activated)
    def activated(self, fact: Fact, event: Partnership.Activated, changes: Changes) -> None:
        """It began."""
        begun = {"state": "active", "referral": event.referral, "activated_at": fact.occurred_at}
        changes.put(self.partnerships, fact.stream, **begun)

    @on(Partnership.DeliverableSubmitted)
    def submitted(self, fact: Fact, event: Partnership.DeliverableSubmitted, changes: Changes) -> None:
        """What was promised was handed in, perhaps again."""
        handed_in = {"state": "submitted", "url": event.url, "submitted_on": event.on or fact.occurred_at.date()}
        changes.put(self.deliverables, fact.stream, event.deliverable, **handed_in, decided_on=None)

    @on(Partnership.DeliverableAccepted, Partnership.DeliverableRejected)
    def decided(
        self, fact: Fact, event: Partnership.DeliverableAccepted | Partnership.DeliverableRejected, changes: Changes
    ) -> None:
        """What was handed in was found good, or wanting."""
        accepted = isinstance(event, Partnership.DeliverableAccepted)
        found = {"state": "accepted" if accepted else "rejected", "decided_on": event.on or fact.occurred_at.date()}
        if event.url is not None:
            found["url"] = event.url
        changes.put(self.deliverables, fact.stream, event.deliverable, **found)

    @on(ReferralCode.Claimed, ReferralCode.Reclaimed)
    def claimed(self, _fact: Fact, event: ReferralCode.Claimed | ReferralCode.Reclaimed, changes: Changes) -> None:
        """A code is in use."""
        code = event.code.casefold()
        self._users[code] = event.partnership
        changes.put(self.codes, code, partnership=event.partnership)

    @on(ReferralCode.Released)
    def released(self, _fact: Fact, event: ReferralCode.Released, changes: Changes) -> None:
        """A code is free again."""
        code = event.code.casefold()
        self._users.pop(code, None)
        changes.remove(self.codes, code)

    @on(Pledge.Made, Pledge.Renewed)
    def pledged(self, fact: Fact, event: Pledge.Made | Pledge.Renewed, changes: Changes) -> None:
        """A pledge may have come by a code."""
        partnership = self._users.get(event.referral.casefold()) if event.referral else None
        self._attribute(fact, partnership, "active", changes)

    @on(Pledge.Kept, Pledge.Lapsed, Pledge.Withdrawn)
    def pledge_moved(self, fact: Fact, event: Pledge.Event, changes: Changes) -> None:
        """An attributed pledge came into another state."""
        self._attribute(fact, None, state_after(event), changes)

    def _attribute(self, fact: Fact, partnership: UUID | None, state: str, changes: Changes) -> None:
        """Count the pledge in its new state where it belongs, and no longer where it was counted."""
        before = self._attributed.get(fact.stream)
        if before is not None:
            changes.add(self.partnerships, before[0], **{before[1]: -1})
        belongs = partnership or (before[0] if before else None)
        if belongs is None:
            return
        changes.add(self.partnerships, belongs, **{state: 1})
        changes.put(self.attributed, fact.stream, partnership=belongs, state=state, position=fact.position)
        self._attributed[fact.stream] = (belongs, state)

    # --- questions ---

    def all(
        self, connection: Connection, *, states: Sequence[str] = (), after: UUID | None = None, limit: int = 50
    ) -> Sequence[Any]:
        """Return partnerships in order of id, after one of them, at most ``limit``; ``counts(row)`` has the five."""
        query = sa.select(self.partnerships).order_by(self.partnerships.c.id).limit(limit)
        if states:
            query = query.where(self.partnerships.c.state.in_(states))
        if after is not None:
            query = query.where(self.partnerships.c.id > after)
        return connection.execute(query).all()

    def find(self, connection: Connection, partnership: UUID) -> Any | None:  # noqa: ANN401 - a row of partnerships
        """Return one partnership, or None."""
        return connection.execute(sa.select(self.partnerships).where(self.partnerships.c.id == partnership)).first()

    def several(self, connection: Connection, partnerships: Sequence[UUID]) -> dict[UUID, Any]:
        """Return those of the partnerships that exist, by id."""
        query = sa.select(self.partnerships).where(self.partnerships.c.id.in_(partnerships))
        return {row.id: row for row in connection.execute(query)}

    def using(self, connection: Connection, referral: str) -> UUID | None:
        """Return the partnership that uses the code now, or None; upper and lower case are one."""
        return connection.scalar(sa.select(self.codes.c.partnership).where(self.codes.c.code == referral.casefold()))

    def deliverables_of(self, connection: Connection, partnerships: Sequence[UUID]) -> Sequence[Any]:
        """Return what was promised, in the order in which it was agreed."""
        table = self.deliverables
        query = sa.select(table).where(table.c.partnership.in_(partnerships))
        return connection.execute(query.order_by(table.c.partnership, table.c.number)).all()
