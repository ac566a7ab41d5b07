from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from domain.kernel import identify
from domain.mails import EVENTS, SWITCH, Halt, Mail, MailSwitch, Outcome, Record, Resume
from domain.slices import Command
from tests.domain.story import given, happened

ANNA = identify("supporter", "anna")
MAIL = "6f1c2a52-6a0d-4f0e-9f3e-0a8a6c0b7d22"
KNOWN = {"supporter": ANNA, "kind": "digest", "period": "weekly:2026-W21"}


def outcome(what: Outcome, **more: object) -> Record:
    return Record(mail=MAIL, supporter="anna", kind="digest", period="weekly:2026-W21", outcome=what, **more)  # type: ignore[arg-type]


def test_what_is_known_of_a_mail_is_recorded() -> None:
    due = datetime.fromisoformat("2026-05-18T08:00:00+02:00")
    command = outcome(Outcome.ACCEPTED, due_at=due, from_position=3, to_position=90, attempt=1)
    story = given().when(command)
    told = {"due_at": datetime(2026, 5, 18, 6, tzinfo=UTC), "from_position": 3, "to_position": 90, "attempt": 1}
    (fact,) = story.then(happened(Mail.Accepted, **KNOWN, **told)).facts
    assert fact.stream == UUID(MAIL)
    assert fact.event.person == ANNA


@pytest.mark.parametrize("first", list(Outcome))
@pytest.mark.parametrize("second", list(Outcome))
def test_any_outcome_may_be_told_first_and_any_other_after_it(first: Outcome, second: Outcome) -> None:
    story = given(outcome(first, attempt=1))
    story.when(outcome(second, attempt=2)).then(happened(EVENTS[second], **KNOWN, attempt=2))
    mail = story.stage.get(Mail, UUID(MAIL))
    assert (mail.outcome, mail.supporter, mail.attempt) == (second, ANNA, 2)


def test_an_outcome_is_recorded_once() -> None:
    story = given(outcome(Outcome.DEFERRED, attempt=1, reason="4.2.2"))
    story.when(outcome(Outcome.DEFERRED, attempt=1, reason="4.2.2")).refused("mail.unchanged")
    story.when(outcome(Outcome.DEFERRED, attempt=2, reason="4.2.2")).then(
        happened(Mail.Deferred, **KNOWN, attempt=2, cause="4.2.2")
    )
    story.when(outcome(Outcome.DEFERRED, attempt=2, reason="4.7.0")).then(
        happened(Mail.Deferred, **KNOWN, attempt=2, cause="4.7.0")
    )


def test_a_mail_stays_the_one_supporters() -> None:
    story = given(outcome(Outcome.ACCEPTED))
    other = Record(mail=MAIL, supporter="bela", kind="digest", period="weekly:2026-W21", outcome=Outcome.BOUNCED)
    story.when(other).refused("mail.of_another")


@pytest.mark.parametrize("said", ["anna@example.org", "550 no such user", "5.1.1\n", "", "x" * 61])
@pytest.mark.parametrize("field", ["kind", "period", "reason"])
def test_nothing_but_a_word_is_recorded(field: str, said: str) -> None:
    words: dict[str, Any] = {"reason": "5.1.1", field: said}
    given().when(replace(outcome(Outcome.REFUSED), **words)).refused("mail.not_a_word")


def test_a_moment_needs_its_offset() -> None:
    given().when(outcome(Outcome.ACCEPTED, due_at=datetime(2026, 5, 18, 8))).refused("command.invalid_date")  # noqa: DTZ001


def test_mails_are_halted_and_resumed() -> None:
    story = given()
    story.when(Halt(), reason="Wrong list.").then(happened(MailSwitch.Halted))
    story.when(Halt(), reason="Still wrong.").refused("mail_switch.already_halted")
    assert story.stage.get(MailSwitch, SWITCH).halted
    story.when(Resume()).then(happened(MailSwitch.Resumed))
    story.when(Resume()).refused("mail_switch.not_halted")
    story.when(Halt(), reason="Again.").then(happened(MailSwitch.Halted))
    assert {fact.stream for fact in story.facts} == {SWITCH}


@pytest.mark.parametrize(
    ("command", "code"), [(Halt(), "command.reason_missing"), (Resume(), "mail_switch.not_halted")]
)
def test_the_switch_refuses(command: Command, code: str) -> None:
    given().when(command).refused(code)
