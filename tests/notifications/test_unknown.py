"""Of a mail whose sender died, or whose connection was cut, nobody knows: it is held, or sent again as it was."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from domain.kernel import identify
from notifications import outbox, transmitting
from notifications.service import Notifications
from notifications.tables import outbox as table
from tests.support.mails import MONDAY, crowd, service, tell
from tests.support.sink import Sink
from tests.support.store import Store


def rows(store: Store) -> list[Any]:
    with store.engine.database.read() as connection:
        return list(connection.execute(sa.select(table).order_by(table.c.planned_at, table.c.period)))


def lose(store: Store, name: str, at: datetime) -> None:
    """Leave a mail as a sender leaves it that dies while it transmits."""
    with store.engine.database.write() as connection:
        mine = table.c.supporter == identify("supporter", name)
        connection.execute(
            table.update().where(mine).values(state="transmitting", attempts=1, claimed_by="dead", claimed_until=at)
        )


def test_a_mail_of_which_nobody_knows_is_held(store: Store, mails: Notifications, sink: Sink) -> None:
    crowd(store, 3)
    mails.plan(MONDAY)
    lose(store, "s01", MONDAY + outbox.CLAIM)
    assert mails.run(MONDAY) == {"planned": 0, "accepted": 2}  # its sender may still be alive
    assert mails.run(MONDAY + timedelta(hours=1)) == {"planned": 0, "unknown": 1}
    assert mails.run(MONDAY + timedelta(days=1)) == {"planned": 0}
    assert mails.status()["states"] == {"accepted": 2, "unknown": 1}
    assert sorted(sink.recipients) == ["s00@example.org", "s02@example.org"]


def test_a_mail_of_which_nobody_knows_is_sent_again_where_the_settings_say_so(
    store: Store, mails: Notifications, tmp_path: Path, sink: Sink
) -> None:
    tell(store)
    sink.at_data = ["cut"]
    assert mails.run(MONDAY) == {"planned": 1, "unknown": 1}
    again = service(store, tmp_path, sink.url, mail_unknown="resend")
    assert again.run(MONDAY + timedelta(minutes=1)) == {"planned": 0}
    assert again.run(MONDAY + timedelta(hours=1)) == {"planned": 0, "accepted": 1}
    (row,) = rows(store)
    assert row.attempts == 2
    assert sink.messages[0]["Message-ID"] == row.message_id


def test_a_sender_that_was_held_up_may_still_say_what_became_of_its_mail(
    store: Store, mails: Notifications, tmp_path: Path, sink: Sink
) -> None:
    tell(store)
    other = service(store, tmp_path, sink.url)

    def overtake(_: object) -> None:
        assert other.run(MONDAY + timedelta(hours=1)) == {"planned": 0, "unknown": 1}

    sink.at_message = overtake
    assert mails.run(MONDAY) == {"planned": 1, "accepted": 1}
    (row,) = rows(store)
    assert (row.state, row.reason) == ("accepted", None)


def test_a_fault_of_ours_in_the_middle_of_sending_leaves_one_mail_unknown(
    store: Store, mails: Notifications, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd(store, 3)

    def fail(*_: object) -> None:
        raise ValueError("a fault")

    with monkeypatch.context() as patch:
        patch.setattr(transmitting, "_settled", fail)  # after the server's answer, before it is noted
        with pytest.raises(ValueError, match="a fault"):
            mails.run(MONDAY)
    assert sorted(row.state for row in rows(store)) == ["pending", "pending", "transmitting"]
    assert mails.run(MONDAY + timedelta(hours=1)) == {"planned": 0, "accepted": 2, "unknown": 1}
    assert len(set(sink.recipients)) == len(sink.recipients) == 3
