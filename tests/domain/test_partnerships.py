from datetime import date
from typing import Any

import pytest

from domain.kernel import identify
from domain.partnerships import (
    AcceptDeliverable,
    Activate,
    Agree,
    Approach,
    Decline,
    Deliverable,
    DeliverableState,
    End,
    Partnership,
    PartnershipKind,
    PartnershipState,
    Propose,
    RejectDeliverable,
    SubmitDeliverable,
)
from domain.referrals import ReferralCode, referral_id
from domain.slices import Command
from tests.domain.story import Happened, given, happened

AMY, BOB = identify("partnership", "amy"), identify("partnership", "bob")
POST = Deliverable(deliverable="post", title="A post", due_on=date(2024, 6, 1))
TALK = Deliverable(deliverable="talk", title="A talk")
PROPOSE = Propose(partnership="amy", name="Amy", kind=PartnershipKind.INFLUENCER)
APPROACH, DECLINE, END = Approach(partnership="amy"), Decline(partnership="amy"), End(partnership="amy")
AGREE = Agree(partnership="amy", disclosure="Travel paid.", deliverables=(POST, TALK))
ACTIVATE = Activate(partnership="amy", referral="AMY")
SUBMIT = SubmitDeliverable(partnership="amy", deliverable="post", url="https://example.org", on=date(2024, 5, 1))
ACCEPT = AcceptDeliverable(partnership="amy", deliverable="post", url="https://a.example", on=date(2024, 5, 2))
REJECT = RejectDeliverable(partnership="amy", deliverable="post", url="https://b.example", on=date(2024, 5, 3))

State = PartnershipState
WAYS: dict[PartnershipState, tuple[Command, ...]] = {
    State.PROPOSED: (PROPOSE,),
    State.APPROACHED: (PROPOSE, APPROACH),
    State.AGREED: (PROPOSE, AGREE),
    State.ACTIVE: (PROPOSE, APPROACH, AGREE, ACTIVATE),
    State.ENDED: (PROPOSE, AGREE, ACTIVATE, END),
    State.DECLINED: (PROPOSE, DECLINE),
}
STEPS = [
    (APPROACH, {State.PROPOSED}, State.APPROACHED, "partnership.not_proposed"),
    (AGREE, {State.PROPOSED, State.APPROACHED}, State.AGREED, "partnership.not_proposed"),
    (ACTIVATE, {State.AGREED}, State.ACTIVE, "partnership.not_agreed"),
    (DECLINE, {State.PROPOSED, State.APPROACHED, State.AGREED}, State.DECLINED, "partnership.not_proposed"),
    (END, {State.ACTIVE, State.AGREED}, State.ENDED, "partnership.not_active"),
]


@pytest.mark.parametrize("state", WAYS)
@pytest.mark.parametrize("step", STEPS)
def test_each_step_starts_from_its_states_only(
    state: PartnershipState, step: tuple[Command, set[PartnershipState], PartnershipState, str]
) -> None:
    command, starts, becomes, code = step
    story = given(*WAYS[state])
    if state in starts:
        story.and_given(command)
        state = becomes
    else:
        story.when(command).refused(code)
    assert story.stage.get(Partnership, AMY).state is state


def test_from_proposal_to_end() -> None:
    proposal: dict[str, Any] = {
        "name": "Amy",
        "kind": PartnershipKind.MEDIA,
        "channel": "radio",
        "handle": "@amy",
        "audience": 12_000,
    }
    given().when(Propose(partnership="amy", **proposal)).then(
        happened(Partnership.Proposed, reference="amy", **proposal)
    ).when(APPROACH).then(happened(Partnership.Approached)).when(
        Agree(partnership="amy", disclosure="Travel paid.", terms="One year", deliverables=(POST, TALK))
    ).then(happened(Partnership.Agreed, disclosure="Travel paid.", terms="One year", deliverables=(POST, TALK))).when(
        ACTIVATE
    ).then(
        happened(Partnership.Activated, referral="AMY"),
        happened(ReferralCode.Claimed, code="AMY", partnership=AMY),
    ).when(END).then(
        happened(Partnership.Ended, referral="AMY"),
        happened(ReferralCode.Released, code="AMY", partnership=AMY),
    )


def test_what_ends_or_is_declined_without_a_code_frees_none() -> None:
    given(*WAYS[State.AGREED]).when(END).then(happened(Partnership.Ended))
    given(*WAYS[State.AGREED]).when(DECLINE).then(happened(Partnership.Declined))


BOB_AGREED = (
    Propose(partnership="bob", name="Bob", kind=PartnershipKind.ORGANIZATION),
    Agree(partnership="bob", disclosure="Nothing."),
)


@pytest.mark.parametrize("code", ["AMY", "amy", "Amy"])
def test_a_code_is_free_again_when_its_partnership_ended(code: str) -> None:
    activate = Activate(partnership="bob", referral=code)
    story = given(*WAYS[State.ACTIVE], *BOB_AGREED)
    story.when(activate).refused("partnership.referral_in_use")
    story.and_given(END).when(activate).then(
        happened(ReferralCode.Reclaimed, code=code, partnership=BOB),
        happened(Partnership.Activated, referral=code),
    )
    assert story.stage.get(ReferralCode, referral_id("amy")).partnership == BOB
    story.and_given(PROPOSE_AGAIN, AGREE_AGAIN).when(ACTIVATE_AGAIN).refused("partnership.referral_in_use")


PROPOSE_AGAIN = Propose(partnership="amy-2", name="Amy", kind=PartnershipKind.INFLUENCER)
AGREE_AGAIN = Agree(partnership="amy-2", disclosure="Travel paid.")
ACTIVATE_AGAIN = Activate(partnership="amy-2", referral="AMY")


def test_other_codes_do_not_collide() -> None:
    given(*WAYS[State.ACTIVE], *BOB_AGREED, Activate(partnership="bob", referral="BOB"))


DELIVERABLE_WAYS: dict[DeliverableState, tuple[Command, ...]] = {
    DeliverableState.PROMISED: (),
    DeliverableState.SUBMITTED: (SUBMIT,),
    DeliverableState.ACCEPTED: (SUBMIT, ACCEPT),
    DeliverableState.REJECTED: (SUBMIT, REJECT),
}
DELIVERABLE_STEPS = [
    (
        SUBMIT,
        happened(Partnership.DeliverableSubmitted, deliverable="post", url="https://example.org", on=date(2024, 5, 1)),
        {DeliverableState.PROMISED, DeliverableState.REJECTED},
        "deliverable.not_promised",
    ),
    (
        ACCEPT,
        happened(Partnership.DeliverableAccepted, deliverable="post", url="https://a.example", on=date(2024, 5, 2)),
        {DeliverableState.SUBMITTED},
        "deliverable.not_submitted",
    ),
    (
        REJECT,
        happened(Partnership.DeliverableRejected, deliverable="post", url="https://b.example", on=date(2024, 5, 3)),
        {DeliverableState.SUBMITTED},
        "deliverable.not_submitted",
    ),
]


@pytest.mark.parametrize("state", DELIVERABLE_WAYS)
@pytest.mark.parametrize(("command", "event", "starts", "code"), DELIVERABLE_STEPS)
def test_each_deliverable_step_starts_from_its_states_only(
    state: DeliverableState, command: Command, event: Happened, starts: set[DeliverableState], code: str
) -> None:
    outcome = given(*WAYS[State.ACTIVE], *DELIVERABLE_WAYS[state]).when(command)
    if state in starts:
        outcome.then(event)
    else:
        outcome.refused(code)


def test_deliverables_of_an_agreed_partnership_can_be_submitted_and_of_an_ended_one_still_be_judged() -> None:
    given(*WAYS[State.AGREED], SUBMIT, END, ACCEPT)
    given(*WAYS[State.AGREED], SUBMIT, END, REJECT).when(SUBMIT).refused("partnership.not_active")


@pytest.mark.parametrize(
    ("before", "command", "code"),
    [
        ((PROPOSE,), PROPOSE, "partnership.exists"),
        ((), APPROACH, "partnership.unknown"),
        ((), AGREE, "partnership.unknown"),
        ((), ACTIVATE, "partnership.unknown"),
        ((), DECLINE, "partnership.unknown"),
        ((), END, "partnership.unknown"),
        ((), SUBMIT, "partnership.unknown"),
        ((PROPOSE,), Agree(partnership="amy", disclosure="", deliverables=(POST, POST)), "deliverable.twice"),
        ((PROPOSE,), SUBMIT, "deliverable.unknown"),
        (WAYS[State.AGREED], AcceptDeliverable(partnership="amy", deliverable="film"), "deliverable.unknown"),
        (WAYS[State.AGREED], RejectDeliverable(partnership="amy", deliverable="film"), "deliverable.unknown"),
    ],
)
def test_refused(before: tuple[Command, ...], command: Command, code: str) -> None:
    given(*before).when(command).refused(code)
