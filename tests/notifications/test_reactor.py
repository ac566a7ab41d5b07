"""Who is asked to confirm an address, and who is not."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from domain.kernel import identify, now
from history.tables import events
from notifications.reactor import NAME, MailReactor
from notifications.tables import mail_reactors, outbox
from tests.history.sample import disarm
from tests.support.clock import Clock
from tests.support.mails import campaign, service
from tests.support.sink import Sink
from tests.support.store import Store


def test_who_came_by_the_form_is_asked_to_confirm_and_others_are_not(store: Store, tmp_path: Path, sink: Sink) -> None:
    campaign(store)
    mails = service(store, tmp_path, sink.url, now)
    at = now().isoformat()
    store.run(
        "supporters.register", supporter="form", email="form@example.org", source="pledge-form", locale="es", at=at
    )
    store.run("supporters.register", supporter="staff", email="staff@example.org", at=at)
    store.run("supporters.register", supporter="import", email="import@example.org", source="petition-7", at=at)
    store.run("supporters.register", supporter="old", email="old@example.org", source="pledge-form")
    assert mails.tick() == {"planned": 1, "accepted": 1}
    (message,) = sink.messages
    assert (message["To"], message["Subject"]) == ("form@example.org", "Confirma tu dirección")
    assert message["List-Unsubscribe"] is None
    assert mails.tick() == {"planned": 0}
    # the public form again, by somebody who was imported: asked once a day
    for _ in range(2):
        store.run(
            "pledges.make",
            campaign="listen",
            ask="circle",
            supporter="import",
            actor="supporter:public",
            at=now().isoformat(),
        )
        store.run("pledges.withdraw", campaign="listen", ask="circle", supporter="import", at=now().isoformat())
    assert mails.tick() == {"planned": 1, "accepted": 1}
    # another address
    store.run("supporters.amend", supporter="form", email="new@example.org", at=now().isoformat())
    assert mails.tick() == {"planned": 1, "accepted": 1}
    assert sink.recipients == ["form@example.org", "import@example.org", "new@example.org"]


def test_a_reactor_starts_at_the_head(store: Store, tmp_path: Path) -> None:
    store.run("supporters.register", supporter="f", email="f@example.org", source="pledge-form", at=now().isoformat())
    assert service(store, tmp_path, None, now).tick() == {"planned": 0}


def test_processes_that_start_at_once_begin_one_reactor(store: Store) -> None:
    with ThreadPoolExecutor(1) as pool:
        with store.engine.database.append() as connection:
            other = pool.submit(MailReactor, store.engine.log)
            time.sleep(0.3)  # so that it has seen that there is none yet
            connection.execute(mail_reactors.insert().values(name=NAME, position=0))
        other.result(timeout=30)


def test_a_confirmation_that_came_too_late_is_not_sent(store: Store, tmp_path: Path, sink: Sink) -> None:
    mails = service(store, tmp_path, sink.url, now)
    at = now().isoformat()
    store.run("supporters.register", supporter="f", email="f@example.org", source="pledge-form", at=at)
    sink.at_rcpt = ["450 later"]
    assert mails.tick()["deferred"] == 1
    store.run("supporters.confirm_email", supporter="f", at=now().isoformat())
    assert mails.run(now() + timedelta(hours=1)) == {"planned": 0, "suppressed": 1}


def confirmations(store: Store) -> int:
    with store.engine.database.read() as connection:
        where = outbox.c.kind == "confirm"
        return connection.scalar(sa.select(sa.func.count()).select_from(outbox).where(where)) or 0


def come(store: Store, name: str, at: datetime, email: str = "anna@example.org") -> None:
    """Let somebody come by the form and give an address."""
    store.run("supporters.register", supporter=name, email=email, source="pledge-form", at=at.isoformat())


def test_an_address_is_asked_once_a_day_and_five_times_a_month_whoever_gives_it(
    store: Store, tmp_path: Path, clock: Clock
) -> None:
    mails = service(store, tmp_path, None, now)
    mails.tick()
    asked = []
    for day in range(33):
        for number in range(2):
            come(store, f"s{day}-{number}", now())
        mails.tick()
        asked.append(confirmations(store))
        clock.step(timedelta(days=1, minutes=1))
    assert asked[:6] == [1, 2, 3, 4, 5, 5]
    assert asked[29:] == [5, 6, 7, 8]
    come(store, "other", now(), "bela@example.org")
    mails.tick()
    assert confirmations(store) == 9


def test_who_cannot_be_read_stops_nobody_else(store: Store, tmp_path: Path, sink: Sink) -> None:
    mails = service(store, tmp_path, sink.url, now)
    come(store, "broken", now(), "broken@example.org")
    store.run("supporters.consent", supporter="broken", topic="digest", granted=True, wording="Yes.")
    come(store, "good", now(), "good@example.org")
    disarm(store.engine.database)
    with store.engine.database.append() as connection:
        mine = events.c.stream_id == identify("supporter", "broken"), events.c.version == 2
        connection.execute(events.update().where(*mine).values(topic="dreams.Dreamt"))
    assert mails.tick() == {"planned": 1, "accepted": 1}
    assert sink.recipients == ["good@example.org"]


def test_an_address_that_mail_came_back_from_is_not_asked(store: Store, tmp_path: Path) -> None:
    mails = service(store, tmp_path, None, now)
    come(store, "anna", now())
    store.run("supporters.suppress_mail", supporter="anna", cause="complaint")
    assert mails.tick() == {"planned": 0}


def test_an_address_that_mail_came_back_from_meanwhile_is_not_asked_either(
    store: Store, tmp_path: Path, sink: Sink
) -> None:
    mails = service(store, tmp_path, sink.url, now)
    come(store, "anna", now())
    sink.at_rcpt = ["450 later"]
    assert mails.tick()["deferred"] == 1
    store.run("supporters.suppress_mail", supporter="anna", cause="hard_bounce")
    assert mails.run(now() + timedelta(hours=1)) == {"planned": 0, "suppressed": 1}
    with store.engine.database.read() as connection:
        assert connection.scalar(sa.select(outbox.c.reason)) == "bounced"
