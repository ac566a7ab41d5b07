"""Campaigns: drafted → launched ⇄ paused → completed → archived, and the asks that people can pledge."""

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from domain.chapters import Chapter
from domain.kernel import (
    UNSET,
    Aggregate,
    Between,
    CampaignRef,
    ChapterRef,
    Conflict,
    Context,
    Invalid,
    Slug,
    Stage,
    Text,
    Title,
    Unknown,
    Unset,
    assign,
    check_locale,
    check_zone,
    identify,
    readable,
)
from domain.slices import Command, Slice, changes

Count = Annotated[int, Between(1, 1_000_000_000)]
Days = Annotated[int, Between(1, 3_660)]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What the campaign wants to reach: so many of a unit (“500 pledges”)."""

    count: Count
    unit: Title


class CampaignState(StrEnum):
    """Where a campaign stands."""

    DRAFTED = "drafted"
    LAUNCHED = "launched"
    PAUSED = "paused"
    COMPLETED = "completed"
    ARCHIVED = "archived"


class AskKind(StrEnum):
    """A promise for once, or a challenge of many days."""

    ONCE = "once"
    CHALLENGE = "challenge"


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One thing a person can pledge; ``days`` only for a challenge."""

    kind: AskKind
    days: int | None = None
    backdating_days: int = 2
    rest_days: int = 0


class Campaign(Aggregate, prefix="campaigns"):
    """A campaign with its asks and its words in each language."""

    state: CampaignState = CampaignState.DRAFTED
    title: str = ""
    summary: str | None = None
    hashtag: str | None = None
    goal: Goal | None = None
    opens_on: date | None = None
    closes_on: date | None = None
    time_zone: str | None = None
    chapter: UUID | None = None
    asks: dict[str, Ask] = field(default_factory=dict)
    framings: dict[str, tuple[str, str | None]] = field(default_factory=dict)

    class Event(Aggregate.Event):
        """Something that happened to a campaign."""

    class Drafted(Event, Aggregate.Created):
        title: str
        reference: str | None = None
        summary: str | None = None
        hashtag: str | None = None
        goal: Goal | None = None
        opens_on: date | None = None
        closes_on: date | None = None
        time_zone: str | None = None
        chapter: UUID | None = None

        def apply(self, aggregate: "Campaign") -> None:
            assign(aggregate, self)

    class Amended(Event):
        title: str | Unset = UNSET
        summary: str | Unset | None = UNSET
        hashtag: str | Unset | None = UNSET
        goal: Goal | Unset | None = UNSET
        opens_on: date | Unset | None = UNSET
        closes_on: date | Unset | None = UNSET
        time_zone: str | Unset | None = UNSET
        chapter: UUID | Unset | None = UNSET

        def apply(self, aggregate: "Campaign") -> None:
            assign(aggregate, self)

    class Framed(Event):
        locale: str
        title: str
        summary: str | None = None

        def apply(self, aggregate: "Campaign") -> None:
            aggregate.framings[self.locale] = (self.title, self.summary)

    class AskAdded(Event):
        ask: str
        statement: str
        kind: AskKind
        days: int | None = None
        prompts: tuple[str, ...] = ()
        backdating_days: int = 2
        rest_days: int = 0

        def apply(self, aggregate: "Campaign") -> None:
            aggregate.asks[self.ask] = Ask(
                kind=self.kind, days=self.days, backdating_days=self.backdating_days, rest_days=self.rest_days
            )

    class Launched(Event):
        def apply(self, aggregate: "Campaign") -> None:
            aggregate.state = CampaignState.LAUNCHED

    class Paused(Event):
        def apply(self, aggregate: "Campaign") -> None:
            aggregate.state = CampaignState.PAUSED

    class Resumed(Event):
        def apply(self, aggregate: "Campaign") -> None:
            aggregate.state = CampaignState.LAUNCHED

    class Completed(Event):
        def apply(self, aggregate: "Campaign") -> None:
            aggregate.state = CampaignState.COMPLETED

    class Archived(Event):
        def apply(self, aggregate: "Campaign") -> None:
            aggregate.state = CampaignState.ARCHIVED

    def need(self, *states: CampaignState) -> None:
        """Raise Conflict where the campaign is in none of the states."""
        if self.state not in states:
            wanted = " or ".join(states)
            raise Conflict(f"campaign.not_{states[0]}", f"The campaign is {self.state}, not {wanted}.")

    def need_editable(self) -> None:
        """Raise Conflict where the campaign is archived."""
        if self.state is CampaignState.ARCHIVED:
            raise Conflict("campaign.archived", "The campaign is archived; it can be read, not changed.")

    def ask(self, slug: str) -> Ask:
        """Return the ask of that name; raise Unknown where there is none."""
        try:
            return self.asks[slug]
        except KeyError:
            raise Unknown("ask.unknown", f"The campaign has no ask “{slug}”.") from None

    def amend(self, command: "Amend", chapter: UUID | Unset | None) -> None:
        """Change what was given; a value of None clears."""
        self.need_editable()
        changed = changes(self, command, "title", "summary", "hashtag", "goal", "opens_on", "closes_on", "time_zone")
        if chapter is not UNSET and chapter != self.chapter:
            changed["chapter"] = chapter
        if not changed:
            raise Conflict("campaign.unchanged", "Nothing of the campaign changes.")
        check_dates(changed.get("opens_on", self.opens_on), changed.get("closes_on", self.closes_on))
        self.record(self.Amended, **changed)

    def frame(self, locale: str, title: str, summary: str | None) -> None:
        """Say the campaign in the words of one language."""
        self.need_editable()
        if self.framings.get(locale) == (title, summary):
            raise Conflict("campaign.unchanged", "The framing already says that.")
        self.record(self.Framed, locale=locale, title=title, summary=summary)

    def add_ask(self, command: "AddAsk") -> None:
        """Add one thing that people can pledge."""
        self.need_editable()
        if command.ask in self.asks:
            raise Conflict("ask.exists", f"The campaign already has an ask “{command.ask}”.")
        if command.kind is AskKind.CHALLENGE and command.days is None:
            raise Invalid("ask.days_missing", "A challenge needs its number of days.")
        if command.kind is AskKind.ONCE and (command.days or command.prompts):
            raise Invalid("ask.not_a_challenge", "Days and prompts belong to a challenge, not to a promise for once.")
        if len(command.prompts) > (command.days or 0):
            raise Invalid("ask.too_many_prompts", "There are more prompts than days.")
        self.record(
            self.AskAdded,
            ask=command.ask,
            statement=command.statement,
            kind=command.kind,
            days=command.days,
            prompts=tuple(command.prompts),
            backdating_days=command.backdating_days,
            rest_days=command.rest_days,
        )

    def launch(self) -> None:
        """Open the campaign for pledges."""
        self.need(CampaignState.DRAFTED)
        if not self.asks:
            raise Conflict("campaign.without_ask", "A campaign needs an ask before it is launched.")
        self.record(self.Launched)

    def pause(self) -> None:
        """Take no more pledges for a while."""
        self.need(CampaignState.LAUNCHED)
        self.record(self.Paused)

    def resume(self) -> None:
        """Take pledges again."""
        self.need(CampaignState.PAUSED)
        self.record(self.Resumed)

    def complete(self) -> None:
        """End the campaign."""
        self.need(CampaignState.LAUNCHED, CampaignState.PAUSED)
        self.record(self.Completed)

    def archive(self) -> None:
        """Put the ended campaign away; it can still be read."""
        self.need(CampaignState.COMPLETED)
        self.record(self.Archived)


def check_dates(opens_on: date | None, closes_on: date | None) -> None:
    """Raise Invalid where a campaign would close before it opens."""
    if opens_on and closes_on and closes_on < opens_on:
        raise Invalid("campaign.closes_before_opening", "The campaign would close before it opens.")


class CampaignCommand(Command):
    """A command to one campaign."""

    campaign: CampaignRef

    @property
    def key(self) -> UUID:
        """The campaign's id."""
        return identify("campaign", self.campaign)

    def streams(self) -> tuple[UUID, ...]:
        """The campaign, and its chapter where one is named."""
        chapter = getattr(self, "chapter", None)
        return (self.key, identify("chapter", chapter)) if isinstance(chapter, str) else (self.key,)

    def load(self, stage: Stage) -> Campaign:
        """Return the campaign; raise Unknown where there is none."""
        return stage.get(Campaign, self.key, self.campaign)


class Draft(CampaignCommand, name="campaigns.draft"):
    """Draft a campaign."""

    title: Title
    summary: Text | None = None
    hashtag: Title | None = None
    goal: Goal | None = None
    opens_on: date | None = None
    closes_on: date | None = None
    time_zone: Title | None = None
    chapter: ChapterRef | None = None

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when it exists, or closes before it opens."""
        if stage.find(Campaign, self.key):
            raise Conflict("campaign.exists", "There is already a campaign of that name.")
        check_zone(self.time_zone)
        check_dates(self.opens_on, self.closes_on)
        campaign = Campaign.open(
            self.key,
            title=self.title,
            reference=readable(self.campaign),
            summary=self.summary,
            hashtag=self.hashtag,
            goal=self.goal,
            opens_on=self.opens_on,
            closes_on=self.closes_on,
            time_zone=self.time_zone,
            chapter=chapter_of(stage, self.chapter),
        )
        stage.add(campaign)


def chapter_of(stage: Stage, reference: str | None) -> UUID | None:
    """Return the id of an existing chapter; raise Unknown where there is none of that reference."""
    return stage.get(Chapter, identify("chapter", reference), reference).id if reference else None


class Amend(CampaignCommand, name="campaigns.amend"):
    """Change a campaign's particulars; null clears one."""

    title: Title | Unset = UNSET
    summary: Text | Unset | None = UNSET
    hashtag: Title | Unset | None = UNSET
    goal: Goal | Unset | None = UNSET
    opens_on: date | Unset | None = UNSET
    closes_on: date | Unset | None = UNSET
    time_zone: Title | Unset | None = UNSET
    chapter: ChapterRef | Unset | None = UNSET

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when archived, or when nothing changes."""
        check_zone(self.time_zone)
        campaign = self.load(stage)
        campaign.amend(self, UNSET if isinstance(self.chapter, Unset) else chapter_of(stage, self.chapter))


class Frame(CampaignCommand, name="campaigns.frame"):
    """Say a campaign in the words of one language."""

    locale: Title
    title: Title
    summary: Text | None = None

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when archived."""
        check_locale(self.locale)
        self.load(stage).frame(self.locale, self.title, self.summary)


class AddAsk(CampaignCommand, name="campaigns.add_ask"):
    """Add an ask to a campaign."""

    ask: Slug
    statement: Text
    kind: AskKind
    days: Days | None = None
    prompts: tuple[Text, ...] = ()
    backdating_days: Annotated[int, Between(0, 3_660)] = 2
    rest_days: Annotated[int, Between(0, 366)] = 0

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when it exists, when a challenge has no days, or more prompts than days."""
        self.load(stage).add_ask(self)


class Launch(CampaignCommand, name="campaigns.launch"):
    """Launch a drafted campaign."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when not drafted, or without an ask."""
        self.load(stage).launch()


class Pause(CampaignCommand, name="campaigns.pause"):
    """Pause a launched campaign."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when not launched."""
        self.load(stage).pause()


class Resume(CampaignCommand, name="campaigns.resume"):
    """Resume a paused campaign."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when not paused."""
        self.load(stage).resume()


class Complete(CampaignCommand, name="campaigns.complete"):
    """Complete a launched or paused campaign."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when neither launched nor paused."""
        self.load(stage).complete()


class Archive(CampaignCommand, name="campaigns.archive"):
    """Archive a completed campaign."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when not completed."""
        self.load(stage).archive()


SLICE = Slice("campaigns", (Campaign,), (Draft, Amend, Frame, AddAsk, Launch, Pause, Resume, Complete, Archive))
