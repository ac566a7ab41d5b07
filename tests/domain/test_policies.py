from datetime import date
from typing import Any

import pytest

from domain.kernel import Conflict, identify
from domain.officials import Register
from domain.policies import (
    AddTarget,
    Advance,
    Conclude,
    Outcome,
    Policy,
    PolicyKind,
    RecordPosition,
    RemoveTarget,
    Stance,
    Track,
)
from domain.slices import Command
from tests.domain.story import given, happened

DAY = date(2024, 5, 15)
MARIA = identify("official", "maria")
REGISTER = Register(official="maria", name="Maria")
TRACK = Track(policy="hr1", title="Listening Act", kind=PolicyKind.BILL, stage="INTRODUCED")
ADVANCE = Advance(policy="hr1", stage="REPORTED", on=DAY)
ADD, REMOVE = AddTarget(policy="hr1", official="maria"), RemoveTarget(policy="hr1", official="maria")
LEANS = RecordPosition(policy="hr1", official="maria", stance=Stance.LEANS_SUPPORT, evidence="letter")
CONCLUDE = Conclude(policy="hr1", outcome=Outcome.WON, on=DAY)


def test_track() -> None:
    particulars: dict[str, Any] = {
        "title": "Listening Act",
        "kind": PolicyKind.CURRICULUM,
        "jurisdiction": "us",
        "stage": "INTRODUCED",
        "url": "https://example.org",
        "ask": "Vote for it",
    }
    given().when(Track(policy="hr1", **particulars)).then(happened(Policy.Tracked, reference="hr1", **particulars))


def test_advance_from_the_stage_it_was_tracked_at_and_back() -> None:
    back = Advance(policy="hr1", stage="INTRODUCED", on=DAY)
    given(TRACK).when(back).refused("policy.already_there").when(ADVANCE).then(
        happened(Policy.Advanced, stage="REPORTED", on=DAY)
    ).when(ADVANCE).refused("policy.already_there").when(back).then(
        happened(Policy.Advanced, stage="INTRODUCED", on=DAY)
    )


def test_targets() -> None:
    given(TRACK, REGISTER).when(ADD).then(happened(Policy.TargetAdded, official=MARIA)).when(ADD).refused(
        "policy.already_target"
    ).when(REMOVE).then(happened(Policy.TargetRemoved, official=MARIA)).when(REMOVE).refused(
        "policy.not_a_target"
    ).when(ADD).then(happened(Policy.TargetAdded, official=MARIA))


def test_a_position_changes_with_the_stance_or_the_evidence() -> None:
    story = given(TRACK, REGISTER)
    for stance, evidence in (
        (Stance.LEANS_SUPPORT, "letter"),
        (Stance.SUPPORTS, "letter"),
        (Stance.SUPPORTS, "vote"),
        (Stance.LEANS_SUPPORT, "letter"),
    ):
        command = RecordPosition(policy="hr1", official="maria", stance=stance, evidence=evidence)
        story.when(command).then(
            happened(Policy.PositionRecorded, official=MARIA, stance=stance, evidence=evidence)
        ).when(command).refused("position.unchanged")


def test_conclude() -> None:
    given(TRACK).when(CONCLUDE).then(happened(Policy.Concluded, outcome=Outcome.WON, on=DAY))


def test_what_is_known_of_officials_goes_on_after_the_conclusion() -> None:
    given(TRACK, REGISTER, CONCLUDE, ADD, LEANS, REMOVE)


@pytest.mark.parametrize(
    ("before", "command", "code"),
    [
        ((TRACK,), TRACK, "policy.exists"),
        ((), ADVANCE, "policy.unknown"),
        ((TRACK, CONCLUDE), ADVANCE, "policy.concluded"),
        ((REGISTER,), ADD, "policy.unknown"),
        ((TRACK,), ADD, "official.unknown"),
        ((REGISTER,), REMOVE, "policy.unknown"),
        ((TRACK,), REMOVE, "official.unknown"),
        ((TRACK, REGISTER), REMOVE, "policy.not_a_target"),
        ((REGISTER,), LEANS, "policy.unknown"),
        ((TRACK,), LEANS, "official.unknown"),
        ((), CONCLUDE, "policy.unknown"),
        ((TRACK, CONCLUDE), CONCLUDE, "policy.already_concluded"),
    ],
)
def test_refused(before: tuple[Command, ...], command: Command, code: str) -> None:
    given(*before).when(command).refused(code)


@pytest.mark.parametrize(("on", "refused"), [(DAY, False), (date(2024, 5, 16), True)])
def test_a_concluded_policy_is_open_until_its_last_day(on: date, *, refused: bool) -> None:
    policy = given(TRACK, CONCLUDE).stage.get(Policy, identify("policy", "hr1"))
    if refused:
        with pytest.raises(Conflict):
            policy.need_open_on(on)
    else:
        policy.need_open_on(on)
