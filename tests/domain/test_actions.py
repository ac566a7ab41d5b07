from datetime import UTC, date, datetime

import pytest

from domain import officials, policies
from domain.actions import Action, ActionKind, ActionState, Log, RecordResponse, Reject, Retract, Verify
from domain.kernel import identify
from domain.policies import Conclude, Outcome, PolicyKind, Track
from domain.slices import Command
from domain.supporters import Erase, Register
from tests.domain.story import NOON, Happened, given, happened

HR1, ANNA = identify("policy", "hr1"), identify("supporter", "anna")
DAY = date(2024, 5, 15)
WORLD = (
    Track(policy="hr1", title="Listening Act", kind=PolicyKind.BILL),
    Register(supporter="anna", time_zone="Europe/Lisbon"),
    officials.Register(official="maria", name="Maria"),
)
VERIFY, REJECT, RETRACT = Verify(action="call-1"), Reject(action="call-1"), Retract(action="call-1")
RESPOND = RecordResponse(action="call-1", summary="She will think about it.", on=DAY)


def log(on: date = DAY, official: str | None = None) -> Log:
    return Log(action="call-1", policy="hr1", supporter="anna", kind=ActionKind.CALL, on=on, official=official)


def about_the_call(event: type[Action.Event], **fields: object) -> Happened:
    return happened(event, policy=HR1, supporter=ANNA, kind=ActionKind.CALL, **fields)


WAYS: dict[ActionState, tuple[Command, ...]] = {
    ActionState.LOGGED: (),
    ActionState.VERIFIED: (VERIFY,),
    ActionState.REJECTED: (REJECT,),
    ActionState.RETRACTED: (RETRACT,),
}
VERDICTS: dict[Command, tuple[type[Action.Event], ActionState, set[ActionState]]] = {
    VERIFY: (Action.Verified, ActionState.VERIFIED, {ActionState.LOGGED, ActionState.REJECTED}),
    REJECT: (Action.Rejected, ActionState.REJECTED, {ActionState.LOGGED, ActionState.VERIFIED}),
    RETRACT: (Action.Retracted, ActionState.RETRACTED, {ActionState.LOGGED, ActionState.VERIFIED}),
}


@pytest.mark.parametrize("state", WAYS)
@pytest.mark.parametrize("command", VERDICTS)
def test_each_verdict_starts_from_its_states_only(state: ActionState, command: Command) -> None:
    event, becomes, starts = VERDICTS[command]
    story = given(*WORLD, log(), *WAYS[state])
    outcome = story.when(command, reason="Checked.")
    if state in starts:
        outcome.then(about_the_call(event))
        state = becomes
    else:
        outcome.refused(f"action.already_{state}" if state is becomes else f"action.{state}")
    assert story.stage.get(Action, identify("action", "call-1")).state is state


def test_log_with_everything() -> None:
    command = Log(
        action="call-1",
        policy="hr1",
        supporter="anna",
        kind=ActionKind.CALL,
        official="maria",
        on=DAY,
        minutes=5,
        note="friendly",
        evidence_url="https://example.org/call",
    )
    story = (
        given(*WORLD)
        .when(command)
        .then(
            about_the_call(
                Action.Logged,
                on=DAY,
                reference="call-1",
                official=identify("official", "maria"),
                minutes=5,
                note="friendly",
                evidence_url="https://example.org/call",
            )
        )
    )
    assert story.facts[-1].event.person == ANNA


def test_a_response_comes_back_to_a_logged_or_verified_action() -> None:
    given(*WORLD, log()).when(RESPOND).then(
        about_the_call(Action.ResponseRecorded, summary="She will think about it.", on=DAY)
    ).and_given(VERIFY, RESPOND)


@pytest.mark.parametrize(
    ("on", "at", "code"),
    [
        (DAY, NOON, None),
        (date(2024, 5, 16), NOON, "action.in_future"),
        (date(2024, 5, 16), datetime(2024, 5, 15, 23, 30, tzinfo=UTC), None),  # already the 16th in Lisbon
        (date(2001, 1, 1), NOON, None),
    ],
)
def test_the_day_is_the_supporters_own(on: date, at: datetime, code: str | None) -> None:
    outcome = given(*WORLD).when(log(on), at=at)
    if code:
        outcome.refused(code)
    else:
        outcome.then(about_the_call(Action.Logged, on=on, reference="call-1"))


@pytest.mark.parametrize(("on", "code"), [(DAY, None), (date(2024, 5, 16), "policy.concluded")])
def test_a_concluded_policy_takes_what_was_done_until_its_last_day(on: date, code: str | None) -> None:
    story = given(*WORLD, Conclude(policy="hr1", outcome=Outcome.LOST, on=DAY))
    outcome = story.when(log(on), at=datetime(2024, 6, 1, tzinfo=UTC))
    if code:
        outcome.refused(code)
    else:
        outcome.then(about_the_call(Action.Logged, on=on, reference="call-1"))


@pytest.mark.parametrize("reason", [None, "", " "])
def test_reject_needs_a_reason(reason: str | None) -> None:
    given(*WORLD, log()).when(REJECT, reason=reason).refused("command.reason_missing")


@pytest.mark.parametrize(
    ("before", "command", "code"),
    [
        ((*WORLD, log()), log(), "action.exists"),
        ((*WORLD, log(), RETRACT), log(), "action.exists"),
        (WORLD[1:], log(), "policy.unknown"),
        (WORLD[:1], log(), "supporter.unknown"),
        ((*WORLD, Erase(supporter="anna")), log(), "supporter.erased"),
        (WORLD, log(official="nobody"), "official.unknown"),
        ((*WORLD, log(), REJECT), RESPOND, "action.rejected"),
        ((*WORLD, log(), RETRACT), RESPOND, "action.retracted"),
        (WORLD, VERIFY, "action.unknown"),
        (WORLD, REJECT, "action.unknown"),
        (WORLD, RETRACT, "action.unknown"),
        (WORLD, RESPOND, "action.unknown"),
    ],
)
def test_refused(before: tuple[Command, ...], command: Command, code: str) -> None:
    given(*before).when(command, reason="Checked.").refused(code)


def test_an_action_may_name_a_retired_official() -> None:
    given(*WORLD, officials.Retire(official="maria"), log(official="maria"))


def test_a_policy_that_advances_takes_actions() -> None:
    given(*WORLD, policies.Advance(policy="hr1", stage="REPORTED", on=DAY), log())
