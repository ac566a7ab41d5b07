"""While a slow server takes a group of mails, it is asked again who may get one."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from domain.kernel import identify
from notifications import transmitting
from notifications.service import Notifications
from notifications.tables import outbox as table
from tests.support.mails import MONDAY, crowd
from tests.support.sink import Sink
from tests.support.store import Store

NAMES = [f"s{number:02d}" for number in range(4)]


@pytest.fixture(autouse=True)
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every mail come so late that it is asked again."""
    monkeypatch.setattr(transmitting, "FRESH", timedelta())


class Meanwhile:
    """Runs a command for everybody else once the first mail is on its way."""

    def __init__(self, store: Store, command: str, **data: Any) -> None:  # noqa: ANN401 - of the command
        self._store, self._command, self._data = store, command, data
        self.others: list[str] = []

    def __call__(self, address: str) -> None:
        if not self.others:
            self.others = [name for name in NAMES if not address.startswith(name)]
            for name in self.others:
                self._store.run(self._command, supporter=name, reason="Asked.", **self._data)


@pytest.mark.parametrize(
    ("command", "data", "reason"),
    [
        ("supporters.consent", {"topic": "digest", "granted": False, "wording": "No."}, "no_consent"),
        ("supporters.pause_digest", {"until": "2030-01-01"}, "paused"),
        ("supporters.set_digest", {"frequency": "off"}, "frequency_off"),
        ("supporters.amend", {"email": "other@example.org"}, "address_changed"),
        ("supporters.erase", {}, "erased"),
    ],
)
def test_what_changes_while_others_of_the_group_go_out_stops_a_mail(
    store: Store, mails: Notifications, sink: Sink, command: str, data: dict[str, Any], reason: str
) -> None:
    crowd(store, len(NAMES))
    sink.at_recipient = meanwhile = Meanwhile(store, command, **data)
    assert mails.run(MONDAY) == {"planned": 4, "accepted": 1, "suppressed": 3}
    assert len(sink.recipients) == 1
    with store.engine.database.read() as connection:
        stopped = connection.execute(sa.select(table).where(table.c.state == "suppressed")).all()
    assert {row.reason for row in stopped} == {reason}
    assert {row.supporter for row in stopped} == {identify("supporter", name) for name in meanwhile.others}


def test_what_changes_otherwise_stops_no_mail(store: Store, mails: Notifications, sink: Sink) -> None:
    crowd(store, len(NAMES))
    sink.at_recipient = Meanwhile(store, "supporters.mute_campaign", campaign="other")
    store.run("campaigns.draft", campaign="other", title="Another one")
    assert mails.run(MONDAY) == {"planned": 4, "accepted": 4}
    assert sorted(sink.recipients) == [f"{name}@example.org" for name in NAMES]


def test_mails_that_are_halted_in_the_middle_of_a_group_wait(store: Store, mails: Notifications, sink: Sink) -> None:
    crowd(store, len(NAMES))
    halted: list[str] = []

    def halt(address: str) -> None:
        if not halted:
            halted.append(address)
            store.run("mails.halt", reason="The link is wrong.")

    sink.at_recipient = halt
    assert mails.run(MONDAY) == {"planned": 4, "accepted": 1}
    assert sink.recipients == halted
    with store.engine.database.read() as connection:
        waiting = connection.execute(sa.select(table).where(table.c.state == "pending")).all()
    assert [(row.attempts, row.claimed_by) for row in waiting] == [(0, None)] * 3
    store.run("mails.resume")
    assert mails.run(MONDAY + timedelta(minutes=1)) == {"planned": 0, "accepted": 3}
    assert sorted(sink.recipients) == [f"{name}@example.org" for name in NAMES]
