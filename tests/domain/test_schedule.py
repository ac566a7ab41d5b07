"""When a digest is due, asked every hour of a year in zones with every kind of clock."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.schedule import Bounds, Period, Told, Wish, due, frequency_of, key_of, latest, place_of, upcoming

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


# --- wishes that change: nobody gets two digests for one local period ---

AUCKLAND, HONOLULU = "Pacific/Auckland", "Pacific/Honolulu"
LONGEST = {"daily": timedelta(days=1), "weekly": timedelta(days=7), "monthly": timedelta(days=31)}


class Sent(NamedTuple):
    """A digest that was sent, by the wish of that time."""

    wish: Wish
    period: Period


def sent(wishes: list[tuple[datetime, Wish]], until: datetime) -> list[Sent]:
    """Tick every hour from the first wish on, as the wishes change at their moments; return what is sent.

    As for a supporter, another frequency counts from when it was chosen.
    """
    moment, wish = wishes[0]
    since, changes = moment, wishes[1:]
    told: list[Sent] = []
    last, following = None, upcoming(wish, Bounds(since))
    while moment < until:
        if changes and changes[0][0] <= moment:
            since = changes[0][0] if changes[0][1].frequency != wish.frequency else since
            wish = changes.pop(0)[1]
            following = upcoming(wish, Bounds(since, last))
        period = due(wish, moment, Bounds(since, last))
        assert (period is not None) == (following is not None and following <= moment)
        if period is not None:
            told.append(Sent(wish, period))
            last = Told(period.key, period.due_at)
            following = upcoming(wish, Bounds(since, last))
            assert following is not None
            assert following - last.due_at <= 2 * LONGEST[frequency_of(wish)] + timedelta(days=3)
        moment += timedelta(hours=1)
    return told


def day(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def keys(told: list[Sent]) -> list[str]:
    return [one.period.key for one in told]


def test_whoever_flies_west_over_the_date_line_gets_no_day_twice() -> None:
    wishes = [
        (day("2026-05-18", AUCKLAND), Wish("daily", None, 8, AUCKLAND)),
        (day("2026-05-20T12:00", AUCKLAND), Wish("daily", None, 18, HONOLULU)),  # there it is the 19th, 14:00
    ]
    told = sent(wishes, day("2026-05-23", HONOLULU))
    assert keys(told) == [f"daily:2026-05-{number}" for number in (18, 19, 20, 21, 22)]
    assert told[3].period.due_at == day("2026-05-21T18:00", HONOLULU)


def test_whoever_flies_east_over_the_date_line_gets_no_second_one_on_the_day_of_arrival() -> None:
    wishes = [
        (day("2026-05-18", HONOLULU), Wish("daily", None, 14, HONOLULU)),
        (day("2026-05-19T15:00", HONOLULU), Wish("daily", None, 18, AUCKLAND)),  # there it is the 20th, 13:00
    ]
    told = sent(wishes, day("2026-05-23", AUCKLAND))
    assert keys(told) == [f"daily:2026-05-{number}" for number in (18, 19, 21, 22)]
    assert told[2].period.due_at == day("2026-05-21T18:00", AUCKLAND)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (Wish("weekly", 3), Wish("daily", None, 18), ["weekly:2026-W21", "daily:2026-05-21"]),  # not that evening
        (Wish("daily"), Wish("weekly", 5), ["daily:2026-05-20", "weekly:2026-W22"]),  # the week has had some
        (Wish("weekly", 3), Wish("monthly"), ["weekly:2026-W21", "monthly:2026-06"]),
        (Wish("monthly", 3), Wish("weekly", 5), ["monthly:2026-05", "weekly:2026-W21"]),
        (Wish("weekly", 3), Wish("weekly", 5), ["weekly:2026-W21", "weekly:2026-W22"]),
        (Wish("weekly", 1), Wish("weekly", 7), ["weekly:2026-W21", "weekly:2026-W22"]),
        (Wish("daily", None, 8), Wish("daily", None, 20), ["daily:2026-05-20", "daily:2026-05-21"]),
    ],
)
def test_another_frequency_weekday_or_hour_brings_no_second_one(before: Wish, after: Wish, expected: list[str]) -> None:
    told = sent([(day("2026-05-01"), before), (day("2026-05-20T12:00"), after)], day("2026-06-08"))
    changed = next(number for number, one in enumerate(told) if one.wish == after)
    assert keys(told)[changed - 1 : changed + 1] == expected


def test_a_day_that_has_passed_when_it_is_chosen_is_made_up_for_in_the_same_period() -> None:
    wishes = [(day("2026-05-11"), Wish("weekly", 5)), (day("2026-05-20T12:00"), Wish("weekly", 1))]
    told = sent(wishes, day("2026-06-01"))
    assert keys(told) == ["weekly:2026-W20", "weekly:2026-W21", "weekly:2026-W22"]


@st.composite
def changing(draw: st.DrawFn) -> list[tuple[datetime, Wish]]:
    """Wishes, each some hours after the one before, over both changes of clocks."""
    moment = datetime(2026, draw(st.sampled_from([3, 10])), 20, tzinfo=UTC)
    wishes = []
    for _ in range(draw(st.integers(1, 5))):
        wish = Wish(
            draw(st.sampled_from(["daily", "daily", "weekly", "monthly"])),
            draw(st.none() | st.integers(1, 7)),
            draw(st.integers(0, 23)),
            draw(st.sampled_from((*ZONES, HONOLULU))),
        )
        wishes.append((moment, wish))
        moment += timedelta(hours=draw(st.integers(1, 200)))
    return wishes


@settings(max_examples=60)
@given(changing())
def test_no_wish_however_it_changes_brings_two_digests_for_one_local_period(
    wishes: list[tuple[datetime, Wish]],
) -> None:
    told = sent(wishes, wishes[-1][0] + timedelta(days=20))
    assert len(set(keys(told))) == len(told)
    for before, one in pairwise(told):
        assert before.period.due_at < one.period.due_at
        had = before.period.due_at.astimezone(place_of(one.wish)).date()
        assert key_of(frequency_of(one.wish), had) < one.period.key


@settings(max_examples=25)
@given(changing())
def test_a_wish_that_stays_brings_one_digest_for_each_period(wishes: list[tuple[datetime, Wish]]) -> None:
    begin, wish = wishes[0]
    end = begin + timedelta(days=40)
    expected = {period.key for period in periods(wish, begin, end) if period.due_at >= begin}
    assert set(keys(sent([(begin, wish)], end))) == expected


def periods(wish: Wish, begin: datetime, end: datetime) -> Iterator[Period]:
    """Yield the newest period of each hour."""
    while begin < end:
        if found := latest(wish, begin):
            yield found
        begin += timedelta(hours=1)


# --- pauses, and what is no digest of ours ---


def test_a_pause_lets_periods_go_by_and_ends_on_its_day() -> None:
    wish, begin = Wish("daily", None, 0, AUCKLAND), day("2026-05-01", AUCKLAND)
    paused = Bounds(begin, None, date(2026, 5, 4))
    assert upcoming(wish, paused) == day("2026-05-04", AUCKLAND)
    assert due(wish, day("2026-05-03T23:59", AUCKLAND), paused) is None
    found = due(wish, day("2026-05-04", AUCKLAND), paused)
    assert found is not None
    assert found.key == "daily:2026-05-04"
    assert upcoming(Wish("monthly", None, 8, "UTC"), paused) == day("2026-06-01T08:00")


@pytest.mark.parametrize("wish", [Wish("off"), Wish("daily", None, 23, HONOLULU), Wish("monthly", 7, 8)])
def test_what_never_comes_is_due_at_no_moment(wish: Wish) -> None:
    assert upcoming(wish, Bounds(day("2026-05-01"), None, date.max)) is None


@pytest.mark.parametrize(
    ("key", "good"),
    [
        ("daily:2026-05-19", True),
        ("daily:2026-05-21", True),
        ("weekly:2026-W21", True),
        ("monthly:2026-05", True),
        ("daily:2026-05-23", False),
        ("weekly:2026-W22", False),
        ("hourly:2026-05-20", False),
        ("off:2026-05-20", False),
        ("daily:zzzz", False),
        ("", False),
    ],
)
def test_what_was_told_is_believed_where_it_can_have_been_so(key: str, good: bool) -> None:  # noqa: FBT001
    assert Told(key, day("2026-05-20T12:00")).plausible is good
