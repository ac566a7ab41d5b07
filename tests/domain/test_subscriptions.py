"""Whether and when somebody gets digests, from the events of the domain itself."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from domain.campaigns import Draft
from domain.preferences import MuteCampaign, PauseDigest, SetDigest
from domain.schedule import Frequency
from domain.slices import Command
from domain.subscriptions import Subscription
from domain.supporters import (
    Amend,
    ConfirmEmail,
    Erase,
    RecordConsent,
    Register,
    SuppressMail,
    Undeliverable,
)
from tests.domain.story import NOON, Step, given

REGISTER = Register(supporter="anna", email="anna@example.org", time_zone="Pacific/Auckland")
CONFIRM = ConfirmEmail(supporter="anna")
CONSENT = RecordConsent(supporter="anna", topic="digest", granted=True, wording="Yes.")
REFUSE = RecordConsent(supporter="anna", topic="digest", granted=False, wording="No.")
NEWS = RecordConsent(supporter="anna", topic="news", granted=True, wording="Yes.")
READY = (REGISTER, CONFIRM, CONSENT)
BOUNCED = SuppressMail(supporter="anna", cause=Undeliverable.HARD_BOUNCE)
COMPLAINED = SuppressMail(supporter="anna", cause=Undeliverable.COMPLAINT)
OFF = SetDigest(supporter="anna", frequency=Frequency.OFF)


def after(*commands: Command) -> Subscription:
    """Return the subscription after commands, each an hour after the one before, the first at noon."""
    story = given()
    for hours, command in enumerate(commands):
        story.and_given(Step(command, NOON + timedelta(hours=hours)))
    found = Subscription()
    for fact in story.facts:
        found.follow(fact.event, fact.occurred_at)
    return found


@pytest.mark.parametrize(
    ("commands", "hindrance"),
    [
        ((), "no_address"),
        ((Register(supporter="anna"),), "no_address"),
        ((REGISTER,), "unconfirmed"),
        ((REGISTER, CONSENT), "unconfirmed"),
        ((REGISTER, CONFIRM), "no_consent"),
        ((REGISTER, CONFIRM, NEWS), "no_consent"),
        (READY, None),
        ((REGISTER, CONSENT, CONFIRM), None),
        ((*READY, REFUSE), "no_consent"),
        ((*READY, REFUSE, CONSENT), None),
        ((*READY, Amend(supporter="anna", name="Ana")), None),
        ((*READY, Amend(supporter="anna", email="ana@example.org")), "unconfirmed"),
        ((*READY, Amend(supporter="anna", email=None)), "no_address"),
        ((*READY, OFF), "frequency_off"),
        ((*READY, OFF, SetDigest(supporter="anna", frequency=Frequency.DAILY)), None),
        ((*READY, BOUNCED), "bounced"),
        ((*READY, BOUNCED, COMPLAINED), "complained"),
        ((*READY, BOUNCED, CONFIRM), None),
        ((*READY, COMPLAINED, Amend(supporter="anna", email="ana@example.org"), CONFIRM), None),
        ((*READY, Draft(campaign="c", title="C"), MuteCampaign(supporter="anna", campaign="c")), None),
        ((*READY, Erase(supporter="anna")), "erased"),
    ],
)
def test_what_hinders_a_digest(commands: tuple[Command, ...], hindrance: str | None) -> None:
    assert after(*commands).hindrance == hindrance


@pytest.mark.parametrize(
    ("commands", "hours"),
    [
        ((REGISTER, CONFIRM), None),
        (READY, 2),
        ((REGISTER, CONSENT, CONFIRM), 2),
        ((*READY, CONSENT), 2),  # said again
        ((*READY, REFUSE), None),
        ((*READY, REFUSE, CONSENT), 4),
        ((*READY, BOUNCED), None),
        ((*READY, BOUNCED, CONFIRM), 4),
        ((*READY, Amend(supporter="anna", email="ana@example.org"), CONFIRM), 4),
        ((*READY, SetDigest(supporter="anna", frequency=Frequency.WEEKLY, hour=9)), 2),  # as it was unsaid
        ((*READY, SetDigest(supporter="anna", frequency=Frequency.DAILY)), 3),
        (
            (
                *READY,
                SetDigest(supporter="anna", frequency=Frequency.DAILY),
                SetDigest(supporter="anna", frequency=Frequency.DAILY, hour=20),
            ),
            3,
        ),
        ((REGISTER, SetDigest(supporter="anna", frequency=Frequency.DAILY), CONFIRM, CONSENT), 3),
    ],
)
def test_periods_count_from_when_all_was_there_and_the_frequency_was_chosen(
    commands: tuple[Command, ...], hours: int | None
) -> None:
    assert after(*commands).since == (None if hours is None else NOON + timedelta(hours=hours))


def test_a_pause_is_over_on_its_day_by_the_persons_own_calendar() -> None:
    found = after(*READY, PauseDigest(supporter="anna", until=date(2024, 5, 20)))
    assert found.hindrance is None
    before, then = datetime(2024, 5, 19, 11, 59, tzinfo=UTC), datetime(2024, 5, 19, 12, tzinfo=UTC)
    assert (found.hindrance_at(before), found.hindrance_at(then)) == ("paused", None)
    gone = after(*READY, PauseDigest(supporter="anna", until=date(2024, 5, 20)), REFUSE)
    assert gone.hindrance_at(before) == "no_consent"
    ended = PauseDigest(supporter="anna", until=None)
    found = after(*READY, PauseDigest(supporter="anna", until=date(2024, 5, 20)), ended)
    assert found.hindrance_at(before) is None


@pytest.mark.parametrize(
    ("commands", "wish"),
    [
        ((), (None, None, None, "Pacific/Auckland")),
        ((SetDigest(supporter="anna", frequency=Frequency.WEEKLY, weekday=5, hour=7),), ("weekly", 5, 7)),
        ((OFF,), ("off", None, None)),
        ((Amend(supporter="anna", time_zone=None),), (None, None, None, None)),
        ((Amend(supporter="anna", time_zone="Asia/Tokyo"),), (None, None, None, "Asia/Tokyo")),
    ],
)
def test_the_wish(commands: tuple[Command, ...], wish: tuple[Any, ...]) -> None:
    assert tuple(after(REGISTER, *commands).wish)[: len(wish)] == wish
