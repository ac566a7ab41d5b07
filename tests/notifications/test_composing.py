"""Composing a batch: each person is told what they would be told alone, in few queries, and of nobody hidden."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.kernel import identify
from notifications import render
from notifications.composing import KINDS, compose, compose_all
from notifications.digest import Content, Item, Links, Subject
from notifications.gathering import Told
from notifications.movement import Movement
from notifications.recipients import Recipient, load_all
from notifications.surroundings import Surroundings
from projections.leaderboards import Leaderboards
from tests.support import store as stores
from tests.support.mails import ANNA, BASE, MONDAY, campaign, join, tell
from tests.support.store import Store

LINKS = Links.of(BASE, "secret")


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    with Store(database_url, tmp_path, kinds=tuple(dict.fromkeys((*stores.KINDS, Leaderboards)))) as opened:
        yield opened


@contextmanager
def surroundings(store: Store) -> Iterator[Surroundings]:
    store.catch_up()
    with store.views(kinds=KINDS) as views:
        movement = Movement(store.engine.log, views.position, views.position)
        yield Surroundings(views, store.engine.log, movement, BASE)


def people(store: Store, *names: str) -> list[Recipient]:
    found = load_all(store.engine.log, [identify("supporter", name) for name in names])
    assert all(isinstance(one, Recipient) for one in found.values())
    return [one for one in found.values() if isinstance(one, Recipient)]


def batch(store: Store, *readers: tuple[Recipient, Told], now: datetime = MONDAY) -> dict[UUID, Content]:
    with surroundings(store) as shared:
        found = compose_all(shared, readers, now)
    contents = {}
    for key, content in found.items():
        assert isinstance(content, Content), content
        contents[key] = content
    return contents


def alone(store: Store, reader: tuple[Recipient, Told], now: datetime = MONDAY) -> Content:
    with surroundings(store) as shared:
        return compose(shared, *reader, now)


def items(content: Content, about: Subject) -> list[Item]:
    return [item for item in content.items if item.about is about]


# --- together as alone ---


def test_each_is_told_what_they_would_be_told_alone(store: Store) -> None:
    tell(store)
    for name in ("dana", "emil", "fatma"):
        join(store, name, locale={"dana": "ar", "emil": "es", "fatma": "en"}[name])
        store.run("supporters.join_chapter", supporter=name, chapter="porto")
        store.run("pledges.make", campaign="listen", ask="ten", supporter=name, at="2026-03-03T12:00:00Z")
    store.run("pledges.check_in", campaign="listen", ask="ten", supporter="dana", on="2026-03-04",
              at="2026-03-05T08:00:00Z")  # fmt: skip
    store.run("supporters.set_visibility", supporter="emil", public=True, display_name="Emil")
    for name, kind, recipient in (("team", "chapter", "porto"), ("own", "supporter", "dana")):
        store.run("recognitions.nominate", recognition=name, title=name, recipient={"kind": kind, "id": recipient})
        store.run("recognitions.award", recognition=name)
    store.run("actions.log", action="call", policy="bill", supporter="fatma", kind="call", on="2026-01-01")
    store.run("actions.record_response", action="call", summary="Noted.", on="2026-03-05")
    store.run("pledges.make", campaign="listen", ask="circle", supporter="fatma", at="2026-03-04T12:00:00Z")
    store.catch_up()
    readers = people(store, "anna", "dana", "emil", "fatma")
    early, late, head = (20, None), (store.head - 3, 2), (store.head, None)
    arrangements: Sequence[Sequence[Told]] = (
        (None, early, late, head), (head, late, early, None), (late, None, head, early), (early,) * 4,
    )  # fmt: skip
    languages = set()
    for told in arrangements:
        together = batch(store, *zip(readers, told, strict=True))
        for reader in zip(readers, told, strict=True):
            apart, content = alone(store, reader), together[reader[0].supporter]
            assert render.digest(content, LINKS) == render.digest(apart, LINKS)
            assert (content.covers, content.rank) == (apart.covers, apart.rank)
            languages.add(content.language.code)
    assert languages == {"en", "ar", "es"}


def test_a_rank_is_forgotten_by_whoever_is_shown_no_more(store: Store) -> None:
    tell(store)
    (anna,) = people(store, "anna")
    content = alone(store, (anna, (store.head, 7)))
    assert (content.rank, items(content, Subject.BOARD)) == (None, [])
    anna.public = True
    content = alone(store, (anna, (store.head, 7)))
    assert content.rank == 1
    assert [item.detail for item in items(content, Subject.BOARD)] == ["Last time you were number 7."]


def test_a_batch_is_read_in_a_few_queries_however_many_are_in_it(store: Store) -> None:
    tell(store)
    names = [f"p{number}" for number in range(40)]
    store.run_all([("supporters.register", {"supporter": name}) for name in names])
    store.run_all([("pledges.make", {"campaign": "listen", "ask": "circle", "supporter": name}) for name in names])
    counted: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        counted.append(statement)

    numbers = []
    for some in (people(store, *names[:2]), people(store, *names)):
        with surroundings(store) as shared:
            shared.movement.cover(0, shared.views.position)
            sa.event.listen(store.engine.database.engine, "before_cursor_execute", count)
            try:
                contents = compose_all(shared, [(person, None) for person in some], MONDAY)
            finally:
                sa.event.remove(store.engine.database.engine, "before_cursor_execute", count)
        assert all(isinstance(content, Content) and content.items for content in contents.values())
        numbers.append(len(counted))
        counted.clear()
    assert numbers[0] == numbers[1] < 15


def test_one_persons_broken_data_is_only_theirs(store: Store) -> None:
    tell(store)
    join(store, "dana")
    store.run("pledges.make", campaign="listen", ask="circle", supporter="dana")
    anna, dana = people(store, "anna", "dana")
    dana.locale = cast("str", 7)  # what no release ever wrote
    with surroundings(store) as shared:
        found = compose_all(shared, [(anna, None), (dana, None)], MONDAY)
    assert isinstance(found[ANNA], Content)
    assert isinstance(found[dana.supporter], Exception)


def test_what_cannot_be_read_for_one_is_read_for_the_others(store: Store) -> None:
    tell(store)
    join(store, "dana")
    anna, dana = people(store, "anna", "dana")
    dana.chapters = [cast("UUID", "no id at all")]
    with surroundings(store) as shared:
        found = compose_all(shared, [(dana, None), (anna, None)], MONDAY)
    assert isinstance(found[dana.supporter], Exception)
    content = found[ANNA]
    assert isinstance(content, Content)
    assert content.worth_sending


def test_nobody_is_nothing_to_compose(store: Store) -> None:
    with surroundings(store) as shared:
        assert compose_all(shared, [], MONDAY) == {}


# --- what is told ---


def since(store: Store) -> Told:
    return (store.head, None)


def test_news_of_a_policy_say_what_can_be_done_next(store: Store) -> None:
    tell(store)
    store.run("policies.track", policy="law", title="A law", kind="bill", ask="Vote\nfor it",
              url="https://parliament.example/law")  # fmt: skip
    store.run("actions.log", action="call", policy="law", supporter="anna", kind="call", on="2026-01-01")
    store.run("officials.register", official="silva", name="Maria Silva", office="Senator", phone="+351 21 000 00 00")
    store.run("officials.register", official="costa", name="João Costa")
    for official in ("silva", "costa"):
        store.run("policies.add_target", policy="law", official=official)
    store.run("officials.register", official="other", name="Not asked")
    (anna,) = people(store, "anna")
    before = since(store)
    store.run("policies.record_position", policy="law", official="silva", stance="leans_support")
    store.run("policies.record_position", policy="law", official="other", stance="opposes")
    (item,) = items(alone(store, (anna, before)), Subject.POLICIES)
    assert item.text == "Who decides on “A law” took a stand"
    assert (
        item.detail
        == "Maria Silva, Senator: leans towards support (+351 21 000 00 00)\nWhat is asked for: Vote\nfor it"
    )
    assert item.link == "https://parliament.example/law"
    assert item.positions == (store.head - 1,)

    store.run("policies.advance", policy="law", stage="vote", on="2026-03-06")
    (item,) = items(alone(store, (anna, before)), Subject.POLICIES)
    assert item.text == "“A law” moved on to “vote”"
    assert item.detail == (
        "What is asked for: Vote\nfor it\n"
        "Who decides: João Costa: undecided · Maria Silva, Senator: leans towards support (+351 21 000 00 00)"
    )

    store.run("policies.conclude", policy="law", outcome="lost", on="2026-03-07")
    (item,) = items(alone(store, (anna, before)), Subject.POLICIES)
    assert (item.text, item.detail) == ("Lost: “A law”", "March 7, 2026")
    assert len(item.positions) == 3
    assert alone(store, (anna, before)).subject == "Lost: “A law”"


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//x.example", "https://", "no address"])
def test_an_address_that_leads_nowhere_good_is_no_link(store: Store, url: str) -> None:
    tell(store)
    store.run("policies.track", policy="law", title="A law", kind="bill", url=url)
    store.run("actions.log", action="call", policy="law", supporter="anna", kind="call", on="2026-01-01")
    before = since(store)
    store.run("policies.advance", policy="law", stage="vote", on="2026-03-06")
    (item,) = items(alone(store, (people(store, "anna")[0], before)), Subject.POLICIES)
    assert item.link is None


def test_recognition_of_ones_chapter_is_told(store: Store) -> None:
    tell(store)
    (anna,), before = people(store, "anna"), since(store)
    recipient = {"kind": "chapter", "id": "porto"}
    store.run("recognitions.nominate", recognition="team", title="Best listeners", recipient=recipient)
    store.run("recognitions.award", recognition="team")
    content = alone(store, (anna, before))
    (item,) = items(content, Subject.CHAPTERS)
    assert item.text == content.subject == "Porto was awarded “Best listeners”"
    assert item.positions == (store.head,)
    assert [section.title for section in content.sections(9)] == ["Today", "Your chapter"]
    store.run("recognitions.revoke", recognition="team", reason="Counted wrongly.")
    (item,) = items(alone(store, (anna, before)), Subject.CHAPTERS)
    assert item.text == "The award “Best listeners” of Porto was revoked"


def test_nothing_of_a_muted_campaign_is_told(store: Store) -> None:
    tell(store)
    (anna,) = people(store, "anna")
    heard = alone(store, (anna, None))
    anna.muted = {identify("campaign", "listen")}
    quiet = alone(store, (anna, None))
    about = {Subject.TODAY, Subject.PLEDGES, Subject.CAMPAIGNS}
    assert about <= {item.about for item in heard.items}
    assert not about & {item.about for item in quiet.items}
    assert {item.about for item in quiet.items} == {item.about for item in heard.items} - about


def test_many_changes_of_one_thing_are_one_piece_of_news(store: Store) -> None:
    tell(store)
    (anna,), before = people(store, "anna"), since(store)
    for number in range(5):
        pledge = {"campaign": "listen", "ask": "ten", "supporter": "anna"}
        store.run("pledges.amend", **pledge, note=f"note {number}", at="2026-03-08T21:00:00Z")
    content = alone(store, (anna, before), MONDAY - timedelta(hours=12))
    (item,) = content.items
    assert (item.text, len(item.positions)) == ("You changed your note: Ten minutes of listening a day", 5)
    assert not content.worth_sending
    for state in ("pause", "resume", "pause"):
        store.run(f"campaigns.{state}", campaign="listen")
    (news,) = items(alone(store, (anna, before)), Subject.CAMPAIGNS)
    assert news.text == "“Twenty-one days of listening” is paused"
    assert len(news.positions) == 3


def test_newest_first_within_a_subject(store: Store) -> None:
    tell(store)
    sections = {section.title: section.items for section in alone(store, (people(store, "anna")[0], None)).sections(12)}
    own = sections["Your pledges"]
    assert [item.text.split(":")[0] for item in own] == ["You kept your pledge", "You pledged"]
    assert [item.newest for item in own] == sorted((item.newest for item in own), reverse=True)


def test_a_chart_shows_the_new_pledges_of_the_range(store: Store) -> None:
    campaign(store)
    join(store, "anna")
    store.run("pledges.make", campaign="listen", ask="circle", supporter="anna", at="2026-03-02T10:00:00Z")
    before = since(store)
    for number, day in enumerate((3, 5, 5, 5, 8)):
        store.run("supporters.register", supporter=f"s{number}")
        at = f"2026-03-0{day}T10:00:00Z"
        store.run("pledges.make", campaign="listen", ask="circle", supporter=f"s{number}", at=at)
    (item,) = alone(store, (people(store, "anna")[0], before)).items
    assert item.chart is not None
    assert item.chart.caption == "New pledges day by day, March 3, 2026 to March 8, 2026"
    assert item.chart.alt == (
        "Chart of new pledges to “Twenty-one days of listening” from March 3, 2026 to March 8, 2026: 5 in all, at most "
        "3 on one day."
    )
    digest = render.digest(alone(store, (people(store, "anna")[0], before)), LINKS)
    assert digest.images == (item.chart.image,)
    assert f'src="cid:{item.chart.image.cid}"' in digest.html


# --- who is hidden ---

SECRET = "Zxqy"
"""What only hidden people are called."""
DONE = ["pledge", "check_in", "keep", "withdraw", "action", "answer", "nominate", "award", "join", "note", "show"]
Life = list[tuple[int, str]]


def live(store: Store, number: int, what: str, step: int) -> None:
    """Let one of the hidden people do one thing; what the rules refuse is not done."""
    who, day = f"hidden{number}", f"2026-03-0{1 + step % 8}"
    pledge = {"campaign": "listen", "ask": "ten", "supporter": who}
    at = f"{day}T12:00:00Z"
    name = f"{SECRET}-{number}"
    commands: dict[str, tuple[str, dict[str, Any]]] = {
        "pledge": ("pledges.make", pledge | {"note": f"I am {name}"}),
        "check_in": ("pledges.check_in", pledge | {"on": day, "note": name}),
        "keep": ("pledges.keep", pledge),
        "withdraw": ("pledges.withdraw", pledge),
        "action": ("actions.log", {"action": f"{who}-act", "policy": "bill", "supporter": who, "kind": "letter",
                                   "on": day, "note": name}),
        "answer": ("actions.record_response", {"action": f"{who}-act", "summary": "Thanks.", "on": day}),
        "nominate": ("recognitions.nominate", {"recognition": f"{who}-award", "title": "A title", "nominator": who,
                                               "recipient": {"kind": "supporter", "id": who}, "citation": name}),
        "award": ("recognitions.award", {"recognition": f"{who}-award"}),
        "join": ("supporters.join_chapter", {"supporter": who, "chapter": "porto"}),
        "note": ("pledges.amend", pledge | {"note": f"{name} again"}),
        "show": ("supporters.set_visibility", {"supporter": who, "public": number % 2 == 0, "display_name": name}),
    }  # fmt: skip
    command, data = commands[what]
    store.engine.write([store.request(command, data, at=at)])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    life=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(DONE)), max_size=25),
    locale=st.sampled_from(["en", "ar"]),
)
def test_nobody_is_named_to_others(tmp_path_factory: pytest.TempPathFactory, life: Life, locale: str) -> None:
    folder = tmp_path_factory.mktemp("hidden")
    with Store(
        f"sqlite:///{folder / 's.sqlite3'}", folder, kinds=tuple(dict.fromkeys((*stores.KINDS, Leaderboards)))
    ) as store:
        tell(store)
        store.run("supporters.amend", supporter="anna", locale="es" if locale == "en" else locale)
        store.run("supporters.set_visibility", supporter="anna", public=True, display_name="Anna")
        for number in range(4):
            name = f"{SECRET}-{number}"
            store.run("supporters.register", supporter=f"hidden{number}", name=name, email=f"{name}@example.org")
        for step, (number, what) in enumerate(life):
            live(store, number, what, step)
        digest = render.digest(alone(store, (people(store, "anna")[0], None), datetime(2026, 3, 9, tzinfo=UTC)), LINKS)
    said = digest.subject + digest.html + digest.text + "".join(image.cid for image in digest.images)
    assert SECRET.lower() not in said.lower()
    assert "Kind listener" in said
