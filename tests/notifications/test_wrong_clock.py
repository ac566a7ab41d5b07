"""A clock says 2036 for an hour, in which mails go out, and then is right again: nobody is forgotten until then."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy as sa

from domain.kernel import now
from notifications import outbox
from notifications.outbox import State
from notifications.pacing import IN_A_ROW, LONGEST_REST, Breaker, Rate
from notifications.service import Notifications
from notifications.tables import outbox as table
from tests.support.clock import Clock
from tests.support.mails import MONDAY, campaign, crowd, join, service
from tests.support.sink import Sink
from tests.support.store import Store

YEARS: Final = timedelta(days=3_650)
ASTRAY: Final = datetime(2036, 8, 20, 9, tzinfo=UTC)
WEEK: Final = timedelta(days=7)


def keep(store: Store, *names: str) -> None:
    """Give these something to be told of."""
    for name in names:
        store.run("pledges.keep", campaign="listen", ask="circle", supporter=name)
    store.catch_up()


def test_digests_come_in_their_time_again(store: Store, mails: Notifications, sink: Sink) -> None:
    crowd(store, 3)
    assert mails.run(MONDAY) == {"planned": 3, "accepted": 3}
    join(store, "late")
    store.run("pledges.make", campaign="listen", ask="circle", supporter="late")
    keep(store, "s00")
    assert mails.run(ASTRAY) == {"planned": 4, "accepted": 4}
    keep(store, "s01", "late")
    # Who had this week's digest gets no other one; who joined since had it by the clock that was wrong, and gets hers.
    assert mails.run(MONDAY + timedelta(hours=1), astray=True) == {"planned": 1, "accepted": 1}
    keep(store, "s02")
    assert mails.run(MONDAY + WEEK, astray=True) == {"planned": 4, "accepted": 4}
    store.catch_up()
    assert mails.run(MONDAY + WEEK + timedelta(days=1)) == {"planned": 0}
    assert len(sink.messages) == 12


def test_who_consents_by_that_clock_gets_digests_too(store: Store, mails: Notifications, sink: Sink) -> None:
    campaign(store)
    moment = ASTRAY.isoformat()
    store.run("supporters.register", supporter="anna", email="anna@example.org", at=moment)
    store.run("supporters.confirm_email", supporter="anna", at=moment)
    store.run("supporters.consent", supporter="anna", topic="digest", granted=True, wording="Yes.", at=moment)
    store.run("pledges.make", campaign="listen", ask="circle", supporter="anna", at=moment)
    store.catch_up()
    assert mails.run(MONDAY + WEEK, astray=True) == {"planned": 1, "accepted": 1}
    assert sink.recipients == ["anna@example.org"]


def test_whoever_comes_by_the_form_is_asked_to_confirm(store: Store, tmp_path: Path, sink: Sink, clock: Clock) -> None:
    """Recorded times stay ahead until 2036: they never go back."""
    campaign(store)
    mails = service(store, tmp_path, sink.url, now)

    def come(name: str) -> None:
        who, at = {"supporter": name}, now().isoformat()
        store.run("supporters.register", **who, email=f"{name}@example.org", source="pledge-form", at=at)

    clock.step(YEARS)
    come("anna")
    assert mails.tick() == {"planned": 1, "accepted": 1}
    clock.step(-YEARS)
    come("bela")
    store.run(
        "pledges.make",
        campaign="listen",
        ask="circle",
        supporter="anna",
        actor="supporter:public",
        at=now().isoformat(),
    )
    assert mails.tick() == {"planned": 2, "accepted": 2}
    assert sorted(sink.recipients) == ["anna@example.org", "anna@example.org", "bela@example.org"]


@pytest.mark.parametrize(
    ("state", "then"), [(State.CLAIMED, {"accepted": 2}), (State.TRANSMITTING, {"accepted": 1, "unknown": 1})]
)
def test_what_a_sender_had_that_died_then_is_nobodys_until_2036(
    store: Store, mails: Notifications, state: State, then: dict[str, int]
) -> None:
    crowd(store, 2)
    mails.plan(MONDAY)
    with store.engine.database.write() as connection:
        (row,) = outbox.claim(connection, "died", ASTRAY, 1)
        connection.execute(table.update().where(table.c.id == row.id).values(state=str(state)))
    assert mails.run(MONDAY) == {"planned": 0, **then}


def test_neither_rests_nor_rates_of_that_time_last() -> None:
    breaker, rate = Breaker(), Rate(0.1)
    for _ in range(IN_A_ROW):
        breaker.failed(ASTRAY)
    assert breaker.resting(ASTRAY) is not None
    assert breaker.resting(MONDAY) is None
    assert rate.moment(ASTRAY) == ASTRAY
    assert rate.moment(MONDAY) == MONDAY
    assert rate.moment(MONDAY) > MONDAY
    assert breaker.resting(ASTRAY - LONGEST_REST) is None


def test_nothing_is_planned_again_that_waits_since_then(store: Store, mails: Notifications) -> None:
    crowd(store, 2)
    assert mails.plan(ASTRAY) == 2
    assert mails.run(MONDAY, astray=True) == {"planned": 2, "accepted": 2}
    with store.engine.database.read() as connection:
        reasons = connection.scalars(sa.select(table.c.reason).where(table.c.state == str(State.SUPPRESSED))).all()
    assert reasons == ["superseded", "superseded"]
