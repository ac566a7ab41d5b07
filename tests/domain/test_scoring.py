import math

import pytest

from domain.scoring import (
    DEFAULT_POINTS,
    SCORABLE,
    TAKES_BACK,
    Applies,
    AwardRule,
    Ground,
    Publish,
    ScoringRules,
)
from domain.slices import Command
from tests.domain.story import given, happened

WEEK = AwardRule(award="week", title="A week of listening", when=Ground(streak=7))


def publish(
    version: int = 1,
    points: dict[str, float] | None = None,
    cap: float | None = None,
    awards: tuple[AwardRule, ...] = (),
) -> Publish:
    return Publish(
        version=version,
        points={"pledges.Made": 1.0} if points is None else points,
        daily_cap=cap,
        awards=awards,
        applies=Applies.FROM_NOW,
    )


def test_publish_one_version_after_the_other() -> None:
    given().when(
        Publish(
            version=1,
            points={"pledges.Made": 1.25, "actions.Verified": -3.0},
            daily_cap=10.5,
            awards=(WEEK,),
            applies=Applies.TO_ALL_HISTORY,
        )
    ).then(
        happened(
            ScoringRules.Published,
            version=1,
            points={"pledges.Made": 1.25, "actions.Verified": -3.0},
            applies=Applies.TO_ALL_HISTORY,
            daily_cap=10.5,
            awards=(WEEK,),
        )
    ).when(publish(2, {})).then(happened(ScoringRules.Published, version=2, points={}, applies=Applies.FROM_NOW))


@pytest.mark.parametrize("topic", sorted(SCORABLE))
def test_every_topic_about_one_supporter_can_score(topic: str) -> None:
    given(publish(points={topic: 1.0}))


@pytest.mark.parametrize(
    "topic", ["chapters.Founded", "partnerships.Activated", "scoring.Published", "pledges.made", ""]
)
def test_no_other_topic_can_score(topic: str) -> None:
    given().when(publish(points={topic: 1.0})).refused("scoring.topic_unknown")


def test_what_can_score_includes_what_is_promised() -> None:
    promised = {"pledges.Made", "pledges.Renewed", "pledges.CheckedIn", "pledges.Kept"}
    promised |= {"actions.Logged", "actions.Verified", "recognitions.Awarded", "supporters.Registered"}
    assert promised | set(DEFAULT_POINTS) | TAKES_BACK <= SCORABLE


def test_version_0() -> None:
    assert DEFAULT_POINTS == {
        "pledges.Made": 1,
        "pledges.Renewed": 1,
        "pledges.CheckedIn": 2,
        "pledges.Kept": 10,
        "actions.Verified": 10,
        "recognitions.Awarded": 20,
    }


def test_what_takes_back() -> None:
    assert {"pledges.Withdrawn", "actions.Rejected", "actions.Retracted", "recognitions.Revoked"} == TAKES_BACK


@pytest.mark.parametrize("number", [0.0, 0.1, 0.01, 1.1, 2.675 - 0.005, 999_999.99, -1_000_000.0])
def test_points_of_two_decimals(number: float) -> None:
    given(publish(points={"pledges.Made": number}))


@pytest.mark.parametrize("number", [0.001, 1.005, -0.125, math.nan])
def test_points_of_more_decimals(number: float) -> None:
    given().when(publish(points={"pledges.Made": number})).refused("scoring.points_malformed")
    given().when(publish(cap=number)).refused("scoring.points_malformed")


def award(name: str, ground: Ground) -> AwardRule:
    return AwardRule(award=name, title="T", when=ground)


@pytest.mark.parametrize(
    ("before", "command", "code"),
    [
        ((), publish(2), "scoring.version_not_next"),
        ((publish(1),), publish(1), "scoring.version_not_next"),
        ((publish(1),), publish(3), "scoring.version_not_next"),
        ((publish(1), publish(2)), publish(1), "scoring.version_not_next"),
        ((), publish(awards=(award("a", Ground()),)), "scoring.award_ground"),
        ((), publish(awards=(award("a", Ground(streak=1, kept=1)),)), "scoring.award_ground"),
        ((), publish(awards=(WEEK, award("week", Ground(kept=1)))), "scoring.award_twice"),
    ],
)
def test_refused(before: tuple[Command, ...], command: Command, code: str) -> None:
    given(*before).when(command).refused(code)


@pytest.mark.parametrize("ground", [Ground(streak=1), Ground(kept=1), Ground(verified_actions=1)])
def test_any_one_ground(ground: Ground) -> None:
    given(publish(awards=(award("a", ground), award("b", ground))))
