"""When a digest is due, asked every hour of a year in zones with every kind of clock."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from domain.schedule import Wish, latest

ZONES = (
    "UTC",
    "Europe/Lisbon",
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "America/St_Johns",
    "Africa/Cairo",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
)
YEAR = 2026


def year_of(wish: Wish) -> dict[str, datetime]:
    """Ask every half hour of the year, as a ticker does; return each period with the tick that found it first."""
    moment = datetime(YEAR, 1, 1, tzinfo=ZoneInfo(wish.time_zone or "UTC")).astimezone(UTC)
    end = datetime(YEAR + 1, 1, 1, tzinfo=ZoneInfo(wish.time_zone or "UTC")).astimezone(UTC)
    before = latest(wish, moment - timedelta(seconds=1))
    found: dict[str, datetime] = {}
    while moment < end:
        period = latest(wish, moment)
        assert period is not None
        assert period.due_at <= moment
        if before is None or period.key != before.key:
            found.setdefault(period.key, moment)
        moment += timedelta(minutes=30)
    return found


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("hour", [0, 2, 8, 23])
def test_daily_comes_once_on_every_day_of_the_year_at_its_hour(zone: str, hour: int) -> None:
    found = year_of(Wish("daily", None, hour, zone))
    days = [date(YEAR, 1, 1) + timedelta(days=n) for n in range(365)]
    assert sorted(found) == [f"daily:{day}" for day in days]
    for key, moment in found.items():
        local = moment.astimezone(ZoneInfo(zone))
        assert f"daily:{local.date()}" == key
        # in a gap the clock has moved on by half an hour or an hour
        assert local.hour == hour or (local.hour == hour + 1 and local.utcoffset() != _offset_before(local))


def _offset_before(local: datetime) -> timedelta | None:
    return (local.astimezone(UTC) - timedelta(hours=3)).astimezone(local.tzinfo).utcoffset()


@pytest.mark.parametrize("zone", ZONES)
def test_weekly_comes_once_a_week_on_monday_at_eight_where_nothing_was_chosen(zone: str) -> None:
    found = year_of(Wish(None, None, None, zone))
    assert len(found) == 52
    for moment in found.values():
        local = moment.astimezone(ZoneInfo(zone))
        assert (local.isoweekday(), local.hour, local.minute) == (1, 8, 0)


@pytest.mark.parametrize("zone", ZONES)
def test_monthly_comes_once_a_month(zone: str) -> None:
    found = year_of(Wish("monthly", None, 2, zone))
    assert sorted(found) == [f"monthly:{YEAR}-{month:02d}" for month in range(1, 13)]
    on_tuesdays = year_of(Wish("monthly", 2, 9, zone))
    assert sorted(on_tuesdays) == sorted(found)
    assert all(m.astimezone(ZoneInfo(zone)).isoweekday() == 2 for m in on_tuesdays.values())
    assert all(m.astimezone(ZoneInfo(zone)).day <= 7 for m in on_tuesdays.values())


def test_off_is_never_due() -> None:
    assert latest(Wish("off"), datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_an_hour_that_the_clocks_skip_is_due_when_they_have_moved_on() -> None:
    wish = Wish("daily", None, 2, "Europe/Berlin")
    period = latest(wish, datetime(2026, 3, 29, 12, tzinfo=UTC))
    assert period is not None
    assert (period.key, period.due_at) == ("daily:2026-03-29", datetime(2026, 3, 29, 1, tzinfo=UTC))


def test_an_hour_that_the_clocks_repeat_is_due_the_first_time_only() -> None:
    wish = Wish("daily", None, 2, "Europe/Berlin")
    first = latest(wish, datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    again = latest(wish, datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
    assert first is not None
    assert first == again
    assert first.due_at == datetime(2026, 10, 25, 0, tzinfo=UTC)


def test_a_week_that_was_slept_through_is_caught_up_by_its_latest_period_only() -> None:
    period = latest(Wish("daily", None, 8, "UTC"), datetime(2026, 5, 20, 7, tzinfo=UTC))
    assert period is not None
    assert period.key == "daily:2026-05-19"


def test_another_weekday_or_zone_stays_in_the_same_period() -> None:
    moment = datetime(2026, 5, 20, 23, tzinfo=UTC)
    keys = {
        latest(Wish("weekly", weekday, 8, zone), moment) and latest(Wish("weekly", weekday, 8, zone), moment).key  # type: ignore[union-attr]
        for weekday in (1, 2, 3)
        for zone in ZONES
    }
    assert keys == {"weekly:2026-W21"}


def test_the_week_of_the_year_is_that_of_iso_8601() -> None:
    period = latest(Wish("weekly", 5, 8, "UTC"), datetime(2027, 1, 1, 12, tzinfo=UTC))
    assert period is not None
    assert period.key == "weekly:2026-W53"


def test_a_zone_that_is_not_known_any_more_counts_as_utc() -> None:
    assert latest(Wish(None, None, None, "Mars/Olympus"), datetime(2026, 5, 20, tzinfo=UTC)) == latest(
        Wish(), datetime(2026, 5, 20, tzinfo=UTC)
    )
