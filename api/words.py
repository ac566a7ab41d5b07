"""What kinds of events are called where people read of them."""

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
    "pledges.Made": ("pledge made", "pledges made"),
    "pledges.Renewed": ("pledge made again", "pledges made again"),
    "pledges.CheckedIn": ("check-in", "check-ins"),
    "pledges.Kept": ("pledge kept", "pledges kept"),
    "pledges.Lapsed": ("pledge lapsed", "pledges lapsed"),
    "pledges.Withdrawn": ("pledge withdrawn", "pledges withdrawn"),
    "pledges.Amended": ("pledge amended", "pledges amended"),
    "actions.Logged": ("action logged", "actions logged"),
    "actions.Verified": ("verified action", "verified actions"),
    "actions.Rejected": ("action rejected", "actions rejected"),
    "actions.Retracted": ("action retracted", "actions retracted"),
    "actions.ResponseRecorded": ("response to an action", "responses to actions"),
    "recognitions.Nominated": ("nomination", "nominations"),
    "recognitions.Endorsed": ("endorsement", "endorsements"),
    "recognitions.Awarded": ("award", "awards"),
    "recognitions.Declined": ("nomination declined", "nominations declined"),
    "recognitions.Revoked": ("award revoked", "awards revoked"),
    "supporters.Registered": ("registration", "registrations"),
    "supporters.Amended": ("change of particulars", "changes of particulars"),
    "supporters.EmailConfirmed": ("e-mail address confirmed", "e-mail addresses confirmed"),
    "supporters.ConsentRecorded": ("consent given or withdrawn", "consents given or withdrawn"),
    "supporters.VisibilitySet": ("change of visibility", "changes of visibility"),
    "supporters.DigestSet": ("change of the digest", "changes of the digest"),
    "supporters.DigestRequested": ("wish for the digest", "wishes for the digest"),
    "supporters.DigestPaused": ("pause of the digest", "pauses of the digest"),
    "supporters.CampaignMuted": ("campaign muted", "campaigns muted"),
    "supporters.CampaignUnmuted": ("campaign no longer muted", "campaigns no longer muted"),
    "supporters.MailSuppressed": ("address without mail", "addresses without mail"),
    "supporters.ChapterJoined": ("chapter joined", "chapters joined"),
    "supporters.ChapterLeft": ("chapter left", "chapters left"),
    "supporters.Erased": ("erasure", "erasures"),
}
"""One and many of each topic that can score."""


def kind(topic: str, number: int = 2) -> str:
    """Return what so many events of a topic are called: a check-in, check-ins."""
    one, many = WORDS.get(topic, (topic, topic))
    return one if number == 1 else many


def counted(number: int, noun: str) -> str:
    """Return how many of something there are: 1 event, 1,200 events."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def signed(value: float) -> str:
    """Return a change of points with its sign, as in +3; 0 for none."""
    return f"+{value:,}" if value > 0 else f"\N{MINUS SIGN}{-value:,}" if value < 0 else "0"


def plain(value: float) -> float:
    """Return a number as people write it: 13 or 2.5, not 13.0."""
    return int(value) if float(value).is_integer() else value
