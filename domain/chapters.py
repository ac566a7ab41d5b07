"""Chapters: local groups in a tree; founded, amended, moved, closed, and founded again."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from domain.kernel import (
    UNSET,
    Aggregate,
    ChapterRef,
    Conflict,
    Context,
    Stage,
    Text,
    Title,
    Unset,
    assign,
    check_locale,
    check_zone,
    identify,
    readable,
)
from domain.slices import Command, Slice, changes


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a chapter meets; latitude and longitude in degrees, as given: published registries have them wrong."""

    city: Title | None = None
    country: Title | None = None
    latitude: float | None = None
    longitude: float | None = None


class ChapterState(StrEnum):
    """A chapter is open until it is closed; a closed one may be founded again."""

    OPEN = "open"
    CLOSED = "closed"


class Chapter(Aggregate, prefix="chapters"):
    """A local group."""

    state: ChapterState = ChapterState.OPEN
    name: str = ""
    parent: UUID | None = None
    place: Place | None = None
    locale: str | None = None
    time_zone: str | None = None
    website: str | None = None

    class Event(Aggregate.Event):
        """Something that happened to a chapter."""

    class Founded(Event, Aggregate.Created):
        name: str
        reference: str | None = None
        parent: UUID | None = None
        place: Place | None = None
        locale: str | None = None
        time_zone: str | None = None
        website: str | None = None

        def apply(self, aggregate: "Chapter") -> None:
            assign(aggregate, self)

    class Refounded(Event):
        name: str
        parent: UUID | None = None
        place: Place | None = None
        locale: str | None = None
        time_zone: str | None = None
        website: str | None = None

        def apply(self, aggregate: "Chapter") -> None:
            aggregate.state = ChapterState.OPEN
            assign(aggregate, self)

    class Amended(Event):
        name: str | Unset = UNSET
        place: Place | Unset | None = UNSET
        locale: str | Unset | None = UNSET
        time_zone: str | Unset | None = UNSET
        website: str | Unset | None = UNSET

        def apply(self, aggregate: "Chapter") -> None:
            assign(aggregate, self)

    class Moved(Event):
        parent: UUID | None = None

        def apply(self, aggregate: "Chapter") -> None:
            aggregate.parent = self.parent

    class Closed(Event):
        def apply(self, aggregate: "Chapter") -> None:
            aggregate.state = ChapterState.CLOSED

    def need_open(self) -> None:
        """Raise Conflict where the chapter is closed."""
        if self.state is ChapterState.CLOSED:
            raise Conflict("chapter.closed", "This chapter is closed.")

    def need_other_branch(self, ancestors: frozenset[UUID]) -> None:
        """Raise Conflict where the chapter is among the ancestors it shall get."""
        if self.id in ancestors:
            raise Conflict("chapter.cycle", "A chapter cannot be below itself.")

    def refound(self, ancestors: frozenset[UUID], **particulars: object) -> None:
        """Open a closed chapter again, with new particulars."""
        if self.state is ChapterState.OPEN:
            raise Conflict("chapter.exists", "This chapter exists and is open.")
        self.need_other_branch(ancestors)
        self.record(self.Refounded, **particulars)

    def amend(self, command: "Amend") -> None:
        """Change what was given; a value of None clears."""
        self.need_open()
        changed = changes(self, command, "name", "place", "locale", "time_zone", "website")
        if not changed:
            raise Conflict("chapter.unchanged", "Nothing of the chapter changes.")
        self.record(self.Amended, **changed)

    def move(self, parent: UUID | None, ancestors: frozenset[UUID]) -> None:
        """Hang the chapter under another one; ``ancestors`` are that one and all above it."""
        self.need_open()
        self.need_other_branch(ancestors)
        if parent == self.parent:
            raise Conflict("chapter.unchanged", "The chapter is already there.")
        self.record(self.Moved, parent=parent)

    def close(self) -> None:
        """Close the chapter."""
        if self.state is ChapterState.CLOSED:
            raise Conflict("chapter.already_closed", "This chapter is already closed.")
        self.record(self.Closed)


def branch(stage: Stage, reference: str | None) -> tuple[UUID | None, frozenset[UUID]]:
    """Return the id of the chapter referred to, and the ids of it and all above it; raise Unknown if there is none."""
    if reference is None:
        return None, frozenset()
    parent = above = identify("chapter", reference)
    stage.get(Chapter, parent, reference)
    ids: set[UUID] = set()
    while above not in ids:
        ids.add(above)
        chapter = stage.find(Chapter, above)
        if chapter is None or chapter.parent is None:
            break
        above = chapter.parent
    return parent, frozenset(ids)


class ChapterCommand(Command):
    """A command to one chapter."""

    chapter: ChapterRef

    @property
    def key(self) -> UUID:
        """The chapter's id."""
        return identify("chapter", self.chapter)

    def streams(self) -> tuple[UUID, ...]:
        """The chapter, and its parent where one is named."""
        parent = getattr(self, "parent", None)
        return (self.key, identify("chapter", parent)) if parent else (self.key,)

    def load(self, stage: Stage) -> Chapter:
        """Return the chapter; raise Unknown where there is none."""
        return stage.get(Chapter, self.key, self.chapter)


class Found(ChapterCommand, name="chapters.found"):
    """Found a chapter, or found a closed one again."""

    name: Title
    parent: ChapterRef | None = None
    place: Place | None = None
    locale: Title | None = None
    time_zone: Title | None = None
    website: Text | None = None

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when it exists and is open, or its parent is unknown."""
        check_locale(self.locale)
        check_zone(self.time_zone)
        parent, ancestors = branch(stage, self.parent)
        particulars = {
            "name": self.name,
            "parent": parent,
            "place": self.place,
            "locale": self.locale,
            "time_zone": self.time_zone,
            "website": self.website,
        }
        chapter = stage.find(Chapter, self.key)
        if chapter is None:
            stage.add(Chapter.open(self.key, reference=readable(self.chapter), **particulars))
        else:
            chapter.refound(ancestors, **particulars)


class Amend(ChapterCommand, name="chapters.amend"):
    """Change a chapter's particulars; null clears one."""

    name: Title | Unset = UNSET
    place: Place | Unset | None = UNSET
    locale: Title | Unset | None = UNSET
    time_zone: Title | Unset | None = UNSET
    website: Text | Unset | None = UNSET

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when closed, or when nothing changes."""
        check_locale(self.locale)
        check_zone(self.time_zone)
        self.load(stage).amend(self)


class Move(ChapterCommand, name="chapters.move"):
    """Hang a chapter under another one, or under none (null)."""

    parent: ChapterRef | None

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when it would make a cycle."""
        chapter = self.load(stage)
        chapter.move(*branch(stage, self.parent))


class Close(ChapterCommand, name="chapters.close"):
    """Close a chapter."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when already closed."""
        self.load(stage).close()


SLICE = Slice("chapters", (Chapter,), (Found, Amend, Move, Close))
