"""Pledges: made → (checked in …) → kept | lapsed | withdrawn; a withdrawn or lapsed one can be made again."""

from collections.abc import Iterable
from dataclasses import field
from datetime import date, timedelta
from enum import StrEnum
from functools import cached_property
from uuid import UUID

from domain.campaigns import AskKind, Campaign, CampaignState
from domain.kernel import (
    Aggregate,
    CampaignRef,
    Conflict,
    Context,
    Invalid,
    PersonalText,
    Slug,
    Stage,
    SupporterRef,
    Text,
    Title,
    identify,
)
from domain.slices import Command, Slice
from domain.supporters import UTC_NAME, Supporter


class PledgeState(StrEnum):
    """What became of the promise."""

    ACTIVE = "active"
    KEPT = "kept"
    LAPSED = "lapsed"
    WITHDRAWN = "withdrawn"


class Pledge(Aggregate, prefix="pledges"):
    """One supporter's promise to one ask of a campaign, with the terms that held when it was made."""

    campaign: UUID | None = None
    ask: str = ""
    supporter: UUID | None = None
    state: PledgeState = PledgeState.ACTIVE
    made_on: date = date.min
    days: int | None = None
    backdating_days: int = 0
    checked_in: set[date] = field(default_factory=set)
    note: PersonalText = None

    class Event(Aggregate.Event):
        """Something that happened to a pledge; it says which promise and whose, so that it can be read alone."""

        campaign: UUID
        ask: str
        supporter: UUID

    class Made(Event, Aggregate.Created):
        """``on`` is the supporter's own day; ``days``, ``backdating_days`` and ``rest_days`` only for a challenge."""

        on: date
        referral: str | None = None
        note: PersonalText = None
        days: int | None = None
        backdating_days: int | None = None
        rest_days: int | None = None

        def apply(self, aggregate: "Pledge") -> None:
            aggregate.campaign, aggregate.ask, aggregate.supporter = self.campaign, self.ask, self.supporter
            aggregate.note = self.note
            begin(aggregate, self.on, self.days, self.backdating_days)

    class Renewed(Event):
        """Made again; ``previous`` is the state it was in."""

        on: date
        previous: PledgeState
        referral: str | None = None
        note: PersonalText = None
        days: int | None = None
        backdating_days: int | None = None
        rest_days: int | None = None

        def apply(self, aggregate: "Pledge") -> None:
            aggregate.state = PledgeState.ACTIVE
            aggregate.checked_in = set()
            aggregate.note = self.note
            begin(aggregate, self.on, self.days, self.backdating_days)

    class Amended(Event):
        note: PersonalText = None

        def apply(self, aggregate: "Pledge") -> None:
            aggregate.note = self.note

    class CheckedIn(Event):
        """One day of a challenge: ``on`` is the supporter's own calendar day in ``time_zone``."""

        on: date
        time_zone: str
        note: PersonalText = None

        def apply(self, aggregate: "Pledge") -> None:
            aggregate.checked_in.add(self.on)

    class Kept(Event):
        def apply(self, aggregate: "Pledge") -> None:
            aggregate.state = PledgeState.KEPT

    class Lapsed(Event):
        def apply(self, aggregate: "Pledge") -> None:
            aggregate.state = PledgeState.LAPSED

    class Withdrawn(Event):
        def apply(self, aggregate: "Pledge") -> None:
            aggregate.state = PledgeState.WITHDRAWN

    def tell(self, event: type[Event], **fields: object) -> None:
        """Record an event about this promise."""
        self.record(event, campaign=self.campaign, ask=self.ask, supporter=self.supporter, **fields)

    def need_active(self) -> None:
        """Raise Conflict where the pledge is not active."""
        if self.state is not PledgeState.ACTIVE:
            raise Conflict("pledge.not_active", f"This pledge is {self.state}, not active.")

    def renew(self, **terms: object) -> None:
        """Make a withdrawn or lapsed pledge again."""
        if self.state is PledgeState.ACTIVE:
            raise Conflict("pledge.already_active", "This pledge is already made and active.")
        if self.state is PledgeState.KEPT:
            raise Conflict("pledge.already_kept", "This pledge is already made and kept.")
        self.tell(self.Renewed, previous=self.state, **terms)

    def amend(self, note: str | None) -> None:
        """Change the note."""
        self.need_active()
        if note == self.note:
            raise Conflict("pledge.unchanged", "The note already says that.")
        self.tell(self.Amended, note=note)

    def check_in(self, on: date, today: date, time_zone: str, note: str | None) -> None:
        """Count one day of the challenge; ``today`` is the supporter's own day at the time of the command."""
        if self.days is None:
            raise Conflict("pledge.not_a_challenge", "Only a challenge has check-ins.")
        self.need_active()
        if on in self.checked_in:
            raise Conflict("pledge.already_checked_in", f"{on} is already checked in.")
        if on > today:
            raise Invalid("check_in.in_future", f"{on} is still to come where the supporter lives ({today}).")
        if on < self.made_on:
            raise Invalid("check_in.before_pledge", f"{on} is before the pledge was made ({self.made_on}).")
        if today - on > timedelta(days=self.backdating_days):
            raise Invalid("check_in.too_late", f"{on} is more than {self.backdating_days} days ago.")
        self.tell(self.CheckedIn, on=on, time_zone=time_zone, note=note)

    def keep(self) -> None:
        """The promise was kept."""
        self.need_active()
        self.tell(self.Kept)

    def lapse(self) -> None:
        """The promise was let go by."""
        self.need_active()
        self.tell(self.Lapsed)

    def withdraw(self) -> None:
        """The promise was taken back."""
        self.need_active()
        self.tell(self.Withdrawn)


def begin(pledge: Pledge, on: date, days: int | None, backdating_days: int | None) -> None:
    """Set the terms of a promise made or made again."""
    pledge.made_on, pledge.days, pledge.backdating_days = on, days, backdating_days or 0


def pledge_id(campaign: UUID, ask: str, supporter: UUID) -> UUID:
    """Return the id of one supporter's pledge to one ask."""
    return identify("pledge", f"{campaign}/{ask}/{supporter}")


def streaks(days: Iterable[date], rest_days: int = 0) -> tuple[int, int]:
    """Return (the streak that ends with the last checked-in day, the longest streak), in checked-in days.

    Between two check-ins of one streak at most ``rest_days`` days are missed. Whether the last streak still runs is
    for the reader to say, from the day it is where the supporter lives: no midnight job breaks it.
    """
    run = longest = 0
    last: date | None = None
    for day in sorted(days):
        run = run + 1 if last is not None and (day - last).days <= rest_days + 1 else 1
        longest, last = max(longest, run), day
    return run, longest


class PledgeCommand(Command):
    """A command to one pledge, named by its campaign, ask and supporter."""

    campaign: CampaignRef
    ask: Slug
    supporter: SupporterRef

    @cached_property
    def campaign_id(self) -> UUID:
        """The campaign's id."""
        return identify("campaign", self.campaign)

    @cached_property
    def supporter_id(self) -> UUID:
        """The supporter's id."""
        return identify("supporter", self.supporter)

    @cached_property
    def key(self) -> UUID:
        """The pledge's id."""
        return pledge_id(self.campaign_id, self.ask, self.supporter_id)

    def streams(self) -> tuple[UUID, ...]:
        """The pledge, its campaign and its supporter."""
        return (self.key, self.campaign_id, self.supporter_id)

    def load(self, stage: Stage) -> Pledge:
        """Return the pledge; raise Unknown where the campaign, the ask, the supporter or the pledge is not there."""
        stage.get(Campaign, self.campaign_id, self.campaign).ask(self.ask)
        stage.get(Supporter, self.supporter_id, self.supporter)
        return stage.get(Pledge, self.key)

    def present(self, stage: Stage) -> Supporter:
        """Return the supporter; raise Unknown where there is none, Conflict where erased."""
        supporter = stage.get(Supporter, self.supporter_id, self.supporter)
        supporter.need_present()
        return supporter


class Make(PledgeCommand, name="pledges.make"):
    """Make a pledge, or make a withdrawn or lapsed one again."""

    referral: Title | None = None
    note: Text | None = None

    def decide(self, context: Context, stage: Stage) -> None:
        """Refused when the campaign is not launched, the pledge active or kept, the supporter unknown or erased."""
        campaign = stage.get(Campaign, self.campaign_id, self.campaign)
        ask = campaign.ask(self.ask)
        campaign.need(CampaignState.LAUNCHED)
        on = self.present(stage).local_day(context.at)
        terms: dict[str, object] = {"on": on, "referral": self.referral, "note": self.note}
        if ask.kind is AskKind.CHALLENGE:
            terms |= {"days": ask.days, "backdating_days": ask.backdating_days, "rest_days": ask.rest_days}
        pledge = stage.find(Pledge, self.key)
        if pledge is None:
            names = {"campaign": self.campaign_id, "ask": self.ask, "supporter": self.supporter_id}
            stage.add(Pledge.open(self.key, **names, **terms))
        else:
            pledge.renew(**terms)


class Amend(PledgeCommand, name="pledges.amend"):
    """Change a pledge's note; null clears it."""

    note: Text | None

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when not active."""
        pledge = self.load(stage)
        self.present(stage)
        pledge.amend(self.note)


class CheckIn(PledgeCommand, name="pledges.check_in"):
    """Check in one day of a challenge."""

    on: date
    note: Text | None = None

    def decide(self, context: Context, stage: Stage) -> None:
        """Refused when no challenge, not active, twice for a day, in the future, before the pledge, or too late."""
        pledge = self.load(stage)
        supporter = self.present(stage)
        pledge.check_in(self.on, supporter.local_day(context.at), supporter.time_zone or UTC_NAME, self.note)


class Keep(PledgeCommand, name="pledges.keep"):
    """Mark a pledge kept."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when not active."""
        self.load(stage).keep()


class Lapse(PledgeCommand, name="pledges.lapse"):
    """Mark a pledge lapsed."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when not active."""
        self.load(stage).lapse()


class Withdraw(PledgeCommand, name="pledges.withdraw"):
    """Take a pledge back."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when not active."""
        self.load(stage).withdraw()


SLICE = Slice("pledges", (Pledge,), (Make, Amend, CheckIn, Keep, Lapse, Withdraw))
