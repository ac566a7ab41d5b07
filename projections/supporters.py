"""Supporters with their preferences, consents, chapters and counts of pledges; what is personal stays sealed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Connection, Integer, Text, Uuid

from domain.actions import Action
from domain.kernel import Event
from domain.pledges import Pledge
from domain.recognitions import Recognition
from domain.slices import Fact
from domain.supporters import Supporter
from history.tables import BigInt, Moment
from projections.changes import IDS, Changes
from projections.counts import count_columns, steps
from projections.projection import Projection, SealedText, given, on, sealed

PERSONAL: Final = ("email", "name", "display_name")


@dataclass(frozen=True, kw_only=True)
class Which:
    """Which supporters are asked for; what is None is not asked about."""

    chapter: UUID | None = None
    present: bool | None = True
    email_confirmed: bool | None = None
    public: bool | None = None
    digest_frequency: str | None = None
    consents_to: str | None = None


PRESENT: Final = Which()


class Supporters(Projection, name="supporters"):
    """Every supporter. An erased one stays as a number with the counts, without anything personal or public."""

    weight = 2

    def define(self) -> None:
        """One row per supporter, per topic of consent, and per membership that stands."""
        self.supporters = self.table(
            "supporters",
            Column("id", Uuid, primary_key=True),
            Column("email", SealedText),
            Column("email_confirmed", Boolean, nullable=False, server_default=sa.false()),
            Column("name", SealedText),
            Column("locale", Text),
            Column("time_zone", Text),
            Column("chapter", Uuid),
            Column("source", Text),
            Column("public", Boolean, nullable=False, server_default=sa.false()),
            Column("display_name", SealedText),
            Column("digest_frequency", Text),
            Column("digest_weekday", Integer),
            Column("digest_hour", Integer),
            Column("registered_at", Moment),
            Column("erased_at", Moment),
            Column("last_seen", Moment),
            *count_columns(),
            index=[("digest_frequency", "id")],
        )
        self.consents = self.table(
            "consents",
            Column("supporter", Uuid, primary_key=True),
            Column("topic", Text, primary_key=True),
            Column("granted", Boolean),
            Column("at", Moment),
            Column("position", BigInt),
        )
        self.chapters = self.table(
            "supporter_chapters",
            Column("supporter", Uuid, primary_key=True),
            Column("chapter", Uuid, primary_key=True),
            Column("since", Moment),
            Column("position", BigInt),
            index=[("chapter", "supporter")],
        )

    def prepare(self, facts: Sequence[Fact], changes: Changes) -> None:
        """Fetch the chapters, in the order in which they were joined, of those who join, leave or are erased."""
        self._last_seen: dict[UUID, datetime] = {}
        moving = {Supporter.ChapterJoined, Supporter.ChapterLeft, Supporter.Erased}
        touched = {fact.stream for fact in facts if type(fact.event) in moving}
        self._joined: dict[UUID, list[UUID]] = {supporter: [] for supporter in touched}
        for row in sorted(changes.rows(self.chapters, "supporter", touched), key=lambda row: row.position):
            self._joined[row.supporter].append(row.chapter)

    @on(Supporter.Registered)
    def registered(self, fact: Fact, event: Supporter.Registered, changes: Changes) -> None:
        """A person became known."""
        values = _sealed(given(event))
        changes.put(self.supporters, fact.stream, **values, registered_at=fact.occurred_at)
        self._seen(fact, fact.stream)

    @on(Supporter.Amended)
    def amended(self, fact: Fact, event: Supporter.Amended, changes: Changes) -> None:
        """Changed particulars; a new address is not confirmed yet."""
        values = _sealed(given(event))
        if "email" in values:
            values["email_confirmed"] = False
        changes.put(self.supporters, fact.stream, **values)
        self._seen(fact, fact.stream)

    @on(Supporter.EmailConfirmed)
    def email_confirmed(self, fact: Fact, _event: Event, changes: Changes) -> None:
        """The address is the supporter's own."""
        changes.put(self.supporters, fact.stream, email_confirmed=True)
        self._seen(fact, fact.stream)

    @on(Supporter.ConsentRecorded)
    def consent_recorded(self, fact: Fact, event: Supporter.ConsentRecorded, changes: Changes) -> None:
        """Consent to a topic was given or withdrawn."""
        changes.put(
            self.consents,
            fact.stream,
            event.subject,
            granted=event.granted,
            at=fact.occurred_at,
            position=fact.position,
        )
        self._seen(fact, fact.stream)

    @on(Supporter.VisibilitySet)
    def visibility_set(self, fact: Fact, event: Supporter.VisibilitySet, changes: Changes) -> None:
        """Shown on boards by name, or not."""
        shown = {"public": event.public, "display_name": sealed(event.display_name)}
        changes.put(self.supporters, fact.stream, **shown)
        self._seen(fact, fact.stream)

    @on(Supporter.DigestSet)
    def digest_set(self, fact: Fact, event: Supporter.DigestSet, changes: Changes) -> None:
        """How often and when the digest comes."""
        changes.put(
            self.supporters,
            fact.stream,
            digest_frequency=str(event.frequency),
            digest_weekday=event.weekday,
            digest_hour=event.hour,
        )
        self._seen(fact, fact.stream)

    @on(Supporter.ChapterJoined)
    def chapter_joined(self, fact: Fact, event: Supporter.ChapterJoined, changes: Changes) -> None:
        """A member of one more chapter."""
        self._joined[fact.stream].append(event.chapter)
        changes.put(self.chapters, fact.stream, event.chapter, since=fact.occurred_at, position=fact.position)
        self._seen(fact, fact.stream)

    @on(Supporter.ChapterLeft)
    def chapter_left(self, fact: Fact, event: Supporter.ChapterLeft, changes: Changes) -> None:
        """No longer a member."""
        self._joined[fact.stream] = [chapter for chapter in self._joined[fact.stream] if chapter != event.chapter]
        changes.remove(self.chapters, fact.stream, event.chapter)
        self._seen(fact, fact.stream)

    @on(Supporter.Erased)
    def erased(self, fact: Fact, _event: Event, changes: Changes) -> None:
        """Nothing personal is left, and no mail can go out."""
        for chapter in self._joined[fact.stream]:
            changes.remove(self.chapters, fact.stream, chapter)
        self._joined[fact.stream] = []
        gone = dict.fromkeys(PERSONAL)
        changes.put(
            self.supporters, fact.stream, **gone, email_confirmed=False, public=False, erased_at=fact.occurred_at
        )

    @on(Pledge.Made, Pledge.Renewed, Pledge.Kept, Pledge.Lapsed, Pledge.Withdrawn, Pledge.Amended, Pledge.CheckedIn)
    def pledged(self, fact: Fact, event: Pledge.Event, changes: Changes) -> None:
        """A pledge was made, or came into another state; letting it lapse is nothing the supporter does."""
        if amounts := steps(event):
            changes.add(self.supporters, event.supporter, **amounts)
        if type(event) is not Pledge.Lapsed:
            self._seen(fact, event.supporter)

    @on(Action.Logged, Action.Retracted)
    def acted(self, fact: Fact, event: Action.Event, _changes: Changes) -> None:
        """The supporter logged an action, or took it back."""
        self._seen(fact, event.supporter)

    @on(Recognition.Nominated, Recognition.Endorsed)
    def spoke_for(self, fact: Fact, event: Recognition.Nominated | Recognition.Endorsed, _changes: Changes) -> None:
        """The supporter nominated or endorsed somebody."""
        speaker = event.nominator if isinstance(event, Recognition.Nominated) else event.endorser
        if speaker is not None:
            self._seen(fact, speaker)

    def _seen(self, fact: Fact, supporter: UUID) -> None:
        known = self._last_seen.get(supporter)
        if known is None or known < fact.occurred_at:
            self._last_seen[supporter] = fact.occurred_at

    def finish(self, changes: Changes) -> None:
        """The chapter joined last, of those that were not left, is the supporter's home."""
        for supporter, moment in self._last_seen.items():
            changes.most(self.supporters, supporter, last_seen=moment)
        for supporter, chapters in self._joined.items():
            changes.put(self.supporters, supporter, chapter=chapters[-1] if chapters else None)

    # --- questions ---

    def all(
        self, connection: Connection, which: Which = PRESENT, *, after: UUID | None = None, limit: int = 50
    ) -> Sequence[Any]:
        """Return supporters in order of id, after one of them, at most ``limit``."""
        query = self._where(sa.select(self.supporters), which).order_by(self.supporters.c.id).limit(limit)
        if after is not None:
            query = query.where(self.supporters.c.id > after)
        return connection.execute(query).all()

    def newest(self, connection: Connection, limit: int = 10) -> Sequence[Any]:
        """Return the present supporters who registered last, the newest first."""
        query = self._where(sa.select(self.supporters), PRESENT)
        return connection.execute(query.order_by(self.supporters.c.registered_at.desc()).limit(limit)).all()

    def count(self, connection: Connection, which: Which = PRESENT) -> int:
        """Return how many supporters there are."""
        query = self._where(sa.select(sa.func.count()).select_from(self.supporters), which)
        return connection.scalar(query) or 0

    def find(self, connection: Connection, supporter: UUID) -> Any | None:  # noqa: ANN401 - a row of supporters
        """Return one supporter, or None."""
        return connection.execute(sa.select(self.supporters).where(self.supporters.c.id == supporter)).first()

    def several(self, connection: Connection, supporters: Sequence[UUID]) -> dict[UUID, Any]:
        """Return those of the supporters who exist, by id."""
        found: dict[UUID, Any] = {}
        for start in range(0, len(supporters), IDS):
            wanted = self.supporters.c.id.in_(supporters[start : start + IDS])
            found |= {row.id: row for row in connection.execute(sa.select(self.supporters).where(wanted))}
        return found

    def consents_of(self, connection: Connection, supporter: UUID) -> Sequence[Any]:
        """Return what the supporter consented to or not (topic, granted, at), in order of topic."""
        query = sa.select(self.consents).where(self.consents.c.supporter == supporter)
        return connection.execute(query.order_by(self.consents.c.topic)).all()

    def chapters_of(self, connection: Connection, supporter: UUID) -> Sequence[Any]:
        """Return the supporter's memberships (chapter, since) in the order in which they began."""
        query = sa.select(self.chapters).where(self.chapters.c.supporter == supporter)
        return connection.execute(query.order_by(self.chapters.c.position)).all()

    def _where(self, query: sa.Select[Any], which: Which) -> sa.Select[Any]:
        column = self.supporters.c
        for name in ("email_confirmed", "public", "digest_frequency"):
            wanted = getattr(which, name)
            if wanted is not None:
                query = query.where(column[name] == wanted)
        if which.present is not None:
            query = query.where(column.erased_at.is_(None) if which.present else column.erased_at.is_not(None))
        if which.chapter is not None:
            here = sa.select(self.chapters.c.supporter).where(self.chapters.c.chapter == which.chapter)
            query = query.where(column.id.in_(here))
        if which.consents_to is not None:
            granted = self.consents.c.granted, self.consents.c.topic == which.consents_to
            query = query.where(column.id.in_(sa.select(self.consents.c.supporter).where(*granted)))
        return query


def _sealed(values: dict[str, Any]) -> dict[str, Any]:
    """Keep of personal values only what is sealed."""
    return {name: sealed(value) if name in PERSONAL else value for name, value in values.items()}
