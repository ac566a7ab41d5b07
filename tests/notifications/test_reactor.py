"""Who is asked to confirm an address, and who is not."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from domain.kernel import now
from notifications.reactor import NAME, MailReactor
from notifications.tables import mail_reactors
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
    store.run("supporters.confirm_email", supporter="f", at=at)
    assert mails.run(now() + timedelta(hours=1)) == {"planned": 0, "suppressed": 1}
