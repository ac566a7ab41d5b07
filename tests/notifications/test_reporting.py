"""What became of mails comes into the history, each outcome once, whoever dies in between."""

from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from domain.kernel import identify
from domain.mails import Mail, Outcome
from domain.supporters import SuppressMail
from history.tables import events
from notifications import transmitting
from notifications.recipients import load
from notifications.reporting import Reporter
from notifications.service import Notifications
from notifications.tables import mail_outcomes
from notifications.tables import outbox as table
from tests.support.mails import ANNA, MONDAY, Clock, change_meanwhile, crowd, join, put_off, service, tell
from tests.support.sink import Sink
from tests.support.store import Store


def told(store: Store) -> list[Mail.Event]:
    """Return what the history tells of mails."""
    found = []
    for fact in store.engine.log.follow(events.c.topic.like("mails.%")):
        assert isinstance(fact.event, Mail.Event)
        found.append(fact.event)
    return found


def waiting(store: Store) -> int:
    with store.engine.database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(mail_outcomes)) or 0


def test_every_outcome_is_an_event(store: Store, mails: Notifications, sink: Sink) -> None:
    tell(store)
    sink.at_rcpt = ["450 4.2.1 later"]
    head = store.head
    mails.run(MONDAY)
    mails.run(MONDAY + timedelta(hours=1))
    deferred, accepted = told(store)
    assert (deferred.OUTCOME, deferred.cause, deferred.attempt) == (Outcome.DEFERRED, "4.2.1", 1)
    assert (accepted.OUTCOME, accepted.cause, accepted.attempt) == (Outcome.ACCEPTED, None, 2)
    assert (accepted.kind, accepted.period) == ("digest", "weekly:2026-W11")
    assert accepted.supporter == identify("supporter", "anna")
    anna = load(store.engine.log, accepted.supporter)
    assert anna is not None
    assert (accepted.from_position, accepted.to_position) == (anna.first_position - 1, head)
    assert accepted.due_at == MONDAY - timedelta(hours=1)
    assert waiting(store) == 0


def test_what_is_suppressed_refused_and_unknown_is_told_too(store: Store, mails: Notifications, sink: Sink) -> None:
    crowd(store, 3)
    join(store, "silent")
    store.catch_up()
    sink.at_data = ["cut", "554 5.7.1 no", "ok"]
    mails.run(MONDAY)
    assert sorted((event.OUTCOME, event.cause) for event in told(store) if event.cause) == [
        ("refused", "5.7.1"),
        ("suppressed", "nothing_to_say"),
        ("unknown", "connection_lost"),
    ]


def test_a_digest_that_gives_way_is_told_before_the_one_it_gives_way_to(
    store: Store, mails: Notifications, sink: Sink
) -> None:
    put_off(store, mails, sink)
    mails.run(MONDAY + timedelta(days=7))
    assert [(event.OUTCOME, event.cause) for event in told(store)] == [
        ("deferred", "450"),
        ("suppressed", "superseded"),
        ("accepted", None),
    ]


def test_what_was_recorded_and_not_crossed_out_is_not_recorded_again(store: Store, mails: Notifications) -> None:
    tell(store)
    mails.plan(MONDAY)
    with store.engine.database.write() as connection:
        row = connection.execute(sa.select(table)).one()
        names = ("supporter", "kind", "period", "due_at")
        outcome = {name: getattr(row, name) for name in names}
        outcome |= {"mail": row.id, "outcome": "deferred", "attempt": 1, "reason": "450", "at": MONDAY}
        connection.execute(mail_outcomes.insert().values(**outcome))
    assert Reporter(store.engine).report() == 1
    with store.engine.database.write() as connection:
        connection.execute(mail_outcomes.insert().values(**outcome))
    assert Reporter(store.engine).report() == 1
    assert len(told(store)) == 1
    assert waiting(store) == 0


def test_what_the_history_refuses_stops_nothing_else(
    store: Store, mails: Notifications, caplog: pytest.LogCaptureFixture
) -> None:
    tell(store)
    mails.plan(MONDAY)
    with store.engine.database.write() as connection:
        row = connection.execute(sa.select(table)).one()
        outcome = {"supporter": row.supporter, "period": row.period, "due_at": row.due_at, "at": MONDAY}
        for attempt, kind in enumerate(("no word at all", "digest")):
            values = {"mail": row.id, "outcome": "deferred", "attempt": attempt, "kind": kind, **outcome}
            connection.execute(mail_outcomes.insert().values(**values))
    assert Reporter(store.engine).report() == 2
    assert [event.attempt for event in told(store)] == [1]
    assert waiting(store) == 0
    assert "does not take the outcome" in caplog.text


@pytest.fixture
def reporter(store: Store, mails: Notifications, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> Reporter:
    """Let a server say that Anna's address is none; return who is yet to report it."""
    tell(store)
    sink.at_rcpt = ["550 5.1.1 no such user"]
    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "report", lambda _: 0)
        mails.run(MONDAY)
    assert waiting(store) == 1
    return Reporter(store.engine)


def suppressed(store: Store) -> str | None:
    anna = load(store.engine.log, ANNA)
    assert anna is not None
    return anna.suppressed


def test_an_address_that_is_changed_while_it_is_reported_is_left_alone(
    store: Store, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_meanwhile(store, monkeypatch, "notifications.reporting.load_all", email="new@example.org")
    reporter.report()
    reporter.report()
    assert suppressed(store) is None
    assert waiting(store) == 0


def test_who_changes_in_another_way_while_it_is_reported_is_suppressed_by_the_next_report(
    store: Store, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_meanwhile(store, monkeypatch, "notifications.reporting.load_all", name="Another")
    reporter.report()
    assert waiting(store) == 1
    assert reporter.report() == 1
    assert suppressed(store) is not None
    assert [event.OUTCOME for event in told(store)] == [Outcome.REFUSED]
    assert waiting(store) == 0


def test_a_suppression_that_fails_is_made_by_the_next_report(
    store: Store, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(SuppressMail, "decide", stumble)
        assert reporter.report() == 0
    assert waiting(store) == 1
    assert suppressed(store) is None
    assert reporter.report() == 1
    assert suppressed(store) is not None
    assert waiting(store) == 0


def test_mails_that_are_halted_in_the_middle_of_a_run_wait(
    store: Store, mails: Notifications, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transmitting, "IN_FLIGHT", 2)
    crowd(store, 5)
    halted: list[object] = []

    def halt(_: bytes) -> None:
        if not halted:
            halted.append(store.run("mails.halt", reason="The numbers are wrong."))

    sink.at_message = halt
    assert mails.run(MONDAY) == {"planned": 5, "accepted": 2}
    assert mails.status()["states"] == {"accepted": 2, "pending": 3}
    store.run("mails.resume")
    assert mails.run(MONDAY + timedelta(minutes=1)) == {"planned": 0, "accepted": 3}


def test_a_worker_that_slept_for_days_catches_up_once(store: Store, tmp_path: Path, sink: Sink) -> None:
    crowd(store, 2)
    for name in ("s00", "s01"):
        store.run("supporters.set_digest", supporter=name, frequency="daily", hour=7)
        store.run("pledges.make", campaign="listen", ask="ten", supporter=name, at=MONDAY - timedelta(days=1))
    store.catch_up()
    clock = Clock(MONDAY)
    mails = service(store, tmp_path, sink.url, clock)
    assert mails.tick() == {"planned": 2, "accepted": 2}
    clock.at += timedelta(days=5)  # the laptop slept
    for _ in range(3):
        store.catch_up()
        mails.tick()
        clock.at += timedelta(minutes=1)
    assert sorted(sink.recipients) == sorted(["s00@example.org", "s01@example.org"] * 2)
    last = told(store)[-1]
    assert (last.period, last.OUTCOME) == ("daily:2026-03-14", Outcome.ACCEPTED)
    assert last.from_position == told(store)[0].to_position


def test_the_writer_does_not_remember_mails(store: Store, mails: Notifications) -> None:
    """Nobody comes back to one, and there are more of them than of anything else."""
    crowd(store, 3)
    mails.run(MONDAY)
    assert len(told(store)) == 3
    remembered = store.engine.writer._aggregates._cache.values()  # noqa: SLF001 - what a process holds in memory
    assert remembered
    assert not [each for each in remembered if isinstance(each, Mail)]
