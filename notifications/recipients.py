"""One person as a mail sees them: folded from their own stream of the log, so that no read model's delay matters."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from domain.kernel import UNSET, Unset
from domain.slices import Fact
from domain.supporters import Supporter
from history.reading import Log
from history.tables import events
from notifications.schedule import Wish

DIGEST = "digest"
"""The topic of consent that digests need."""

LONGEST_STREAM = 100_000


@dataclass
class Recipient:
    """What is known of one supporter now. Personal data is in the clear; what was erased is None."""

    supporter: UUID
    version: int = 0
    """Of the supporter's stream."""
    first_position: int = 0
    email: str | None = None
    email_version: int = 0
    """The version that set the address: what a link to confirm it is good for."""
    email_confirmed: bool = False
    name: str | None = None
    locale: str | None = None
    time_zone: str | None = None
    source: str | None = None
    frequency: str | None = None
    weekday: int | None = None
    hour: int | None = None
    public: bool = False
    erased: bool = False
    consented: bool | None = None
    """None where nothing was ever said."""
    eligible_since: datetime | None = None
    """When both consent and a confirmed address were there."""
    chapters: list[UUID] = field(default_factory=list)
    muted: set[UUID] = field(default_factory=set)
    """Campaigns of which no news is wanted."""

    @property
    def wish(self) -> Wish:
        """When the digest is wanted."""
        return Wish(self.frequency, self.weekday, self.hour, self.time_zone)

    @property
    def hindrance(self) -> str | None:
        """Why no digest may go to this person: None where it may."""
        if self.erased:
            return "erased"
        if not self.email:
            return "no_address"
        if not self.email_confirmed:
            return "unconfirmed"
        if not self.consented:
            return "no_consent"
        return "frequency_off" if self.frequency == "off" else None


def load(log: Log, supporter: UUID) -> Recipient | None:
    """Return one supporter as of now, or None where there is none."""
    recipient = Recipient(supporter)
    for fact in log.facts(0, LONGEST_STREAM, events.c.stream_id == supporter, opened=True):
        _take(recipient, fact)
    return recipient if recipient.version else None


def _take(recipient: Recipient, fact: Fact) -> None:
    recipient.version = fact.version
    match fact.event:
        case Supporter.Registered():
            recipient.first_position, recipient.source = fact.position, fact.event.source
            _particulars(recipient, fact, fact.event)
        case Supporter.Amended():
            _particulars(recipient, fact, fact.event)
        case Supporter.EmailConfirmed() | Supporter.ConsentRecorded(subject="digest"):
            _permission(recipient, fact)
        case Supporter.Erased():
            recipient.erased, recipient.public = True, False
            recipient.email = recipient.name = None
        case _:
            _preference(recipient, fact)


def _particulars(recipient: Recipient, fact: Fact, event: Supporter.Registered | Supporter.Amended) -> None:
    if not isinstance(event.locale, Unset):
        recipient.locale = event.locale
    if not isinstance(event.time_zone, Unset):
        recipient.time_zone = event.time_zone
    if event.name is not UNSET:
        recipient.name = _clear(event.name)
    if event.email is not UNSET:
        recipient.email, recipient.email_version = _clear(event.email), fact.version
        recipient.email_confirmed, recipient.eligible_since = False, None


def _permission(recipient: Recipient, fact: Fact) -> None:
    before = recipient.consented and recipient.email_confirmed
    if isinstance(fact.event, Supporter.ConsentRecorded):
        recipient.consented = fact.event.granted
    else:
        recipient.email_confirmed = True
    after = recipient.consented and recipient.email_confirmed
    if not (before and after):
        recipient.eligible_since = fact.occurred_at if after else None


def _preference(recipient: Recipient, fact: Fact) -> None:
    match fact.event:
        case Supporter.VisibilitySet(public=public):
            recipient.public = public
        case Supporter.DigestSet() as event:
            recipient.frequency = str(event.frequency)
            recipient.weekday, recipient.hour = event.weekday, event.hour
        case Supporter.ChapterJoined(chapter=chapter):
            recipient.chapters.append(chapter)
        case Supporter.ChapterLeft(chapter=chapter):
            recipient.chapters = [one for one in recipient.chapters if one != chapter]
        case _:
            pass


def _clear(value: object) -> str | None:
    return value if isinstance(value, str) else None
