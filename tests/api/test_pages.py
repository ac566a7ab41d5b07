"""The pages, as a browser without JavaScript sees them."""

import json
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.accounts import Role
from api.app import create_app
from api.bootstrap import Groundswell, open_groundswell
from api.pages import boards, campaigns, staff
from api.settings import Settings
from domain.kernel import Actor
from history.envelope import Envelope, new_id

SETTING: list[tuple[str, dict[str, Any]]] = [
    ("campaigns.draft", {"campaign": "listening", "title": "Ten <minutes>", "summary": "Listen.\nEvery day.",
                         "goal": {"count": 10, "unit": "pledges"}}),
    ("campaigns.add_ask", {"campaign": "listening", "ask": "daily", "kind": "challenge", "days": 21,
                           "statement": "Ten minutes & more"}),
    ("campaigns.add_ask", {"campaign": "listening", "ask": "circle", "kind": "once", "statement": "A circle"}),
    ("campaigns.frame", {"campaign": "listening", "locale": "es", "title": "Diez minutos", "summary": "Escucha."}),
    ("campaigns.launch", {"campaign": "listening"}),
    ("supporters.register", {"supporter": "ana", "name": "Ana Reis", "email": "ana@example.org"}),
    ("supporters.register", {"supporter": "ben", "name": "Ben Okoro"}),
    ("supporters.set_visibility", {"supporter": "ana", "public": True, "display_name": "Ana <3"}),
    ("pledges.make", {"campaign": "listening", "ask": "circle", "supporter": "ana"}),
    ("pledges.make", {"campaign": "listening", "ask": "circle", "supporter": "ben"}),
]  # fmt: skip


class Text(HTMLParser):
    """Collects what a reader would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen = ""
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.seen += data


def run(groundswell: Groundswell, commands: list[tuple[str, dict[str, Any]]]) -> None:
    requests = [
        groundswell.engine.catalogue.request(Envelope(id=new_id(), command=name, data=data), Actor("system", "test"))
        for name, data in commands
    ]
    assert [answer.error for answer in groundswell.engine.write(requests)] == [None] * len(commands)
    groundswell.catch_up()


@pytest.fixture
def groundswell(database_url: str, tmp_path: Path) -> Iterator[Groundswell]:
    with open_groundswell(Settings(data_dir=tmp_path, database_url=database_url)) as store:
        yield store


@pytest.fixture
def browser(groundswell: Groundswell) -> Iterator[TestClient]:
    with TestClient(create_app(groundswell), headers={"Accept": "text/html"}) as client:
        yield client


def text(browser: TestClient, path: str, status: int = 200, **headers: str) -> str:
    answer = browser.get(path, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert "script" not in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    return " ".join(Text(answer.text).seen.split())


def sign_in(groundswell: Groundswell, browser: TestClient, role: Role) -> None:
    secret = groundswell.accounts.create_link("staff@example.org", role)
    assert "Sign in" in text(browser, f"/signin/{secret}")
    assert text(browser, "/staff", 200).startswith("Sign in")  # a GET on the link changed nothing
    assert browser.post(f"/signin/{secret}", follow_redirects=False).headers["location"] == "/staff"
    again = browser.post(f"/signin/{secret}")
    assert again.status_code == 401
    assert "was used or has expired" in again.text


def test_an_empty_store_says_so_on_every_page(browser: TestClient) -> None:
    assert "No campaign has been launched yet" in text(browser, "/")
    assert "Nobody has points here yet" in text(browser, "/boards/movement")
    assert "Nothing has happened yet" in text(browser, "/timeline")


def test_a_campaign_shows_its_progress_and_its_form(groundswell: Groundswell, browser: TestClient) -> None:
    run(groundswell, SETTING)
    assert "Ten <minutes>" in text(browser, "/")
    page = text(browser, "/campaigns/listening")
    for said in ("Ten <minutes>", "2 of 10 pledges", "Ten minutes & more", "A circle", "Made2"):
        assert said in page
    spanish = browser.get("/campaigns/listening", headers={"Accept-Language": "es-MX,en;q=0.5"})
    assert "Diez minutos" in spanish.text
    assert '<h1 lang="es">' in spanish.text
    assert "Ten &lt;minutes&gt;" in browser.get("/campaigns/listening?lang=en", headers={"Accept-Language": "es"}).text


def test_the_form_pledges_once_however_often_it_is_sent(groundswell: Groundswell, browser: TestClient) -> None:
    run(groundswell, SETTING)
    filled = {"ask": "daily", "email": "cleo@example.org", "name": "Cleo", "key": "k1", "consent": "yes"}
    answers = [browser.post("/campaigns/listening/pledges", data=filled) for _ in range(2)]
    for answer in answers:
        assert answer.status_code == 200
        assert "Thank you" in answer.text
        assert "<strong>3</strong> of 10" in answer.text
    assert [f.topic for f in groundswell.engine.log.facts(len(SETTING))] == [
        "supporters.Registered",
        "pledges.Made",
        "supporters.ConsentRecorded",
    ]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"email": "cleo@"}, "not an e-mail address"),
        ({"ask": "nothing"}, "no ask"),
        ({"ask": ""}, "ask"),
        ({"name": "x" * 301}, "name"),
        ({"name": "a\x00b"}, "control character"),
    ],
)
def test_a_refused_form_says_why_and_keeps_what_was_filled_in(
    groundswell: Groundswell, browser: TestClient, wrong: dict[str, str], said: str
) -> None:
    run(groundswell, SETTING)
    answer = browser.post(
        "/campaigns/listening/pledges", data={"ask": "daily", "email": "cleo@example.org", "name": "Cleo"} | wrong
    )
    assert answer.status_code in {404, 422}
    seen = Text(answer.text).seen
    assert said in seen
    assert "Make your pledge" in seen
    assert groundswell.engine.log.head() == len(SETTING)


def test_boards_name_only_those_who_chose_to_be_named(groundswell: Groundswell, browser: TestClient) -> None:
    run(groundswell, SETTING)
    for path in ("/boards/movement", "/boards/campaigns/listening"):
        board = text(browser, path)
        assert "Ana <3" in board
        assert "not named" in board
        assert "Ben" not in board
    assert "Nobody has points" in text(browser, "/boards/chapters")
    assert text(browser, "/boards/movement?window=week")


def test_the_timeline_draws_what_happened(groundswell: Groundswell, browser: TestClient) -> None:
    run(groundswell, SETTING)
    for by in ("day", "week", "month"):
        page = text(browser, f"/timeline?by={by}")
        assert "The campaign “Ten <minutes>” was launched." in page
        assert f"Pledges made by {by}: 2 in all" in browser.get(f"/timeline?by={by}").text


def test_staff_sign_in_with_a_link_that_works_once(groundswell: Groundswell, browser: TestClient) -> None:
    run(groundswell, SETTING)
    sign_in(groundswell, browser, Role.MANAGER)
    page = text(browser, "/staff")
    for said in ("staff@example.org", "Ana Reis", "ana@example.org", "pledges.Made", "up to date"):
        assert said in page
    assert browser.get("/staff").headers["cache-control"] == "no-store"
    browser.post("/signout")
    assert text(browser, "/staff").startswith("Sign in")


def test_the_overview_counts_all_campaigns_and_pledges_also_those_it_has_no_room_for(
    groundswell: Groundswell, browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staff, "CAMPAIGNS", 2)
    run(groundswell, [each for who in ("a", "b", "c") for each in named(who, f"Campaign {who}")])
    sign_in(groundswell, browser, Role.MANAGER)
    page = text(browser, "/staff")
    assert "Campaigns3" in page
    assert "Pledges made3" in page


def test_an_auditor_sees_no_names(groundswell: Groundswell, browser: TestClient) -> None:
    run(groundswell, SETTING)
    sign_in(groundswell, browser, Role.AUDITOR)
    page = text(browser, "/staff")
    assert "Ana Reis" not in page
    assert "ana@example.org" not in page


def test_others_are_told_that_the_overview_is_not_theirs(groundswell: Groundswell, browser: TestClient) -> None:
    secret = groundswell.accounts.create_link("advocate@example.org", Role.ADVOCATE)
    browser.post(f"/signin/{secret}")
    assert "This is not open to you" in text(browser, "/staff", 403)


def test_what_is_not_there_is_a_page_for_people_and_a_problem_for_programs(browser: TestClient) -> None:
    assert "There is no campaign “nothing”" in text(browser, "/campaigns/nothing", 404)
    assert "This page is not here" in text(browser, "/nothing", 404)
    assert browser.get("/nothing", headers={"Accept": "application/json"}).json()["code"] == "route.unknown"
    assert browser.get("/api/v1/campaigns/nothing").json()["code"] == "campaign.unknown"


def named(who: str, text: str) -> list[tuple[str, dict[str, Any]]]:
    """Commands by which everything that a page names is called by the text."""
    return [
        ("campaigns.draft", {"campaign": who, "title": text, "hashtag": text, "goal": {"count": 9, "unit": text}}),
        ("campaigns.add_ask", {"campaign": who, "ask": "a", "kind": "once", "statement": text}),
        ("campaigns.add_ask", {"campaign": who, "ask": "b", "kind": "once", "statement": text}),
        ("campaigns.frame", {"campaign": who, "locale": "es", "title": text, "summary": text}),
        ("campaigns.launch", {"campaign": who}),
        ("chapters.found", {"chapter": who, "name": text}),
        ("partnerships.propose", {"partnership": who, "name": text, "kind": "media"}),
        ("partnerships.agree", {"partnership": who, "disclosure": text}),
        ("partnerships.activate", {"partnership": who, "referral": who}),
        ("policies.track", {"policy": who, "title": text, "kind": "bill"}),
        ("policies.conclude", {"policy": who, "outcome": "won", "on": "2026-01-01"}),
        ("supporters.register", {"supporter": who, "name": text, "chapter": who}),
        ("supporters.set_visibility", {"supporter": who, "public": True}),
        ("pledges.make", {"campaign": who, "ask": "a", "supporter": who, "referral": who}),
    ]


class Elements(HTMLParser):
    """Collects which elements there are, with which attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[tuple[str, ...]] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add((tag, *(name for name, _ in attrs)))


def test_naughty_strings_are_text_on_every_page_that_names_something(
    groundswell: Groundswell, browser: TestClient, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strings = json.loads((shared_data / "import-torture/naughty-strings/blns.json").read_text())
    plain = [s for s in strings if s.strip() and not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in s)]
    texts = [text for text in dict.fromkeys(plain) if len(text) <= 300]
    assert len(texts) > 440
    pages = ["/", "/timeline", "/boards/movement", "/boards/chapters", "/boards/partnerships", "/staff"]
    pages += ["/campaigns/w0", "/campaigns/w0?lang=es", "/boards/campaigns/w0", "/boards/chapters/w0"]
    pages += ["/boards/movement/entries/w0", "/boards/chapters/entries/w0", "/boards/partnerships/entries/w0"]
    headers = {"Authorization": f"Bearer {groundswell.accounts.create_token('test', Role.MANAGER)[1]}"}
    run(groundswell, named("w0", "harmless"))
    usual = {path: Elements(browser.get(path, headers=headers).text).found for path in pages}
    for module, limit in ((boards, "SHOWN"), (campaigns, "CARDS"), (campaigns, "LATELY")):
        monkeypatch.setattr(module, limit, 10_000)
    run(groundswell, [each for number, text in enumerate(texts, start=1) for each in named(f"w{number}", text)])
    for path in pages[:5]:
        html = browser.get(path).text
        seen = Text(html).seen
        assert [text for text in texts if unicodedata.normalize("NFC", text) not in seen] == []
        assert Elements(html).found <= usual[path]
    assert Elements(browser.get("/staff", headers=headers).text).found <= usual["/staff"]
    for number, text in list(enumerate(texts, start=1))[::7]:
        for path in pages[6:]:
            html = browser.get(path.replace("w0", f"w{number}"), headers=headers).text
            assert unicodedata.normalize("NFC", text) in Text(html).seen
            assert Elements(html).found <= usual[path]


def test_the_reference_shows_every_route_without_script(browser: TestClient) -> None:
    seen = text(browser, "/docs")
    for path, methods in browser.get("/openapi.json").json()["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in seen
    assert "Example of a request" in seen
