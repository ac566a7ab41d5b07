import pytest

from domain import chapters, partnerships
from domain.kernel import identify
from domain.partnerships import PartnershipKind
from domain.recognitions import (
    Award,
    Decline,
    Endorse,
    Nominate,
    Recipient,
    RecipientKind,
    Recognition,
    RecognitionState,
    Revoke,
)
from domain.slices import Command
from domain.supporters import Erase, Register
from tests.domain.story import Happened, given, happened

ANNA, BEN = identify("supporter", "anna"), identify("supporter", "ben")
WORLD = (
    Register(supporter="anna"),
    Register(supporter="ben"),
    Register(supporter="cleo"),
    chapters.Found(chapter="lisbon", name="Lisbon"),
    partnerships.Propose(partnership="amy", name="Amy", kind=PartnershipKind.MEDIA),
)
FOR_ANNA = Recipient(kind=RecipientKind.SUPPORTER, id="anna")
NOMINATE = Nominate(recognition="ear", title="Golden Ear", recipient=FOR_ANNA, nominator="ben")
ENDORSE = Endorse(recognition="ear", supporter="cleo")
AWARD, DECLINE, REVOKE = Award(recognition="ear"), Decline(recognition="ear"), Revoke(recognition="ear")


def about_anna(event: type[Recognition.Event], **fields: object) -> Happened:
    about = {"title": "Golden Ear", "recipient_kind": RecipientKind.SUPPORTER, "recipient": ANNA, "supporter": ANNA}
    return happened(event, **about, **fields)


State = RecognitionState
WAYS: dict[RecognitionState, tuple[Command, ...]] = {
    State.NOMINATED: (),
    State.ENDORSED: (ENDORSE,),
    State.AWARDED: (AWARD,),
    State.DECLINED: (DECLINE,),
    State.REVOKED: (AWARD, REVOKE),
}
OPEN = {State.NOMINATED, State.ENDORSED}
STEPS: list[tuple[Command, Happened, set[RecognitionState], RecognitionState, str]] = [
    (
        Endorse(recognition="ear", supporter="dora"),
        about_anna(Recognition.Endorsed, endorser=identify("supporter", "dora")),
        OPEN,
        State.ENDORSED,
        "recognition.not_nominated",
    ),
    (AWARD, about_anna(Recognition.Awarded), OPEN, State.AWARDED, "recognition.not_nominated"),
    (DECLINE, about_anna(Recognition.Declined), OPEN, State.DECLINED, "recognition.not_nominated"),
    (REVOKE, about_anna(Recognition.Revoked), {State.AWARDED}, State.REVOKED, "recognition.not_awarded"),
]


@pytest.mark.parametrize("state", WAYS)
@pytest.mark.parametrize("step", STEPS)
def test_each_step_starts_from_its_states_only(
    state: RecognitionState, step: tuple[Command, Happened, set[RecognitionState], RecognitionState, str]
) -> None:
    command, event, starts, becomes, code = step
    story = given(*WORLD, Register(supporter="dora"), NOMINATE, *WAYS[state])
    outcome = story.when(command, reason="It was not so.")
    if state in starts:
        outcome.then(event)
        state = becomes
    else:
        outcome.refused(code)
    assert story.stage.get(Recognition, identify("recognition", "ear")).state is state


@pytest.mark.parametrize(
    ("kind", "reference", "supporter"),
    [
        (RecipientKind.SUPPORTER, "anna", ANNA),
        (RecipientKind.CHAPTER, "lisbon", None),
        (RecipientKind.PARTNERSHIP, "amy", None),
    ],
)
def test_nominate(kind: RecipientKind, reference: str, supporter: object) -> None:
    recipient = Recipient(kind=kind, id=reference)
    story = (
        given(*WORLD)
        .when(
            Nominate(
                recognition="ear", title="Golden Ear", recipient=recipient, nominator="ben", citation="She listens."
            )
        )
        .then(
            happened(
                Recognition.Nominated,
                title="Golden Ear",
                recipient_kind=kind,
                recipient=identify(kind, reference),
                supporter=supporter,
                reference="ear",
                nominator=BEN,
                citation="She listens.",
            )
        )
    )
    assert story.facts[-1].event.person == supporter
    story.and_given(ENDORSE, AWARD)


def test_nobody_needs_to_be_named_as_nominator() -> None:
    given(*WORLD).when(Nominate(recognition="ear", title="Golden Ear", recipient=FOR_ANNA)).then(
        about_anna(Recognition.Nominated, reference="ear")
    )


@pytest.mark.parametrize("reason", [None, "", " "])
def test_revoke_needs_a_reason(reason: str | None) -> None:
    given(*WORLD, NOMINATE, AWARD).when(REVOKE, reason=reason).refused("command.reason_missing")


@pytest.mark.parametrize(
    ("before", "command", "code"),
    [
        ((*WORLD, NOMINATE), NOMINATE, "recognition.exists"),
        (WORLD[1:], NOMINATE, "supporter.unknown"),
        ((WORLD[0],), NOMINATE, "supporter.unknown"),
        ((*WORLD, Erase(supporter="anna")), NOMINATE, "supporter.erased"),
        ((*WORLD, Erase(supporter="ben")), NOMINATE, "supporter.erased"),
        (
            WORLD[:3],
            Nominate(recognition="ear", title="E", recipient=Recipient(kind=RecipientKind.CHAPTER, id="lisbon")),
            "chapter.unknown",
        ),
        (
            WORLD[:3],
            Nominate(recognition="ear", title="E", recipient=Recipient(kind=RecipientKind.PARTNERSHIP, id="amy")),
            "partnership.unknown",
        ),
        (WORLD, ENDORSE, "recognition.unknown"),
        ((*WORLD, NOMINATE), Endorse(recognition="ear", supporter="nobody"), "supporter.unknown"),
        ((*WORLD, NOMINATE, Erase(supporter="cleo")), ENDORSE, "supporter.erased"),
        ((*WORLD, NOMINATE, ENDORSE), ENDORSE, "recognition.already_endorsed"),
        ((*WORLD, NOMINATE), Endorse(recognition="ear", supporter="ben"), "recognition.own_nomination"),
        ((*WORLD, NOMINATE), Endorse(recognition="ear", supporter="anna"), "recognition.own_nomination"),
        (WORLD, AWARD, "recognition.unknown"),
        (WORLD, DECLINE, "recognition.unknown"),
        (WORLD, REVOKE, "recognition.unknown"),
    ],
)
def test_refused(before: tuple[Command, ...], command: Command, code: str) -> None:
    given(*before).when(command, reason="It was not so.").refused(code)
