"""What a supporter chooses: whether boards show the name, when digests come, and of what they tell."""

from datetime import date
from typing import Annotated
from uuid import UUID

from domain.campaigns import Campaign
from domain.kernel import Between, CampaignRef, Conflict, Context, Stage, Text, Title, identify
from domain.schedule import Frequency
from domain.slices import Slice
from domain.subscriptions import DIGEST
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


class RequestDigest(SupporterCommand, name="supporters.request_digest"):
    """Note that whoever gave the address wants digests there, with the words that were shown.

    That is consent, to be confirmed with the address, only while the address is not and nothing was said before. Later
    it is not, for anyone can type an address: the supporter is asked by mail.
    """

    wording: Text

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused where no mail may go, or when consent was given to the confirmed address."""
        supporter = self.load(stage)
        if supporter.email is None or supporter.suppressed:
            raise Conflict("supporter.cannot_be_asked", "No mail goes to this supporter.")
        if not supporter.email_confirmed and DIGEST not in supporter.consents:
            supporter.record(Supporter.ConsentRecorded, subject=DIGEST, granted=True, wording=self.wording)
        elif not supporter.email_confirmed or not supporter.consents.get(DIGEST):
            supporter.record(Supporter.DigestRequested, wording=self.wording)
        else:
            raise Conflict("supporter.already_consented", "This supporter has already consented to the digest.")


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


SLICE = Slice(
    "preferences",
    (Supporter,),
    (SetVisibility, SetDigest, RequestDigest, PauseDigest, MuteCampaign, UnmuteCampaign),
)
