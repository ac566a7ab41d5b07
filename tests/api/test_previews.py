"""Previews of digests for staff, on the terminal and on a page: exactly what would go out, mailed to oneself only."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.accounts import Role
from api.app import create_app
from api.bootstrap import Groundswell, open_groundswell
from api.settings import Settings
from domain.kernel import Actor, identify
from history.envelope import Envelope, new_id
from tests.support.cli import Cli
from tests.support.sink import Sink, running_sink

MANAGER = "manager@example.org"
MARCH = "2026-03-09T09:00:00Z"
LIFE: list[tuple[str, dict[str, Any]]] = [
    ("campaigns.draft", {"campaign": "listen", "title": "Listening & <more>"}),
    ("campaigns.add_ask", {"campaign": "listen", "ask": "circle", "statement": "A circle", "kind": "once"}),
    ("campaigns.launch", {"campaign": "listen"}),
    ("supporters.register", {"supporter": "anna", "email": "anna@example.org", "name": "Anna"}),
    ("supporters.confirm_email", {"supporter": "anna"}),
    ("supporters.consent", {"supporter": "anna", "topic": "digest", "granted": True, "wording": "Yes."}),
    ("pledges.make", {"campaign": "listen", "ask": "circle", "supporter": "anna"}),
]


@dataclass
class Office:
    """A store in which Anna has a digest to get, a mail server, and a browser."""

    groundswell: Groundswell
    browser: TestClient
    sink: Sink

    def run(self, command: str, reason: str | None = None, **data: object) -> None:
        envelope = Envelope(id=new_id(), command=command, at="2026-03-05T12:00:00Z", reason=reason, data=data)
        request = self.groundswell.engine.catalogue.request(envelope, Actor("staff", "test"))
        (answer,) = self.groundswell.engine.write([request])
        assert answer.error is None
        self.groundswell.catch_up()

    def sign_in(self, role: Role) -> None:
        secret = self.groundswell.accounts.create_link(MANAGER, role)
        assert self.browser.post(f"/signin/{secret}", follow_redirects=False).status_code == 303

    def page(self, path: str, status: int = 200) -> str:
        answer = self.browser.get(path)
        assert answer.status_code == status, answer.text
        assert "<script" not in answer.text
        return " ".join(unescape(re.sub("<[^>]*>", "", answer.text)).split())


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with running_sink() as sink:
        settings = Settings(data_dir=tmp_path, base_url="http://testserver", smtp_url=sink.url)
        with (
            open_groundswell(settings) as groundswell,
            TestClient(create_app(groundswell, work=False), headers={"Accept": "text/html"}) as browser,
        ):
            found = Office(groundswell, browser, sink)
            for command, data in LIFE:
                found.run(command, **data)
            yield found


# --- the page ---


def test_it_shows_what_would_go_out_and_why_each_item_is_in_it(office: Office) -> None:
    office.sign_in(Role.MANAGER)
    page = office.page(f"/staff/preview?supporter=anna&at={MARCH}")
    for said in (
        "You pledged: A circle",
        "A pledge of this person",
        "Listening & <more>",
        "whose numbers or state changed",
        "Toanna@example.org",
        "List-Unsubscribe<http://testserver/unsubscribe/preview>",
        "Hello Anna, this is your first digest.",
    ):
        assert said in page
    assert "It would not be sent" not in page
    raw = office.browser.get(f"/staff/preview?supporter=anna&at={MARCH}").text
    head = office.groundswell.engine.log.head()
    assert f'href="/api/v1/history?from={head}&amp;to={head}"' in raw


def test_the_frame_holds_the_mail_itself_and_may_do_nothing(office: Office) -> None:
    office.sign_in(Role.MANAGER)
    answer = office.browser.get(f"/staff/preview?supporter=anna&at={MARCH}")
    (frame,) = re.findall(r'<iframe [^>]*sandbox src="([^"]+)"', answer.text)
    assert "frame-src 'self'" in answer.headers["Content-Security-Policy"]
    mail = office.browser.get(unescape(frame))
    assert mail.status_code == 200
    assert "frame-ancestors 'self'" in mail.headers["Content-Security-Policy"]
    assert "script" not in mail.headers["Content-Security-Policy"]
    previews = office.groundswell.notifications.previews
    found = previews.of(identify("supporter", "anna"))
    assert mail.text == found.digest.html
    assert "Listening &amp; &lt;more&gt;" in mail.text


def test_it_says_why_a_digest_would_not_be_sent(office: Office) -> None:
    office.sign_in(Role.MANAGER)
    office.run("supporters.consent", supporter="anna", topic="digest", granted=False, wording="No.")
    assert "It would not be sent: no consent." in office.page("/staff/preview?supporter=anna")
    office.run("supporters.register", supporter="ben")
    page = office.page("/staff/preview?supporter=ben")
    assert "It would not be sent: no address." in page
    assert "There is nothing in it." in page


def test_only_those_who_see_personal_data_see_it(office: Office) -> None:
    answer = office.browser.get("/staff/preview?supporter=anna", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/signin")
    assert office.browser.get("/staff/preview/mail?supporter=anna").status_code == 401
    office.sign_in(Role.AUDITOR)
    for path in ("/staff/preview", "/staff/preview?supporter=anna", "/staff/preview/mail?supporter=anna"):
        assert "anna@" not in office.page(path, 403)
    assert office.browser.post("/staff/preview/send", data={"supporter": "anna"}).status_code == 403
    assert office.sink.messages == []


def test_what_cannot_be_shown_is_said_on_the_page(office: Office) -> None:
    office.sign_in(Role.MANAGER)
    assert "Supporter (reference or id)" in office.page("/staff/preview")
    assert "There is no such supporter" in office.page("/staff/preview?supporter=nobody", 404)
    assert "at is not a time" in office.page("/staff/preview?supporter=anna&at=tomorrow", 422)
    office.run("supporters.erase", reason="She asked.", supporter="anna")
    assert "There is no such supporter" in office.page("/staff/preview?supporter=anna", 404)


def test_a_manager_has_it_mailed_to_themselves_and_it_is_nobodys_digest(office: Office) -> None:
    office.sign_in(Role.MANAGER)
    head = office.groundswell.engine.log.head()
    answer = office.browser.post("/staff/preview/send", data={"supporter": "anna", "at": MARCH})
    assert f"The preview was mailed to {MANAGER}." in answer.text
    (message,) = office.sink.messages
    assert message["To"] == MANAGER
    assert message["Subject"].startswith("[Preview] ")
    assert message["List-Unsubscribe"] is None
    html = message.get_body(("html",))
    assert html is not None
    assert "Hello Anna" in html.get_content()
    assert office.groundswell.engine.log.head() == head
    assert office.groundswell.notifications.status()["states"] == {}
    assert office.groundswell.notifications.run()["accepted"] == 1  # Anna still gets her own
    assert [mail["To"] for mail in office.sink.messages] == [MANAGER, "anna@example.org"]


def test_a_preview_that_became_a_file_goes_with_the_person(tmp_path: Path) -> None:
    with open_groundswell(Settings(data_dir=tmp_path)) as groundswell:
        office = Office(groundswell, TestClient(create_app(groundswell, work=False)), Sink())
        for command, data in LIFE:
            office.run(command, **data)
        previews = groundswell.notifications.previews
        for _ in range(2):
            previews.send(previews.of(identify("supporter", "anna")), MANAGER)
        (path,) = (tmp_path / "mail").iterdir()
        assert "Anna" in path.read_text()
        office.run("supporters.erase", reason="She asked.", supporter="anna")
        assert groundswell.notifications.purge() == 0
        assert list((tmp_path / "mail").iterdir()) == []


def test_no_preview_is_mailed_while_mails_are_halted(office: Office) -> None:
    office.sign_in(Role.MANAGER)
    office.run("mails.halt", reason="Something is wrong.")
    answer = office.browser.post("/staff/preview/send", data={"supporter": "anna"})
    assert answer.status_code == 409
    assert "Mails are halted" in answer.text
    assert office.sink.messages == []


def test_a_token_has_no_address_to_mail_to(office: Office) -> None:
    token = office.groundswell.accounts.create_token("script", Role.MANAGER)[1]
    headers = {"Authorization": f"Bearer {token}"}
    answer = office.browser.post("/staff/preview/send", data={"supporter": "anna"}, headers=headers)
    assert answer.status_code == 422
    assert office.sink.messages == []


# --- the command line ---


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    with open_groundswell(Settings(data_dir=tmp_path / "var")) as groundswell:
        requests = [
            groundswell.engine.catalogue.request(
                Envelope(id=new_id(), command=name, at="2026-03-05T12:00:00Z", data=data), Actor("staff", "test")
            )
            for name, data in LIFE
        ]
        assert [answer.error for answer in groundswell.engine.write(requests)] == [None] * len(requests)
    return Cli(tmp_path)


def test_it_is_printed_as_text_html_or_json(cli: Cli) -> None:
    text = cli("digest", "preview", "--supporter", "anna", "--at", MARCH).out
    assert "Subject: You pledged: A circle" in text
    assert "Hello Anna" in text
    html = cli("digest", "preview", "--supporter", "anna", "--at", MARCH, "--html").out
    assert html.startswith("<!DOCTYPE html>")
    document = cli("digest", "preview", "--supporter", "anna", "--at", MARCH, "--json").json
    assert (document["withheld"], document["html"], document["at"]) == (
        None,
        html.rstrip("\n"),
        "2026-03-09T09:00:00.000000Z",
    )
    assert {"name": "To", "value": "anna@example.org"} in document["headers"]
    assert [(item["about"], item["positions"]) for item in document["items"]] == [
        ("pledges", [7]),
        ("campaigns", [7]),
    ]
    assert all(item["why"] for item in document["items"])


def test_it_is_said_whose_preview_is_missing(cli: Cli) -> None:
    assert cli("digest", "preview").code == "arguments.invalid"
    assert cli("digest", "preview", "--supporter", "ben").code == "supporter.unknown"
    assert cli("digest", "preview", "--supporter", "anna", "--at", "soon").status == 2


def test_it_opens_in_a_browser_and_leaves_no_file(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = tmp_path / "fetched.html"
    browser = tmp_path / "browser.py"
    browser.write_text(
        f"import sys, urllib.request\nopen({str(fetched)!r}, 'wb').write(urllib.request.urlopen(sys.argv[1]).read())\n"
    )
    monkeypatch.setenv("BROWSER", f"{sys.executable} {browser} %s")
    before = sorted(tmp_path.rglob("*"))
    ran = cli.apart("digest", "preview", "--supporter", "anna", "--at", MARCH, "--open")
    assert (ran.status, ran.out) == (0, ""), ran.err
    assert set(tmp_path.rglob("*.html")) - set(before) == {fetched}
    assert "Hello Anna" in fetched.read_text()


def test_where_there_is_no_browser_it_says_so(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER", "/nowhere/to/be/found %s")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("DISPLAY", raising=False)
    ran = cli("digest", "preview", "--supporter", "anna", "--open")
    assert ran.code == "browser.missing"
