"""Chapters in their tree, with their members."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Text, Uuid

from domain.chapters import Chapter
from domain.kernel import Event
from domain.slices import Fact
from domain.supporters import Supporter
from history.tables import Moment
from projections.changes import Changes
from projections.counts import count_column
from projections.projection import Json, Projection, given, on


class Chapters(Projection, name="chapters"):
    """Every chapter; ``members`` counts those who are present: erasure ends a person's memberships here."""

    def define(self) -> None:
        """One row per chapter, and one per membership that stands."""
        self.chapters = self.table(
            "chapters",
            Column("id", Uuid, primary_key=True),
            Column("reference", Text),
            Column("name", Text),
            Column("parent", Uuid),
            Column("place", Json),
            Column("locale", Text),
            Column("time_zone", Text),
            Column("website", Text),
            Column("state", Text),
            Column("founded_at", Moment),
            Column("closed_at", Moment),
            count_column("members"),
            index=[("parent",)],
        )
        self.memberships = self.table(
            "memberships",
            Column("chapter", Uuid, primary_key=True),
            Column("supporter", Uuid, primary_key=True),
            Column("since", Moment),
            looked_up=[("supporter",)],
        )

    def prepare(self, facts: Sequence[Fact], changes: Changes) -> None:
        """Fetch the memberships of those who are erased."""
        erased = {fact.stream for fact in facts if type(fact.event) is Supporter.Erased}
        self._leaving: dict[UUID, set[UUID]] = {supporter: set() for supporter in erased}
        for row in changes.rows(self.memberships, "supporter", erased):
            self._leaving[row.supporter].add(row.chapter)

    @on(Chapter.Founded, Chapter.Refounded)
    def founded(self, fact: Fact, event: Chapter.Founded | Chapter.Refounded, changes: Changes) -> None:
        """A new chapter, or a closed one founded again with new particulars."""
        values = given(event) | {"place": _place(event.place)}
        changes.put(self.chapters, fact.stream, **values, state="open", founded_at=fact.occurred_at, closed_at=None)

    @on(Chapter.Amended)
    def amended(self, fact: Fact, event: Chapter.Amended, changes: Changes) -> None:
        """Changed particulars."""
        values = given(event)
        if "place" in values:
            values["place"] = _place(values["place"])
        changes.put(self.chapters, fact.stream, **values)

    @on(Chapter.Moved)
    def moved(self, fact: Fact, event: Chapter.Moved, changes: Changes) -> None:
        """It hangs under another chapter."""
        changes.put(self.chapters, fact.stream, parent=event.parent)

    @on(Chapter.Closed)
    def closed(self, fact: Fact, _event: Event, changes: Changes) -> None:
        """It closed; its members stay its members."""
        changes.put(self.chapters, fact.stream, state="closed", closed_at=fact.occurred_at)

    @on(Supporter.ChapterJoined)
    def joined(self, fact: Fact, event: Supporter.ChapterJoined, changes: Changes) -> None:
        """One more member."""
        changes.put(self.memberships, event.chapter, fact.stream, since=fact.occurred_at)
        changes.add(self.chapters, event.chapter, members=1)
        if fact.stream in self._leaving:
            self._leaving[fact.stream].add(event.chapter)

    @on(Supporter.ChapterLeft)
    def left(self, fact: Fact, event: Supporter.ChapterLeft, changes: Changes) -> None:
        """One member less."""
        self._end(event.chapter, fact.stream, changes)
        if fact.stream in self._leaving:
            self._leaving[fact.stream].discard(event.chapter)

    @on(Supporter.Erased)
    def erased(self, fact: Fact, _event: Event, changes: Changes) -> None:
        """All memberships end."""
        for chapter in sorted(self._leaving.pop(fact.stream)):
            self._end(chapter, fact.stream, changes)

    def _end(self, chapter: UUID, supporter: UUID, changes: Changes) -> None:
        changes.remove(self.memberships, chapter, supporter)
        changes.add(self.chapters, chapter, members=-1)

    # --- questions ---

    def all(
        self, connection: Connection, *, state: str = "open", after: UUID | None = None, limit: int = 50
    ) -> Sequence[Any]:
        """Return chapters that are ``open``, ``closed`` or ``all`` in order of id, after one of them."""
        query = sa.select(self.chapters).order_by(self.chapters.c.id).limit(limit)
        if state != "all":
            query = query.where(self.chapters.c.state == state)
        if after is not None:
            query = query.where(self.chapters.c.id > after)
        return connection.execute(query).all()

    def find(self, connection: Connection, chapter: UUID) -> Any | None:  # noqa: ANN401 - a row of the chapters table
        """Return one chapter, or None."""
        return connection.execute(sa.select(self.chapters).where(self.chapters.c.id == chapter)).first()

    def count(self, connection: Connection, state: str = "open") -> int:
        """Return how many chapters are in a state."""
        query = sa.select(sa.func.count()).select_from(self.chapters).where(self.chapters.c.state == state)
        return connection.scalar(query) or 0

    def several(self, connection: Connection, chapters: Sequence[UUID]) -> dict[UUID, Any]:
        """Return those of the chapters that exist, by id."""
        query = sa.select(self.chapters).where(self.chapters.c.id.in_(chapters))
        return {row.id: row for row in connection.execute(query)}

    def members(
        self, connection: Connection, chapter: UUID, *, after: UUID | None = None, limit: int = 50
    ) -> Sequence[Any]:
        """Return a chapter's memberships (supporter, since) in order of the supporter's id."""
        table = self.memberships
        query = sa.select(table).where(table.c.chapter == chapter)
        if after is not None:
            query = query.where(table.c.supporter > after)
        return connection.execute(query.order_by(table.c.supporter).limit(limit)).all()

    def children(self, connection: Connection, chapter: UUID | None) -> Sequence[Any]:
        """Return the chapters right below one, or the topmost ones, in order of name."""
        query = sa.select(self.chapters).where(self.chapters.c.parent == chapter)
        return connection.execute(query.order_by(self.chapters.c.name, self.chapters.c.id)).all()

    def ancestors(self, connection: Connection, chapter: UUID) -> Sequence[Any]:
        """Return the chapters above one, the nearest first."""
        table = self.chapters
        above = sa.select(table.c.id, table.c.parent).where(table.c.id == chapter).cte("above", recursive=True)
        above = above.union(sa.select(table.c.id, table.c.parent).join(above, table.c.id == above.c.parent))
        query = sa.select(table).where(table.c.id.in_(sa.select(above.c.id)))
        by_id = {row.id: row for row in connection.execute(query)}
        chain = []
        here = by_id.pop(chapter, None)
        while here is not None and (here := by_id.pop(here.parent, None)) is not None:
            chain.append(here)
        return chain


def _place(place: Any) -> dict[str, Any] | None:  # noqa: ANN401 - a Place or None
    return vars(place).copy() if place else None
