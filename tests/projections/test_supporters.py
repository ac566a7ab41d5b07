from datetime import timedelta

from domain.kernel import identify
from projections.counts import counts
from projections.supporters import Supporters, Which
from tests.support.store import START, Store

ANNA, BEN = (identify("supporter", name) for name in ("anna", "ben"))
HERE, THERE = (identify("chapter", name) for name in ("here", "there"))


def begin(store: Store) -> None:
    for chapter in ("here", "there"):
        store.run("chapters.found", chapter=chapter, name=chapter)
    store.run("campaigns.draft", campaign="c", title="C")
    store.run("campaigns.add_ask", campaign="c", ask="a", statement="I will", kind="once")
    store.run("campaigns.launch", campaign="c")
    store.run(
        "supporters.register",
        at=START,
        supporter="anna",
        email="anna@example.org",
        name="Anna",
        locale="pt-PT",
        time_zone="Europe/Lisbon",
        source="stall",
    )
    store.run("supporters.register", supporter="ben", chapter="here")


def test_what_is_personal_stays_sealed_and_opens_with_the_key(store: Store) -> None:
    begin(store)
    store.run("supporters.set_visibility", supporter="anna", public=True, display_name="A.")
    store.catch_up()
    with store.views() as views:
        anna = views[Supporters].find(views.connection, ANNA)
        assert anna is not None
        assert views.open([anna.email, anna.name, anna.display_name]) == ["anna@example.org", "Anna", "A."]
        assert "Anna" not in str(anna)
        assert (anna.locale, anna.time_zone, anna.source) == ("pt-PT", "Europe/Lisbon", "stall")
        assert (anna.public, anna.email_confirmed, anna.registered_at) == (True, False, START)
        ben = views[Supporters].find(views.connection, BEN)
        assert ben is not None
        assert (ben.email, ben.name, ben.public, ben.digest_frequency) == (None, None, False, None)


def test_a_new_address_must_be_confirmed_again(store: Store) -> None:
    begin(store)
    store.run("supporters.confirm_email", supporter="anna")
    with store.seen(Supporters) as (supporters, connection):
        assert [row.id for row in supporters.all(connection, Which(email_confirmed=True))] == [ANNA]
    store.run("supporters.amend", supporter="anna", name=None)
    with store.seen(Supporters) as (supporters, connection):
        anna = supporters.find(connection, ANNA)
        assert anna is not None
        assert (anna.name, anna.email_confirmed) == (None, True)
    store.run("supporters.amend", supporter="anna", email="new@example.org")
    with store.seen(Supporters) as (supporters, connection):
        assert supporters.count(connection, Which(email_confirmed=True)) == 0


def test_the_chapter_joined_last_is_home(store: Store) -> None:
    begin(store)
    store.catch_up()
    store.run("supporters.join_chapter", supporter="ben", chapter="there")
    with store.seen(Supporters) as (supporters, connection):
        assert [row.chapter for row in supporters.chapters_of(connection, BEN)] == [HERE, THERE]
        assert supporters.several(connection, [BEN])[BEN].chapter == THERE
        assert [row.id for row in supporters.all(connection, Which(chapter=HERE))] == [BEN]
    store.run("supporters.leave_chapter", supporter="ben", chapter="there")
    with store.seen(Supporters) as (supporters, connection):
        assert supporters.several(connection, [BEN])[BEN].chapter == HERE
    store.run("supporters.leave_chapter", supporter="ben", chapter="here")
    with store.seen(Supporters) as (supporters, connection):
        assert supporters.several(connection, [BEN])[BEN].chapter is None
        assert supporters.count(connection, Which(chapter=HERE)) == 0


def test_consent_is_what_was_said_last(store: Store) -> None:
    begin(store)
    store.run("supporters.consent", supporter="anna", topic="digest", granted=True, wording="Yes, weekly")
    store.run("supporters.consent", supporter="anna", topic="news", granted=False, wording="No")
    with store.seen(Supporters) as (supporters, connection):
        assert [(row.topic, row.granted) for row in supporters.consents_of(connection, ANNA)] == [
            ("digest", True),
            ("news", False),
        ]
        assert [row.id for row in supporters.all(connection, Which(consents_to="digest"))] == [ANNA]
        assert supporters.count(connection, Which(consents_to="news")) == 0
    store.run("supporters.consent", supporter="anna", topic="digest", granted=False, wording="No more")
    with store.seen(Supporters) as (supporters, connection):
        assert supporters.count(connection, Which(consents_to="digest")) == 0


def test_those_who_want_a_digest_are_found_by_how_often(store: Store) -> None:
    begin(store)
    store.run("supporters.set_digest", supporter="anna", frequency="weekly", weekday=1, hour=8)
    with store.seen(Supporters) as (supporters, connection):
        (anna,) = supporters.all(connection, Which(digest_frequency="weekly"))
        assert (anna.id, anna.digest_weekday, anna.digest_hour) == (ANNA, 1, 8)
        assert supporters.count(connection, Which(digest_frequency="daily")) == 0


def test_pledges_are_counted_by_state(store: Store) -> None:
    begin(store)
    store.run("pledges.make", campaign="c", ask="a", supporter="anna")
    store.run("pledges.withdraw", campaign="c", ask="a", supporter="anna")
    store.catch_up()
    store.run("pledges.make", campaign="c", ask="a", supporter="anna")
    store.run("pledges.keep", campaign="c", ask="a", supporter="anna")
    with store.seen(Supporters) as (supporters, connection):
        found = supporters.several(connection, [ANNA, BEN, identify("supporter", "nobody")])
    assert {key: counts(row) for key, row in found.items()} == {
        ANNA: {"made": 1, "active": 0, "kept": 1, "lapsed": 0, "withdrawn": 0},
        BEN: {"made": 0, "active": 0, "kept": 0, "lapsed": 0, "withdrawn": 0},
    }


def test_last_seen_is_the_latest_time_of_what_the_supporter_did(store: Store) -> None:
    begin(store)
    day = timedelta(days=1)
    store.run("pledges.make", campaign="c", ask="a", supporter="anna", at=START + 9 * day)
    store.catch_up()
    store.run("supporters.set_visibility", supporter="anna", public=True, at=START + 3 * day)
    store.run("pledges.lapse", campaign="c", ask="a", supporter="anna", at=START + 30 * day)
    store.run("recognitions.nominate", recognition="r", title="Star", recipient={"kind": "supporter", "id": "anna"})
    store.run("recognitions.endorse", recognition="r", supporter="ben", at=START + 20 * day)
    store.run("recognitions.award", recognition="r", at=START + 40 * day)
    with store.seen(Supporters) as (supporters, connection):
        found = supporters.several(connection, [ANNA, BEN])
    assert found[ANNA].last_seen == START + 9 * day
    assert found[BEN].last_seen == START + 20 * day


def test_an_erased_supporter_stays_as_a_number_without_anything_personal(store: Store) -> None:
    begin(store)
    store.run("supporters.confirm_email", supporter="anna")
    store.run("supporters.set_visibility", supporter="anna", public=True, display_name="A.")
    store.run("supporters.join_chapter", supporter="anna", chapter="here")
    store.run("pledges.make", campaign="c", ask="a", supporter="anna")
    store.catch_up()
    store.run("supporters.erase", supporter="anna", reason="asked for it", at=START)
    with store.seen(Supporters) as (supporters, connection):
        anna = supporters.find(connection, ANNA)
        assert anna is not None
        assert (anna.email, anna.name, anna.display_name, anna.chapter) == (None, None, None, None)
        assert (anna.email_confirmed, anna.public, anna.erased_at, counts(anna)["made"]) == (False, False, START, 1)
        assert supporters.chapters_of(connection, ANNA) == []
        assert [row.id for row in supporters.all(connection)] == [BEN]
        assert [row.id for row in supporters.all(connection, Which(present=False))] == [ANNA]
        assert supporters.count(connection, Which(present=None)) == 2


def test_pages_follow_each_other(store: Store) -> None:
    begin(store)
    with store.seen(Supporters) as (supporters, connection):
        (first,) = supporters.all(connection, limit=1)
        (second,) = supporters.all(connection, Which(public=False), after=first.id)
    assert [first.id, second.id] == sorted([ANNA, BEN])
