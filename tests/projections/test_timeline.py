from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from domain.kernel import Invalid, identify
from projections.milestones import Milestone, is_round
from projections.rebuild import compare
from projections.timeline import By, Timeline
from tests.support.store import Store


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    with Store(database_url, tmp_path, kinds=[Timeline], batch=7) as store:
        yield store


def tell(store: Store) -> None:
    run = store.run
    run("chapters.found", chapter="lisbon", name="Lisbon", at="2026-01-30T10:00:00Z")
    run("campaigns.draft", campaign="listen", title="Listen", at="2026-01-30T10:00:00Z")
    run("campaigns.amend", campaign="listen", title="Listen more", at="2026-01-30T10:01:00Z")
    run("campaigns.add_ask", campaign="listen", ask="daily", statement="Ten minutes", kind="challenge", days=21)
    run("campaigns.launch", campaign="listen", at="2026-01-31T23:30:00-02:00")
    for name in ("anna", "ben", "eve"):
        run("supporters.register", supporter=name, at="2026-02-02T12:00:00Z")
        run("pledges.make", campaign="listen", ask="daily", supporter=name, at="2026-02-02T13:00:00Z")
    promise = {"campaign": "listen", "ask": "daily"}
    run("pledges.check_in", **promise, supporter="anna", on="2026-02-02", at="2026-02-02T14:00:00Z")
    run("pledges.keep", **promise, supporter="anna", at="2026-02-16T14:00:00Z")
    run("pledges.lapse", **promise, supporter="ben", at="2026-02-16T14:00:00Z")
    run("pledges.withdraw", **promise, supporter="eve", at="2026-02-17T14:00:00Z")
    run("pledges.make", **promise, supporter="eve", at="2026-02-18T14:00:00Z")
    run("policies.track", policy="bill", title="Empathy in schools", kind="bill", at="2026-02-18T14:00:00Z")
    run("policies.conclude", policy="bill", outcome="lost", on="2026-02-18", at="2026-02-19T14:00:00Z")
    run("supporters.erase", supporter="ben", reason="asked", at="2026-03-01T00:00:00Z")


def test_weeks_and_months_are_sums_of_days_with_the_empty_ones_in_between(store: Store) -> None:
    tell(store)
    store.catch_up()
    with store.views() as views:
        timeline = views[Timeline]
        weeks = timeline.buckets(views.connection, By.WEEK)
        months = timeline.buckets(views.connection, By.MONTH, date(2026, 2, 28), date(2026, 4, 1))
    assert [week.start for week in weeks] == [date(2026, 1, 26) + timedelta(weeks=n) for n in range(5)]
    february = months[0]
    assert (february.start, february.end) == (date(2026, 2, 1), date(2026, 2, 28))
    wanted = {"supporters": 3, "pledges_made": 3, "pledges_renewed": 1, "pledges_kept": 1, "pledges_lapsed": 1}
    wanted |= {"pledges_withdrawn": 1, "check_ins": 1}
    assert {name: count for name, count in february.counts.items() if count} == wanted
    assert february.totals["pledges_active"] == 1
    assert february.totals["pledges_made"] == february.totals["supporters"] == 3
    assert february.totals["chapters_open"] == 1
    assert months[1].counts["supporters_erased"] == 1
    assert not any(months[2].counts.values())
    assert months[2].totals == months[1].totals == february.totals


def test_buckets_before_which_something_happened_begin_with_its_totals(store: Store) -> None:
    tell(store)
    store.catch_up()
    with store.views() as views:
        (day,) = views[Timeline].buckets(views.connection, By.DAY, date(2026, 2, 3), date(2026, 2, 3))
        assert day.totals["pledges_active"] == 3
        assert not any(day.counts.values())


def test_pledges_stand_in_each_state_apart_and_made_is_the_sum_of_the_rest(store: Store) -> None:
    tell(store)
    run = store.run
    run("supporters.register", supporter="dora", at="2026-02-16T12:00:00Z")
    dora = {"campaign": "listen", "ask": "daily", "supporter": "dora"}
    run("pledges.make", **dora, at="2026-02-16T13:00:00Z")
    run("pledges.lapse", **dora, at="2026-02-19T14:00:00Z")
    run("pledges.make", **dora, at="2026-02-20T14:00:00Z")
    run("pledges.withdraw", **dora, at="2026-02-21T14:00:00Z")
    run("pledges.withdraw", **dora | {"supporter": "eve"}, at="2026-02-22T14:00:00Z")
    store.catch_up()
    with store.views() as views:
        days = views[Timeline].buckets(views.connection, By.DAY, date(2026, 2, 17), date(2026, 2, 22))
    states = ("active", "kept", "lapsed", "withdrawn")
    stood = [[day.totals[f"pledges_{state}"] for state in states] for day in days]
    assert stood == [[1, 1, 1, 1], [2, 1, 1, 0], [1, 1, 2, 0], [2, 1, 1, 0], [1, 1, 1, 1], [0, 1, 1, 2]]
    assert all(day.totals["pledges_made"] == sum(row) for day, row in zip(days, stood, strict=True))


def test_milestones_carry_the_title_of_their_time(store: Store) -> None:
    tell(store)
    store.catch_up()
    with store.views() as views:
        milestones = views[Timeline].milestones(views.connection)
        later = views[Timeline].milestones(views.connection, date(2026, 2, 1), date(2026, 2, 2))
    told = [(each.kind, each.title, each.detail) for each in milestones]
    assert told == [
        ("campaign_launched", "Listen more", None),
        ("supporters", None, "1"),
        ("pledges", "Listen more", "1"),
        ("policy_concluded", "Empathy in schools", "lost"),
    ]
    assert isinstance(milestones[0], Milestone)
    assert milestones[0].subject == identify("campaign", "listen")
    assert later == milestones[:3]  # launched on the last of January in the west of the ocean, in February by UTC


def test_awards_and_setbacks_are_milestones_unless_they_follow_by_rule(store: Store) -> None:
    run = store.run
    rule = {"award": "pledger", "title": "Pledger", "when": {"kept": 1}}
    run("scoring.publish", version=1, points={"pledges.Made": 1}, awards=[rule], applies="to_all_history")
    tell(store)
    run("recognitions.nominate", recognition="r", title="Star", recipient={"kind": "supporter", "id": "anna"})
    run("recognitions.award", recognition="r", at="2026-03-02T00:00:00Z")
    run("recognitions.revoke", recognition="r", reason="a mistake", at="2026-03-03T00:00:00Z")
    run("partnerships.propose", partnership="luna", name="Luna", kind="media", at="2026-03-04T00:00:00Z")
    run("partnerships.agree", partnership="luna", disclosure="None.", at="2026-03-04T00:00:00Z")
    run("partnerships.activate", partnership="luna", referral="LUNA", at="2026-03-05T00:00:00Z")
    run("partnerships.end", partnership="luna", at="2026-03-06T00:00:00Z")
    run("campaigns.pause", campaign="listen", at="2026-03-07T00:00:00Z")
    run("chapters.close", chapter="lisbon", at="2026-03-08T00:00:00Z")
    run("policies.track", policy="act", title="Act", kind="bill", at="2026-03-09T00:00:00Z")
    run("policies.conclude", policy="act", outcome="won", on="2026-03-09", at="2026-03-09T00:00:00Z")
    store.react()
    store.catch_up()
    with store.views() as views:
        milestones = views[Timeline].milestones(views.connection, date(2026, 2, 18))
        (awarded,) = views[Timeline].buckets(views.connection, By.MONTH, date(2026, 2, 1), date(2026, 2, 1))
    assert awarded.counts["recognitions_awarded"] == 1  # that of the rule, to the one who kept her pledge
    assert [(each.kind, each.title, each.setback) for each in milestones] == [
        ("policy_concluded", "Empathy in schools", True),
        ("recognition_awarded", "Star", False),
        ("recognition_revoked", "Star", True),
        ("partnership_activated", "Luna", False),
        ("partnership_ended", "Luna", True),
        ("campaign_paused", "Listen more", True),
        ("chapter_closed", "Lisbon", True),
        ("policy_concluded", "Act", False),
    ]


def test_rebuilding_gives_the_same_tables(store: Store) -> None:
    tell(store)
    assert compare(store.runner, [Timeline]) == []


def test_an_empty_history_has_no_buckets_unless_asked_for(store: Store) -> None:
    with store.views() as views:
        assert views[Timeline].buckets(views.connection, By.DAY) == []
        assert len(views[Timeline].buckets(views.connection, By.MONTH, date(2026, 1, 1), date(2026, 12, 1))) == 12
        assert views[Timeline].buckets(views.connection, By.DAY, date(2026, 1, 2), date(2026, 1, 1)) == []


def test_too_many_buckets_are_refused(store: Store) -> None:
    with store.views() as views, pytest.raises(Invalid, match="more than"):
        views[Timeline].buckets(views.connection, By.DAY, date.min, date.max)


def test_round_numbers() -> None:
    assert [number for number in range(100_001) if is_round(number)] == [1, 100, 1_000, 10_000, 100_000]
