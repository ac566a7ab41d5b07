"""To which domains an audience's mails would go: those due and those that wait, the largest first."""

from datetime import timedelta

import sqlalchemy as sa

from domain.kernel import identify
from history.tables import person_keys
from notifications.domains import Domains, domains
from notifications.service import Notifications
from tests.support.mails import MONDAY, campaign, join
from tests.support.sink import Sink
from tests.support.store import Store


def test_who_is_due_and_who_waits_is_counted_by_domain(store: Store, mails: Notifications, sink: Sink) -> None:
    campaign(store)
    for number in range(6):
        host = "large.example" if number % 2 else f"small{number}.example"
        join(store, f"s{number}", email=f"s{number}@{host.upper() if number == 1 else host}")
        store.run("pledges.make", campaign="listen", ask="circle", supporter=f"s{number}")
    store.run("supporters.set_digest", supporter="s5", frequency="off")
    store.catch_up()
    assert mails.domains(MONDAY) == Domains({"large.example": 2, **{f"small{n}.example": 1 for n in (0, 2, 4)}})
    with store.views() as views:
        found = domains(views, store.engine.persons, MONDAY, largest=2)
    assert found == Domains({"large.example": 2, "small0.example": 1}, 2)
    sink.at_rcpt = ["450 later"] * 2
    mails.run(MONDAY)
    store.catch_up()
    later = MONDAY + timedelta(hours=1)
    assert (mails.audience(later).new, mails.audience(later).waiting) == (0, 2)
    assert sum(mails.domains(later).largest.values()) == 2


def test_an_address_that_cannot_be_read_is_left_out(store: Store, mails: Notifications) -> None:
    for name in ("anna", "bela"):
        join(store, name)
    store.catch_up()
    with store.engine.database.write() as connection:
        mine = person_keys.c.person_id == identify("supporter", "anna")
        connection.execute(sa.delete(person_keys).where(mine))
    assert mails.domains(MONDAY) == Domains({"example.org": 1})


def test_nobody_due_goes_nowhere(mails: Notifications) -> None:
    assert mails.domains(MONDAY) == Domains()
