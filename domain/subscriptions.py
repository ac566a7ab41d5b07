"""Whether and when a supporter gets digests: a fold of the supporter's own events, personal data opened or sealed."""

from dataclasses import dataclass
from datetime import date, datetime

from domain.kernel import Event, Sealed, Unset
from domain.schedule import Wish, place_of
from domain.supporters import Supporter, Undeliverable

DIGEST = "digest"
"""The topic of consent that digests need."""

RETURNED = {Undeliverable.HARD_BOUNCE: "bounced", Undeliverable.COMPLAINT: "complained"}
"""What became of an earlier mail to an address that gets no more."""


@dataclass
class Subscription:
    """What one supporter's events say of digests."""

    addressed: bool = False
    """Whether there is an address."""
    email_confirmed: bool = False
    consented: bool | None = None
    """None where nothing was ever said."""
    eligible_since: datetime | None = None
    """When both consent and a confirmed address were there."""
    suppressed: Undeliverable | None = None
    """Why mail to the address came to nothing, until it is confirmed anew or another one is given."""
    paused_until: date | None = None
    """The day, of the person's own, on which digests go on."""
    frequency: str | None = None
    chosen_at: datetime | None = None
    """When this frequency was chosen: it begins with the next period."""
    weekday: int | None = None
    hour: int | None = None
    time_zone: str | None = None
    erased: bool = False

    @property
    def wish(self) -> Wish:
        """When the digest is wanted."""
        return Wish(self.frequency, self.weekday, self.hour, self.time_zone)

    @property
    def returned(self) -> str | None:
        """What became of mail to the address, where for that no more goes there: ``bounced`` or ``complained``."""
        return RETURNED[self.suppressed] if self.suppressed else None

    @property
    def hindrance(self) -> str | None:
        """Why no digest may go to this person, whatever the day; None where it may."""
        if self.erased:
            return "erased"
        if not self.addressed:
            return "no_address"
        if self.returned:
            return self.returned
        if not self.email_confirmed:
            return "unconfirmed"
        if not self.consented:
            return "no_consent"
        return "frequency_off" if self.frequency == "off" else None

    def hindrance_at(self, now: datetime) -> str | None:
        """Why no digest may go to this person at a moment: also ``paused``, by the person's own day."""
        return self.hindrance or ("paused" if self.paused(now) else None)

    def paused(self, now: datetime) -> bool:
        """Tell whether the digests are paused on the person's own day at a moment."""
        return self.paused_until is not None and now.astimezone(place_of(self.wish)).date() < self.paused_until

    @property
    def since(self) -> datetime | None:
        """From when on periods count: all that digests need was there, and this frequency was chosen."""
        if self.eligible_since is None or self.chosen_at is None:
            return self.eligible_since
        return max(self.eligible_since, self.chosen_at)

    def follow(self, event: Event, at: datetime) -> None:
        """Take in what happened at a moment."""
        match event:
            case Supporter.Registered() | Supporter.Amended():
                self._particulars(event)
            case Supporter.EmailConfirmed():
                self.email_confirmed, self.suppressed = True, None
            case Supporter.ConsentRecorded(subject="digest"):
                self.consented = event.granted
            case Supporter.MailSuppressed():
                self.suppressed = event.cause
            case Supporter.Erased():
                self.erased, self.addressed, self.email_confirmed = True, False, False
            case _:
                self._preference(event, at)
        ready = bool(self.addressed and self.email_confirmed and self.consented and not self.suppressed)
        if not ready:
            self.eligible_since = None
        elif self.eligible_since is None:
            self.eligible_since = at

    def _particulars(self, event: Supporter.Registered | Supporter.Amended) -> None:
        if not isinstance(event.time_zone, Unset):
            self.time_zone = event.time_zone
        if not isinstance(event.email, Unset):
            self.addressed = isinstance(event.email, str | Sealed)
            self.email_confirmed, self.suppressed = False, None

    def _preference(self, event: Event, at: datetime) -> None:
        match event:
            case Supporter.DigestSet():
                if (self.frequency or "weekly") != event.frequency:
                    self.chosen_at = at
                self.frequency, self.weekday, self.hour = str(event.frequency), event.weekday, event.hour
            case Supporter.DigestPaused():
                self.paused_until = event.until
            case _:
                pass
