"""The circumstances that points count under: each supporter's time zone and chapters, and where a promise came from."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Column, Table, Text, Uuid

from domain.kernel import Event, Unset, zone
from domain.pledges import Pledge
from domain.referrals import ReferralCode, referral_id
from domain.scoring import SCORABLE
from domain.slices import Fact
from domain.supporters import UTC_NAME, Supporter
from history.statements import select_among, uuid_of
from projections.changes import Changes
from projections.ledger import Happening, read_ids, write_ids
from projections.projection import Json, Projection

MOVES: Final[tuple[type[Event], ...]] = (ReferralCode.Claimed, ReferralCode.Reclaimed, ReferralCode.Released)
"""The events that change circumstances and can give no points."""
REGISTERED: Final = Supporter.Registered.TOPIC
MOVING: Final = frozenset(Supporter.events)
PROMISES: Final = frozenset({Pledge.Made.TOPIC, Pledge.Renewed.TOPIC})
CONTINUES: Final = frozenset(Pledge.events) - {Pledge.Made.TOPIC}
CODES: Final = frozenset(ReferralCode.events)


@dataclass(frozen=True)
class Tables:
    """``members``: supporters with a zone or chapters; ``codes``: referral codes in use; ``promises``: attributed."""

    members: Table
    codes: Table
    promises: Table

    @classmethod
    def declare(cls, projection: Projection) -> "Tables":
        """Declare the tables in a projection."""
        return cls(
            projection.table(
                "score_members",
                Column("supporter", Uuid, primary_key=True),
                Column("time_zone", Text),
                Column("chapters", Json),
            ),
            projection.table("score_codes", Column("code", Uuid, primary_key=True), Column("partnership", Uuid)),
            projection.table("score_promises", Column("pledge", Uuid, primary_key=True), Column("partnership", Uuid)),
        )


@dataclass(slots=True)
class Member:
    """Where a supporter lives and belongs."""

    time_zone: str = UTC_NAME
    chapters: tuple[UUID, ...] = ()


class Circumstances:
    """Follows a batch of facts through the circumstances; what it needs is fetched with one query per kind."""

    def __init__(self, tables: Tables, changes: Changes, facts: Sequence[Fact]) -> None:
        self.tables, self.changes = tables, changes
        self.members: defaultdict[UUID, Member] = defaultdict(Member)
        self.partnerships: dict[UUID, UUID | None] = {}
        self.codes: dict[UUID, UUID | None] = {}
        self._fetch(facts)

    def _fetch(self, facts: Sequence[Fact]) -> None:
        persons: set[UUID] = set()
        promises: set[UUID] = set()
        codes: set[UUID] = set()
        for fact in facts:
            event: Any = fact.event
            topic = event.TOPIC
            if topic in SCORABLE and topic != REGISTERED:
                persons.add(event.person)
            if topic in PROMISES and event.referral:
                codes.add(referral_id(event.referral))
            if topic in CONTINUES:
                promises.add(event.originator_id)
        for key, time_zone, chapters in self._rows(self.tables.members, persons):
            self.members[key] = Member(time_zone or UTC_NAME, read_ids(chapters and json.loads(chapters)))
        for key, partnership in self._rows(self.tables.promises, promises):
            self.partnerships[key] = partnership and uuid_of(partnership)
        for key, partnership in self._rows(self.tables.codes, codes):
            self.codes[key] = partnership and uuid_of(partnership)

    def _rows(self, table: Table, ids: set[UUID]) -> Iterator[Any]:
        """Yield the rows of these ids, as the driver gives them but for the id."""
        if ids:
            (key,) = table.primary_key
            select = f"SELECT {', '.join(column.name for column in table.columns)} FROM {table.name}"  # noqa: S608 - names
            for row in select_among(self.changes.connection, select, key, ids):
                yield uuid_of(row[0]), *row[1:]

    def happenings(self, facts: Sequence[Fact]) -> Iterator[Happening]:
        """Yield what can score, in order, each with the circumstances of its moment."""
        for fact in facts:
            event: Any = fact.event
            topic = event.TOPIC
            if topic in MOVING:
                self._moved(event)
            elif topic in PROMISES:
                self._promised(event)
            elif topic in CODES:
                self._code(event)
            if topic in SCORABLE and (person := event.person) is not None:
                yield self._happening(fact, topic, person, getattr(event, "campaign", None))

    def _happening(self, fact: Fact, topic: str, person: UUID, campaign: UUID | None) -> Happening:
        member, at, stream = self.members[person], fact.occurred_at, fact.event.originator_id
        day = at.date() if member.time_zone == UTC_NAME else at.astimezone(zone(member.time_zone)).date()
        partnership = self.partnerships.get(stream)
        values = (fact.position, person, stream, topic, at, day, campaign, member.chapters, partnership)
        return tuple.__new__(Happening, values)  # its own way to be made takes half as long again

    def _moved(self, event: Supporter.Event) -> None:
        member = self.members[event.person]
        before = (member.time_zone, member.chapters)
        match event:
            case Supporter.Registered(time_zone=time_zone) | Supporter.Amended(time_zone=time_zone):
                member.time_zone = member.time_zone if isinstance(time_zone, Unset) else time_zone or UTC_NAME
            case Supporter.ChapterJoined(chapter=chapter):
                member.chapters = (*member.chapters, chapter)
            case Supporter.ChapterLeft(chapter=chapter):
                member.chapters = tuple(each for each in member.chapters if each != chapter)
            case Supporter.Erased():
                member.chapters = ()
        if before != (member.time_zone, member.chapters):
            table, chapters = self.tables.members, write_ids(member.chapters)
            self.changes.put(table, event.person, time_zone=member.time_zone, chapters=chapters)

    def _code(self, event: ReferralCode.Event) -> None:
        holder = None if isinstance(event, ReferralCode.Released) else event.partnership
        self.codes[event.originator_id] = holder
        self.changes.put(self.tables.codes, event.originator_id, partnership=holder)

    def _promised(self, event: Pledge.Made | Pledge.Renewed) -> None:
        """Attribute as the partnerships do: made again without an active code, it stays where it came from."""
        partnership = self.codes.get(referral_id(event.referral)) if event.referral else None
        if partnership is not None and partnership != self.partnerships.get(event.originator_id):
            self.partnerships[event.originator_id] = partnership
            self.changes.put(self.tables.promises, event.originator_id, partnership=partnership)
