"""What a digest says, in three languages, and what it never says."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from domain.kernel import Invalid, Unknown, identify
from notifications.digest import SUBJECT_LENGTH, Digest, Subject, one_line
from projections.leaderboards import Leaderboards
from tests.support.mails import ANNA, MONDAY, campaign, join, service, tell
from tests.support.store import KINDS, START, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 's.sqlite3'}", tmp_path, kinds=_kinds()) as opened:
        yield opened


def _kinds() -> Any:  # noqa: ANN401
    return tuple(dict.fromkeys((*KINDS, Leaderboards)))


def texts(digest: Digest, about: Subject) -> list[str]:
    return [item.text for item in digest.items if item.about is about]


def test_it_tells_everything_that_concerns_the_person(store: Store, tmp_path: Path) -> None:
    tell(store)
    digest = service(store, tmp_path).previews.of(ANNA).digest
    assert digest.subject == "You were awarded “Kind listener”"
    assert texts(digest, Subject.TODAY) == ["Day 13 of 21: Ten minutes of listening a day"]
    assert texts(digest, Subject.RECOGNITIONS) == ["You were awarded “Kind listener”"]
    assert texts(digest, Subject.ANSWERS) == ["An answer to what you did for “Listening in schools”"]
    assert sorted(texts(digest, Subject.PLEDGES)) == [
        "You kept your pledge: Hold a circle",
        "You pledged: Ten minutes of listening a day",
    ]
    assert texts(digest, Subject.POLICIES) == ["“Listening in schools” moved on to “committee”"]
    (news,) = [item for item in digest.items if item.about is Subject.CAMPAIGNS]
    assert {f.label: (f.value, f.change) for f in news.figures} == {
        "Pledges made": ("4", "+4"),
        "active": ("3", "+3"),
        "kept": ("1", "+1"),
        "lapsed": ("0", None),
        "withdrawn": ("0", None),
        "Check-ins since then": ("5", None),
    }
    (chapter,) = [item for item in digest.items if item.about is Subject.CHAPTERS]
    assert (chapter.text, chapter.figures[0].value, chapter.figures[0].change) == ("Porto", "3", "+3")
    assert "Prompt of day 13." in digest.html
    numbers = re.findall(r"<td[^>]*>", digest.html)
    assert numbers
    assert all("white-space: nowrap" in cell for cell in numbers)  # on a phone, 105 must not become 10 above 5
    assert "Prompt of day 13." in digest.text
    assert "Your streak is 5 days." in digest.text


def test_every_item_names_the_events_behind_it(store: Store, tmp_path: Path) -> None:
    tell(store)
    digest = service(store, tmp_path).previews.of(ANNA).digest
    topics = {
        Subject.TODAY: {"pledges.Made"},
        Subject.RECOGNITIONS: {"recognitions.Awarded"},
        Subject.ANSWERS: {"actions.ResponseRecorded"},
        Subject.PLEDGES: {"pledges.Made", "pledges.CheckedIn", "pledges.Kept"},
        Subject.POLICIES: {"policies.Advanced"},
        Subject.CAMPAIGNS: {"campaigns.Launched", "pledges.Made", "pledges.CheckedIn", "pledges.Kept"},
        Subject.CHAPTERS: {"supporters.ChapterJoined"},
    }
    for item in digest.items:
        facts = {fact.position: fact.topic for fact in store.engine.log.facts()}
        assert item.positions
        assert {facts[position] for position in item.positions} <= topics[item.about]


def test_a_person_who_is_not_public_is_named_to_nobody_and_sees_no_board(store: Store, tmp_path: Path) -> None:
    tell(store)
    digest = service(store, tmp_path).previews.of(ANNA).digest
    assert "Hidden" not in digest.html + digest.text
    assert "private" not in digest.html + digest.text
    assert not texts(digest, Subject.BOARD)


def test_board_movement_is_told_to_the_public_only_when_the_rank_changed(store: Store, tmp_path: Path) -> None:
    tell(store)
    store.run("supporters.set_visibility", supporter="anna", public=True, display_name="Anna")
    store.catch_up()
    mails = service(store, tmp_path)
    (place,) = [item for item in mails.previews.of(ANNA).digest.items if item.about is Subject.BOARD]
    assert place.text == "You are number 1 of 3"
    assert place.positions
    assert not place.alone
    assert mails.run(MONDAY)["accepted"] == 1
    assert not texts(mails.previews.of(ANNA).digest, Subject.BOARD)


def test_the_next_digest_tells_only_what_is_new(store: Store, tmp_path: Path) -> None:
    tell(store)
    mails = service(store, tmp_path)
    mails.run(MONDAY)
    store.run("pledges.make", campaign="listen", ask="ten", supporter="bela", at="2026-03-10T08:00:00Z")
    store.run("policies.conclude", policy="bill", outcome="won", on="2026-03-12")
    store.catch_up()
    digest = mails.previews.of(ANNA, MONDAY + timedelta(days=7)).digest
    assert digest.subject == "Won: “Listening in schools”"
    assert texts(digest, Subject.PLEDGES) == texts(digest, Subject.ANSWERS) == texts(digest, Subject.RECOGNITIONS) == []
    (news,) = [item for item in digest.items if item.about is Subject.CAMPAIGNS]
    assert [(f.value, f.change) for f in news.figures][:3] == [("5", "+1"), ("4", "+1"), ("1", None)]
    assert "new since your last digest" in digest.text


def test_a_day_belongs_to_the_person(store: Store, tmp_path: Path) -> None:
    campaign(store)
    join(store, "kiri", time_zone="Pacific/Kiritimati")
    store.run("pledges.make", campaign="listen", ask="ten", supporter="kiri", at="2026-03-01T00:00:00Z")
    moment = datetime(2026, 3, 8, 11, tzinfo=UTC)  # already the 9th on Kiritimati
    store.run(
        "pledges.check_in", campaign="listen", ask="ten", supporter="kiri", on="2026-03-08", at=moment.isoformat()
    )
    store.catch_up()
    mails = service(store, tmp_path)
    kiri = identify("supporter", "kiri")
    assert texts(mails.previews.of(kiri, moment).digest, Subject.TODAY) == [
        "Day 9 of 21: Ten minutes of listening a day"
    ]
    assert not texts(mails.previews.of(kiri, moment - timedelta(hours=2)).digest, Subject.TODAY)


def test_an_award_that_was_given_and_revoked_in_between_is_told_as_it_stands(store: Store, tmp_path: Path) -> None:
    tell(store)
    store.run("recognitions.revoke", recognition="kind", reason="It was someone else, Hidden bela.")
    store.catch_up()
    digest = service(store, tmp_path).previews.of(ANNA).digest
    assert texts(digest, Subject.RECOGNITIONS) == ["The award “Kind listener” was revoked"]
    assert "bela" not in digest.text
    assert digest.subject == "An answer to what you did for “Listening in schools”"


def test_there_is_no_digest_of_nobody(store: Store, tmp_path: Path) -> None:
    tell(store)
    mails = service(store, tmp_path)
    with pytest.raises(Unknown):
        mails.previews.of(identify("supporter", "nobody"))
    store.run("supporters.erase", supporter="anna", reason="She asked.")
    with pytest.raises(Unknown):
        mails.previews.of(ANNA)


# --- languages ---


@pytest.mark.parametrize(
    ("locale", "lang", "subject", "words"),
    [
        ("es", "es", "Recibiste el reconocimiento «Kind listener»", ["Veintiún días de escucha", "5 de marzo de 2026"]),
        ("pt-BR", "pt-BR", "Recebeu o reconhecimento «Kind listener»", ["Vinte e um dias de escuta", "Dia 13 de 21"]),
        ("en-GB", "en-GB", "You were awarded “Kind listener”", ["5 March 2026"]),
        ("ar", "ar", "حصلت على تقدير «Kind listener»", ["\u2068Ten minutes of listening a day\u2069", "5 مارس 2026"]),
        ("de", "en", "You were awarded “Kind listener”", ["March 5, 2026"]),
        ("zz-YY-xx", "en", "You were awarded “Kind listener”", []),
    ],
)
def test_it_speaks_the_language_of_the_person(
    store: Store, tmp_path: Path, locale: str, lang: str, subject: str, words: list[str]
) -> None:
    tell(store)
    store.run("supporters.amend", supporter="anna", locale=locale)
    digest = service(store, tmp_path).previews.of(ANNA).digest
    assert digest.subject == subject
    assert f'<html lang="{lang}" dir="{"rtl" if lang == "ar" else "ltr"}">' in digest.html
    for word in words:
        assert word in digest.text
        assert word in digest.html


# --- form ---


class Wellformed(HTMLParser):
    """Notes elements and attributes, and fails on an end tag that closes nothing."""

    VOID = frozenset({"meta", "br", "img", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name == "href":
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


ELEMENTS = {
    "html", "head", "meta", "title", "style", "body", "div", "p", "a", "main", "h1", "h2", "ul", "li", "table", "thead",
    "tbody", "tr", "th", "td", "img",
}  # fmt: skip


def check_html(html: str) -> Wellformed:
    parser = Wellformed()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    assert parser.seen <= ELEMENTS
    assert all(link.startswith("https://groundswell.example.org/") for link in parser.links)
    assert len(html.encode()) < 102_000
    return parser


def naughty_strings(shared_data: Path) -> list[str]:
    found = json.loads((shared_data / "import-torture" / "naughty-strings" / "blns.json").read_text())
    return [
        *found,
        "a\r\nBcc: all@example.org",
        "a\x00b",
        "\u2028x\u2029",
        "=?utf-8?q?decoded?=",
        "{{ 7*7 }} %(name)s %s",
    ]


def unmarked(text: str) -> str:
    """Return a text without the marks that keep what others wrote apart."""
    return re.sub("[\u2066-\u2069]", "", text)


def life_of(who: str, text: str) -> list[tuple[str, dict[str, Any]]]:
    """The commands of somebody to whom everything is called by this text."""
    given = {"campaign": who, "ask": "a"}
    return [
        ("supporters.register", {"supporter": who, "name": text, "email": f"{who}@example.org", "time_zone": "UTC"}),
        ("supporters.confirm_email", {"supporter": who}),
        ("supporters.consent", {"supporter": who, "topic": "digest", "granted": True, "wording": "Yes."}),
        ("campaigns.draft", {"campaign": who, "title": text}),
        ("campaigns.add_ask", given | {"statement": text, "kind": "challenge", "days": 99, "prompts": [text]}),
        ("campaigns.launch", {"campaign": who}),
        ("pledges.make", given | {"supporter": who, "note": text}),
        (
            "recognitions.nominate",
            {"recognition": who, "title": text, "recipient": {"kind": "supporter", "id": who}},
        ),
        ("recognitions.award", {"recognition": who}),
    ]


@pytest.mark.parametrize("part", range(4))
def test_whatever_people_write_stays_text(store: Store, tmp_path: Path, shared_data: Path, part: int) -> None:
    lives: dict[str, str] = {}
    requests = []
    for number, text in enumerate(naughty_strings(shared_data)[part::4]):
        try:
            life = [store.request(name, data, at=START.isoformat()) for name, data in life_of(f"n{number}", text)]
        except Invalid:  # empty, or with control characters
            continue
        lives[f"n{number}@example.org"] = text
        requests += life
    store.write(requests)
    store.catch_up()
    assert len(lives) > 110
    assert service(store, tmp_path).run(MONDAY)["accepted"] == len(lives)
    for path in (tmp_path / "mail").iterdir():
        message = message_from_bytes(path.read_bytes(), policy=default)
        assert isinstance(message, EmailMessage)
        text = lives.pop(message["To"])
        assert not any(part.defects for part in message.walk())
        assert message["Subject"] == one_line(f"You were awarded “{one_line(text)}”", SUBJECT_LENGTH)
        html, plain = message.get_body(("html",)), message.get_body(("plain",))
        assert html is not None
        assert plain is not None
        shown = unmarked("".join(check_html(html.get_content().replace("\r\n", "\n")).text))
        for said in (f"You were awarded “{one_line(text)}”", f"of 99: {one_line(text)}"):
            assert said.rstrip() in unmarked(plain.get_content())
            assert said in shown
    assert lives == {}


def test_a_digest_of_very_much_stays_below_what_mail_programs_cut_off(store: Store, tmp_path: Path) -> None:
    join(store, "anna")
    for number in range(60):
        title = "&" * 300
        store.run("campaigns.draft", campaign=f"c{number}", title=title)
        store.run(
            "campaigns.add_ask", campaign=f"c{number}", ask="a", statement=title, kind="challenge", days=9,
            prompts=["<" * 9_000],
        )  # fmt: skip
        store.run("campaigns.launch", campaign=f"c{number}")
        store.run("pledges.make", campaign=f"c{number}", ask="a", supporter="anna", at=MONDAY.isoformat())
    store.catch_up()
    digest = service(store, tmp_path).previews.of(ANNA).digest
    check_html(digest.html)
    assert "more" in digest.text
