"""When a digest is due: a pure question about a local period, so a missed or doubled tick is harmless.

A period has a key (``daily:2026-11-22``, ``weekly:2026-W47``, ``monthly:2026-11``) and the moment it falls due. An hour
that the clocks skip falls due when they have moved on; one that they repeat, the first time (PEP 495, fold=0).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from domain.kernel import Invalid, zone
from domain.supporters import UTC_NAME, Frequency

MONDAY: Final = 1
MORNING: Final = 8


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
    due_at: datetime


def latest(wish: Wish, now: datetime) -> Period | None:
    """Return the newest period that has fallen due by now, None where no digest is wanted."""
    frequency = Frequency(wish.frequency or Frequency.WEEKLY)
    if frequency is Frequency.OFF:
        return None
    place = _zone(wish.time_zone)
    hour = MORNING if wish.hour is None else wish.hour
    today = now.astimezone(place).date()
    for day in _DAYS[frequency](today, wish.weekday):
        due = datetime.combine(day, time(hour), place).astimezone(UTC)
        if due <= now:
            return Period(_KEYS[frequency](day), due)
    return None


def _zone(name: str | None) -> ZoneInfo:
    try:
        return zone(name or UTC_NAME)
    except Invalid:  # a name that this machine's tables do not have (any more)
        return zone(UTC_NAME)


def _daily(today: date, _weekday: int | None) -> Iterator[date]:
    for back in range(3):
        yield today - timedelta(days=back)


def _weekly(today: date, weekday: int | None) -> Iterator[date]:
    last = today - timedelta(days=(today.isoweekday() - (weekday or MONDAY)) % 7)
    yield last
    yield last - timedelta(days=7)


def _monthly(today: date, weekday: int | None) -> Iterator[date]:
    """The first day of the month, or the first such weekday where one was chosen."""
    first = today.replace(day=1)
    for start in (first, (first - timedelta(days=1)).replace(day=1)):
        yield start if weekday is None else start + timedelta(days=(weekday - start.isoweekday()) % 7)


def _week_key(day: date) -> str:
    year, week, _ = day.isocalendar()
    return f"weekly:{year}-W{week:02d}"


_DAYS: Final[dict[Frequency, Callable[[date, int | None], Iterator[date]]]] = {
    Frequency.DAILY: _daily,
    Frequency.WEEKLY: _weekly,
    Frequency.MONTHLY: _monthly,
}
_KEYS: Final[dict[Frequency, Callable[[date], str]]] = {
    Frequency.DAILY: lambda day: f"daily:{day}",
    Frequency.WEEKLY: _week_key,
    Frequency.MONTHLY: lambda day: f"monthly:{day:%Y-%m}",
}
