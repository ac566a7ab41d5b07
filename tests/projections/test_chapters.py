from domain.kernel import identify
from projections.chapters import Chapters
from tests.support.store import START, Store

PORTUGAL, LISBOA, PORTO = (identify("chapter", name) for name in ("pt", "lisboa", "porto"))
ANNA, BEN = (identify("supporter", name) for name in ("anna", "ben"))


def found_portugal(store: Store) -> None:
    store.run("chapters.found", chapter="pt", name="Portugal", place={"country": "PT"}, locale="pt", at=START)
    store.run("chapters.found", chapter="lisboa", name="Lisboa", parent="pt")
    store.run("chapters.found", chapter="porto", name="Porto", parent="pt")


def test_a_chapter_shows_what_it_was_founded_with(store: Store) -> None:
    found_portugal(store)
    with store.seen(Chapters) as (chapters, connection):
        found = chapters.find(connection, PORTUGAL)
    assert found is not None
    assert (found.reference, found.name, found.parent, found.locale, found.state) == (
        *("pt", "Portugal", None, "pt", "open"),
    )
    assert found.place == {"city": None, "country": "PT", "latitude": None, "longitude": None}
    assert (found.founded_at, found.closed_at, found.members) == (START, None, 0)


def test_an_amendment_changes_what_it_names_and_clears_what_it_nulls(store: Store) -> None:
    found_portugal(store)
    store.run("chapters.amend", chapter="pt", place=None, website="https://example.pt")
    with store.seen(Chapters) as (chapters, connection):
        found = chapters.find(connection, PORTUGAL)
    assert found is not None
    assert (found.name, found.place, found.website) == ("Portugal", None, "https://example.pt")


def test_a_closed_chapter_is_listed_apart_until_it_is_founded_again(store: Store) -> None:
    found_portugal(store)
    store.run("chapters.close", chapter="porto")
    with store.seen(Chapters) as (chapters, connection):
        assert {row.id for row in chapters.all(connection)} == {PORTUGAL, LISBOA}
        (closed,) = chapters.all(connection, state="closed")
        assert closed.id == PORTO
        assert closed.closed_at is not None
        assert len(chapters.all(connection, state="all")) == 3
    store.run("chapters.found", chapter="porto", name="O Porto")
    with store.seen(Chapters) as (chapters, connection):
        again = chapters.find(connection, PORTO)
    assert again is not None
    assert (again.name, again.parent, again.reference, again.state, again.closed_at) == (
        *("O Porto", None, "porto", "open", None),
    )


def test_pages_follow_each_other(store: Store) -> None:
    found_portugal(store)
    with store.seen(Chapters) as (chapters, connection):
        first = chapters.all(connection, limit=2)
        rest = chapters.all(connection, after=first[-1].id, limit=2)
    assert [row.id for row in (*first, *rest)] == sorted([PORTUGAL, LISBOA, PORTO])


def test_the_tree_is_walked_up_and_down(store: Store) -> None:
    found_portugal(store)
    store.run("chapters.found", chapter="alfama", name="Alfama", parent="lisboa")
    with store.seen(Chapters) as (chapters, connection):
        assert [row.name for row in chapters.children(connection, None)] == ["Portugal"]
        assert [row.name for row in chapters.children(connection, PORTUGAL)] == ["Lisboa", "Porto"]
        above = chapters.ancestors(connection, identify("chapter", "alfama"))
        assert [row.name for row in above] == ["Lisboa", "Portugal"]
        assert chapters.ancestors(connection, identify("chapter", "nowhere")) == []
    store.run("chapters.move", chapter="alfama", parent=None)
    with store.seen(Chapters) as (chapters, connection):
        assert [row.name for row in chapters.children(connection, None)] == ["Alfama", "Portugal"]
        assert chapters.ancestors(connection, identify("chapter", "alfama")) == []


def test_members_are_those_who_joined_and_are_still_there(store: Store) -> None:
    found_portugal(store)
    for supporter in ("anna", "ben", "cleo"):
        store.run("supporters.register", supporter=supporter, chapter="lisboa")
    store.run("supporters.join_chapter", supporter="anna", chapter="porto", at=START)
    store.run("supporters.leave_chapter", supporter="cleo", chapter="lisboa")
    with store.seen(Chapters) as (chapters, connection):
        assert {row.supporter for row in chapters.members(connection, LISBOA)} == {ANNA, BEN}
        (member,) = chapters.members(connection, PORTO)
        assert (member.supporter, member.since) == (ANNA, START)
        by_id = chapters.several(connection, [LISBOA, PORTO, identify("chapter", "nowhere")])
        assert {key: row.members for key, row in by_id.items()} == {LISBOA: 2, PORTO: 1}
        page = chapters.members(connection, LISBOA, after=min(ANNA, BEN), limit=1)
        assert [row.supporter for row in page] == [max(ANNA, BEN)]


def test_erasure_ends_all_memberships_be_they_of_the_same_batch_or_earlier(store: Store) -> None:
    found_portugal(store)
    for supporter in ("anna", "ben"):
        store.run("supporters.register", supporter=supporter, chapter="lisboa")
    store.catch_up()
    store.run("supporters.join_chapter", supporter="anna", chapter="porto")
    store.run("supporters.erase", supporter="anna", reason="asked for it")
    with store.seen(Chapters) as (chapters, connection):
        assert [row.supporter for row in chapters.members(connection, LISBOA)] == [BEN]
        assert chapters.members(connection, PORTO) == []
        by_id = chapters.several(connection, [LISBOA, PORTO])
        assert (by_id[LISBOA].members, by_id[PORTO].members) == (1, 0)
