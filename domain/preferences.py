"""What a supporter chooses: whether boards show the name, when digests come, and of what they tell."""

from datetime import date
from typing import Annotated
from uuid import UUID

from domain.campaigns import Campaign
from domain.kernel import Between, CampaignRef, Context, Stage, Title, identify
from domain.schedule import Frequency
from domain.slices import Slice
from domain.supporters import Supporter, SupporterCommand


class SetVisibility(SupporterCommand, name="supporters.set_visibility"):
    """Choose whether boards show the supporter's name."""

    public: bool
    display_name: Title | None = None

    def decide(self, _context: Context, stage: Stage) -> None:
        """Never refused for a present supporter."""
        self.load(stage).record(Supporter.VisibilitySet, public=self.public, display_name=self.display_name)


class SetDigest(SupporterCommand, name="supporters.set_digest"):
    """Choose how often, on which ISO weekday (1 is Monday) and at which local hour the digest comes."""

    frequency: Frequency
    weekday: Annotated[int, Between(1, 7)] | None = None
    hour: Annotated[int, Between(0, 23)] | None = None

    def decide(self, _context: Context, stage: Stage) -> None:
        """Never refused for a present supporter."""
        self.load(stage).record(Supporter.DigestSet, frequency=self.frequency, weekday=self.weekday, hour=self.hour)


class PauseDigest(SupporterCommand, name="supporters.pause_digest"):
    """Let no digest come before a day of the supporter's own; null ends the pause."""

    until: date | None

    def decide(self, context: Context, stage: Stage) -> None:
        """Refused when the day has come, or nothing changes."""
        supporter = self.load(stage)
        supporter.pause(self.until, supporter.local_day(context.at))


class MuteCampaign(SupporterCommand, name="supporters.mute_campaign"):
    """Leave a campaign out of the supporter's digests."""

    campaign: CampaignRef

    def streams(self) -> tuple[UUID, ...]:
        """The supporter and the campaign."""
        return (self.key, identify("campaign", self.campaign))

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when the campaign is unknown, or muted already."""
        self.load(stage).mute(stage.get(Campaign, identify("campaign", self.campaign), self.campaign).id)


class UnmuteCampaign(SupporterCommand, name="supporters.unmute_campaign"):
    """Take a campaign into the supporter's digests again."""

    campaign: CampaignRef

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when it is not muted."""
        self.load(stage).unmute(identify("campaign", self.campaign))


SLICE = Slice("preferences", (Supporter,), (SetVisibility, SetDigest, PauseDigest, MuteCampaign, UnmuteCampaign))
