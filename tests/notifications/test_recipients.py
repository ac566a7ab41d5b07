"""People as a mail sees them, read from their own streams a batch at a time."""

from datetime import date
from uuid import UUID

import pytest
import sqlalchemy as sa

from domain.kernel import identify
from domain.supporters import Undeliverable
from history.mapper import UnknownTopic
from history.tables import events
from notifications.recipients import Recipient, load, load_all
from tests.history.sample import disarm
from tests.support.mails import campaign, join
from tests.support.store import Store

ANNA, BELA, NOBODY = (identify("supporter", name) for name in ("anna", "bela", "nobody"))


def one(store: Store, key: UUID = ANNA) -> Recipient:
    found = load(store.engine.log, key)
    assert found is not None
    return found


def test_what_a_person_gave_is_there_in_the_clear(store: Store) -> None:
    store.run("chapters.found", chapter="porto", name="Porto")
    store.run("chapters.found", chapter="lisbon", name="Lisbon")
    campaign(store)
    join(store, "anna", locale="es", time_zone="Europe/Lisbon")
    store.run("supporters.set_visibility", supporter="anna", public=True, display_name="A.")
    store.run("supporters.set_digest", supporter="anna", frequency="daily", hour=7)
    store.run("supporters.pause_digest", supporter="anna", until="2030-01-01")
    store.run("supporters.join_chapter", supporter="anna", chapter="porto")
    store.run("supporters.join_chapter", supporter="anna", chapter="lisbon")
    store.run("supporters.leave_chapter", supporter="anna", chapter="porto")
    store.run("supporters.mute_campaign", supporter="anna", campaign="listen")
    anna = one(store)
    assert (anna.email, anna.name, anna.display_name) == ("anna@example.org", "Anna", "A.")
    assert (anna.locale, anna.time_zone, anna.public) == ("es", "Europe/Lisbon", True)
    assert (anna.frequency, anna.hour, anna.paused_until) == ("daily", 7, date(2030, 1, 1))
    assert anna.chapters == [identify("chapter", "lisbon")]
    assert anna.muted == {identify("campaign", "listen")}
    store.run("supporters.unmute_campaign", supporter="anna", campaign="listen")
    assert one(store).muted == set()


def test_the_newest_word_holds_and_null_clears(store: Store) -> None:
    join(store, "anna")
    first = one(store)
    store.run("supporters.suppress_mail", supporter="anna", cause="hard_bounce")
    assert one(store).suppressed is Undeliverable.HARD_BOUNCE
    store.run("supporters.amend", supporter="anna", email="ana@example.org", name=None)
    anna = one(store)
    assert (anna.email, anna.name, anna.suppressed) == ("ana@example.org", None, None)
    assert anna.email_version == anna.version > first.email_version == 1
    assert not anna.email_confirmed


def test_many_are_read_together_and_nobody_is_taken_for_another(store: Store) -> None:
    for name in ("anna", "bela", "ciro"):
        join(store, name)
    store.run("supporters.erase", supporter="bela", reason="She asked.")
    found = load_all(store.engine.log, [ANNA, BELA, NOBODY, identify("supporter", "ciro")])
    assert found.keys() == {ANNA, BELA, identify("supporter", "ciro")}
    people = [person for person in found.values() if isinstance(person, Recipient)]
    assert {person.supporter: person.email for person in people} == {
        ANNA: "anna@example.org",
        BELA: None,
        identify("supporter", "ciro"): "ciro@example.org",
    }
    assert [person.supporter for person in people if person.erased] == [BELA]
    assert load_all(store.engine.log, []) == {}
    assert load(store.engine.log, NOBODY) is None


def test_whoever_cannot_be_read_concerns_nobody_else(store: Store) -> None:
    join(store, "anna")
    join(store, "bela")
    disarm(store.engine.database)
    with store.engine.database.append() as connection:
        mine = events.c.stream_id == BELA, events.c.version == 2
        connection.execute(sa.update(events).where(*mine).values(topic="dreams.Dreamt"))
    found = load_all(store.engine.log, [ANNA, BELA])
    assert isinstance(found[ANNA], Recipient)
    assert isinstance(found[BELA], UnknownTopic)
    with pytest.raises(UnknownTopic, match=r"dreams\.Dreamt"):
        load(store.engine.log, BELA)
