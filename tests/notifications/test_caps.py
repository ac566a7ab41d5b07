"""Nobody mails the whole movement by accident: the audience is counted and capped before anything is planned."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from notifications.caps import Audience, BeyondCap, MailRole, cap
from notifications.service import Notifications
from notifications.tables import mail_runs, outbox
from tests.support.mails import MONDAY, Clock, MailSettings, campaign, join
from tests.support.sink import Sink
from tests.support.store import Store

Capped = Callable[..., Notifications]


@pytest.fixture
def capped(store: Store, tmp_path: Path, sink: Sink) -> Capped:
    """A function that opens the mails with these caps."""

    def make(**caps: int | None) -> Notifications:
        settings = MailSettings(tmp_path, sink.url, mail_caps=caps)
        return Notifications(store.engine, store.reader, settings, Clock())

    return make


def crowd(store: Store, *names: str) -> None:
    if not store.head:
        campaign(store)
    for name in names:
        join(store, name)
        store.run("pledges.make", campaign="listen", ask="circle", supporter=name)
    store.catch_up()


def count(store: Store, table: sa.Table) -> int:
    with store.engine.database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def test_the_audience_is_counted_by_frequency_without_planning_anything(store: Store, capped: Capped) -> None:
    crowd(store, "anna", "ben", "cleo")
    store.run("supporters.set_digest", supporter="cleo", frequency="daily")
    store.catch_up()
    assert capped().audience(MONDAY) == Audience({"daily": 1, "weekly": 2}, 0)
    assert count(store, outbox) == count(store, mail_runs) == 0


def test_beyond_the_limit_nothing_is_planned_at_all(store: Store, capped: Capped, sink: Sink) -> None:
    crowd(store, "anna", "ben", "cleo")
    mails = capped()
    with pytest.raises(BeyondCap) as refused:
        mails.run(MONDAY, limit=2)
    assert (refused.value.code, refused.value.size, refused.value.limit) == ("mail.beyond_cap", 3, 2)
    assert count(store, outbox) == 0
    assert mails.run(MONDAY, limit=3)["accepted"] == 3
    assert len(sink.raw) == 3


def test_a_worker_holds_what_is_more_than_its_cap_and_says_so(store: Store, capped: Capped, sink: Sink) -> None:
    crowd(store, "anna", "ben", "cleo")
    mails = capped(work=2)
    assert mails.tick() == {"planned": 0, "held": 3}
    assert mails.tick() == {"planned": 0, "held": 3}
    assert mails.desk.status().held == 3
    assert sink.raw == []


def test_what_a_person_lets_go_the_worker_sends_whatever_its_cap(store: Store, capped: Capped, sink: Sink) -> None:
    crowd(store, "anna", "ben", "cleo")
    mails = capped(work=2, manager=1)
    with pytest.raises(BeyondCap):
        mails.desk.let_go(MailRole.MANAGER)
    with pytest.raises(BeyondCap):
        mails.desk.let_go(MailRole.MANAGER, 2)
    assert mails.desk.let_go(MailRole.MANAGER, 3) == 3
    assert mails.desk.let_go(MailRole.MANAGER) == 0  # pressed twice
    assert sink.raw == []
    assert mails.tick() == {"planned": 0, "accepted": 3}
    assert mails.desk.status().held == 0


def test_what_waits_goes_out_while_new_digests_are_held(store: Store, capped: Capped, sink: Sink) -> None:
    crowd(store, "anna")
    capped().plan(MONDAY)
    crowd(store, "ben", "cleo")
    assert capped(work=1).tick() == {"planned": 0, "held": 2, "accepted": 1}
    assert sink.recipients == ["anna@example.org"]


def test_a_worker_without_a_cap_holds_nothing(store: Store, capped: Capped) -> None:
    crowd(store, "anna", "ben")
    assert capped(cli=1, manager=1).tick() == {"planned": 2, "accepted": 2}


def test_a_role_that_is_not_set_has_the_cap_of_the_manual() -> None:
    assert [cap({}, role) for role in MailRole] == [5_000, 20_000, None]
    assert cap({"manager": None}, MailRole.MANAGER) is None
    assert cap({"work": 0}, MailRole.WORK) == 0
