"""Who is due: planned by the real planner into the real outbox; only the sending is left out."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from domain.kernel import identify
from notifications import planning
from notifications.caps import check
from notifications.service import Notifications
from notifications.tables import outbox
from projections.rebuild import compare, rebuild
from projections.subscriptions import Subscriptions
from tests.domain.test_schedule import ZONES
from tests.support.mails import ANNA, MONDAY, join, service
from tests.support.store import Store

DAY, WEEK = timedelta(days=1), timedelta(days=7)
SHORTEST_DAY = timedelta(hours=23)
"""Nobody's digests fall due at moments closer together, so that ticks so far apart see each of them."""


def rows(store: Store) -> Sequence[Any]:
    with store.engine.database.read() as connection:
        return connection.execute(sa.select(outbox).order_by(outbox.c.due_at, outbox.c.supporter)).all()


def periods(store: Store, supporter: UUID = ANNA) -> list[str]:
    return [row.period for row in rows(store) if row.supporter == supporter]


def send(store: Store, outcome: str = "accepted") -> None:
    """Stand in for the sender: every mail that waits comes to the same, and the history hears of it."""
    with store.engine.database.write() as connection:
        waiting = connection.execute(sa.select(outbox).where(outbox.c.state == "pending")).all()
        connection.execute(outbox.update().where(outbox.c.state == "pending").values(state=outcome))
    store.write([store.request("mails.record", _told(row, outcome), at=row.due_at) for row in waiting])
    store.catch_up()


def _told(row: Any, outcome: str) -> dict[str, Any]:  # noqa: ANN401 - a row of the outbox
    return {
        "mail": str(row.id),
        "supporter": str(row.supporter),
        "kind": row.kind,
        "period": row.period,
        "due_at": row.due_at.isoformat(),
        "outcome": outcome,
    }


def eligible(store: Store, name: str, at: datetime, zone: str = "UTC", **wish: Any) -> None:  # noqa: ANN401
    """Register somebody who gets digests from a moment on."""
    moment = at.isoformat()
    store.run("supporters.register", supporter=name, email=f"{name}@example.org", time_zone=zone, at=moment)
    store.run("supporters.confirm_email", supporter=name, at=moment)
    store.run("supporters.consent", supporter=name, topic="digest", granted=True, wording="Yes.", at=moment)
    if wish:
        store.run("supporters.set_digest", supporter=name, at=moment, **wish)
    store.catch_up()


# --- a year ---


@pytest.fixture
def small(database_url: str, tmp_path: Path) -> Iterator[Store]:
    """A store with the one read model that planning asks."""
    with Store(database_url, tmp_path, kinds=planning.KINDS) as opened:
        yield opened


def test_a_year_over_all_changes_of_clocks_gives_each_the_expected_number(small: Store, tmp_path: Path) -> None:
    store, mails = small, service(small, tmp_path)
    begin, end = datetime(2025, 12, 27, tzinfo=UTC), datetime(2027, 1, 4, tzinfo=UTC)
    hours = {"daily": 2, "weekly": 0, "monthly": 23}  # two is skipped and repeated, the others are on the edge of a day
    for number, zone in enumerate(ZONES):
        for frequency, hour in hours.items():
            weekday = None if frequency == "daily" else number % 7 + 1
            eligible(store, f"{frequency}-{number}", begin, zone, frequency=frequency, weekday=weekday, hour=hour)
    moment = begin
    while moment < end:
        mails.plan(moment)
        if moment.isoweekday() == 1:  # when the history hears of it
            assert mails.plan(moment) == 0
            send(store)
        moment += SHORTEST_DAY
    send(store)
    found: defaultdict[UUID, list[Any]] = defaultdict(list)
    for row in rows(store):
        found[row.supporter].append(row)
    for number, zone in enumerate(ZONES):
        for frequency, expected in (("daily", 365), ("weekly", 53), ("monthly", 12)):
            mine = [row for row in found[identify("supporter", f"{frequency}-{number}")] if ":2026-" in row.period]
            assert len(mine) == len({row.period for row in mine}) == expected, zone
            local = {row.due_at.astimezone(ZoneInfo(zone)).hour for row in mine}
            assert local <= {hours[frequency], hours[frequency] + 1} if frequency == "daily" else {hours[frequency]}
    assert compare(store.runner, [Subscriptions]) == []


def test_a_laptop_that_slept_for_a_week_catches_up_with_the_newest_period_only(
    store: Store, mails: Notifications
) -> None:
    eligible(store, "anna", MONDAY, frequency="daily")
    assert mails.plan(MONDAY + DAY) == 1
    send(store)
    assert mails.plan(MONDAY + WEEK) == 1
    assert periods(store) == ["daily:2026-03-10", "daily:2026-03-16"]


# --- what the history has not heard of yet ---


def test_what_is_planned_is_not_planned_again_before_its_outcome_is_known(store: Store, mails: Notifications) -> None:
    eligible(store, "anna", MONDAY, frequency="daily")
    assert [mails.plan(MONDAY + DAY) for _ in range(3)] == [1, 0, 0]
    assert mails.audience(MONDAY + DAY).new == 0


@pytest.mark.parametrize("told", [True, False])
def test_who_changes_zone_and_frequency_after_a_digest_gets_no_second_one_that_day(
    store: Store,
    mails: Notifications,
    told: bool,  # noqa: FBT001
) -> None:
    eligible(store, "anna", MONDAY - DAY, "Pacific/Auckland", frequency="daily", hour=8)
    first = datetime(2026, 3, 9, 8, 30, tzinfo=ZoneInfo("Pacific/Auckland"))
    assert mails.plan(first) == 1
    if told:
        send(store)
    at = first.isoformat()
    store.run("supporters.amend", supporter="anna", time_zone="Pacific/Honolulu", at=at)
    store.run("supporters.set_digest", supporter="anna", frequency="daily", hour=18, at=at)
    store.catch_up()
    there = datetime(2026, 3, 8, 18, 30, tzinfo=ZoneInfo("Pacific/Honolulu"))
    assert [mails.plan(there + number * DAY) for number in range(3)] == [0, 0, 1]
    assert periods(store) == ["daily:2026-03-09", "daily:2026-03-10"]


@pytest.mark.parametrize("outcome", ["suppressed", "deferred", "refused", "unknown", "bounced"])
def test_whatever_becomes_of_a_digest_its_period_had_its_turn(store: Store, mails: Notifications, outcome: str) -> None:
    eligible(store, "anna", MONDAY - DAY)
    assert mails.plan(MONDAY) == 1
    send(store, outcome)
    assert mails.plan(MONDAY + DAY) == 0
    assert mails.plan(MONDAY + WEEK) == 1


# --- a clock that was wrong ---

ASTRAY = datetime(2036, 8, 20, 9, tzinfo=UTC)
"""What the clock says for an hour."""


@pytest.mark.parametrize(("frequency", "gap"), [("daily", DAY), ("weekly", WEEK), ("monthly", 31 * DAY)])
@pytest.mark.parametrize("heard", [True, False])
def test_who_was_mailed_while_the_clock_was_wrong_gets_the_next_digest_in_its_time(
    store: Store,
    mails: Notifications,
    frequency: str,
    gap: timedelta,
    heard: bool,  # noqa: FBT001
) -> None:
    eligible(store, "anna", MONDAY - 40 * DAY, frequency=frequency)
    eligible(store, "bela", MONDAY, frequency="weekly")
    assert mails.plan(MONDAY) == 1
    send(store)
    assert [mails.plan(ASTRAY), mails.plan(ASTRAY + DAY)] == [2, int(frequency == "daily")]
    if heard:
        send(store)
    assert mails.plan(MONDAY + timedelta(hours=1), astray=True) == 0  # this period had its turn
    after = [MONDAY + gap, MONDAY + gap + timedelta(hours=1), MONDAY + 2 * gap]
    found = []
    for moment in after:
        mails.plan(moment, astray=True)
        found.append(len([row for row in rows(store) if row.supporter == ANNA and row.due_at <= moment]))
        send(store)
    assert found == [2, 2, 3]
    assert compare(store.runner, [Subscriptions]) == []
    with store.seen(Subscriptions) as (model, connection):
        assert ANNA not in {row.supporter for row in model.ahead(connection, MONDAY + 2 * gap)}


def test_who_consented_while_the_clock_was_wrong_gets_digests_once_it_is_right(
    store: Store, mails: Notifications
) -> None:
    eligible(store, "anna", ASTRAY, frequency="weekly")
    found = []
    for moment in (MONDAY, MONDAY + DAY, MONDAY + WEEK):
        found.append(mails.plan(moment, astray=True))
        send(store)
    assert found == [1, 0, 1]


@pytest.mark.parametrize("frequency", ["daily", "weekly", "monthly"])
@pytest.mark.parametrize("back", [3, 10, 400, 2_000])
def test_a_clock_that_is_behind_plans_nothing(store: Store, mails: Notifications, frequency: str, back: int) -> None:
    eligible(store, "anna", MONDAY - 40 * DAY, frequency=frequency)
    assert mails.plan(MONDAY) == 1
    send(store)
    assert mails.plan(MONDAY - back * DAY) == 0


def test_nobody_comes_between_counting_and_planning(
    store: Store, mails: Notifications, monkeypatch: pytest.MonkeyPatch
) -> None:
    eligible(store, "anna", MONDAY - 40 * DAY)

    def late(size: int, limit: int | None) -> None:
        check(size, limit)
        eligible(store, "bela", MONDAY - 40 * DAY)

    monkeypatch.setattr("notifications.service.check", late)
    assert mails.plan(MONDAY, limit=1) == 1


def test_what_is_heard_late_of_an_older_digest_takes_nothing_back(store: Store, mails: Notifications) -> None:
    """Nor does what is heard by a clock that is behind."""
    eligible(store, "anna", MONDAY - DAY)
    assert mails.plan(MONDAY) == 1
    send(store)
    first = rows(store)[0]
    assert mails.plan(MONDAY + WEEK) == 1
    send(store)
    for at in (MONDAY + WEEK, MONDAY - 20 * DAY):
        store.write([store.request("mails.record", _told(first, "bounced") | {"reason": at.isoformat()[:10]}, at=at)])
    store.catch_up()
    with store.seen(Subscriptions) as (model, connection):
        assert model.next_moment(connection, MONDAY) == MONDAY + 2 * WEEK - timedelta(hours=1)


# --- who ---


def test_the_first_period_after_all_is_there_is_the_first_to_be_told(store: Store, mails: Notifications) -> None:
    eligible(store, "anna", MONDAY)
    assert mails.plan(MONDAY + DAY) == 0
    assert mails.plan(MONDAY + WEEK) == 1


@pytest.mark.parametrize(
    ("command", "data"),
    [
        ("supporters.consent", {"topic": "digest", "granted": False, "wording": "No."}),
        ("supporters.amend", {"email": "other@example.org"}),
        ("supporters.set_digest", {"frequency": "off"}),
        ("supporters.pause_digest", {"until": "2026-03-10"}),
        ("supporters.suppress_mail", {"cause": "hard_bounce"}),
        ("supporters.erase", {}),
    ],
)
def test_who_may_get_none_is_not_planned(
    store: Store, mails: Notifications, command: str, data: dict[str, Any]
) -> None:
    eligible(store, "anna", MONDAY - DAY)
    join(store, "bela")
    at = (MONDAY - timedelta(hours=2)).isoformat()
    store.run(command, supporter="anna", reason="Because.", at=at, **data)
    store.catch_up()
    assert mails.plan(MONDAY) == 1
    assert periods(store) == []


def test_a_pause_that_is_over_brings_the_next_digest(store: Store, mails: Notifications) -> None:
    eligible(store, "anna", MONDAY - DAY, "Asia/Tokyo", frequency="daily", hour=9)
    store.run("supporters.pause_digest", supporter="anna", until="2026-03-12", at=MONDAY.isoformat())
    store.catch_up()
    assert [mails.plan(MONDAY + number * DAY) for number in range(5)] == [0, 0, 0, 1, 1]
    assert periods(store) == ["daily:2026-03-12", "daily:2026-03-13"]


# --- many ---


def test_pages_leave_nobody_out(store: Store, mails: Notifications, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "PAGE", 3)
    monkeypatch.setattr(planning, "QUERY", 2)
    for number in range(10):
        eligible(store, f"s{number}", MONDAY - DAY, hour=number % 3, frequency="weekly")
    assert mails.audience(MONDAY).new == 10
    assert mails.plan(MONDAY) == 10
    assert len({row.supporter for row in rows(store)}) == 10
    assert mails.plan(MONDAY) == 0


def test_a_rebuilt_read_model_plans_nothing_twice(store: Store, mails: Notifications) -> None:
    eligible(store, "anna", MONDAY - DAY)
    assert mails.plan(MONDAY) == 1
    send(store)
    rebuild(store.runner, [Subscriptions])
    assert mails.plan(MONDAY + DAY) == 0
    assert mails.plan(MONDAY + WEEK) == 1
