"""Streaks are those that a person would count on a wall calendar, wherever they live and whatever clocks do."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.kernel import identify
from domain.pledges import pledge_id, streaks
from projections.pledges import Pledges
from tests.support.store import Store

ZONES: Final = (
    "UTC",
    "Europe/Lisbon",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour of summer time
    "Asia/Kathmandu",
    "Pacific/Apia",  # had no 30 December 2011
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",  # 25 hours behind Kiritimati
)
MOMENTS: Final = (
    datetime(2011, 12, 27, 9, tzinfo=UTC),  # Apia is about to skip a day
    datetime(2024, 2, 26, 23, tzinfo=UTC),  # a leap day comes
    datetime(2026, 2, 26, 23, tzinfo=UTC),  # and none
    datetime(2026, 3, 6, 4, tzinfo=UTC),  # summer time begins in New York,
    datetime(2026, 3, 27, 22, tzinfo=UTC),  # in Lisbon,
    datetime(2026, 4, 3, 12, tzinfo=UTC),  # ends on Lord Howe Island,
    datetime(2026, 10, 23, 23, tzinfo=UTC),  # in Lisbon
    datetime(2026, 12, 29, 6, tzinfo=UTC),
)
numbers = itertools.count()


@dataclass
class Calendar:
    """What somebody with a calendar on the wall makes of it: days are ticked off one by one."""

    zone: str
    backdating: int
    rest: int
    made_on: date = date.min
    ticked: list[date] = field(default_factory=list)

    def today(self, at: datetime) -> date:
        return at.astimezone(ZoneInfo(self.zone)).date()

    def may_tick(self, day: date, at: datetime) -> bool:
        earliest = max(self.made_on, self.today(at) - timedelta(days=self.backdating))
        return earliest <= day <= self.today(at) and day not in self.ticked

    def runs(self) -> Iterator[int]:
        """After each ticked day, in order of the calendar, how long the streak is that it belongs to."""
        streak = missed = 0
        day = min(self.ticked)
        while day <= max(self.ticked):
            if day in self.ticked:
                streak, missed = streak + 1, 0
                yield streak
            else:
                missed += 1
                if missed > self.rest:
                    streak = 0
            day += timedelta(days=1)

    def shows(self) -> tuple[int, int, int, date | None]:
        """How many days are ticked, the last streak, the longest, and the last day."""
        if not self.ticked:
            return 0, 0, 0, None
        runs = list(self.runs())
        return len(self.ticked), runs[-1], max(runs), max(self.ticked)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("streaks")
    with Store(f"sqlite:///{folder / 'groundswell.sqlite3'}", folder, kinds=[Pledges], batch=7) as store:
        yield store


steps = st.lists(
    st.one_of(
        st.tuples(st.just("check_in"), st.integers(0, 40), st.integers(-1, 5)),  # hours later, so many days ago
        st.tuples(st.just("move"), st.integers(0, 10), st.sampled_from(ZONES)),
        st.tuples(st.just("renew"), st.integers(0, 30), st.none()),
    ),
    min_size=4,
    max_size=40,
)


@settings(max_examples=60)
@given(
    begins=st.sampled_from(MOMENTS),
    zone=st.sampled_from(ZONES),
    backdating=st.integers(0, 4),
    rest=st.integers(0, 2),
    steps=steps,
)
def test_streaks_are_those_of_a_wall_calendar(
    store: Store,
    begins: datetime,
    zone: str,
    backdating: int,
    rest: int,
    steps: list[tuple[str, int, int | str | None]],
) -> None:
    campaign, supporter = (f"{name}{next(numbers)}" for name in "cs")
    names = {"campaign": campaign, "ask": "daily", "supporter": supporter}
    terms = {"kind": "challenge", "days": 30, "backdating_days": backdating, "rest_days": rest}
    opening: list[tuple[str, dict[str, Any]]] = [
        ("campaigns.draft", {"campaign": campaign, "title": "C"}),
        ("campaigns.add_ask", {"campaign": campaign, "ask": "daily", "statement": "Daily"} | terms),
        ("campaigns.launch", {"campaign": campaign}),
        ("supporters.register", {"supporter": supporter, "time_zone": zone}),
        ("pledges.make", names),
    ]
    store.write([store.request(name, data, at=begins) for name, data in opening])
    wall = Calendar(zone, backdating, rest)
    wall.made_on = wall.today(begins)
    at = begins
    requests, expected = [], []
    for what, hours, how in steps:
        at += timedelta(hours=hours)
        match what, how:
            case "check_in", int(ago):
                day = wall.today(at) - timedelta(days=ago)
                requests.append(store.request("pledges.check_in", names | {"on": str(day)}, at=at))
                expected.append(wall.may_tick(day, at))
                wall.ticked += [day] if expected[-1] else []
            case "move", str(there):
                requests.append(store.request("supporters.amend", {"supporter": supporter, "time_zone": there}, at=at))
                expected.append(there != wall.zone)
                wall.zone = there
            case _:
                requests += [store.request(f"pledges.{each}", names, at=at) for each in ("withdraw", "make")]
                expected += [True, True]
                wall.made_on, wall.ticked = wall.today(at), []
    answers = store.engine.write(requests)
    assert [answer.status == "accepted" for answer in answers] == expected
    with store.seen(Pledges) as (pledges, connection):
        (row,) = pledges.of_supporter(connection, identify("supporter", supporter))
        assert row.id == pledge_id(identify("campaign", campaign), "daily", identify("supporter", supporter))
        assert (row.check_ins, row.streak, row.longest_streak, row.last_check_in) == wall.shows()


@given(days=st.sets(st.dates(date(2023, 12, 1), date(2024, 3, 31)), min_size=1), rest=st.integers(0, 3))
def test_the_fold_alone_counts_as_the_calendar_does(days: set[date], rest: int) -> None:
    wall = Calendar("UTC", 0, rest, ticked=sorted(days))
    assert streaks(days, rest) == wall.shows()[1:3]
