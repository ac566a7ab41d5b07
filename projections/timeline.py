"""The timeline: how the movement evolved, by day, week or month (UTC) of when things happened, with its milestones."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Date, Text, Uuid

from domain.actions import Action
from domain.chapters import Chapter
from domain.kernel import Event, Invalid
from domain.partnerships import Partnership
from domain.pledges import Pledge, PledgeState
from domain.recognitions import Recognition
from domain.slices import Fact
from domain.supporters import Supporter
from history.tables import BigInt, Moment
from projections.changes import Changes
from projections.counts import count_column
from projections.milestones import MARKED, ROUND, TITLED, Milestone, given_title, milestone, titled
from projections.projection import Projection, on

COUNTED: Final[Mapping[type[Event], str]] = {
    Supporter.Registered: "supporters",
    Supporter.Erased: "supporters_erased",
    Pledge.Made: "pledges_made",
    Pledge.Renewed: "pledges_renewed",
    Pledge.CheckedIn: "check_ins",
    Pledge.Kept: "pledges_kept",
    Pledge.Lapsed: "pledges_lapsed",
    Pledge.Withdrawn: "pledges_withdrawn",
    Action.Logged: "actions_logged",
    Action.Verified: "actions_verified",
    Action.Rejected: "actions_rejected",
    Action.Retracted: "actions_retracted",
    Recognition.Awarded: "recognitions_awarded",
    Recognition.Revoked: "recognitions_revoked",
    Chapter.Founded: "chapters_founded",
    Chapter.Refounded: "chapters_founded",
    Chapter.Closed: "chapters_closed",
    Partnership.Activated: "partnerships_activated",
}
"""What is counted, by the event that counts once."""

REMEMBERED: Final = frozenset((*MARKED, *TITLED))
"""The events that are milestones, or that these need."""

NUMBERED: Final = {event: COUNTED[event] for event in ROUND}
"""The counts whose round numbers are milestones, by event."""

RENEWED_LAPSED: Final = "pledges_renewed_lapsed"
"""Of the pledges renewed, those that had lapsed; the others had been withdrawn."""

COUNTS: Final = (*dict.fromkeys(COUNTED.values()), RENEWED_LAPSED)

TOTALS: Final[Mapping[str, Mapping[str, int]]] = {
    "supporters": {"supporters": 1},
    "pledges_made": {"pledges_made": 1},
    "pledges_active": {
        "pledges_made": 1,
        "pledges_renewed": 1,
        "pledges_kept": -1,
        "pledges_lapsed": -1,
        "pledges_withdrawn": -1,
    },
    "pledges_kept": {"pledges_kept": 1},
    "pledges_lapsed": {"pledges_lapsed": 1, RENEWED_LAPSED: -1},
    "pledges_withdrawn": {"pledges_withdrawn": 1, "pledges_renewed": -1, RENEWED_LAPSED: 1},
    "check_ins": {"check_ins": 1},
    "actions_logged": {"actions_logged": 1},
    "recognitions": {"recognitions_awarded": 1, "recognitions_revoked": -1},
    "chapters_open": {"chapters_founded": 1, "chapters_closed": -1},
}
"""What stands at the end of a bucket: sums of counts since the beginning.

Pledges stand in each state apart, made being the sum of the rest."""

MAX_BUCKETS: Final = 10_000
LAST_DAY: Final = date(9998, 12, 31)
"""No event happens later, and the calendar has room for the end of its bucket."""


class By(StrEnum):
    """The width of a bucket; weeks are those of ISO 8601, from Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Bucket:
    """What happened from the day ``start`` to the day ``end``, both included, and what stood at its end."""

    start: date
    end: date
    counts: Mapping[str, int]
    totals: Mapping[str, int]


class Timeline(Projection, name="timeline", version=2):
    """Counts per day, and milestones."""

    weight = 2

    def define(self) -> None:
        """One row per day on which anything happened, per milestone, and per title that a milestone may need."""
        self.days = self.table(
            "timeline_days", Column("day", Date, primary_key=True), *(count_column(name) for name in COUNTS)
        )
        self.marks = self.table(
            "milestones",
            Column("position", BigInt, primary_key=True, autoincrement=False),
            Column("occurred_at", Moment, nullable=False),
            Column("kind", Text, nullable=False),
            Column("subject", Uuid, nullable=False),
            Column("title", Text),
            Column("detail", Text),
            index=[("occurred_at",)],
        )
        self.titles = self.table("timeline_titles", Column("id", Uuid, primary_key=True), Column("title", Text))

    # --- fold ---

    @on(*COUNTED, *TITLED, *MARKED)
    def counted(self, fact: Fact, _event: Event, changes: Changes) -> None:
        """Fold one event alone."""
        self.apply([fact], changes)

    def fold(self, facts: Sequence[Fact], changes: Changes) -> None:
        """Fold a batch: count, and mark what is to be remembered."""
        for (day, name), times in _counted(facts).items():
            changes.add(self.days, day, **{name: times})
        remembered = [fact for fact in facts if type(fact.event) in REMEMBERED]
        titles = self._titles(remembered, changes)
        numbers = self._numbers(remembered, changes)
        for fact in remembered:
            title = given_title(fact)
            if title is not None:
                titles[fact.stream] = title
                changes.put(self.titles, fact.stream, title=title)
            counted = NUMBERED.get(type(fact.event))
            if counted is not None:
                numbers[counted] += 1
            marked = milestone(fact, numbers[counted] if counted else 0)
            if marked is not None:
                changes.put(
                    self.marks,
                    fact.position,
                    occurred_at=fact.occurred_at,
                    kind=marked[0],
                    subject=fact.stream,
                    title=titles.get(titled(fact.event)),
                    detail=marked[1],
                )

    def _titles(self, facts: Sequence[Fact], changes: Changes) -> dict[UUID, str]:
        named = {titled(fact.event) for fact in facts if type(fact.event) in MARKED}
        return {row.id: row.title for row in changes.rows(self.titles, "id", named)}

    def _numbers(self, facts: Sequence[Fact], changes: Changes) -> dict[str, int]:
        """Return how many there were, before these facts, of each that they make more of."""
        names = sorted({NUMBERED[type(fact.event)] for fact in facts if type(fact.event) in NUMBERED})
        if not names:
            return {}
        sums = (sa.func.coalesce(sa.func.sum(self.days.c[name]), 0).label(name) for name in names)
        return {name: int(sum_) for name, sum_ in changes.connection.execute(sa.select(*sums)).mappings().one().items()}

    # --- questions ---

    def span(self, connection: Connection) -> tuple[date, date] | None:
        """Return the first and the last day on which anything is counted or remembered, or None."""
        days, moments = self.days.c.day, self.marks.c.occurred_at
        counted = connection.execute(sa.select(sa.func.min(days), sa.func.max(days))).one()
        marked = connection.execute(sa.select(sa.func.min(moments), sa.func.max(moments))).one()
        found = [*filter(None, counted), *(moment.date() for moment in marked if moment)]
        return (min(found), max(found)) if found else None

    def buckets(
        self, connection: Connection, by: By, since: date | None = None, until: date | None = None
    ) -> list[Bucket]:
        """Return the buckets from the one ``since`` lies in to the one ``until`` lies in, empty ones too.

        Without these, from the first to the last day on which anything happened. Raises Invalid for too many buckets.
        """
        span = self.span(connection)
        if span is None and (since is None or until is None):
            return []
        first, last = span or (date.min, date.min)
        since = bucket_start(by, since or first)
        until = min(until or last, LAST_DAY)
        table = self.days
        before = connection.execute(
            sa.select(*(sa.func.sum(table.c[name]) for name in COUNTS)).where(table.c.day < since)
        )
        sums = dict(zip(COUNTS, (each or 0 for each in before.one()), strict=True))
        starts = list(bucket_starts(by, since, until))
        found: dict[date, dict[str, int]] = {start: dict.fromkeys(COUNTS, 0) for start in starts}
        end = bucket_end(by, starts[-1]) if starts else until
        for row in connection.execute(sa.select(table).where(table.c.day.between(since, end))).mappings():
            counts = found[bucket_start(by, row["day"])]
            for name in COUNTS:
                counts[name] += row[name]
        buckets = []
        for start, counts in found.items():
            sums = {name: sums[name] + counts[name] for name in COUNTS}
            buckets.append(Bucket(start, bucket_end(by, start), counts, totals(sums)))
        return buckets

    def milestones(
        self, connection: Connection, since: date | None = None, until: date | None = None
    ) -> list[Milestone]:
        """Return the milestones of the days from ``since`` to ``until``, both included, in order of time."""
        table = self.marks
        query = sa.select(table).order_by(table.c.occurred_at, table.c.position)
        if since is not None:
            query = query.where(table.c.occurred_at >= datetime.combine(since, time.min, UTC))
        if until is not None and until < date.max:
            query = query.where(table.c.occurred_at < datetime.combine(until + timedelta(days=1), time.min, UTC))
        return [Milestone(*row) for row in connection.execute(query)]

    def milestones_of(self, connection: Connection, buckets: Sequence[Bucket]) -> list[Milestone]:
        """Return the milestones of all days of these buckets, in order of time."""
        return self.milestones(connection, buckets[0].start, buckets[-1].end) if buckets else []


def _counted(facts: Iterable[Fact]) -> Counter[tuple[date, str]]:
    """Return how much each count rises on each day."""
    found: Counter[tuple[date, str]] = Counter()
    for fact in facts:
        event, at = fact.event, fact.occurred_at
        name = COUNTED.get(type(event))
        if name is not None:
            day = (at if at.tzinfo is UTC else at.astimezone(UTC)).date()
            found[day, name] += 1
            if isinstance(event, Pledge.Renewed) and event.previous is PledgeState.LAPSED:
                found[day, RENEWED_LAPSED] += 1
    return found


def totals(sums: Mapping[str, int]) -> dict[str, int]:
    """Return what stands after so many of each count."""
    return {name: sum(sign * sums[count] for count, sign in parts.items()) for name, parts in TOTALS.items()}


def bucket_start(by: By, day: date) -> date:
    """Return the first day of the bucket that a day lies in."""
    match by:
        case By.DAY:
            return day
        case By.WEEK:
            return day - timedelta(days=day.weekday())
        case By.MONTH:
            return day.replace(day=1)


def bucket_end(by: By, start: date) -> date:
    """Return the last day of the bucket that begins on a day."""
    match by:
        case By.DAY:
            return start
        case By.WEEK:
            return start + timedelta(days=6 - start.weekday())
        case By.MONTH:
            return (start + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def bucket_starts(by: By, since: date, until: date) -> Iterator[date]:
    """Yield the first days of all buckets from one day to another; raise Invalid where they are too many."""
    for _ in range(MAX_BUCKETS):
        if since > until:
            return
        yield since
        since = bucket_end(by, since) + timedelta(days=1)
    if since <= until:
        raise Invalid("timeline.too_long", f"That is more than {MAX_BUCKETS} buckets; choose wider ones or fewer days.")
