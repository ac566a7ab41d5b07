"""Mails go out once, to those who may get them, and it is known what became of each."""

import base64
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from domain.kernel import identify
from history.tables import events
from notifications import messages, outbox, preparing
from notifications.service import Notifications
from notifications.tables import mail_messages
from notifications.tables import outbox as table
from projections.rebuild import rebuild
from tests.support.mails import ANNA, MONDAY, Clock, campaign, crowd, join, put_off, service, tell
from tests.support.sink import Sink
from tests.support.store import Store

WEEK = timedelta(days=7)


def rows(store: Store) -> list[Any]:
    with store.engine.database.read() as connection:
        return list(connection.execute(sa.select(table).order_by(table.c.planned_at, table.c.period)))


def test_a_digest_arrives_over_smtp(store: Store, mails: Notifications, sink: Sink) -> None:
    tell(store)
    assert mails.audience(MONDAY).size == 1
    assert mails.run(MONDAY) == {"planned": 1, "accepted": 1}
    (message,) = sink.messages
    assert sink.recipients == ["anna@example.org"]
    assert message["Subject"] == "You were awarded “Kind listener”"
    assert message["Message-ID"] == rows(store)[0].message_id
    html, text = message.get_body(("html",)), message.get_body(("plain",))
    assert html is not None
    assert text is not None
    assert "Listening in schools" in html.get_content()
    assert "Listening in schools" in text.get_content()
    assert mails.audience(MONDAY).size == 0
    status = mails.status()
    assert status["states"] == {"accepted": 1}
    assert status["runs"][0]["counts"] == {"accepted": 1}


def test_ticks_that_come_again_or_together_send_once(store: Store, tmp_path: Path, sink: Sink) -> None:
    crowd(store, 6)
    several = [service(store, tmp_path, sink.url) for _ in range(4)]
    threads = [threading.Thread(target=one.tick) for one in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    several[0].tick()
    assert sorted(sink.recipients) == [f"s{number:02d}@example.org" for number in range(6)]
    assert [row.state for row in rows(store)] == ["accepted"] * 6


def test_one_connection_carries_a_whole_run(store: Store, mails: Notifications, sink: Sink) -> None:
    crowd(store, 12)
    seen: list[int] = []
    assert mails.run(MONDAY, seen.append)["accepted"] == 12
    assert sink.connections == 1
    assert seen[-1] == 12


def test_files_are_written_where_there_is_no_server(store: Store, tmp_path: Path) -> None:
    tell(store)
    mails = service(store, tmp_path)
    assert mails.run(MONDAY)["accepted"] == 1
    (path,) = (tmp_path / "mail").iterdir()
    assert path.suffix == ".eml"
    assert path.stat().st_mode & 0o077 == 0
    assert message_from_bytes(path.read_bytes(), policy=default)["To"] == "anna@example.org"


def test_the_frozen_message_is_sealed_under_the_persons_key(store: Store, mails: Notifications) -> None:
    tell(store)
    mails.run(MONDAY)
    (row,) = rows(store)
    with store.engine.database.read() as connection:
        sealed = connection.scalar(sa.select(mail_messages.c.sealed))
        message = messages.opened(connection, store.engine.persons, [row])[row.id]
    assert sealed
    assert b"anna@example.org" not in base64.b64decode(sealed, validate=True)
    assert b"To: anna@example.org" in message


# --- what does not go out at once ---


def test_what_was_deferred_goes_out_later_with_the_same_message_id(
    store: Store, mails: Notifications, sink: Sink
) -> None:
    tell(store)
    sink.at_rcpt = ["450 later", "451 later"]
    mails.run(MONDAY)
    assert mails.run(MONDAY + timedelta(minutes=7)) == {"planned": 0, "deferred": 1}
    assert mails.audience(MONDAY + timedelta(hours=1)).size == 1
    assert mails.run(MONDAY + timedelta(hours=1)) == {"planned": 0, "accepted": 1}
    assert sink.messages[0]["Message-ID"] == rows(store)[0].message_id


def test_it_gives_up_in_the_end(store: Store, mails: Notifications, sink: Sink) -> None:
    store.run("campaigns.draft", campaign="listen", title="Listen")
    moment = datetime.now(UTC)
    store.run("supporters.register", supporter="anna", email="anna@example.org", source="pledge-form", at=moment)
    sink.at_rcpt = ["450 later"] * 20
    for hours in range(0, 160, 8):
        mails.run(moment + timedelta(hours=hours))
    (row,) = rows(store)
    assert (row.kind, row.state, row.reason, row.attempts) == ("confirm", "refused", "gave_up", outbox.ATTEMPTS)


def test_a_digest_that_could_not_be_sent_for_three_days_is_left_to_the_next_one(
    store: Store, mails: Notifications, sink: Sink
) -> None:
    tell(store)
    sink.at_rcpt = ["450 later"] * 20
    for hours in range(0, 100, 8):
        mails.run(MONDAY + timedelta(hours=hours))
    (row,) = rows(store)
    assert (row.state, row.reason) == ("suppressed", "superseded")
    assert row.due_at + outbox.TOO_OLD < row.changed_at < row.due_at + outbox.TOO_OLD + timedelta(hours=9)
    sink.at_rcpt.clear()
    assert mails.run(MONDAY + WEEK)["accepted"] == 1
    assert rows(store)[1].from_position == row.from_position


def test_a_digest_that_is_planned_late_is_tried_as_often_as_one_in_time(
    store: Store, mails: Notifications, sink: Sink
) -> None:
    crowd(store, 1)
    sink.at_rcpt = ["450 greylisted"]
    late = MONDAY + timedelta(days=5)  # no worker ran all the week
    assert mails.run(late) == {"planned": 1, "deferred": 1}
    assert mails.run(late + timedelta(hours=1)) == {"planned": 0, "accepted": 1}


def test_a_digest_that_waits_too_long_gives_way_to_the_next_which_tells_its_range_too(
    store: Store, mails: Notifications, sink: Sink
) -> None:
    put_off(store, mails, sink)
    store.run("policies.conclude", policy="bill", outcome="won", on="2026-03-12")
    store.catch_up()
    assert mails.run(MONDAY + WEEK) == {"planned": 1, "accepted": 1}
    first, second = rows(store)
    assert (first.state, first.reason) == ("suppressed", "superseded")
    assert second.from_position == first.from_position
    assert "Kind listener" in str(sink.messages[0].get_body(("plain",)))


def test_a_server_that_is_not_there_makes_mails_wait(store: Store, tmp_path: Path, sink: Sink) -> None:
    crowd(store, 3)
    gone = service(store, tmp_path, "smtp://127.0.0.1:9")
    assert gone.run(MONDAY) == {"planned": 3}
    assert "127.0.0.1:9" in gone.status()["runs"][0]["trouble"]
    assert [(row.state, row.attempts) for row in rows(store)] == [("pending", 0)] * 3
    assert all(row.not_before > MONDAY for row in rows(store))
    assert service(store, tmp_path, sink.url).run(MONDAY + timedelta(minutes=6))["accepted"] == 3


@pytest.mark.parametrize("step", ["compose_all", "build"])
def test_one_persons_broken_data_stops_nobody_else(
    store: Store, mails: Notifications, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    crowd(store, 3)
    unbroken = getattr(preparing, step)

    def broken_for_one(*given: Any) -> Any:  # noqa: ANN401
        found = unbroken(*given)
        if step == "compose_all":
            return found | {identify("supporter", "s01"): ValueError("broken")}
        if "s01@example.org" in given:
            raise ValueError("broken")
        return found

    monkeypatch.setattr(preparing, step, broken_for_one)
    assert mails.run(MONDAY) == {"planned": 3, "accepted": 2, "deferred": 1}
    (row,) = [row for row in rows(store) if row.state == "deferred"]
    assert (row.supporter, row.reason, row.attempts) == (identify("supporter", "s01"), "broken", 1)


def test_one_persons_event_of_a_newer_release_stops_nobody_else(store: Store, mails: Notifications) -> None:
    crowd(store, 3)
    dreamer = identify("supporter", "s01")
    with store.engine.database.append() as connection:
        last = connection.execute(sa.select(events).where(events.c.stream_id == dreamer)).all()[-1]
        newer = {"position": store.head + 1, "version": last.version + 1, "topic": "dreams.Dreamt"}
        connection.execute(events.insert().values(**(last._asdict() | newer)))
    assert mails.run(MONDAY) == {"planned": 3, "accepted": 2, "deferred": 1}
    (row,) = [row for row in rows(store) if row.state == "deferred"]
    with store.engine.database.read() as connection:
        said = outbox.said_of(connection, store.engine.persons, row)
    assert said == "UnknownTopic: This release does not know events of the topic dreams.Dreamt."


# --- to whom ---


@pytest.mark.parametrize(
    ("command", "data", "reason"),
    [
        ("supporters.consent", {"topic": "digest", "granted": False, "wording": "No."}, "no_consent"),
        ("supporters.amend", {"email": "other@example.org"}, "address_changed"),
        ("supporters.amend", {"email": None}, "address_changed"),
        ("supporters.set_digest", {"frequency": "off"}, "frequency_off"),
        ("supporters.erase", {}, "erased"),
    ],
)
def test_what_changes_between_planning_and_sending_stops_that_mail(
    store: Store, mails: Notifications, sink: Sink, command: str, data: dict[str, Any], reason: str
) -> None:
    crowd(store, 2)
    sink.at_rcpt = ["450 later", "450 later"]
    assert mails.run(MONDAY)["deferred"] == 2  # both are frozen now
    store.run(command, supporter="s00", reason="Because.", **data)
    assert mails.run(MONDAY + timedelta(hours=1))["accepted"] == 1
    assert sink.recipients == ["s01@example.org"]
    (stopped,) = [row for row in rows(store) if row.state == "suppressed"]
    assert stopped.reason == reason
    with store.engine.database.read() as connection:
        assert messages.known(connection, [row.id for row in rows(store)]) == {
            row.id for row in rows(store) if row != stopped
        }


def test_no_digest_without_confirmed_address_and_consent(store: Store, mails: Notifications) -> None:
    campaign(store)
    store.run("supporters.register", supporter="a", email="a@example.org")
    store.run("supporters.consent", supporter="a", topic="digest", granted=True, wording="Yes.")
    store.run("supporters.register", supporter="b", email="b@example.org")
    store.run("supporters.confirm_email", supporter="b")
    store.run("supporters.register", supporter="c")
    join(store, "d")
    store.run("supporters.set_digest", supporter="d", frequency="off")
    for name in "abcd":
        store.run("pledges.make", campaign="listen", ask="circle", supporter=name)
    store.catch_up()
    assert mails.audience(MONDAY).size == 0
    assert mails.run(MONDAY) == {"planned": 0}
    assert rows(store) == []


def test_the_first_digest_comes_for_the_first_period_after_consent(
    store: Store, mails: Notifications, sink: Sink
) -> None:
    campaign(store)
    store.run("supporters.register", supporter="anna", email="anna@example.org", time_zone="UTC")
    store.run("supporters.consent", supporter="anna", topic="digest", granted=True, wording="Yes.")
    store.run("pledges.make", campaign="listen", ask="circle", supporter="anna")
    store.run("supporters.confirm_email", supporter="anna", at=(MONDAY + timedelta(days=1)).isoformat())
    store.catch_up()
    mails.run(MONDAY + timedelta(days=2))
    assert rows(store) == []
    mails.run(MONDAY + WEEK)
    assert sink.recipients == ["anna@example.org"]


def test_nothing_worth_saying_is_not_sent_and_its_range_is_carried_on(
    store: Store, mails: Notifications, sink: Sink
) -> None:
    join(store, "anna")
    store.catch_up()
    assert mails.run(MONDAY) == {"planned": 1, "suppressed": 1}
    assert mails.status()["states"] == {"suppressed: nothing_to_say": 1}
    campaign(store)
    store.run("pledges.make", campaign="listen", ask="circle", supporter="anna")
    store.catch_up()
    mails.run(MONDAY + WEEK)
    first, second = rows(store)
    assert (first.from_position, second.from_position) == (None, 0)
    assert len(sink.raw) == 1


def test_replaying_and_rebuilding_sends_nothing(store: Store, mails: Notifications, sink: Sink) -> None:
    tell(store)
    mails.run(MONDAY)
    rebuild(store.runner, list(store.runner.kinds))
    store.react()
    store.catch_up()
    assert mails.run(MONDAY) == {"planned": 0}
    assert len(sink.raw) == 1


def test_daily_for_a_month_sends_each_day_once_however_often_it_ticks(
    store: Store, mails: Notifications, sink: Sink
) -> None:
    campaign(store)
    join(store, "anna", time_zone="Europe/Lisbon")
    store.run("supporters.set_digest", supporter="anna", frequency="daily", hour=7)
    store.run("pledges.make", campaign="listen", ask="ten", supporter="anna", at="2026-03-20T08:00:00Z")
    store.catch_up()
    moment = datetime(2026, 3, 21, 12, tzinfo=UTC)
    for _ in range(25 * 2):
        mails.run(moment)
        moment += timedelta(hours=12)
    days = [message["Date"].datetime.date() for message in sink.messages]
    assert len(days) == len(set(days)) == 20  # days 2 to 21 of the challenge, over the change of clocks on the 29th


# --- ticking ---


def test_the_ticker_ticks_and_stops(
    store: Store, tmp_path: Path, wait_for: Callable[[Callable[[], bool]], None]
) -> None:
    mails = service(store, tmp_path, None, Clock())
    tell(store)
    mails._ticker._seconds = 0.05  # noqa: SLF001
    mails.start()
    mails.start()
    wait_for(lambda: mails.status()["states"] == {"accepted": 1})
    mails.stop()
    mails.stop()
    assert len(list((tmp_path / "mail").iterdir())) == 1
    assert json.dumps(mails.status()["runs"][0]["counts"]) == '{"accepted": 1}'
    assert rows(store)[0].state == "accepted"
    assert rows(store)[0].supporter == ANNA


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool]], None]:
    def wait(condition: Callable[[], bool]) -> None:
        end = threading.Event()
        for _ in range(200):
            if condition():
                return
            end.wait(0.05)
        pytest.fail("it did not happen in 10 seconds")

    return wait
