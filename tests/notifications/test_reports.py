"""What comes back is read as it was meant, and nothing that anybody sends does harm."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.kernel import Invalid
from notifications.reports import LARGEST, LONGEST, MOST_LINES, MOST_PARTS, Verdict, read
from tests.support.returned import bounce, complaint, exim, holiday, path, qmail

ROW, OTHER = UUID("c" * 32), UUID("d" * 32)
KEY = f"<{ROW.hex}@groundswell.example.org>"


@pytest.mark.parametrize(
    ("status", "said", "verdict", "cause"),
    [
        ("5.1.1", "550 5.1.1 unknown", Verdict.BOUNCED, "5.1.1"),
        ("5.1.1 (bad destination)", "", Verdict.BOUNCED, "5.1.1"),
        ("5.2.1", "550 disabled", Verdict.BOUNCED, "5.2.1"),
        ("5.0.0", "550 no such user", Verdict.BOUNCED, "5.0.0"),
        ("5.0.0", "552 5.2.2 over quota", Verdict.UNDELIVERED, "5.2.2"),
        ("5.2.2", "552 5.2.2 over quota", Verdict.UNDELIVERED, "5.2.2"),
        ("5.7.1", "554 5.7.1 blocked", Verdict.BLOCKED, "5.7.1"),
        ("4.7.0", "421 4.7.0 too many complaints", Verdict.BLOCKED, "4.7.0"),
        ("5.1.8", "550 5.1.8 bad sender", Verdict.BLOCKED, "5.1.8"),
        ("5.6.0", "554 5.6.0 no such content", Verdict.BLOCKED, "5.6.0"),
        ("5.3.4", "552 5.3.4 too big", Verdict.BLOCKED, "5.3.4"),
        ("5.4.1", "550 5.4.1 access denied", Verdict.BOUNCED, "5.4.1"),
        ("5.4.6", "554 5.4.6 loop", Verdict.UNDELIVERED, "5.4.6"),
        ("4.4.7", "451 4.4.7 too late", Verdict.UNDELIVERED, "4.4.7"),
        ("", "550-5.1.1 unknown", Verdict.BOUNCED, "5.1.1"),
        ("", "550 no such user", Verdict.BOUNCED, "5.0.0"),
        ("", "450 later", Verdict.UNDELIVERED, "4.0.0"),
        ("", "", Verdict.UNDELIVERED, "unknown"),
        ("5.1", "host 5.1.1.1 said no", Verdict.UNDELIVERED, "unknown"),
    ],
)
def test_a_failed_delivery(status: str, said: str, verdict: Verdict, cause: str) -> None:
    report = read(bounce(ROW, status, said=said))
    assert (report.verdict, report.cause) == (verdict, cause)


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded", "nonsense"])
def test_what_arrived_is_no_failure(action: str) -> None:
    assert read(bounce(ROW, "2.0.0", action=action)).verdict is Verdict.IGNORED


def test_what_is_late_may_arrive() -> None:
    assert read(bounce(ROW, "4.4.1", action="Delayed")).verdict is Verdict.DELAYED


def test_which_mail_it_is_about() -> None:
    report = read(bounce(ROW))
    assert (report.tokens, report.message_ids) == ((ROW,), (KEY,))
    assert read(bounce(ROW, to="postmaster@groundswell.example.org")).message_ids == (KEY,)
    assert read(bounce(ROW), arrived_for=path(OTHER)).tokens == (OTHER, ROW)
    assert read(bounce(ROW, returned="message/rfc822")).message_ids == (KEY,)


@pytest.mark.parametrize("returned", ["message/global", "message/global-headers"])
def test_an_internationalised_report(returned: str) -> None:
    raw = bounce(ROW, returned=returned).replace(b"message/delivery-status", b"message/global-delivery-status")
    report = read(raw)
    assert (report.verdict, report.cause, report.message_ids) == (Verdict.BOUNCED, "5.1.1", (KEY,))


def test_the_worst_of_several_recipients_counts() -> None:
    more = b"Final-Recipient: rfc822; b@else.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n"
    raw = bounce(ROW, "4.4.1", action="delayed").replace(b"Final-Recipient", more + b"Final-Recipient")
    assert read(raw).verdict is Verdict.BOUNCED


@pytest.mark.parametrize("kind", ["abuse", "fraud", "opt-out", "virus", "other", "Abuse"])
def test_a_complaint(kind: str) -> None:
    report = read(complaint(ROW, kind))
    assert (report.verdict, report.cause, report.message_ids) == (Verdict.COMPLAINED, kind.lower(), (KEY,))
    assert report.tokens == (ROW,)  # by the Return-Path of the mail that is returned


def test_a_complaint_that_names_only_the_return_path() -> None:
    raw = complaint(OTHER, more=f"Original-Mail-From: <{path(ROW)}>\n")
    assert read(raw.replace(OTHER.hex.encode(), b"gone")).tokens == (ROW,)


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure", "dmarc", "", "a b", "x" * 50])
def test_other_feedback_is_no_complaint(kind: str) -> None:
    assert read(complaint(ROW, kind)).verdict is Verdict.IGNORED


@pytest.mark.parametrize("old", [exim, qmail])
@pytest.mark.parametrize(
    ("said", "verdict", "cause"),
    [
        ("550 5.1.1 no such user", Verdict.BOUNCED, "5.1.1"),
        ("550 no such user", Verdict.BOUNCED, "5.0.0"),
        ("Sorry, no mailbox here by that name. (#5.1.1)", Verdict.BOUNCED, "5.1.1"),
        ("452 4.2.2 over quota", Verdict.UNDELIVERED, "4.2.2"),
        ("retry timeout exceeded", Verdict.UNDELIVERED, "unknown"),
    ],
)
def test_bounces_of_old_style(old: object, said: str, verdict: Verdict, cause: str) -> None:
    report = read(old(ROW, said))  # type: ignore[operator]
    assert (report.verdict, report.cause) == (verdict, cause)
    assert (report.tokens, report.message_ids) == ((ROW,), (KEY,))


def test_somebody_on_holiday_does_not_bounce() -> None:
    assert read(holiday(ROW)).verdict is Verdict.IGNORED


def test_a_report_within_a_forwarded_mail_says_nothing() -> None:
    raw = b"To: x@example.org\r\nContent-Type: message/rfc822\r\n\r\n" + bounce(ROW)
    assert read(raw).verdict is Verdict.IGNORED


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "mail_report.malformed"),
        (b"\xff\x00 nothing at all", "mail_report.malformed"),
        (b"To: a@example.org\r\n\r\n" + b"x" * LARGEST, "mail_report.too_large"),
    ],
)
def test_what_is_no_report_at_all(raw: bytes, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(raw)
    assert refused.value.code == code


WHOLE = (bounce(ROW), complaint(ROW), exim(ROW, "550 5.1.1 x"), qmail(ROW, "x"), bounce(ROW, returned="message/rfc822"))


def outcome(raw: bytes) -> str:
    """Return the verdict, or the code of the refusal."""
    try:
        return read(raw).verdict
    except Invalid as error:
        return error.code


@given(st.sampled_from(WHOLE), st.lists(st.tuples(st.integers(0, 1_500), st.integers(0, 60), st.binary(max_size=20))))
def test_whatever_is_broken_in_it_is_read_or_refused(raw: bytes, changes: list[tuple[int, int, bytes]]) -> None:
    for at, length, instead in changes:
        raw = raw[:at] + instead + raw[at + length :]
    assert outcome(raw) in {*Verdict, "mail_report.malformed"}


def test_a_message_of_boxes_in_boxes_is_read_or_refused() -> None:
    raw = b"To: a@example.org\r\n" + b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (depth, depth) for depth in range(3_000)
    )
    assert outcome(raw) in {Verdict.IGNORED, "mail_report.malformed"}


def test_a_complaint_whose_fields_break_no_rule_of_writing_is_read() -> None:
    """The standard library reads these fields, and refuses to write them."""
    raw = complaint(ROW).replace(b"User-Agent: SomeGenerator/1.0", b"User-Agent: x\x0b\x0bVersion: 1")
    report = read(raw)
    assert (report.verdict, report.tokens) == (Verdict.COMPLAINED, (ROW,))


def typed(value: bytes) -> bytes:
    return b"To: a@example.org\r\nContent-Type: multipart/report" + value + b"\r\n\r\nx"


@pytest.mark.parametrize(
    "raw",
    [
        typed(b';a="' + b";" * LONGEST),
        typed(b"".join(b";\r\n a*%d*=b" % number for number in range(LONGEST // 9))),
        typed(b"".join(b";\r\ta*%d*=b" % number for number in range(LONGEST // 9))),
        bounce(ROW).replace(b"Content-Type: message/delivery-status", b"content-type: message/x" + b";a=b" * LONGEST),
        b"To: a@example.org\r\n\r\n" + b"\n" * MOST_LINES,
        b"To: a@example.org\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * (MOST_PARTS + 1),
    ],
)
def test_what_would_take_minutes_to_read_is_refused(raw: bytes) -> None:
    assert outcome(raw) == "mail_report.malformed"


def test_long_headers_that_nobody_takes_apart_do_no_harm() -> None:
    """Some servers add kilobytes of their own to each report."""
    raw = b"X-Microsoft-Antispam-Message-Info: " + b"abcdefgh\r\n " * LONGEST + b"\r\n" + bounce(ROW)
    assert read(raw).verdict is Verdict.BOUNCED
