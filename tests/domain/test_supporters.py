import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given as given_any
from hypothesis import strategies as st

from domain.addresses import check_email
from domain.campaigns import Draft
from domain.chapters import Close, Found
from domain.kernel import Invalid, identify
from domain.preferences import MuteCampaign, PauseDigest, RequestDigest, SetDigest, SetVisibility, UnmuteCampaign
from domain.schedule import Frequency
from domain.slices import Command
from domain.supporters import (
    Amend,
    ConfirmEmail,
    Erase,
    JoinChapter,
    LeaveChapter,
    RecordConsent,
    Register,
    Supporter,
    SuppressMail,
    Undeliverable,
)
from tests.domain.story import given, happened

ANNA = identify("supporter", "anna")
LISBON, PORTO = identify("chapter", "lisbon"), identify("chapter", "porto")
CHAPTERS = (Found(chapter="lisbon", name="Lisbon"), Found(chapter="porto", name="Porto"))
REGISTER = Register(supporter="anna", email="anna@example.org", name="Anna", time_zone="Europe/Lisbon")
CLOSED = Close(chapter="porto")
ERASE = Erase(supporter="anna")
VERDICTS = {"VALID_CATEGORY": 14, "DNSWARN": 8, "ERR": 66}


def test_register_with_everything() -> None:
    command = Register(
        supporter="anna",
        email="Anna@EXAMPLE.org",
        name="Anna",
        locale="pt-PT",
        time_zone="Europe/Lisbon",
        chapter="lisbon",
        source="street",
    )
    given(*CHAPTERS).when(command).then(
        happened(
            Supporter.Registered,
            email="Anna@example.org",
            name="Anna",
            locale="pt-PT",
            time_zone="Europe/Lisbon",
            source="street",
        ),
        happened(Supporter.ChapterJoined, chapter=LISBON),
    )


def test_register_with_nothing() -> None:
    given().when(Register(supporter="anna")).then(happened(Supporter.Registered))


def test_the_event_is_about_the_supporter() -> None:
    assert given(REGISTER).facts[0].event.person == ANNA


def test_amend_changes_what_differs_and_null_clears() -> None:
    given(REGISTER).when(Amend(supporter="anna", email="anna@EXAMPLE.org", name=None, locale="pt")).then(
        happened(Supporter.Amended, name=None, locale="pt")
    ).when(Amend(supporter="anna", name=None)).refused("supporter.unchanged")


def test_a_new_address_has_to_be_confirmed_again() -> None:
    confirm = ConfirmEmail(supporter="anna")
    story = given(REGISTER).when(confirm).then(happened(Supporter.EmailConfirmed))
    story.when(confirm).refused("supporter.already_confirmed")
    story.when(Amend(supporter="anna", name="Ana")).then(happened(Supporter.Amended, name="Ana"))
    story.when(confirm).refused("supporter.already_confirmed")
    story.when(Amend(supporter="anna", email="ana@example.org")).then(
        happened(Supporter.Amended, email="ana@example.org")
    )
    story.when(confirm).then(happened(Supporter.EmailConfirmed))


def test_amending_the_chapter_leaves_the_present_one_and_joins_the_new_one() -> None:
    story = given(*CHAPTERS, Register(supporter="anna", chapter="lisbon"))
    story.when(Amend(supporter="anna", chapter="porto")).then(
        happened(Supporter.ChapterLeft, chapter=LISBON), happened(Supporter.ChapterJoined, chapter=PORTO)
    )
    story.when(Amend(supporter="anna", chapter="porto")).refused("supporter.unchanged")
    story.and_given(JoinChapter(supporter="anna", chapter="lisbon"))
    story.when(Amend(supporter="anna", chapter="porto")).then(happened(Supporter.ChapterLeft, chapter=LISBON))
    story.when(Amend(supporter="anna", chapter=None)).then(happened(Supporter.ChapterLeft, chapter=PORTO))
    story.when(Amend(supporter="anna", chapter="lisbon")).then(happened(Supporter.ChapterJoined, chapter=LISBON))


def test_the_chapter_amended_to_becomes_home_even_for_a_member_of_long() -> None:
    braga = Found(chapter="braga", name="Braga")
    story = given(*CHAPTERS, braga, Register(supporter="anna", chapter="lisbon"))
    story.and_given(JoinChapter(supporter="anna", chapter="braga"), JoinChapter(supporter="anna", chapter="porto"))
    amend = Amend(supporter="anna", chapter="lisbon")
    story.when(amend).then(
        happened(Supporter.ChapterLeft, chapter=PORTO),
        happened(Supporter.ChapterLeft, chapter=LISBON),
        happened(Supporter.ChapterJoined, chapter=LISBON),
    ).when(amend).refused("supporter.unchanged")
    assert story.stage.get(Supporter, ANNA).chapters == [identify("chapter", "braga"), LISBON]


def test_preferences() -> None:
    story = given(REGISTER)
    story.when(RecordConsent(supporter="anna", topic="digest", granted=True, wording="Yes, write to me")).then(
        happened(Supporter.ConsentRecorded, subject="digest", granted=True, wording="Yes, write to me")
    )
    story.when(RecordConsent(supporter="anna", topic="digest", granted=False, wording="Stop")).then(
        happened(Supporter.ConsentRecorded, subject="digest", granted=False, wording="Stop")
    )
    assert story.stage.get(Supporter, ANNA).consents == {"digest": False}
    story.when(SetVisibility(supporter="anna", public=True, display_name="A.")).then(
        happened(Supporter.VisibilitySet, public=True, display_name="A.")
    )
    story.when(SetDigest(supporter="anna", frequency=Frequency.WEEKLY, weekday=1, hour=8)).then(
        happened(Supporter.DigestSet, frequency=Frequency.WEEKLY, weekday=1, hour=8)
    )


def test_a_pause_ends_on_a_day_of_the_supporters_own() -> None:
    story = given(Register(supporter="anna", time_zone="Pacific/Auckland"))
    evening = datetime(2024, 5, 15, 21, tzinfo=UTC)  # the 16th in Auckland
    story.when(PauseDigest(supporter="anna", until=date(2024, 5, 16)), at=evening).refused("supporter.pause_over")
    pause = PauseDigest(supporter="anna", until=date(2024, 5, 17))
    story.when(pause, at=evening).then(happened(Supporter.DigestPaused, until=date(2024, 5, 17)))
    assert story.stage.get(Supporter, ANNA).paused_until == date(2024, 5, 17)
    story.when(pause, at=evening).refused("supporter.pause_unchanged")
    story.when(PauseDigest(supporter="anna", until=None)).then(happened(Supporter.DigestPaused))
    story.when(PauseDigest(supporter="anna", until=None)).refused("supporter.pause_unchanged")


def test_digests_that_are_wanted_by_a_form_are_consented_to_only_by_who_is_new() -> None:
    wants, confirm = RequestDigest(supporter="anna", wording="Yes."), ConfirmEmail(supporter="anna")
    requested = happened(Supporter.DigestRequested, wording="Yes.")
    consented = happened(Supporter.ConsentRecorded, subject="digest", granted=True, wording="Yes.")
    stops, consents = (
        RecordConsent(supporter="anna", topic="digest", granted=granted, wording=".") for granted in (False, True)
    )
    given(REGISTER).when(wants).then(consented)
    given(REGISTER, wants).when(wants).then(requested)
    given(REGISTER, confirm).when(wants).then(requested)
    given(REGISTER, stops).when(wants).then(requested)
    given(REGISTER, confirm, stops).when(wants).then(requested)
    given(REGISTER, confirm, consents).when(wants).refused("supporter.already_consented")
    bounced = SuppressMail(supporter="anna", cause=Undeliverable.HARD_BOUNCE)
    given(REGISTER, confirm, bounced).when(wants).refused("supporter.cannot_be_asked")
    given(Register(supporter="anna")).when(wants).refused("supporter.cannot_be_asked")


def test_mute_a_campaign_and_take_it_in_again() -> None:
    mute, unmute = MuteCampaign(supporter="anna", campaign="c"), UnmuteCampaign(supporter="anna", campaign="c")
    story = given(REGISTER, Draft(campaign="c", title="C"))
    story.when(unmute).refused("supporter.not_muted")
    story.when(mute).then(happened(Supporter.CampaignMuted, campaign=identify("campaign", "c")))
    story.when(mute).refused("supporter.already_muted")
    assert story.stage.get(Supporter, ANNA).muted == [identify("campaign", "c")]
    story.when(unmute).then(happened(Supporter.CampaignUnmuted, campaign=identify("campaign", "c")))
    assert story.stage.get(Supporter, ANNA).muted == []


def test_an_address_that_mail_came_back_from_is_good_again_when_it_is_confirmed_anew_or_another() -> None:
    confirm = ConfirmEmail(supporter="anna")
    bounced = SuppressMail(supporter="anna", cause=Undeliverable.HARD_BOUNCE)
    story = given(REGISTER, confirm)
    story.when(bounced).then(happened(Supporter.MailSuppressed, cause=Undeliverable.HARD_BOUNCE))
    story.when(bounced).refused("supporter.already_suppressed")
    story.when(SuppressMail(supporter="anna", cause=Undeliverable.COMPLAINT)).then(
        happened(Supporter.MailSuppressed, cause=Undeliverable.COMPLAINT)
    )
    story.when(confirm).then(happened(Supporter.EmailConfirmed))
    assert story.stage.get(Supporter, ANNA).suppressed is None
    story.and_given(bounced, Amend(supporter="anna", name="Ana"))
    assert story.stage.get(Supporter, ANNA).suppressed is Undeliverable.HARD_BOUNCE
    story.and_given(Amend(supporter="anna", email="ana@example.org"))
    assert story.stage.get(Supporter, ANNA).suppressed is None
    story.and_given(Amend(supporter="anna", email=None)).when(bounced).refused("supporter.without_email")


def test_join_and_leave_a_chapter() -> None:
    join, leave = JoinChapter(supporter="anna", chapter="lisbon"), LeaveChapter(supporter="anna", chapter="lisbon")
    given(*CHAPTERS, REGISTER).when(join).then(happened(Supporter.ChapterJoined, chapter=LISBON)).when(join).refused(
        "supporter.already_member"
    ).and_given(Close(chapter="lisbon")).when(leave).then(happened(Supporter.ChapterLeft, chapter=LISBON)).when(
        leave
    ).refused("supporter.not_a_member")


def test_erase_forgets_what_the_person_gave() -> None:
    story = given(REGISTER, ConfirmEmail(supporter="anna"))
    story.when(ERASE, reason=" ").refused("command.reason_missing")
    story.when(ERASE, reason="She asked.").then(happened(Supporter.Erased))
    anna = story.stage.get(Supporter, ANNA)
    assert (anna.email, anna.name, anna.email_confirmed) == (None, None, False)
    assert story.facts[-1].event.forgets_person
    story.when(ERASE, reason="She asked.").refused("supporter.already_erased")


@pytest.mark.parametrize(
    ("zone", "at", "day"),
    [
        ("Europe/Lisbon", datetime(2024, 5, 1, 23, 30, tzinfo=UTC), date(2024, 5, 2)),
        ("America/New_York", datetime(2024, 5, 1, 3, 30, tzinfo=UTC), date(2024, 4, 30)),
        (None, datetime(2024, 5, 1, 23, 30, tzinfo=UTC), date(2024, 5, 1)),
    ],
)
def test_a_day_belongs_to_the_person(zone: str | None, at: datetime, day: date) -> None:
    story = given(Register(supporter="anna", time_zone=zone))
    assert story.stage.get(Supporter, ANNA).local_day(at) == day


def verdicts(shared_data: Path) -> Iterator[tuple[str, str]]:
    """Yield addresses with what RFC 5321 and 5322 make of them; control characters are written as their pictures."""
    file = shared_data / "import-torture" / "email-isemail" / "tests.xml"
    for test in ET.parse(file).iter("test"):  # noqa: S314 - a file of ours
        address = test.findtext("address") or ""
        yield re.sub("[\u2400-\u241f]", lambda c: chr(ord(c[0]) - 0x2400), address), test.findtext("category") or ""


def test_an_address_is_refused_where_it_is_malformed_and_only_there(shared_data: Path) -> None:
    found = {verdict: [a for a, v in verdicts(shared_data) if v == f"ISEMAIL_{verdict}"] for verdict in VERDICTS}
    assert {verdict: len(addresses) for verdict, addresses in found.items()} == VERDICTS
    for address in (*found["VALID_CATEGORY"], *found["DNSWARN"]):
        assert check_email(address)
    for address in found["ERR"]:
        with pytest.raises(Invalid, match="not an e-mail address"):
            check_email(address)


@pytest.mark.parametrize("domain", ["example.test", "nobody.invalid", "office.local", "localhost"])
def test_an_address_that_mail_never_leaves_for_is_not_malformed(domain: str) -> None:
    assert check_email(f"anna@{domain}") == f"anna@{domain}"


@pytest.mark.parametrize(
    ("before", "command", "code"),
    [
        ((REGISTER,), REGISTER, "supporter.exists"),
        ((REGISTER, ERASE), REGISTER, "supporter.exists"),
        ((), Register(supporter="anna", email="anna"), "email.malformed"),
        ((), Register(supporter="anna", locale="not a tag"), "locale.malformed"),
        ((), Register(supporter="anna", time_zone="Mars/Base"), "time_zone.unknown"),
        ((), Register(supporter="anna", chapter="nowhere"), "chapter.unknown"),
        ((*CHAPTERS, CLOSED), Register(supporter="anna", chapter="porto"), "chapter.closed"),
        ((), Amend(supporter="anna", name="A"), "supporter.unknown"),
        ((REGISTER,), Amend(supporter="anna", name="Anna"), "supporter.unchanged"),
        ((REGISTER,), Amend(supporter="anna", email="anna"), "email.malformed"),
        ((REGISTER,), Amend(supporter="anna", locale="not a tag"), "locale.malformed"),
        ((REGISTER,), Amend(supporter="anna", time_zone="Mars/Base"), "time_zone.unknown"),
        ((REGISTER,), Amend(supporter="anna", chapter="nowhere"), "chapter.unknown"),
        ((*CHAPTERS, REGISTER, CLOSED), Amend(supporter="anna", chapter="porto"), "chapter.closed"),
        ((Register(supporter="anna"),), ConfirmEmail(supporter="anna"), "supporter.without_email"),
        (
            (*CHAPTERS, REGISTER, CLOSED),
            JoinChapter(supporter="anna", chapter="porto"),
            "chapter.closed",
        ),
        ((REGISTER,), JoinChapter(supporter="anna", chapter="nowhere"), "chapter.unknown"),
        ((REGISTER,), LeaveChapter(supporter="anna", chapter="nowhere"), "chapter.unknown"),
        ((*CHAPTERS, REGISTER), LeaveChapter(supporter="anna", chapter="porto"), "supporter.not_a_member"),
        ((REGISTER,), PauseDigest(supporter="anna", until=date(2024, 5, 15)), "supporter.pause_over"),
        ((REGISTER,), MuteCampaign(supporter="anna", campaign="nowhere"), "campaign.unknown"),
        ((), ERASE, "supporter.unknown"),
    ],
)
def test_refused(before: tuple[Command, ...], command: Command, code: str) -> None:
    given(*before).when(command, reason="It had to be.").refused(code)


@pytest.mark.parametrize(
    "command",
    [
        Amend(supporter="anna", name="A"),
        ConfirmEmail(supporter="anna"),
        RecordConsent(supporter="anna", topic="digest", granted=True, wording="Yes"),
        SetVisibility(supporter="anna", public=True),
        SetDigest(supporter="anna", frequency=Frequency.OFF),
        PauseDigest(supporter="anna", until=date(2025, 1, 1)),
        MuteCampaign(supporter="anna", campaign="c"),
        UnmuteCampaign(supporter="anna", campaign="c"),
        SuppressMail(supporter="anna", cause=Undeliverable.COMPLAINT),
        JoinChapter(supporter="anna", chapter="lisbon"),
        LeaveChapter(supporter="anna", chapter="lisbon"),
    ],
)
def test_the_erased_take_no_more_part(command: Command) -> None:
    given(*CHAPTERS, Register(supporter="anna", chapter="lisbon"), ERASE).when(command).refused("supporter.erased")


LABEL = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,9}[A-Za-z0-9])?", fullmatch=True)
ADDRESS = st.builds(
    "{}@{}".format,
    st.from_regex(r"[A-Za-z0-9_.+-]{1,20}", fullmatch=True) | st.sampled_from(["Info", "POSTMASTER"]),
    st.lists(LABEL, min_size=1, max_size=4).map(".".join) | st.sampled_from(["Example.ORG", "a.test", "x.localhost"]),
)


@given_any(ADDRESS)
def test_a_plain_address_is_what_the_library_says_of_it(address: str) -> None:
    try:
        expected = validate_email(address, check_deliverability=False, globally_deliverable=False).normalized
    except EmailNotValidError:
        with pytest.raises(Invalid):
            check_email(address)
    else:
        assert check_email(address) == expected
