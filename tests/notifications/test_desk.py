"""What whoever sees to the mails asks, and what a person decides: each decision is an event."""

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from domain.kernel import Actor, Conflict, Refusal
from domain.slices import Fact
from history.tables import events
from notifications.aliases import alias
from notifications.caps import MailRole
from notifications.desk import Desk
from notifications.outbox import State
from notifications.service import Notifications
from notifications.standing import Unsettled, outcomes
from notifications.tables import outbox
from tests.support.mails import ANNA, MONDAY, Clock, campaign, join, service
from tests.support.sink import Sink
from tests.support.store import Store

CLARA = Actor("staff", "clara@example.org")
Decision = Callable[[Desk, UUID, Actor], None]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mails(store: Store, tmp_path: Path, sink: Sink, clock: Clock) -> Notifications:
    return service(store, tmp_path, sink.url, clock)


def crowd(store: Store, *names: str) -> None:
    campaign(store)
    for name in names:
        join(store, name)
        store.run("pledges.make", campaign="listen", ask="circle", supporter=name)
    store.catch_up()


def lost(store: Store, mails: Notifications, sink: Sink) -> Unsettled:
    """Let a digest to Anna go, and lose the connection before it is known what became of it."""
    crowd(store, "anna")
    sink.at_data = ["cut"]
    assert mails.tick()["unknown"] == 1
    (one,) = mails.desk.unsettled()
    return one


def facts(store: Store, *topics: str) -> Sequence[Fact]:
    return store.engine.log.facts(0, 100, events.c.topic.in_(topics))


def told(store: Store) -> int | None:
    with store.engine.database.read() as connection:
        position: int | None = connection.scalar(sa.text("SELECT position FROM digest_ranges"))
        return position


# --- the switch ---


def test_while_mails_are_halted_none_goes_out_from_any_process(
    store: Store, mails: Notifications, tmp_path: Path, sink: Sink, clock: Clock
) -> None:
    crowd(store, "anna", "ben")
    other = service(store, tmp_path, sink.url, clock)
    other.desk.turn_off(CLARA, "The template is wrong.")
    halt = mails.desk.status().halt
    assert halt is not None
    assert (halt.by, halt.reason, halt.position) == (CLARA, "The template is wrong.", store.head)
    for one in (mails, other, mails, other):
        assert "accepted" not in one.tick()
    assert sink.raw == []
    assert [run.planned for run in mails.desk.status().runs] == [2]  # what was planned; nothing for each tick
    clock.at += timedelta(hours=1)
    mails.desk.turn_on(CLARA)
    assert mails.desk.status().halt is None
    assert other.tick()["accepted"] == 2
    assert len(sink.raw) == 2


def test_halting_needs_a_reason_and_is_done_once(mails: Notifications) -> None:
    with pytest.raises(Refusal) as refused:
        mails.desk.turn_off(CLARA, "")
    assert "reason" in refused.value.code
    mails.desk.turn_off(CLARA, "Stop.")
    with pytest.raises(Conflict, match="already halted"):
        mails.desk.turn_off(CLARA, "Stop again.")
    mails.desk.turn_on(CLARA)
    with pytest.raises(Conflict, match="not halted"):
        mails.desk.turn_on(CLARA)


# --- what nobody knows ---


def test_a_mail_of_unknown_fate_is_listed_and_not_sent_again(store: Store, mails: Notifications, sink: Sink) -> None:
    one = lost(store, mails, sink)
    assert (one.kind, one.supporter, one.period, one.attempts, one.kept) == ("digest", ANNA, "weekly:2026-W11", 1, True)
    assert "accepted" not in mails.tick()
    status = mails.desk.status()
    assert (status.unknown, status.outcomes["day"].unknown, status.outcomes["day"].accepted) == (1, 1, 0)


def test_taken_as_sent_it_counts_as_sent_and_the_next_digest_goes_on_after_it(
    store: Store, mails: Notifications, sink: Sink
) -> None:
    one = lost(store, mails, sink)
    assert told(store) is None
    mails.desk.accept(one.id, CLARA)
    assert mails.desk.unsettled() == []
    status = mails.desk.status()
    assert (status.unknown, status.outcomes["all"].accepted) == (0, 1)
    assert told(store) is not None
    event = [fact for fact in facts(store, "mails.Accepted") if fact.actor == CLARA]
    assert [fact.stream for fact in event] == [alias(one.id)]
    with pytest.raises(Conflict, match="is known: accepted"):
        mails.desk.resend(one.id, CLARA)


def test_sent_again_it_is_the_same_message(store: Store, mails: Notifications, sink: Sink, clock: Clock) -> None:
    one = lost(store, mails, sink)
    mails.desk.resend(one.id, CLARA)
    clock.at += timedelta(minutes=1)
    assert mails.tick()["accepted"] == 1
    (message,) = sink.messages
    with store.engine.database.read() as connection:
        row = connection.execute(sa.select(outbox)).one()
    assert message["Message-ID"] == row.message_id
    assert (row.id, row.state, row.attempts) == (one.id, "accepted", 2)
    assert [fact.stream for fact in facts(store, "mails.Deferred") if fact.actor == CLARA] == [alias(one.id)]


def test_a_settled_range_never_moves_what_was_told_backwards(
    store: Store, mails: Notifications, sink: Sink, clock: Clock
) -> None:
    one = lost(store, mails, sink)
    store.run("pledges.keep", campaign="listen", ask="circle", supporter="anna")
    store.catch_up()
    clock.at = MONDAY + timedelta(days=7)
    assert mails.tick()["accepted"] == 1
    newest = told(store)
    with pytest.raises(Conflict, match="too old"):
        mails.desk.resend(one.id, CLARA)
    mails.desk.accept(one.id, CLARA)
    assert told(store) == newest


def test_a_digest_of_days_ago_is_not_sent_again(store: Store, mails: Notifications, sink: Sink, clock: Clock) -> None:
    one = lost(store, mails, sink)
    clock.at += timedelta(days=4)
    with pytest.raises(Conflict, match="too old"):
        mails.desk.resend(one.id, CLARA)
    assert mails.desk.unsettled() == [one]


def test_what_is_no_longer_kept_is_not_sent_again(store: Store, mails: Notifications, sink: Sink) -> None:
    one = lost(store, mails, sink)
    store.run("supporters.erase", supporter="anna", reason="Asked.")
    mails.purge()
    assert mails.desk.unsettled()[0].kept is False
    with pytest.raises(Conflict, match="no longer kept"):
        mails.desk.resend(one.id, CLARA)
    mails.desk.accept(one.id, CLARA)
    assert mails.desk.unsettled() == []


@pytest.mark.parametrize("act", [Desk.accept, Desk.resend])
def test_there_must_be_such_a_mail(mails: Notifications, act: Decision) -> None:
    with pytest.raises(Refusal) as refused:
        act(mails.desk, uuid4(), CLARA)
    assert refused.value.code == "mail.no_such"


# --- how they stand ---


def test_outcomes_are_counted_over_a_day_a_week_and_ever(
    store: Store, mails: Notifications, sink: Sink, clock: Clock
) -> None:
    crowd(store, "anna", "ben", "cleo", "dora")
    store.run("supporters.consent", supporter="dora", topic="digest", granted=False, wording="No.")
    mails.plan(MONDAY)
    sink.at_rcpt = ["550 no", "450 later"]
    mails.tick()
    status = mails.desk.status()
    day = status.outcomes["day"]
    assert (day.accepted, day.refused, day.suppressed, day.reasons) == (1, 1, 1, {"no_consent": 1})
    assert (status.waiting.waiting, status.waiting.deferred) == (1, 1)
    assert status.waiting.oldest == MONDAY
    assert status.next_due is None  # until a worker has taken in what became of these
    store.catch_up()
    assert mails.desk.status().next_due == MONDAY + timedelta(days=7, hours=-1)
    clock.at = MONDAY + timedelta(days=2)
    later = mails.desk.status()
    assert later.outcomes["day"].accepted == 0
    assert later.outcomes["week"] == later.outcomes["all"] == day
    clock.at = MONDAY + timedelta(days=30)
    assert mails.desk.status().outcomes["week"].accepted == 0


def test_what_came_back_counts_as_sent_and_as_bounced(store: Store, mails: Notifications) -> None:
    crowd(store, "anna", "ben")
    mails.tick()
    with store.engine.database.write() as connection:
        connection.execute(outbox.update().where(outbox.c.supporter == ANNA).values(returned="bounced"))
    found = mails.desk.status().outcomes["day"]
    assert (found.accepted, found.bounced, found.complained) == (2, 1, 0)


def test_what_ended_ever_is_what_ended_since_the_beginning(store: Store) -> None:
    draw = random.Random(5)
    rows = [
        {
            "id": uuid4(), "kind": "digest", "supporter": uuid4(), "period": "weekly:2026-W11", "message_id": "<x>",
            "state": str(state), "reason": draw.choice([None, "paused", "5.1.1"]), "attempts": 1,
            "returned": draw.choice([None, None, "bounced", "complained", "undelivered", "blocked"]),
            "due_at": MONDAY, "not_before": MONDAY, "planned_at": MONDAY, "changed_at": MONDAY,
        }
        for state in draw.choices(list(State), k=300)
    ]  # fmt: skip
    with store.engine.database.write() as connection:
        connection.execute(outbox.insert(), rows)
        ever, since = outcomes(connection), outcomes(connection, MONDAY - timedelta(days=1))
    assert ever == since
    assert ever.accepted == sum(row["state"] == "accepted" for row in rows)
    assert sum(ever.reasons.values()) == ever.suppressed > 0
    assert sum(ever.refusals.values()) == ever.refused > 0
    assert ever.bounced == sum(row["returned"] == "bounced" for row in rows)


def test_an_empty_outbox_stands_at_nothing(mails: Notifications) -> None:
    status = mails.desk.status()
    assert (status.waiting.waiting, status.waiting.oldest, status.unknown, status.held, status.trouble) == (
        0,
        None,
        0,
        0,
        None,
    )
    assert status.runs == ()


def test_who_watches_does_not_have_the_audience_counted_each_time(store: Store, tmp_path: Path) -> None:
    for name in ("s00", "s01"):
        join(store, name)
    store.catch_up()
    clock = Clock()
    desk = service(store, tmp_path, None, clock).desk
    assert desk.gauges().due == 2
    store.run("supporters.set_digest", supporter="s00", frequency="off")
    store.catch_up()
    clock.at += timedelta(seconds=59)
    assert desk.gauges().due == 2
    assert desk.status().audience.new == 1
    clock.at += timedelta(seconds=1)
    assert desk.gauges().due == 1


def test_what_is_many_is_counted_once_a_minute_and_after_letting_go(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notifications.desk.LARGE", 1)
    crowd(store, "anna", "ben")
    clock = Clock()
    mails = service(store, tmp_path, None, clock)

    def stands() -> tuple[int, int, int]:
        found = mails.desk.status()
        return found.audience.new, found.outcomes["all"].accepted, found.outcomes["day"].accepted

    assert stands() == (2, 0, 0)
    mails.tick()
    assert stands() == (2, 2, 2)  # nothing, or one, is counted each time
    mails.desk.let_go(MailRole.MANAGER)
    assert stands() == (0, 2, 2)
    with store.engine.database.write() as connection:
        connection.execute(outbox.update().where(outbox.c.supporter == ANNA).values(state="refused"))
    assert stands() == (0, 2, 1)
    clock.at += timedelta(minutes=1)
    assert stands() == (0, 1, 1)
