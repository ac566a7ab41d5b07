"""What a person may choose about mails, all on one page, and the commands that make it so."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from domain.kernel import UNSET
from domain.preferences import MuteCampaign, PauseDigest, SetDigest, SetVisibility, UnmuteCampaign
from domain.schedule import MORNING, Frequency, frequency_of, place_of
from domain.slices import Command
from domain.supporters import Amend
from notifications.language import spoken
from notifications.recipients import Recipient


@dataclass(frozen=True)
class Preferences:
    """What can be chosen. ``weekday`` is None for Monday or the first of the month, ``language`` one that we have."""

    frequency: Frequency
    weekday: int | None
    hour: int
    time_zone: str
    language: str
    paused_until: date | None
    public: bool
    muted: frozenset[UUID]

    @classmethod
    def of(cls, person: Recipient, now: datetime) -> "Preferences":
        """Return what holds for a person; a pause that is over is none."""
        return cls(
            frequency=frequency_of(person.wish),
            weekday=person.weekday,
            hour=MORNING if person.hour is None else person.hour,
            time_zone=str(place_of(person.wish)),
            language=spoken(person.locale).code,
            paused_until=person.paused_until if person.paused(now) else None,
            public=person.public,
            muted=frozenset(person.muted),
        )


def changes(person: Recipient, wanted: Preferences, now: datetime) -> Iterator[Command]:
    """Yield the commands by which a person gets what is wanted; only for what differs."""
    who, present = str(person.supporter), Preferences.of(person, now)
    if (wanted.frequency, wanted.weekday, wanted.hour) != (present.frequency, present.weekday, present.hour):
        yield SetDigest(supporter=who, frequency=wanted.frequency, weekday=wanted.weekday, hour=wanted.hour)
    particulars: dict[str, Any] = {
        "time_zone": wanted.time_zone if wanted.time_zone != present.time_zone else UNSET,
        "locale": wanted.language if wanted.language != present.language else UNSET,
    }
    if any(value is not UNSET for value in particulars.values()):
        yield Amend(supporter=who, **particulars)
    if wanted.paused_until != present.paused_until:
        yield PauseDigest(supporter=who, until=wanted.paused_until)
    if wanted.public != present.public:
        yield SetVisibility(supporter=who, public=wanted.public, display_name=person.display_name)
    for campaign in sorted(wanted.muted - present.muted):
        yield MuteCampaign(supporter=who, campaign=str(campaign))
    for campaign in sorted(present.muted - wanted.muted):
        yield UnmuteCampaign(supporter=who, campaign=str(campaign))
