from datetime import date

import pytest

from domain.campaigns import (
    AddAsk,
    Amend,
    Archive,
    AskKind,
    Campaign,
    CampaignState,
    Complete,
    Draft,
    Frame,
    Goal,
    Launch,
    Pause,
    Resume,
)
from domain.chapters import Found
from domain.kernel import identify
from domain.slices import Command
from tests.domain.story import given, happened

LISBON = identify("chapter", "lisbon")
GOAL = Goal(count=500, unit="pledges")
DRAFT = Draft(campaign="spring", title="Spring", opens_on=date(2024, 5, 1), closes_on=date(2024, 6, 1))
ASK = AddAsk(campaign="spring", ask="circle", statement="I will hold a circle.", kind=AskKind.ONCE)
LISTEN = AddAsk(
    campaign="spring",
    ask="listen",
    statement="Ten minutes a day.",
    kind=AskKind.CHALLENGE,
    days=2,
    prompts=("Hear", "Ask"),
    backdating_days=1,
    rest_days=3,
)
LAUNCH, PAUSE, RESUME = Launch(campaign="spring"), Pause(campaign="spring"), Resume(campaign="spring")
COMPLETE, ARCHIVE = Complete(campaign="spring"), Archive(campaign="spring")

WAYS: dict[CampaignState, tuple[Command, ...]] = {
    CampaignState.DRAFTED: (DRAFT, ASK),
    CampaignState.LAUNCHED: (DRAFT, ASK, LAUNCH),
    CampaignState.PAUSED: (DRAFT, ASK, LAUNCH, PAUSE),
    CampaignState.COMPLETED: (DRAFT, ASK, LAUNCH, COMPLETE),
    CampaignState.ARCHIVED: (DRAFT, ASK, LAUNCH, COMPLETE, ARCHIVE),
}
STEPS = [
    (LAUNCH, Campaign.Launched, {CampaignState.DRAFTED}, CampaignState.LAUNCHED, "campaign.not_drafted"),
    (PAUSE, Campaign.Paused, {CampaignState.LAUNCHED}, CampaignState.PAUSED, "campaign.not_launched"),
    (RESUME, Campaign.Resumed, {CampaignState.PAUSED}, CampaignState.LAUNCHED, "campaign.not_paused"),
    (
        COMPLETE,
        Campaign.Completed,
        {CampaignState.LAUNCHED, CampaignState.PAUSED},
        CampaignState.COMPLETED,
        "campaign.not_launched",
    ),
    (ARCHIVE, Campaign.Archived, {CampaignState.COMPLETED}, CampaignState.ARCHIVED, "campaign.not_completed"),
]


@pytest.mark.parametrize("state", WAYS)
@pytest.mark.parametrize("step", STEPS)
def test_each_step_starts_from_its_states_only(
    state: CampaignState,
    step: tuple[Command, type[Campaign.Event], set[CampaignState], CampaignState, str],
) -> None:
    command, event, starts, becomes, code = step
    story = given(*WAYS[state])
    outcome = story.when(command)
    if state in starts:
        outcome.then(happened(event))
        state = becomes
    else:
        outcome.refused(code)
    assert story.stage.get(Campaign, identify("campaign", "spring")).state is state


def test_draft() -> None:
    command = Draft(
        campaign="spring",
        title="Spring",
        summary="Listen",
        hashtag="#listen",
        goal=GOAL,
        opens_on=date(2024, 5, 1),
        closes_on=date(2024, 5, 1),
        time_zone="Europe/Lisbon",
        chapter="lisbon",
    )
    given(Found(chapter="lisbon", name="Lisbon")).when(command).then(
        happened(
            Campaign.Drafted,
            title="Spring",
            reference="spring",
            summary="Listen",
            hashtag="#listen",
            goal=GOAL,
            opens_on=date(2024, 5, 1),
            closes_on=date(2024, 5, 1),
            time_zone="Europe/Lisbon",
            chapter=LISBON,
        )
    )


def test_amend_changes_what_differs_and_null_clears() -> None:
    given(DRAFT, Found(chapter="lisbon", name="Lisbon")).when(
        Amend(campaign="spring", title="Spring", goal=GOAL, closes_on=None, chapter="lisbon")
    ).then(happened(Campaign.Amended, goal=GOAL, closes_on=None, chapter=LISBON)).when(
        Amend(campaign="spring", goal=GOAL, chapter="lisbon")
    ).refused("campaign.unchanged").when(Amend(campaign="spring", chapter=None)).then(
        happened(Campaign.Amended, chapter=None)
    )


def test_frame_and_frame_otherwise() -> None:
    frame = Frame(campaign="spring", locale="pt", title="Primavera")
    given(DRAFT).when(frame).then(happened(Campaign.Framed, locale="pt", title="Primavera")).when(frame).refused(
        "campaign.unchanged"
    ).when(Frame(campaign="spring", locale="pt", title="Primavera", summary="Ouvir")).then(
        happened(Campaign.Framed, locale="pt", title="Primavera", summary="Ouvir")
    )


def test_add_a_challenge_with_as_many_prompts_as_days() -> None:
    given(DRAFT).when(LISTEN).then(
        happened(
            Campaign.AskAdded,
            ask="listen",
            statement="Ten minutes a day.",
            kind=AskKind.CHALLENGE,
            days=2,
            prompts=("Hear", "Ask"),
            backdating_days=1,
            rest_days=3,
        )
    )


def test_add_an_ask_while_the_campaign_runs() -> None:
    given(*WAYS[CampaignState.LAUNCHED], LISTEN)


@pytest.mark.parametrize(
    ("before", "command", "code"),
    [
        ((DRAFT,), DRAFT, "campaign.exists"),
        (
            (),
            Draft(campaign="spring", title="S", opens_on=date(2024, 5, 2), closes_on=date(2024, 5, 1)),
            "campaign.closes_before_opening",
        ),
        ((), Draft(campaign="spring", title="S", time_zone="Mars/Base"), "time_zone.unknown"),
        ((), Draft(campaign="spring", title="S", chapter="nowhere"), "chapter.unknown"),
        ((), Amend(campaign="spring", title="S"), "campaign.unknown"),
        ((DRAFT,), Amend(campaign="spring", closes_on=date(2024, 4, 1)), "campaign.closes_before_opening"),
        ((DRAFT,), Amend(campaign="spring", opens_on=date(2024, 7, 1)), "campaign.closes_before_opening"),
        ((DRAFT,), Amend(campaign="spring", time_zone="Mars/Base"), "time_zone.unknown"),
        ((DRAFT,), Amend(campaign="spring", chapter="nowhere"), "chapter.unknown"),
        ((DRAFT,), Amend(campaign="spring"), "campaign.unchanged"),
        (WAYS[CampaignState.ARCHIVED], Amend(campaign="spring", title="S"), "campaign.archived"),
        (WAYS[CampaignState.ARCHIVED], Frame(campaign="spring", locale="pt", title="S"), "campaign.archived"),
        (WAYS[CampaignState.ARCHIVED], LISTEN, "campaign.archived"),
        ((DRAFT,), Frame(campaign="spring", locale="not a tag", title="S"), "locale.malformed"),
        ((), Frame(campaign="spring", locale="pt", title="S"), "campaign.unknown"),
        ((), LISTEN, "campaign.unknown"),
        ((DRAFT, ASK), ASK, "ask.exists"),
        (
            (DRAFT,),
            AddAsk(campaign="spring", ask="a", statement="s", kind=AskKind.CHALLENGE),
            "ask.days_missing",
        ),
        (
            (DRAFT,),
            AddAsk(campaign="spring", ask="a", statement="s", kind=AskKind.CHALLENGE, days=1, prompts=("1", "2")),
            "ask.too_many_prompts",
        ),
        (
            (DRAFT,),
            AddAsk(campaign="spring", ask="a", statement="s", kind=AskKind.ONCE, days=1),
            "ask.not_a_challenge",
        ),
        (
            (DRAFT,),
            AddAsk(campaign="spring", ask="a", statement="s", kind=AskKind.ONCE, prompts=("1",)),
            "ask.not_a_challenge",
        ),
        ((DRAFT,), LAUNCH, "campaign.without_ask"),
        ((), LAUNCH, "campaign.unknown"),
    ],
)
def test_refused(before: tuple[Command, ...], command: Command, code: str) -> None:
    given(*before).when(command).refused(code)
