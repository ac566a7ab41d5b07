"""Nobody gets too many mails at once, and a server that fails is left alone, while the mails to others go out."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from domain.kernel import identify
from notifications import sending, transmitting
from notifications.mailer import Outcome
from notifications.outbox import State
from notifications.pacing import BURST, FIRST_REST, IN_A_ROW, LONGEST_REST, PUNCTUAL, Breaker, Pacing, Rate, domain_of
from notifications.tables import outbox as table
from tests.support.mails import MONDAY, crowd, service
from tests.support.sink import Sink
from tests.support.store import Store

SECOND = timedelta(seconds=1)
LATER, LOST = Outcome(State.DEFERRED), Outcome(State.DEFERRED, lost=True)
TAKEN = Outcome(State.ACCEPTED)


# --- a breaker ---


def test_after_some_failures_in_a_row_there_is_a_rest() -> None:
    breaker = Breaker()
    for _ in range(IN_A_ROW - 1):
        breaker.failed(MONDAY)
    assert breaker.resting(MONDAY) is None
    breaker.failed(MONDAY)
    assert breaker.resting(MONDAY) == MONDAY + FIRST_REST
    assert breaker.resting(MONDAY + FIRST_REST) is None


def test_one_success_makes_good_what_failed() -> None:
    breaker = Breaker()
    for _ in range(3 * IN_A_ROW):
        breaker.failed(MONDAY)
        breaker.worked()
    assert breaker.resting(MONDAY) is None


def test_after_a_rest_one_failure_is_enough_for_one_twice_as_long_and_none_is_too_long() -> None:
    breaker, moment, rests = Breaker(), MONDAY, []
    for _ in range(IN_A_ROW - 1):
        breaker.failed(moment)
    for _ in range(9):
        breaker.failed(moment)
        until = breaker.resting(moment)
        assert until is not None
        rests.append(until - moment)
        moment = until
    assert rests[:3] == [FIRST_REST, 2 * FIRST_REST, 4 * FIRST_REST]
    assert rests[-1] == LONGEST_REST


def test_failures_while_it_rests_make_no_rest_longer() -> None:
    breaker = Breaker()
    for _ in range(10 * IN_A_ROW):
        breaker.failed(MONDAY)
    assert breaker.resting(MONDAY) == MONDAY + FIRST_REST


# --- a rate ---


def test_a_rate_gives_each_a_moment_of_its_own() -> None:
    rate = Rate(4)
    moments = [rate.moment(MONDAY) - MONDAY for _ in range(8)]
    assert moments == [timedelta()] * 4 + [SECOND / 4 * n for n in range(1, 5)]


def test_what_was_not_used_is_good_for_a_second() -> None:
    rate = Rate(4)
    rate.moment(MONDAY)
    later = MONDAY + timedelta(hours=1)
    assert sum(rate.moment(later) == later for _ in range(100)) == 4
    assert BURST == SECOND


def test_a_rate_below_one_a_second_holds_too() -> None:
    rate = Rate(0.1)
    assert [rate.moment(MONDAY) - MONDAY for _ in range(3)] == [timedelta(), 10 * SECOND, 20 * SECOND]


def test_a_reserved_moment_is_good_once_it_has_come_and_not_for_long() -> None:
    rate = Rate(1)
    rate.moment(MONDAY)
    reserved = rate.moment(MONDAY)
    assert rate.moment(MONDAY, reserved) > reserved  # too early: another one
    assert rate.moment(reserved, reserved) == reserved
    late = reserved + PUNCTUAL + SECOND
    assert [rate.moment(late, reserved) - late for _ in range(3)] == [timedelta(), SECOND, 2 * SECOND]


# --- domains ---


def test_a_domain_rests_alone() -> None:
    pacing = Pacing()
    for _ in range(IN_A_ROW):
        pacing.note("slow.example", LATER, MONDAY)
        pacing.note("quick.example", TAKEN, MONDAY)
    assert pacing.moment("slow.example", MONDAY) == MONDAY + FIRST_REST
    assert pacing.moment("quick.example", MONDAY) == MONDAY
    assert pacing.relay.resting(MONDAY) is None


def test_a_lost_connection_is_the_relays_failure() -> None:
    pacing = Pacing()
    for _ in range(IN_A_ROW):
        pacing.note("some.example", LOST, MONDAY)
    assert pacing.relay.resting(MONDAY) == MONDAY + FIRST_REST


def test_no_more_domains_are_remembered_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notifications.pacing.DOMAINS", 3)
    pacing = Pacing(1)
    for number in range(10):
        pacing.moment(f"{number}.example", MONDAY)
        pacing.note(f"{number}.example", LATER, MONDAY)
    assert len(pacing._rates) == len(pacing._domains) == 3  # noqa: SLF001


def test_domains_are_told_apart_as_mail_servers_do() -> None:
    assert domain_of('"a@b"@Example.ORG') == "example.org"


# --- senders ---


def rows(store: Store) -> dict[str, Any]:
    """Return the rows of the outbox by the number of their supporter."""
    names = {identify("supporter", f"s{number:02d}"): f"s{number:02d}" for number in range(20)}
    with store.engine.database.read() as connection:
        return {names[row.supporter]: row for row in connection.execute(sa.select(table))}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no run wait for a moment that is reserved."""
    monkeypatch.setattr(sending, "PATIENCE", timedelta(seconds=-1))


@pytest.mark.usefixtures("impatient")
def test_mails_to_one_domain_wait_for_their_moments_and_those_to_others_do_not(
    store: Store, tmp_path: Path, sink: Sink
) -> None:
    crowd(store, 3)
    store.run("supporters.amend", supporter="s02", email="s02@other.example.com")
    store.run("supporters.confirm_email", supporter="s02")
    store.catch_up()
    mails = service(store, tmp_path, sink.url, mail_rate=0.01)
    assert mails.run(MONDAY) == {"planned": 3, "accepted": 2}
    assert "s02@other.example.com" in sink.recipients
    (waiting,) = [row for row in rows(store).values() if row.state == "pending"]
    assert (waiting.reason, waiting.attempts) == ("rate", 0)
    assert timedelta(seconds=99) < waiting.not_before - MONDAY < timedelta(seconds=101)
    assert mails.run(MONDAY + timedelta(seconds=60)) == {"planned": 0}
    assert mails.run(MONDAY + timedelta(seconds=102)) == {"planned": 0, "accepted": 1}


def test_a_run_waits_for_moments_that_are_near(store: Store, tmp_path: Path, sink: Sink) -> None:
    crowd(store, 6)
    mails = service(store, tmp_path, sink.url, mail_rate=20)
    mails._pacing._rates["example.org"] = rate = Rate(20)  # noqa: SLF001
    for _ in range(20):
        rate.moment(MONDAY)  # the burst is used up
    assert mails.run(MONDAY) == {"planned": 6, "accepted": 6}
    assert len(sink.raw) == 6


def test_a_domain_that_defers_everything_is_left_alone_while_others_get_their_mail(
    store: Store, tmp_path: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transmitting, "IN_FLIGHT", 4)
    crowd(store, 12)
    for name in ("s10", "s11"):
        store.run("supporters.amend", supporter=name, email=f"{name}@other.example.com")
        store.run("supporters.confirm_email", supporter=name)
    store.catch_up()
    mails = service(store, tmp_path, sink.url)
    sink.answers = {"example.org": "451 4.3.2 busy"}
    assert mails.run(MONDAY) == {"planned": 12, "accepted": 2, "deferred": IN_A_ROW}
    assert sorted(sink.recipients) == ["s10@other.example.com", "s11@other.example.com"]
    untried = [row for row in rows(store).values() if row.state == "pending"]
    assert [row.attempts for row in untried] == [0] * 5
    sink.answers = {}
    assert mails.run(MONDAY + timedelta(minutes=2))["accepted"] == 5
    assert mails.run(MONDAY + timedelta(hours=1))["accepted"] == IN_A_ROW


def test_a_server_that_drops_every_connection_is_left_alone(store: Store, tmp_path: Path, sink: Sink) -> None:
    crowd(store, 8)
    sink.at_rcpt = ["421 4.3.2 closing"] * 100
    mails = service(store, tmp_path, sink.url)
    assert mails.run(MONDAY) == {"planned": 8, "deferred": IN_A_ROW}
    assert "rests until 09:01 UTC" in mails.status()["runs"][0]["trouble"]
    connections = sink.connections
    assert mails.run(MONDAY + timedelta(seconds=10)) == {"planned": 0}
    assert sink.connections == connections
    sink.at_rcpt.clear()
    assert mails.run(MONDAY + timedelta(minutes=3))["accepted"] == 3
