from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given as for_all
from hypothesis import strategies

from domain.campaigns import AddAsk, AskKind, Complete, Draft, Launch, Pause, Resume
from domain.kernel import identify
from domain.pledges import Amend, CheckIn, Keep, Lapse, Make, Pledge, PledgeState, Withdraw, pledge_id, streaks
from domain.slices import Command
from domain.supporters import Erase, Register
from tests.domain.story import NOON, Happened, Step, given, happened

SPRING, ANNA = identify("campaign", "spring"), identify("supporter", "anna")
MADE_ON = date(2024, 5, 15)
WORLD = (
    Draft(campaign="spring", title="Spring"),
    AddAsk(campaign="spring", ask="circle", statement="I will hold a circle.", kind=AskKind.ONCE),
    AddAsk(
        campaign="spring",
        ask="listen",
        statement="Ten minutes a day.",
        kind=AskKind.CHALLENGE,
        days=21,
        backdating_days=2,
        rest_days=1,
    ),
    Launch(campaign="spring"),
    Register(supporter="anna", time_zone="Europe/Lisbon"),
)
MAKE = Make(campaign="spring", ask="listen", supporter="anna")
MAKE_ONCE = Make(campaign="spring", ask="circle", supporter="anna")
KEEP = Keep(campaign="spring", ask="listen", supporter="anna")
LAPSE = Lapse(campaign="spring", ask="listen", supporter="anna")
WITHDRAW = Withdraw(campaign="spring", ask="listen", supporter="anna")
AMEND = Amend(campaign="spring", ask="listen", supporter="anna", note="every morning")
ERASE = Erase(supporter="anna")
TERMS = {"days": 21, "backdating_days": 2, "rest_days": 1}


def check_in(on: date) -> CheckIn:
    return CheckIn(campaign="spring", ask="listen", supporter="anna", on=on)


def days_later(days: int) -> datetime:
    return NOON + timedelta(days=days)


def about_listening(event: type[Pledge.Event], **fields: object) -> Happened:
    return happened(event, campaign=SPRING, ask="listen", supporter=ANNA, **fields)


def test_make_a_challenge_takes_its_terms() -> None:
    given(*WORLD).when(Make(campaign="spring", ask="listen", supporter="anna", referral="AMY", note="mornings")).then(
        about_listening(Pledge.Made, on=MADE_ON, referral="AMY", note="mornings", **TERMS)
    )


def test_make_a_promise_for_once() -> None:
    story = given(*WORLD)
    story.when(MAKE_ONCE).then(happened(Pledge.Made, campaign=SPRING, ask="circle", supporter=ANNA, on=MADE_ON))
    assert story.facts[-1].event.person == ANNA
    assert story.facts[-1].stream == pledge_id(SPRING, "circle", ANNA)


def test_it_is_made_on_the_day_where_the_supporter_lives() -> None:
    given(*WORLD).when(MAKE, at=datetime(2024, 5, 15, 23, 30, tzinfo=UTC)).then(
        about_listening(Pledge.Made, on=date(2024, 5, 16), **TERMS)
    )


@pytest.mark.parametrize(
    ("command", "event", "state"),
    [
        (KEEP, Pledge.Kept, PledgeState.KEPT),
        (LAPSE, Pledge.Lapsed, PledgeState.LAPSED),
        (WITHDRAW, Pledge.Withdrawn, PledgeState.WITHDRAWN),
    ],
)
def test_what_becomes_of_it(command: Command, event: type[Pledge.Event], state: PledgeState) -> None:
    story = given(*WORLD, MAKE).when(command).then(about_listening(event))
    assert story.stage.get(Pledge, pledge_id(SPRING, "listen", ANNA)).state is state
    for later in (KEEP, LAPSE, WITHDRAW, AMEND, check_in(MADE_ON)):
        story.when(later).refused("pledge.not_active")


@pytest.mark.parametrize(("ended", "previous"), [(LAPSE, PledgeState.LAPSED), (WITHDRAW, PledgeState.WITHDRAWN)])
def test_a_lapsed_or_withdrawn_one_is_made_again_and_begins_anew(ended: Command, previous: PledgeState) -> None:
    story = given(*WORLD, MAKE, check_in(MADE_ON), ended)
    again = Make(campaign="spring", ask="listen", supporter="anna", referral="BOB", note="evenings")
    story.when(again, at=days_later(1)).then(
        about_listening(
            Pledge.Renewed, on=date(2024, 5, 16), previous=previous, referral="BOB", note="evenings", **TERMS
        )
    )
    story.when(check_in(MADE_ON), at=days_later(1)).refused("check_in.before_pledge")
    story.when(check_in(date(2024, 5, 16)), at=days_later(1)).then(
        about_listening(Pledge.CheckedIn, on=date(2024, 5, 16), time_zone="Europe/Lisbon")
    )


def test_amend_the_note_and_clear_it() -> None:
    story = given(*WORLD, MAKE)
    story.when(AMEND).then(about_listening(Pledge.Amended, note="every morning"))
    story.when(AMEND).refused("pledge.unchanged")
    clear = Amend(campaign="spring", ask="listen", supporter="anna", note=None)
    story.when(clear).then(about_listening(Pledge.Amended)).when(clear).refused("pledge.unchanged")


def test_check_in_with_a_note() -> None:
    command = CheckIn(campaign="spring", ask="listen", supporter="anna", on=MADE_ON, note="hard")
    given(*WORLD, MAKE).when(command).then(
        about_listening(Pledge.CheckedIn, on=MADE_ON, time_zone="Europe/Lisbon", note="hard")
    ).when(command).refused("pledge.already_checked_in")


@pytest.mark.parametrize(
    ("day", "at", "code"),
    [
        (0, NOON, None),
        (1, NOON, "check_in.in_future"),
        (1, datetime(2024, 5, 15, 23, 30, tzinfo=UTC), None),  # already the 16th in Lisbon
        (-1, NOON, "check_in.before_pledge"),
        (3, days_later(5), None),
        (2, days_later(5), "check_in.too_late"),
    ],
)
def test_the_window_of_days(day: int, at: datetime, code: str | None) -> None:
    on = MADE_ON + timedelta(days=day)
    outcome = given(*WORLD, MAKE).when(check_in(on), at=at)
    if code:
        outcome.refused(code)
    else:
        outcome.then(about_listening(Pledge.CheckedIn, on=on, time_zone="Europe/Lisbon"))


def test_check_ins_go_on_when_the_campaign_ends_and_the_ask_was_promised() -> None:
    given(*WORLD, MAKE, Complete(campaign="spring"), check_in(MADE_ON), KEEP)


@pytest.mark.parametrize(
    ("before", "command", "code"),
    [
        ((), MAKE, "campaign.unknown"),
        ((*WORLD[:3], WORLD[-1]), MAKE, "campaign.not_launched"),
        ((*WORLD, Pause(campaign="spring")), MAKE, "campaign.not_launched"),
        (WORLD, Make(campaign="spring", ask="other", supporter="anna"), "ask.unknown"),
        (WORLD[:-1], MAKE, "supporter.unknown"),
        ((*WORLD, ERASE), MAKE, "supporter.erased"),
        ((*WORLD, MAKE), MAKE, "pledge.already_active"),
        ((*WORLD, MAKE, KEEP), MAKE, "pledge.already_kept"),
        ((*WORLD, MAKE, WITHDRAW, Pause(campaign="spring")), MAKE, "campaign.not_launched"),
        (WORLD, check_in(MADE_ON), "pledge.unknown"),
        (WORLD[:-1], check_in(MADE_ON), "supporter.unknown"),
        ((*WORLD, MAKE, ERASE), check_in(MADE_ON), "supporter.erased"),
        ((*WORLD, MAKE, ERASE), AMEND, "supporter.erased"),
        (WORLD, AMEND, "pledge.unknown"),
        (WORLD, KEEP, "pledge.unknown"),
        (WORLD, LAPSE, "pledge.unknown"),
        (WORLD, WITHDRAW, "pledge.unknown"),
        ((), WITHDRAW, "campaign.unknown"),
        (
            (*WORLD, MAKE_ONCE),
            CheckIn(campaign="spring", ask="circle", supporter="anna", on=MADE_ON),
            "pledge.not_a_challenge",
        ),
    ],
)
def test_refused(before: tuple[Command, ...], command: Command, code: str) -> None:
    given(*before).when(command).refused(code)


def test_resumed_campaigns_take_pledges_again() -> None:
    given(*WORLD, Pause(campaign="spring"), Resume(campaign="spring"), MAKE)


def test_the_erased_can_still_have_a_pledge_withdrawn() -> None:
    given(*WORLD, MAKE, ERASE).when(WITHDRAW).then(about_listening(Pledge.Withdrawn))


def test_commands_given_days_ahead_are_counted_on_their_day() -> None:
    given(*WORLD, MAKE, *(Step(check_in(MADE_ON + timedelta(days=d)), days_later(d)) for d in range(21)))


def obvious_streaks(days: Sequence[date], rest_days: int) -> tuple[int, int]:
    """Try every stretch of check-ins, and look at every day in it."""
    ordered = sorted(set(days))

    def unbroken(stretch: Sequence[date]) -> bool:
        missed = 0
        for number in range((stretch[-1] - stretch[0]).days + 1):
            missed = 0 if stretch[0] + timedelta(days=number) in stretch else missed + 1
            if missed > rest_days:
                return False
        return True

    stretches = [
        ordered[first : last + 1]
        for first in range(len(ordered))
        for last in range(first, len(ordered))
        if unbroken(ordered[first : last + 1])
    ]
    current = max((len(each) for each in stretches if each[-1] == ordered[-1]), default=0)
    return current, max((len(each) for each in stretches), default=0)


@for_all(
    strategies.sets(strategies.integers(0, 30), max_size=16).map(
        lambda numbers: [MADE_ON + timedelta(days=number) for number in numbers]
    ),
    strategies.integers(0, 4),
)
def test_streaks_are_what_one_would_count_by_hand(days: list[date], rest_days: int) -> None:
    assert streaks(days, rest_days) == obvious_streaks(days, rest_days)


@pytest.mark.parametrize(
    ("numbers", "rest_days", "expected"),
    [((), 0, (0, 0)), ((1, 2, 3, 5), 0, (1, 3)), ((5, 3, 1), 0, (1, 1)), ((1, 3, 5), 1, (3, 3)), ((1, 4), 1, (1, 1))],
)
def test_streaks(numbers: Sequence[int], rest_days: int, expected: tuple[int, int]) -> None:
    assert streaks([MADE_ON + timedelta(days=number) for number in numbers], rest_days) == expected


def test_the_note_given_with_the_pledge_is_the_one_to_amend() -> None:
    noted = Make(campaign="spring", ask="listen", supporter="anna", note="every morning")
    given(*WORLD, noted).when(AMEND).refused("pledge.unchanged")
    given(*WORLD, MAKE, LAPSE, noted).when(AMEND).refused("pledge.unchanged")
