"""What is damaged in the store of one person, or of one mail, stops no other mail."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from domain.kernel import Unavailable, identify
from history.tables import person_keys
from notifications import preparing
from notifications.composing import compose_all
from notifications.recipients import Recipient, load_all
from notifications.service import Notifications
from notifications.tables import mail_messages
from notifications.tables import outbox as table
from tests.support.mails import MONDAY, crowd
from tests.support.sink import Sink
from tests.support.store import Store

HOUR = timedelta(hours=1)
S00, S01 = (identify("supporter", name) for name in ("s00", "s01"))


def states(store: Store) -> dict[str, tuple[str, str | None]]:
    """Return (state, reason) of each row by the name of its supporter."""
    with store.engine.database.read() as connection:
        rows = connection.execute(sa.select(table)).all()
    names = {identify("supporter", f"s{number:02d}"): f"s{number:02d}" for number in range(10)}
    return {names[row.supporter]: (row.state, row.reason) for row in rows}


def damage_keys(store: Store, *names: str) -> None:
    """Let the keys of people open no longer."""
    mine = person_keys.c.person_id.in_([identify("supporter", name) for name in names])
    with store.engine.database.append() as connection:
        connection.execute(person_keys.update().where(mine).values(wrapped_key=bytes(60)))


@pytest.mark.parametrize("box", ["AAAA", "A", "no base64 at all"])
def test_a_kept_message_that_cannot_be_read_is_made_anew(
    store: Store, mails: Notifications, sink: Sink, box: str
) -> None:
    crowd(store, 3)
    sink.at_rcpt = ["451 4.2.0 later"] * 2
    assert mails.run(MONDAY) == {"planned": 3, "accepted": 1, "deferred": 2}
    with store.engine.database.write() as connection:
        one = sa.select(table.c.id).where(table.c.state == "deferred").limit(1).scalar_subquery()
        changed = connection.execute(mail_messages.update().where(mail_messages.c.mail == one).values(sealed=box))
        assert changed.rowcount == 1
    assert mails.run(MONDAY + HOUR) == {"planned": 0, "accepted": 2}
    assert sorted(sink.recipients) == [f"s{number:02d}@example.org" for number in range(3)]


def test_a_person_whose_key_is_damaged_stops_nobody_else(store: Store, mails: Notifications, sink: Sink) -> None:
    crowd(store, 4)
    damage_keys(store, "s01")
    assert mails.run(MONDAY) == {"planned": 4, "accepted": 3, "deferred": 1}
    assert states(store)["s01"] == ("deferred", "broken")
    assert mails.run(MONDAY + HOUR) == {"planned": 0, "deferred": 1}  # nor does it alone
    assert "s01@example.org" not in sink.recipients


def test_a_key_that_is_damaged_after_a_message_was_kept_stops_nobody_else(
    store: Store, mails: Notifications, sink: Sink
) -> None:
    crowd(store, 3)
    sink.at_rcpt = ["451 4.2.0 later"] * 3
    assert mails.run(MONDAY) == {"planned": 3, "deferred": 3}
    damage_keys(store, "s01")
    assert mails.run(MONDAY + HOUR) == {"planned": 0, "accepted": 2, "deferred": 1}
    assert states(store)["s01"] == ("deferred", "broken")


def test_a_key_that_is_damaged_while_its_mail_is_on_the_way_stops_nobody_else(
    store: Store, mails: Notifications, sink: Sink
) -> None:
    crowd(store, 3)
    sink.at_recipient = lambda _: damage_keys(store, "s00", "s01")
    sink.at_rcpt = ["451 4.2.0 later"] * 3
    assert mails.run(MONDAY) == {"planned": 3, "deferred": 3}


def test_a_key_that_is_damaged_while_a_message_is_made_is_no_erasure(
    store: Store, mails: Notifications, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd(store, 3)
    unbroken = compose_all

    def damaging(*given: Any) -> Any:  # noqa: ANN401 - those of compose_all
        found = unbroken(*given)
        damage_keys(store, "s01")
        return found

    monkeypatch.setattr(preparing, "compose_all", damaging)
    assert mails.run(MONDAY) == {"planned": 3, "accepted": 2, "deferred": 1}
    assert states(store)["s01"] == ("deferred", "broken")


def test_some_whose_keys_are_damaged_stop_no_message_that_was_kept(
    store: Store, mails: Notifications, sink: Sink
) -> None:
    crowd(store, 4)
    damage_keys(store, "s00", "s01")
    sink.at_rcpt = ["451 4.2.0 later"] * 2
    assert mails.run(MONDAY) == {"planned": 4, "deferred": 4}
    assert mails.run(MONDAY + HOUR) == {"planned": 0, "accepted": 2, "deferred": 2}
    assert sorted(sink.recipients) == ["s02@example.org", "s03@example.org"]


def test_keys_of_which_none_opens_are_everybodys_trouble(store: Store) -> None:
    crowd(store, 2)
    damage_keys(store, "s01")
    found = load_all(store.engine.log, [S00, S01])
    assert isinstance(found[S00], Recipient)
    assert isinstance(found[S01], Unavailable)
    damage_keys(store, "s00")
    with pytest.raises(Unavailable) as error:
        load_all(store.engine.log, [S00, S01])
    assert error.value.code == "keys.wrong"
