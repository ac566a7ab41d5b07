"""Who gets digests, and the moment at which each of them has to be looked at next: what the planner asks."""

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, Connection, Date, Integer, Text, Uuid

from domain.kernel import Event
from domain.mails import Mail
from domain.schedule import AHEAD, Bounds, Told, upcoming
from domain.slices import Fact
from domain.subscriptions import DIGEST, Subscription
from domain.supporters import Supporter, Undeliverable
from history.statements import select_among, uuid_of
from history.tables import Moment
from projections.changes import Changes
from projections.projection import Projection, on

FOLLOWED: Final = (
    Supporter.Registered,
    Supporter.Amended,
    Supporter.EmailConfirmed,
    Supporter.ConsentRecorded,
    Supporter.DigestSet,
    Supporter.DigestPaused,
    Supporter.MailSuppressed,
    Supporter.Erased,
)
FIELDS: Final = tuple(field.name for field in dataclasses.fields(Subscription))


@dataclasses.dataclass
class Standing(Subscription):
    """A subscription, the digest that was told last, and up to which position those that went out told the history."""

    told: Told | None = None
    told_to: int | None = None

    @property
    def bounds(self) -> Bounds:
        """Which periods may be told."""
        return Bounds(self.since, self.told, self.paused_until)

    @property
    def next_at(self) -> datetime | None:
        """When the next digest falls due; None where none may go to this person."""
        return upcoming(self.wish, self.bounds) if self.hindrance is None else None


class Subscriptions(Projection, name="subscriptions", version=3):
    """One row per present supporter; ``next_at`` is empty for those who get no digest, and so is ``counted_from``."""

    weight = 2

    def define(self) -> None:
        """One row per supporter."""
        self.subscriptions = self.table(
            "subscriptions",
            Column("supporter", Uuid, primary_key=True),
            Column("addressed", Boolean),
            Column("email_confirmed", Boolean),
            Column("consented", Boolean),
            Column("eligible_since", Moment),
            Column("suppressed", Text),
            Column("paused_until", Date),
            Column("frequency", Text),
            Column("chosen_at", Moment),
            Column("weekday", Integer),
            Column("hour", Integer),
            Column("time_zone", Text),
            Column("erased", Boolean),
            Column("told_period", Text),
            Column("told_due_at", Moment),
            Column("told_to", BigInteger),
            Column("next_at", Moment),
            Column("counted_from", Moment),
            index=[("next_at", "supporter"), ("counted_from", "supporter")],
        )

    def prepare(self, facts: Sequence[Fact], changes: Changes) -> None:
        """Fetch how those whom the batch is about stood before it."""
        new = {fact.stream for fact in facts if type(fact.event) is Supporter.Registered}
        known = {person for fact in facts if (person := fact.event.person)} - new
        rows = changes.rows(self.subscriptions, "supporter", known)
        self._standing = {row.supporter: standing(row) for row in rows}
        self._changed: dict[UUID, None] = {}

    @on(*FOLLOWED)
    def followed(self, fact: Fact, event: Event, _changes: Changes) -> None:
        """Something that digests depend on changed."""
        self._standing.setdefault(fact.stream, Standing()).follow(event, fact.occurred_at)
        self._changed[fact.stream] = None

    @on(*(event for event in Mail.events.values() if issubclass(event, Mail.Event)))
    def told(self, fact: Fact, event: Mail.Event, _changes: Changes) -> None:
        """What became of a digest: sent or not, its period has had its turn."""
        person = self._standing.get(event.supporter)
        if person is None or event.kind != DIGEST:
            return
        if isinstance(event, Mail.Accepted) and (event.to_position or 0) > (person.told_to or 0):
            person.told_to = event.to_position
            self._changed[event.supporter] = None
        if event.due_at is None:
            return
        told = Told(event.period, event.due_at)
        if told.plausible and told.follows(person.told, fact.occurred_at):
            person.told = told
            self._changed[event.supporter] = None

    def finish(self, changes: Changes) -> None:
        """Write those who changed, with their next moment; nothing is kept of the erased."""
        for supporter in self._changed:
            person = self._standing[supporter]
            if person.erased:
                changes.remove(self.subscriptions, supporter)
                continue
            period, due_at = person.told or (None, None)
            values = {name: getattr(person, name) for name in FIELDS}
            told = {"told_period": period, "told_due_at": due_at, "told_to": person.told_to}
            next_at = person.next_at
            moments = {"next_at": next_at, "counted_from": person.bounds.counted_from if next_at else None}
            changes.put(self.subscriptions, supporter, **values, **told, **moments)

    # --- questions ---

    def due(
        self, connection: Connection, now: datetime, *, after: tuple[datetime, UUID] | None = None, limit: int = 50
    ) -> Sequence[Any]:
        """Return whom to look at now, in order of (next_at, supporter), after one of them."""
        moment = self.subscriptions.c.next_at
        return self._in_order(connection, moment, moment <= now, after, limit)

    def ahead(
        self, connection: Connection, now: datetime, *, after: tuple[datetime, UUID] | None = None, limit: int = 50
    ) -> Sequence[Any]:
        """Return, in order of (counted_from, supporter), those whose next moment a clock that was wrong put off.

        There are none where no clock ever was.
        """
        moment = self.subscriptions.c.counted_from
        return self._in_order(connection, moment, moment > now + AHEAD, after, limit)

    def _in_order(
        self,
        connection: Connection,
        column: Column[Any],
        wanted: sa.ColumnElement[bool],
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> Sequence[Any]:
        supporter = self.subscriptions.c.supporter
        query = sa.select(self.subscriptions).where(wanted)
        if after is not None:
            moment, last = sa.literal(after[0], Moment), sa.literal(after[1], Uuid)
            query = query.where(sa.tuple_(column, supporter) > sa.tuple_(moment, last))
        return connection.execute(query.order_by(column, supporter).limit(limit)).all()

    def told_to(self, connection: Connection, supporters: Iterable[UUID]) -> dict[UUID, int]:
        """Return up to which position the digests of each of the supporters told, by the history."""
        table = self.subscriptions.c
        select = f"SELECT supporter, told_to FROM {self.subscriptions.name}"  # noqa: S608 - a name of ours
        rows = select_among(connection, select, table.supporter, supporters, "AND told_to IS NOT NULL")
        return {uuid_of(supporter): position for supporter, position in rows}

    def anybody_told(self, connection: Connection) -> bool:
        """Tell whether a digest ever went out, whichever store sent it."""
        told = self.subscriptions.c.told_to
        return connection.scalar(sa.select(told).where(told.is_not(None)).limit(1)) is not None

    def next_moment(self, connection: Connection, now: datetime) -> datetime | None:
        """Return when the next digest falls due after now, None where none does."""
        moment = self.subscriptions.c.next_at
        found: datetime | None = connection.scalar(sa.select(moment).where(moment > now).order_by(moment).limit(1))
        return found


def standing(row: Any) -> Standing:  # noqa: ANN401 - a row of subscriptions
    """Return how a supporter stands by a row."""
    values = {name: getattr(row, name) for name in FIELDS}
    values["suppressed"] = Undeliverable(row.suppressed) if row.suppressed else None
    told = Told(row.told_period, row.told_due_at) if row.told_period else None
    return Standing(**values, told=told, told_to=row.told_to)
