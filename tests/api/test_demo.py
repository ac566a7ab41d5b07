from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.bootstrap import Groundswell, open_groundswell
from api.demo import fill, story
from api.settings import Settings
from domain.kernel import Conflict, Sealed, fields_of, identify
from projections.campaigns import Campaigns
from projections.rebuild import compare
from tests.support.cli import Cli

FEW = 60


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Groundswell]:
    with open_groundswell(Settings(data_dir=tmp_path_factory.mktemp("demo"))) as groundswell:
        fill(groundswell.engine, FEW)
        groundswell.catch_up()
        yield groundswell


def told(groundswell: Groundswell) -> list[tuple[Any, ...]]:
    """What is recorded, but for the moment of recording and what is sealed with chance."""
    return [
        (
            fact.position,
            fact.topic,
            fact.event_id,
            fact.command_id,
            fact.occurred_at,
            str(fact.actor),
            fact.reason,
            {
                name: value
                for name in fields_of(type(fact.event))
                if not isinstance(value := getattr(fact.event, name), Sealed)
            },
        )
        for fact in groundswell.engine.log.follow()
    ]


def test_the_same_seed_tells_the_same_story_and_another_one_another() -> None:
    assert list(story(FEW, 3)) == list(story(FEW, 3))
    assert list(story(FEW, 3)) != list(story(FEW, 4))


def test_the_same_seed_makes_the_same_history(filled: Groundswell, tmp_path: Path) -> None:
    with open_groundswell(Settings(data_dir=tmp_path)) as again:
        fill(again.engine, FEW)
        assert told(again) == told(filled)[: again.engine.log.head()]


@pytest.mark.parametrize(("supporters", "seed"), [(30, 1), (31, 2), (120, 3)])
def test_no_line_of_it_is_refused(tmp_path: Path, supporters: int, seed: int) -> None:
    with open_groundswell(Settings(data_dir=tmp_path)) as groundswell:
        assert fill(groundswell.engine, supporters, seed) > 500


def test_it_happens_in_order_within_the_half_year() -> None:
    moments = [envelope["at"] for envelope in story(FEW)]
    assert moments == sorted(moments)
    assert moments[0] >= "2026-01-02"
    assert moments[-1] < "2026-07-01"


def test_every_part_of_the_story_is_there(filled: Groundswell) -> None:
    facts = list(filled.engine.log.follow())
    topics = Counter(fact.topic for fact in facts)
    outcomes = {fact.event.outcome for fact in facts if fact.topic == "policies.Concluded"}  # type: ignore[attr-defined]
    locales = {fact.event.locale[:2] for fact in facts if fact.topic == "supporters.Registered"}  # type: ignore[attr-defined]
    zones = {fact.event.time_zone for fact in facts if fact.topic == "pledges.CheckedIn"}  # type: ignore[attr-defined]
    assert outcomes == {"won", "lost"}
    assert locales == {"en", "es", "pt"}
    assert len(zones) >= 5
    for topic in (
        "pledges.Kept", "pledges.Lapsed", "pledges.Renewed", "actions.Verified", "actions.Rejected",
        "actions.ResponseRecorded", "partnerships.Declined", "partnerships.Ended", "partnerships.DeliverableRejected",
        "recognitions.Endorsed", "recognitions.Declined", "campaigns.Framed", "campaigns.Paused", "chapters.Closed",
        "supporters.Erased", "policies.PositionRecorded",
    ):  # fmt: skip
        assert topics[topic], topic
    assert topics["scoring.Published"] == 2
    revoked = [fact for fact in facts if fact.topic == "recognitions.Revoked" and fact.actor.kind == "staff"]
    assert len(revoked) == 1
    assert revoked[0].reason
    by_rule = [fact for fact in facts if fact.topic == "recognitions.Nominated" and fact.actor.kind == "system"]
    given_by_rule = {fact.event.title for fact in by_rule}  # type: ignore[attr-defined]
    assert given_by_rule == {"Seven days in a row", "A challenge kept", "Ten verified actions"}


def test_a_wave_turns_back_after_the_scandal(filled: Groundswell) -> None:
    withdrawn = [
        f for f in filled.engine.log.follow() if f.topic == "pledges.Withdrawn" and "Nimbus" in (f.reason or "")
    ]
    assert len(withdrawn) >= 5
    assert {fact.occurred_at.month for fact in withdrawn} == {5}
    with filled.reader.open([Campaigns]) as views:
        row = views[Campaigns].find(views.connection, identify("campaign", "uma-porta"))
        assert row is not None
        assert row.withdrawn >= len(withdrawn)


def test_some_days_are_told_late_and_no_name_stands_in_the_clear(filled: Groundswell) -> None:
    late = 0
    for fact in filled.engine.log.follow():
        if fact.topic == "pledges.CheckedIn":
            late += fact.event.on < fact.occurred_at.date()  # type: ignore[attr-defined]
    assert late > 20
    names = [
        fact.event.name.split()[-1]  # type: ignore[attr-defined]
        for fact in filled.engine.log.follow(opened=True)
        if fact.topic == "supporters.Registered" and isinstance(fact.event.name, str)  # type: ignore[attr-defined]
    ]
    assert names
    actors = {fact.actor.name for fact in filled.engine.log.follow() if fact.actor.kind == "supporter"}
    assert not [actor for actor in actors if any(name.lower() in actor for name in names)]


def test_the_read_models_of_it_are_what_a_rebuild_would_make(filled: Groundswell) -> None:
    assert compare(filled.runner, filled.runner.kinds) == []


def test_a_store_that_is_not_empty_is_left_alone(filled: Groundswell, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="only fills an empty one"):
        fill(filled.engine)
    cli = Cli(tmp_path)
    first = cli("demo", "--supporters", "30")
    assert first.status == 0
    assert "30 supporters" in first.out
    again = cli("demo", "--supporters", "30")
    assert (again.status, again.code) == (2, "store.not_empty")
    assert cli("demo", "--supporters", "3").code == "arguments.invalid"
