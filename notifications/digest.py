"""What a digest is made of: items by subject, each with the positions of the events behind it, and the subject line."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from notifications.language import Language, mark
from notifications.movement import Range

CLIP: Final = 400
"""How many characters of somebody's text a digest shows."""

SUBJECT_LENGTH: Final = 110


class Subject(StrEnum):
    """What items are grouped by, in the order in which they are shown."""

    TODAY = "today"
    RECOGNITIONS = "recognitions"
    ANSWERS = "answers"
    PLEDGES = "pledges"
    POLICIES = "policies"
    CAMPAIGNS = "campaigns"
    CHAPTERS = "chapters"
    BOARD = "board"


class Weight:
    """How much an item deserves to be the subject line."""

    AWARD, OUTCOME, ANSWER, KEPT, CHAPTER_AWARD, STAGE, TODAY, STATE = range(15, 7, -1)
    STREAK, STANCE, PLEDGE, CAMPAIGN, REVOKED, CHAPTER, BOARD = range(7, 0, -1)


@dataclass(frozen=True)
class Image:
    """A picture within a mail: the HTML names it ``cid:`` its content id (RFC 2392) and says in words what it shows."""

    cid: str
    png: bytes


@dataclass(frozen=True)
class Chart:
    """A picture with its width and height as shown, what it is of in one line, and in words what is to be seen."""

    image: Image
    width: int
    height: int
    caption: str
    alt: str


@dataclass(frozen=True)
class Figure:
    """A number with its change since the last digest, None where there is no earlier one."""

    label: str
    value: str
    change: str | None = None


@dataclass(frozen=True)
class Item:
    """One thing worth saying.

    ``positions`` are those of the events behind it, of very many the newest, and ``events`` says how many there are if
    not as many; ``alone`` is whether it is worth a digest by itself; ``key`` is the campaign that it is about, if it is
    about one.
    """

    about: Subject
    text: str
    positions: tuple[int, ...]
    weight: int
    detail: str | None = None
    link: str | None = None
    figures: tuple[Figure, ...] = ()
    headline: str | None = None
    alone: bool = True
    events: int | None = None
    key: UUID | None = None
    chart: Chart | None = None

    @property
    def moved(self) -> bool:
        """Whether any of its numbers changed."""
        return any(figure.change for figure in self.figures)

    @property
    def newest(self) -> int:
        """The position of the last event behind it."""
        return self.positions[-1] if self.positions else 0


@dataclass(frozen=True)
class Section:
    """Items about one subject, the newest first; ``left_out`` counts those for which there was no room."""

    title: str
    items: Sequence[Item]
    left_out: int = 0


FIRST: Final = mark("Hello, this is your first digest.")
NEXT: Final = mark("Hello, this is new since your last digest.")


@dataclass(frozen=True)
class Content:
    """All that is said to one person about one range of history."""

    language: Language
    name: str | None
    covers: Range
    items: tuple[Item, ...]
    rank: int | None = None
    """The rank on the movement's board that this digest knows of."""
    first: bool = False
    """Whether it is the person's first."""

    @property
    def worth_sending(self) -> bool:
        """Whether there is anything worth saying."""
        return any(item.alone for item in self.items)

    @property
    def greeting(self) -> str:
        """The first sentence."""
        say, name = self.language.say, self.language.isolated(one_line(self.name or "", 100))
        if self.first:
            return say("Hello %(name)s, this is your first digest.", name=name) if name else say(FIRST)
        return say("Hello %(name)s, this is new since your last digest.", name=name) if name else say(NEXT)

    @property
    def heading(self) -> str:
        """The most important thing."""
        if not self.items:
            return self.language.say("Nothing new since your last digest")
        first = max(self.items, key=lambda item: (item.weight, item.newest))
        return first.headline or first.text

    @property
    def subject(self) -> str:
        """The same in one line, as a header can hold it."""
        return one_line(self.heading, SUBJECT_LENGTH)

    def images(self, most: int) -> tuple[Image, ...]:
        """Return the pictures of what is shown where at most so many items of each subject are."""
        shown = [item for section in self.sections(most) for item in section.items]
        return tuple(item.chart.image for item in shown if item.chart is not None)

    def sections(self, most: int) -> list[Section]:
        """Return the items by subject, at most so many of each."""
        found = []
        for about in Subject:
            own = sorted((item for item in self.items if item.about is about), key=lambda item: -item.newest)
            if own:
                found.append(Section(self.language.say(TITLES[about]), own[:most], max(0, len(own) - most)))
        return found


@dataclass(frozen=True)
class Links:
    """Where the links of one mail lead: all but the first to the person's own pages, by one secret."""

    base_url: str
    unsubscribe: str
    preferences: str
    browser: str

    @classmethod
    def of(cls, base_url: str, secret: str) -> "Links":
        """Return the links of the mail that this secret stands for."""
        return cls(
            base_url,
            f"{base_url}/unsubscribe/{secret}",
            f"{base_url}/preferences/{secret}",
            f"{base_url}/mail/{secret}",
        )


@dataclass(frozen=True)
class Digest:
    """A digest as it would be sent."""

    subject: str
    html: str
    text: str
    items: tuple[Item, ...] = ()
    images: tuple[Image, ...] = ()


TITLES: Final = {
    Subject.TODAY: mark("Today"),
    Subject.RECOGNITIONS: mark("Recognition for you"),
    Subject.ANSWERS: mark("Answers to what you did"),
    Subject.PLEDGES: mark("Your pledges"),
    Subject.POLICIES: mark("Policies you acted on"),
    Subject.CAMPAIGNS: mark("Campaigns you pledged to"),
    Subject.CHAPTERS: mark("Your chapter"),
    Subject.BOARD: mark("Your place on the board"),
}


def paragraphs(text: str, longest: int = CLIP) -> str:
    """Return the text with its line breaks, but without what is not printable or turns the direction of what follows.

    It is cut at a length where it is longer.
    """
    lines = (" ".join(line.split()) for line in text.splitlines())
    shown = "\n".join("".join(c for c in line if _harmless(c)) for line in lines)
    return clip(shown.strip("\n"), longest)


def _harmless(character: str) -> bool:
    return character not in _TURNING and (character.isprintable() or character in _JOINING)


def clip(text: str, longest: int = CLIP) -> str:
    """Return the text, cut at a length where it is longer."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def one_line(text: str, longest: int = CLIP) -> str:
    """Return the text as one line of printable characters: what a header can hold without surprise.

    Line and paragraph separators become spaces; controls and marks that turn the direction of what follows go.
    """
    flat = " ".join(text.split())
    return clip("".join(c for c in flat if _harmless(c)), longest)


_TURNING: Final = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c\ufeff")
_JOINING: Final = frozenset("\u200c\u200d")


def ordered(positions: Iterable[int]) -> tuple[int, ...]:
    """Return positions as an item keeps them."""
    return tuple(sorted(set(positions)))
