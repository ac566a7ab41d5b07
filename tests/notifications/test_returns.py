"""What comes back stops mail to an address that takes none: at once, by event, once, and only to that address."""

from datetime import datetime, timedelta
from email.errors import HeaderParseError
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from domain.kernel import Actor, Invalid
from domain.mails import Mail
from domain.supporters import Supporter
from history.tables import events
from notifications import ranges
from notifications.outbox import State
from notifications.recipients import Recipient, load
from notifications.returns import Returned, Returns
from notifications.tables import outbox
from tests.support.mails import ANNA, MONDAY, Clock, change_meanwhile, join
from tests.support.returned import bounce, complaint, exim, holiday, path
from tests.support.store import Store

BY = Actor("system", "test")
HOST = "groundswell.example.org"


@pytest.fixture
def returns(store: Store) -> Returns:
    join(store, "anna")
    return Returns(store.engine, Clock())


def anna(store: Store) -> Recipient:
    found = load(store.engine.log, ANNA)
    assert found is not None
    return found


def sent(store: Store, due_at: datetime = MONDAY, **more: object) -> UUID:
    """Put a digest of Anna's into the outbox that went out to her present address."""
    key = uuid4()
    values = {
        "id": key,
        "kind": "digest",
        "supporter": ANNA,
        "period": f"daily:{due_at.date()}",
        "state": str(State.ACCEPTED),
        "message_id": f"<{key.hex}@{HOST}>",
        "due_at": due_at,
        "not_before": due_at,
        "subject_version": anna(store).email_version,
        "attempts": 1,
        "planned_at": due_at,
        "changed_at": due_at,
    }
    with store.engine.database.write() as connection:
        connection.execute(outbox.insert().values(values | more))
    return key


def kept(store: Store, mail: UUID) -> str | None:
    with store.engine.database.read() as connection:
        found: str | None = connection.scalar(sa.select(outbox.c.returned).where(outbox.c.id == mail))
    return found


def told(store: Store) -> list[tuple[str, str | None]]:
    """Return what the history says of mails and of their suppression: topic and cause."""
    topics = [event.TOPIC for event in (Mail.Bounced, Mail.Complained, Supporter.MailSuppressed)]
    return [
        (fact.topic, str(fact.event.cause))  # type: ignore[attr-defined]
        for fact in store.engine.log.facts(0, 100, events.c.topic.in_(topics))
    ]


def test_a_hard_bounce_stops_mail_at_once(store: Store, returns: Returns) -> None:
    mail = sent(store)
    assert returns.take(bounce(mail), BY) == Returned("bounced", mail, "5.1.1", suppressed=True)
    assert told(store) == [("mails.Bounced", "5.1.1"), ("supporters.MailSuppressed", "hard_bounce")]
    assert anna(store).hindrance == "bounced"
    assert kept(store, mail) == "bounced"


def test_a_complaint_stops_mail_at_once(store: Store, returns: Returns) -> None:
    mail = sent(store)
    assert returns.take(complaint(mail), BY) == Returned("complained", mail, "abuse", suppressed=True)
    assert told(store) == [("mails.Complained", "abuse"), ("supporters.MailSuppressed", "complaint")]
    assert anna(store).hindrance == "complained"


def test_a_report_that_comes_again_does_nothing_more(store: Store, returns: Returns) -> None:
    mail = sent(store)
    first = returns.take(bounce(mail), BY)
    before = told(store), store.engine.log.head()
    assert returns.take(bounce(mail), BY) == first
    assert returns.take(bounce(mail, "5.2.1"), BY).suppressed
    assert (told(store), store.engine.log.head()) == before


def test_an_old_report_does_not_undo_a_new_confirmation(store: Store, returns: Returns) -> None:
    mail = sent(store)
    returns.take(bounce(mail), BY)
    store.run("supporters.confirm_email", supporter="anna")
    assert not returns.take(bounce(mail), BY).suppressed
    assert anna(store).suppressed is None


def test_a_report_about_an_address_of_before_says_nothing_of_the_present_one(store: Store, returns: Returns) -> None:
    mail = sent(store)
    store.run("supporters.amend", supporter="anna", email="new@example.org")
    store.run("supporters.confirm_email", supporter="anna")
    assert returns.take(bounce(mail), BY) == Returned("bounced", mail, "5.1.1", suppressed=False)
    assert told(store) == [("mails.Bounced", "5.1.1")]
    assert anna(store).hindrance is None


def test_an_address_that_is_changed_meanwhile_is_left_alone(
    store: Store, returns: Returns, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = sent(store)
    change_meanwhile(store, monkeypatch, "notifications.returns.load", email="new@example.org")
    assert not returns.take(bounce(mail), BY).suppressed
    assert anna(store).suppressed is None


def test_a_supporter_who_changes_meanwhile_keeps_the_address(
    store: Store, returns: Returns, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = sent(store)
    change_meanwhile(store, monkeypatch, "notifications.returns.load", name="Another")
    assert returns.take(bounce(mail), BY).suppressed


def test_a_report_about_somebody_erased_is_counted(store: Store, returns: Returns) -> None:
    mail = sent(store)
    store.run("supporters.erase", supporter="anna", reason="Asked.")
    assert returns.take(complaint(mail), BY) == Returned("complained", mail, "abuse", suppressed=False)
    assert told(store) == [("mails.Complained", "abuse")]


def test_a_complaint_weighs_more_than_a_bounce(store: Store, returns: Returns) -> None:
    mail = sent(store)
    for raw in (bounce(mail, "4.4.7"), bounce(mail), complaint(mail), bounce(mail)):
        returns.take(raw, BY)
    assert kept(store, mail) == "complained"
    assert anna(store).hindrance == "complained"


def test_what_cannot_be_read_stops_nothing_else(
    store: Store, returns: Returns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise HeaderParseError

    mail = sent(store)
    monkeypatch.setattr("notifications.reports._feedback", stumble)
    assert returns.take_all([complaint(mail), b"", bounce(mail)], BY) == {
        "unreadable": 2,
        "bounced": 1,
        "suppressed": 1,
    }


# --- what it told ---


def reached(store: Store) -> int:
    """Return how far Anna's digests told."""
    with store.engine.database.read() as connection:
        return ranges.told(connection, [ANNA])[ANNA][0]


def digest(store: Store, start: int, end: int, day: int = 0) -> UUID:
    """Put a digest of Anna's into the outbox that told this range."""
    mail = sent(store, MONDAY + timedelta(days=day), from_position=start, to_position=end)
    with store.engine.database.write() as connection:
        row = connection.execute(sa.select(outbox).where(outbox.c.id == mail)).one()
        ranges.tell(connection, [row], MONDAY)
    return mail


@pytest.mark.parametrize("status", ["5.1.1", "4.4.7", "5.7.1"])
def test_what_a_digest_told_that_came_back_is_told_by_the_next(store: Store, returns: Returns, status: str) -> None:
    digest(store, 3, 10)
    mail = digest(store, 10, 20, day=1)
    returns.take(bounce(mail, status), BY)
    assert reached(store) == 10
    digest(store, 10, 20, day=2)
    returns.take(bounce(mail, status), BY)  # that report again
    assert reached(store) == 20


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_several_that_came_back_the_next_goes_on_where_the_oldest_began(
    store: Store, returns: Returns, order: tuple[int, int]
) -> None:
    mails = [digest(store, 3, 10), digest(store, 10, 20, day=1)]
    for number in order:
        returns.take(bounce(mails[number]), BY)
    assert reached(store) == 3
    digest(store, 20, 25, day=2)  # was made before: without what came back
    assert reached(store) == 3
    digest(store, 3, 30, day=3)
    assert reached(store) == 30


def test_what_was_told_again_since_is_not_told_once_more(store: Store, returns: Returns) -> None:
    mails = [digest(store, 3, 10), digest(store, 10, 20, day=1)]
    returns.take(bounce(mails[0]), BY)
    digest(store, 3, 30, day=2)
    returns.take(bounce(mails[1]), BY)
    assert reached(store) == 30


def test_what_somebody_complains_about_was_told(store: Store, returns: Returns) -> None:
    returns.take(complaint(digest(store, 3, 10)), BY)
    assert reached(store) == 10


# --- which mail ---


def test_the_mail_is_known_by_the_address_or_by_the_message_id(store: Store, returns: Returns) -> None:
    one, other = sent(store), sent(store, MONDAY + timedelta(days=1))
    assert returns.take(bounce(one, to="postmaster@example.org"), BY).mail == one
    assert returns.take(bounce(one), BY, path(other)).mail == other
    assert returns.take(exim(one, "550 5.1.1 x"), BY).mail == one


def test_nothing_but_the_outbox_is_believed(store: Store, returns: Returns) -> None:
    mail, never = sent(store), sent(store, MONDAY + timedelta(days=1), attempts=0, state="pending")
    elsewhere = bounce(mail, to="postmaster@example.org").replace(b"@groundswell.example.org>", b"@evil.example>")
    for raw in (
        bounce(uuid4()),
        complaint(uuid4()),
        bounce(never),
        elsewhere.replace(b"Return-Path: <bou", b"X: <bou"),
    ):
        assert returns.take(raw, BY) == Returned("unmatched")
    assert told(store) == []
    naming = bounce(uuid4()).replace(b"somebody@else.example", b"anna@example.org")
    assert returns.take(naming, BY) == Returned("unmatched")


def test_what_is_no_failure_changes_nothing(store: Store, returns: Returns) -> None:
    mail = sent(store)
    assert returns.take(bounce(mail, "4.4.1", action="delayed"), BY) == Returned("delayed", mail, "4.4.1")
    assert returns.take(bounce(mail, "2.1.5", action="delivered"), BY) == Returned("ignored", mail)
    assert returns.take(complaint(mail, "not-spam"), BY) == Returned("ignored", mail)
    assert returns.take(holiday(mail), BY) == Returned("ignored", mail)
    with pytest.raises(Invalid):
        returns.take(b"", BY)
    assert told(store) == []
    assert kept(store, mail) is None


# --- given up for now ---


def give_up(store: Store, returns: Returns, *days: int) -> list[bool]:
    """Let the digests of these days come back given up; tell of each whether the address was suppressed then."""
    mails = [sent(store, MONDAY + timedelta(days=day)) for day in days]
    return [returns.take(bounce(mail, "4.2.2"), BY).suppressed for mail in mails]


def test_several_given_up_in_a_row_over_days_stop_mail(store: Store, returns: Returns) -> None:
    assert give_up(store, returns, 0, 3, 7) == [False, False, True]
    assert told(store)[-1] == ("supporters.MailSuppressed", "hard_bounce")
    assert [cause for topic, cause in told(store) if topic == "mails.Bounced"] == ["4.2.2"] * 3


@pytest.mark.parametrize("days", [(0, 1, 2, 3, 4, 5, 6), (0, 8)])
def test_many_within_a_week_or_two_in_a_month_do_not(store: Store, returns: Returns, days: tuple[int, ...]) -> None:
    assert not any(give_up(store, returns, *days))
    assert anna(store).hindrance is None


def test_one_that_arrived_ends_the_row(store: Store, returns: Returns) -> None:
    assert not any(give_up(store, returns, 0, 3))
    sent(store, MONDAY + timedelta(days=5))
    assert not any(give_up(store, returns, 7, 8))
    assert give_up(store, returns, 14) == [True]


def test_a_server_that_blocks_us_kills_no_address(store: Store, returns: Returns) -> None:
    blocked = [sent(store, MONDAY + timedelta(days=day)) for day in (0, 10, 20, 30)]
    for mail in blocked:
        assert returns.take(bounce(mail, "5.7.1"), BY) == Returned("blocked", mail, "5.7.1", suppressed=False)
    assert told(store) == [("mails.Bounced", "5.7.1")] * 4
    assert give_up(store, returns, 31, 35) == [False, False]
    blocked = [sent(store, MONDAY + timedelta(days=36))]
    returns.take(bounce(blocked[0], "5.7.1"), BY)
    assert give_up(store, returns, 38) == [True]  # it neither counts nor ends a row


def test_a_row_begins_anew_with_a_new_address(store: Store, returns: Returns) -> None:
    assert not any(give_up(store, returns, 0, 3))
    store.run("supporters.amend", supporter="anna", email="new@example.org")
    assert not any(give_up(store, returns, 7, 14))
