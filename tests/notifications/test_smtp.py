"""What became of a mail is what the mail server's answers say, also where the connection is cut."""

import socket
import threading
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from domain.kernel import Invalid, identify
from notifications import outbox
from notifications.mailer import Envelope
from notifications.outbox import State
from notifications.pacing import IN_A_ROW
from notifications.recipients import load
from notifications.service import Notifications
from notifications.smtp import SmtpMailer
from notifications.tables import outbox as table
from tests.support.mails import MONDAY, crowd
from tests.support.sink import Sink
from tests.support.store import Store


def row_in(store: Store, state: str) -> Any:  # noqa: ANN401 - a row of the outbox
    with store.engine.database.read() as connection:
        return connection.execute(sa.select(table).where(table.c.state == state)).one()


@pytest.fixture(params=["pipelining", "in turn"])
def speaking(request: pytest.FixtureRequest, sink: Sink) -> Sink:
    """A server that takes commands at once (RFC 2920), and one that does not."""
    sink.pipelining = request.param == "pipelining"
    return sink


@pytest.mark.parametrize(
    ("at_rcpt", "at_data", "state", "reason", "said"),
    [
        (["450 4.2.1 later"], [], "deferred", "4.2.1", "450 4.2.1 later"),
        (["450 later"], [], "deferred", "450", "450 later"),
        (["550 no s00@example.org"], [], "refused", "550", "550 no s00@example.org"),
        (["421 closing"], [], "deferred", "421", "421"),
        (["cut"], [], "deferred", "connection_lost", "connection lost before"),
        ([], ["451 later"], "deferred", "451", "451"),
        ([], ["554 5.7.1 no"], "refused", "5.7.1", "554 5.7.1 no"),
        ([], ["cut"], "unknown", "connection_lost", "connection lost after"),
    ],
)
def test_answers(
    store: Store,
    mails: Notifications,
    speaking: Sink,
    at_rcpt: list[str],
    at_data: list[str],
    state: str,
    reason: str,
    said: str,
) -> None:
    crowd(store, 2)
    speaking.at_rcpt, speaking.at_data = [*at_rcpt], [*at_data]
    counts = mails.run(MONDAY)
    assert counts == {"planned": 2, "accepted": 1, state: 1}
    row = row_in(store, state)
    assert said not in row.last_error  # servers repeat addresses: it is sealed
    with store.engine.database.read() as connection:
        assert said in (outbox.said_of(connection, store.engine.persons, row) or "")
    assert (row.attempts, row.reason) == (1, reason)
    assert (row.not_before > MONDAY + timedelta(minutes=3)) is (state in {"deferred", "unknown"})
    # The other one arrived, on a new connection if need be; a second run in the same minute sends nothing.
    assert len(speaking.raw) == 1
    assert mails.run(MONDAY + timedelta(minutes=1)) == {"planned": 0}


def test_a_connection_that_died_between_two_mails_is_opened_again(
    store: Store, mails: Notifications, speaking: Sink
) -> None:
    crowd(store, 3)
    speaking.at_mail = ["ok", "cut", "ok", "cut"]
    assert mails.run(MONDAY) == {"planned": 3, "accepted": 3}
    assert speaking.connections == 3


@pytest.mark.parametrize(
    ("answer", "suppressed"),
    [
        ("550 5.1.1 no such user", "bounced"),
        ("550 5.2.1 mailbox disabled", "bounced"),
        ("550 5.7.1 we do not like you", None),
        ("550 5.1.0 address rejected", "bounced"),
        ("550 5.1.8 your domain does not exist", None),
        ("550 No such user here", "bounced"),
        ("550 <s00@example.org>: Recipient address rejected: User unknown in virtual mailbox table", "bounced"),
        ("551 unknown user", "bounced"),
        ("553 invalid recipient", "bounced"),
        ("550 Unrouteable address", "bounced"),
        ("550 no", None),
        ("550 Administrative prohibition", None),
        ("550 Message rejected", None),
        ("550 Too many recipients", None),
        ("550 rate limit exceeded", None),
        ("550 SPF check failed", None),
        ("550 Client host rejected: cannot find your hostname", None),
        ("550 mailbox full", None),
        ("550 Service unavailable; refused by RBL", None),
        ("550 Callout verification failed", None),
        ("553 mailbox name not allowed", None),
        ("550 relay not permitted", None),
        ("550 your host is listed, see http://example.org", None),
        ("553 sorry, that is not one of mine (#5.7.1)", None),
        ("552 5.2.2 mailbox full", None),
        ("552 full", None),
        ("554 no", None),
    ],
)
def test_an_address_that_is_none_gets_no_more_mail(
    store: Store, mails: Notifications, sink: Sink, answer: str, suppressed: str | None
) -> None:
    crowd(store, 2)
    sink.at_rcpt = [answer]
    assert mails.run(MONDAY) == {"planned": 2, "accepted": 1, "refused": 1}
    person = load(store.engine.log, row_in(store, "refused").supporter)
    assert person is not None
    assert person.hindrance == suppressed
    store.catch_up()
    assert mails.audience(MONDAY + timedelta(days=7)).size == (1 if suppressed else 2)


@pytest.mark.parametrize("answer", ["550 5.1.1 no such user", "550 no"])
def test_what_is_refused_after_the_recipient_was_taken_says_nothing_of_the_address(
    store: Store, mails: Notifications, speaking: Sink, answer: str
) -> None:
    crowd(store, 2)
    speaking.at_data = [answer]
    assert mails.run(MONDAY) == {"planned": 2, "accepted": 1, "refused": 1}
    row = row_in(store, "refused")
    assert row.reason == "550"
    person = load(store.engine.log, row.supporter)
    assert person is not None
    assert person.suppressed is None


def test_a_server_that_does_not_take_our_sender_blames_nobody_and_is_left_alone(
    store: Store, mails: Notifications, speaking: Sink
) -> None:
    crowd(store, IN_A_ROW + 2)
    speaking.at_mail = ["550 5.1.1 sender address rejected: user unknown"] * 100
    assert mails.run(MONDAY) == {"planned": IN_A_ROW + 2, "deferred": IN_A_ROW}
    assert "rests until" in mails.status()["runs"][0]["trouble"]
    for number in range(IN_A_ROW + 2):
        person = load(store.engine.log, identify("supporter", f"s{number:02d}"))
        assert person is not None
        assert person.suppressed is None
    speaking.at_mail.clear()
    assert mails.run(MONDAY + timedelta(hours=1)) == {"planned": 0, "accepted": IN_A_ROW + 2}


def test_an_address_that_was_changed_meanwhile_is_not_blamed(store: Store, mails: Notifications, sink: Sink) -> None:
    crowd(store, 1)
    sink.at_rcpt = ["550 5.1.1 no such user"]
    sink.at_recipient = lambda _: store.run("supporters.amend", supporter="s00", email="other@example.org")
    assert mails.run(MONDAY) == {"planned": 1, "refused": 1}
    person = load(store.engine.log, identify("supporter", "s00"))
    assert person is not None
    assert person.suppressed is None


def test_dots_at_the_beginning_of_lines_arrive_as_they_were(speaking: Sink) -> None:
    message = b".one\r\n..two\r\n.\r\nthree\r\n"
    with SmtpMailer(speaking.url).session() as session:
        for _ in range(2):
            outcome = session.send(Envelope("x", "a@example.org", "b@example.org", message))
            assert outcome.state is State.ACCEPTED
    assert speaking.raw == [message] * 2


def test_an_address_cannot_carry_a_command(speaking: Sink) -> None:
    with SmtpMailer(speaking.url).session() as session:
        evil = Envelope("x", "a@example.org", "b@example.org>\r\nRCPT TO:<c@example.org", b"x\r\n")
        assert session.send(evil).state is State.REFUSED
        assert session.send(Envelope("x", "a@example.org", "b@example.org", b"x\r\n")).state is State.ACCEPTED
    assert speaking.recipients == ["b@example.org"]


def test_a_server_that_does_not_answer_is_given_up_after_a_while(store: Store, mails: Notifications) -> None:
    crowd(store, 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mails.mailer = SmtpMailer(f"smtp://127.0.0.1:{silent.getsockname()[1]}", timeout=0.1)
        assert mails.run(MONDAY) == {"planned": 1}
    assert "timed out" in mails.status()["runs"][0]["trouble"]
    assert row_in(store, "pending").attempts == 0


def test_an_answer_that_does_not_come_in_time_leaves_a_mail_unknown(
    store: Store, mails: Notifications, sink: Sink
) -> None:
    crowd(store, 1)
    done = threading.Event()
    sink.at_message = lambda _: done.wait(60)
    mails.mailer = SmtpMailer(sink.url, timeout=0.5)
    try:
        assert mails.run(MONDAY) == {"planned": 1, "unknown": 1}
    finally:
        done.set()


@pytest.mark.parametrize("url", ["http://x", "smtp://", "smtp://h:port", "mail.example.org"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        SmtpMailer(url)


@pytest.mark.parametrize("url", ["smtp://anna@h", "smtp://anna:@h", "smtps://:secret@h"])
def test_a_user_without_a_password_is_not_taken_for_no_sign_in(url: str) -> None:
    with pytest.raises(Invalid, match="both user and password") as refused:
        SmtpMailer(url)
    assert refused.value.code == "settings.smtp_url"
    assert "secret" not in refused.value.message


def test_a_url_carries_user_and_password() -> None:
    made = SmtpMailer("smtps://anna%40x:p%2Fw@mail.example.org")
    assert (made.user, made.password, made.host, made.port, made.tls) == (
        "anna@x",
        "p/w",
        "mail.example.org",
        465,
        True,
    )
