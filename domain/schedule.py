"""When a digest is due: a pure question about local periods, so a missed or doubled tick is harmless.

A period has a key (``daily:2026-11-22``, ``weekly:2026-W47``, ``monthly:2026-11``), the day it is for, and the moment
it falls due. An hour that the clocks skip falls due when they have moved on; one that they repeat, the first time
(PEP 495, fold=0).

A wish can change at any time: another hour, weekday, frequency or zone. Nobody gets two digests for one local period
all the same. After the one told last, a period may be told only if

1. its key is later, where both are of the same frequency: whoever goes west lives through the same day twice, and had
   that day's digest the first time;
2. it is later than the period, by the calendar of the present wish, in which the last one fell due: whoever goes east,
   or changes from weekly to daily, had the digest of this day already, by whatever name.

What is told is a range of history, so nothing is lost where a period is left out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from domain.kernel import Invalid, zone

GREENWICH: Final = zone("UTC")
MONDAY: Final = 1
MORNING: Final = 8
AHEAD: Final = timedelta(days=1)
"""What lies further ahead than that was told by a clock that was wrong; less passes by itself."""


class Frequency(StrEnum):
    """How often a supporter wants the digest."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    OFF = "off"


class Wish(NamedTuple):
    """When somebody wants the digest; what is not set is every Monday (ISO weekday 1) at 8 o'clock."""

    frequency: str | None = None
    weekday: int | None = None
    hour: int | None = None
    time_zone: str | None = None


@dataclass(frozen=True)
class Period:
    """One digest's place in time."""

    key: str
    day: date
    due_at: datetime


class Told(NamedTuple):
    """The period of the digest that a person was told last, and the moment it fell due."""

    key: str
    due_at: datetime

    @property
    def plausible(self) -> bool:
        """Whether some time zone has the moment in that period; anything else is no digest of ours."""
        frequency, _, _ = self.key.partition(":")
        if frequency not in _NAMES:
            return False
        days = (self.due_at.date() + timedelta(days=offset) for offset in (-1, 0, 1))
        return self.key in {key_of(Frequency(frequency), day) for day in days}

    def follows(self, before: "Told | None", heard_at: datetime) -> bool:
        """Tell whether this is the one told last, heard of at a moment, after the one that was so far.

        A later one is; and any that has fallen due by then, where the one so far never has.
        """
        if before is None or self.due_at > before.due_at:
            return True
        return self.due_at <= heard_at + AHEAD < before.due_at


@dataclass(frozen=True)
class Bounds:
    """What else decides whether a period may be told: none that fell due before a moment, none of an earlier day.

    ``since`` is when everything that digests need was there, ``paused_until`` the day on which a pause ends.
    """

    since: datetime | None = None
    told: Told | None = None
    paused_until: date | None = None

    def allow(self, wish: Wish, period: Period) -> bool:
        """Tell whether a period of the wish may be told."""
        if self.since is not None and period.due_at < self.since:
            return False
        if self.paused_until is not None and period.day < self.paused_until:
            return False
        return self.told is None or _later(wish, period, self.told)

    @property
    def counted_from(self) -> datetime | None:
        """The moment after which periods are looked for."""
        moments = [moment for moment in (self.since, self.told and self.told.due_at) if moment is not None]
        return max(moments, default=None)

    def at(self, now: datetime) -> "Bounds":
        """Return what holds at a moment: of what lies ahead nothing has been, whatever a clock once said."""
        since = None if self.since is None or self.since > now + AHEAD else self.since
        told = None if self.told is None or self.told.due_at > now + AHEAD else self.told
        return replace(self, since=since, told=told)


ANY: Final = Bounds()


def latest(wish: Wish, now: datetime) -> Period | None:
    """Return the newest period that has fallen due by now, None where no digest is wanted."""
    frequency = frequency_of(wish)
    if frequency is Frequency.OFF:
        return None
    today = now.astimezone(place_of(wish)).date()
    for back in range(3):
        period = _period(wish, _DAYS[frequency](today, wish.weekday, -back))
        if period.due_at <= now:
            return period
    return None


def due(wish: Wish, now: datetime, bounds: Bounds = ANY) -> Period | None:
    """Return the period that is to be told now: the newest that has fallen due, if it may be told at all."""
    period = latest(wish, now)
    return period if period is not None and bounds.allow(wish, period) else None


def upcoming(wish: Wish, bounds: Bounds) -> datetime | None:
    """Return the first moment at which a period falls due that may be told; None where none ever does.

    One of ``bounds.since`` and ``bounds.told`` must be given.
    """
    try:
        return next(period.due_at for period in _from(wish, bounds) if bounds.allow(wish, period))
    except (OverflowError, ValueError, StopIteration):  # the calendar ends, or no digest is wanted
        return None


def _from(wish: Wish, bounds: Bounds) -> Iterator[Period]:
    """Yield periods without end, from one that is too early on."""
    frequency, moment = frequency_of(wish), bounds.counted_from
    if frequency is Frequency.OFF or moment is None:
        return
    start = moment.astimezone(place_of(wish)).date()
    if bounds.paused_until is not None:
        start = max(start, bounds.paused_until)
    ahead = 0
    while True:
        yield _period(wish, _DAYS[frequency](start, wish.weekday, ahead))
        ahead += 1


def _later(wish: Wish, period: Period, told: Told) -> bool:
    """Tell whether a period comes after the one told last, by the two rules of this module."""
    frequency = frequency_of(wish)
    same = told.key.startswith(f"{frequency}:")
    if same and period.key <= told.key:
        return False
    return key_of(frequency, told.due_at.astimezone(place_of(wish)).date()) < period.key


def _period(wish: Wish, day: date) -> Period:
    hour = MORNING if wish.hour is None else wish.hour
    moment = datetime.combine(day, time(hour), place_of(wish)).astimezone(UTC)
    return Period(key_of(frequency_of(wish), day), day, moment)


def frequency_of(wish: Wish) -> Frequency:
    """Return how often a digest is wanted."""
    return Frequency(wish.frequency or Frequency.WEEKLY)


def place_of(wish: Wish) -> ZoneInfo:
    """Return the time zone of a wish; UTC for a name that this machine's tables do not have (any more)."""
    try:
        return zone(wish.time_zone) if wish.time_zone else GREENWICH
    except Invalid:
        return GREENWICH


def key_of(frequency: Frequency, day: date) -> str:
    """Return the key of the period that a day belongs to; of one frequency, later keys sort after earlier ones."""
    return f"{frequency}:{_NAMES[frequency](day)}"


def _daily(today: date, _weekday: int | None, ahead: int) -> date:
    return today + timedelta(days=ahead)


def _weekly(today: date, weekday: int | None, ahead: int) -> date:
    return today + timedelta(days=(weekday or MONDAY) - today.isoweekday() + 7 * ahead)


def _monthly(today: date, weekday: int | None, ahead: int) -> date:
    """The first day of the month, or the first such weekday where one was chosen."""
    months = today.year * 12 + today.month - 1 + ahead
    first = date(months // 12, months % 12 + 1, 1)
    return first if weekday is None else first + timedelta(days=(weekday - first.isoweekday()) % 7)


def _week(day: date) -> str:
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"


_DAYS: Final[dict[Frequency, Callable[[date, int | None, int], date]]] = {
    Frequency.DAILY: _daily,
    Frequency.WEEKLY: _weekly,
    Frequency.MONTHLY: _monthly,
}
"""The day of the period so many periods from that of a day."""

_NAMES: Final[dict[Frequency, Callable[[date], str]]] = {
    Frequency.DAILY: str,
    Frequency.WEEKLY: _week,
    Frequency.MONTHLY: "{:%Y-%m}".format,
}
