"""A mail in the browser: exactly what was sent, for whoever has the link, and only as long as it is kept."""

import re
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.bootstrap import Groundswell, open_groundswell
from api.settings import Settings
from domain.kernel import Actor, identify, now
from history.envelope import Envelope, new_id
from notifications import messages
from notifications.messages import KEPT
from notifications.tables import mail_messages
from notifications.tokens import Purpose, Token, keep, new

ANNA = identify("supporter", "anna")
CAMPAIGN: list[tuple[str, dict[str, Any]]] = [
    ("campaigns.draft", {"campaign": "listen", "title": "Zuhören <3"}),
    ("campaigns.add_ask", {"campaign": "listen", "ask": "circle", "statement": "A circle", "kind": "once"}),
    ("campaigns.launch", {"campaign": "listen"}),
]


@pytest.fixture
def groundswell(database_url: str, tmp_path: Path) -> Iterator[Groundswell]:
    settings = Settings(data_dir=tmp_path, database_url=database_url, base_url="http://testserver")
    with open_groundswell(settings) as opened:
        yield opened


@pytest.fixture
def client(groundswell: Groundswell) -> Iterator[TestClient]:
    with TestClient(create_app(groundswell, work=False), headers={"Accept": "text/html"}) as opened:
        yield opened


def run(groundswell: Groundswell, commands: list[tuple[str, dict[str, Any]]], days_ago: float = 9) -> None:
    at = (now() - timedelta(days=days_ago)).isoformat()
    requests = [
        groundswell.engine.catalogue.request(
            Envelope(id=new_id(), command=name, at=at, data=data), Actor("staff", "test")
        )
        for name, data in commands
    ]
    assert [answer.error for answer in groundswell.engine.write(requests)] == [None] * len(commands)


def mailed(groundswell: Groundswell, folder: Path, **anna: str) -> tuple[EmailMessage, str]:
    """Send Anna her digest; return the message, and the path of its link to itself."""
    given = {"email": "anna@example.org", "name": "Anna", "locale": "en"} | anna
    run(groundswell, CAMPAIGN)
    run(groundswell, [
        ("supporters.register", {"supporter": "anna", **given}),
        ("supporters.confirm_email", {"supporter": "anna"}),
        ("supporters.consent", {"supporter": "anna", "topic": "digest", "granted": True, "wording": "Yes."}),
    ])  # fmt: skip
    for number, days_ago in enumerate((8, 8, 6, 5)):
        run(groundswell, [("supporters.register", {"supporter": f"s{number}"})], days_ago)
        run(
            groundswell,
            [("pledges.make", {"campaign": "listen", "ask": "circle", "supporter": f"s{number}"})],
            days_ago,
        )
    run(groundswell, [("pledges.make", {"campaign": "listen", "ask": "circle", "supporter": "anna"})], 4)
    groundswell.catch_up()
    assert groundswell.notifications.run()["accepted"] == 1
    (path,) = (folder / "mail").glob("digest-*.eml")
    message = message_from_bytes(path.read_bytes(), policy=default)
    assert isinstance(message, EmailMessage)
    link = re.search(r"http://testserver(/mail/[\w-]+)", body(message, "plain"))
    assert link
    return message, link[1]


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def test_it_shows_exactly_what_was_sent(groundswell: Groundswell, client: TestClient, tmp_path: Path) -> None:
    message, link = mailed(groundswell, tmp_path)
    sent = body(message, "html")
    run(groundswell, [("campaigns.amend", {"campaign": "listen", "title": "Another title"})], 0)
    groundswell.catch_up()
    answer = client.get(link)
    assert answer.status_code == 200
    (cid,) = re.findall(r'src="cid:([^"]+)"', sent)
    (picture,) = re.findall(r'src="(data:image/png;base64,[^"]+)"', answer.text)
    assert answer.text == sent.replace(f"cid:{cid}", picture)
    assert "Zuhören &lt;3" in answer.text


def test_it_is_kept_from_caches_indexes_and_other_sites(
    groundswell: Groundswell, client: TestClient, tmp_path: Path
) -> None:
    _, link = mailed(groundswell, tmp_path)
    headers = client.get(link).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Robots-Tag"] == "noindex"
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "script" not in policy
    assert "img-src data:" in policy
    assert "frame-ancestors 'none'" in policy


def test_only_the_link_of_the_mail_opens_it(groundswell: Groundswell, client: TestClient, tmp_path: Path) -> None:
    _, link = mailed(groundswell, tmp_path)
    for path in (f"/mail/{new()}", "/mail/preview", f"{link}x", "/mail/" + "a" * 5_000):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "no longer good" in answer.text
    secret = new()
    with groundswell.engine.database.write() as connection:
        keep(connection, {secret: Token(Purpose.CONFIRM, ANNA, 1)}, now())
    assert client.get(f"/mail/{secret}").status_code == 404


@pytest.mark.parametrize("purged", [True, False])
def test_what_is_no_longer_kept_is_said_to_be_gone(
    groundswell: Groundswell, client: TestClient, tmp_path: Path, *, purged: bool
) -> None:
    _, link = mailed(groundswell, tmp_path, locale="ar")
    with groundswell.engine.database.write() as connection:
        if purged:
            messages.purge(connection, now() + KEPT + timedelta(days=1))
        else:  # no worker has run since
            connection.execute(mail_messages.update().values(at=now() - KEPT))
    answer = client.get(link)
    assert answer.status_code == 410
    assert '<html lang="ar" dir="rtl">' in answer.text
    assert "30" in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


def test_nothing_is_left_of_it_after_erasure(groundswell: Groundswell, client: TestClient, tmp_path: Path) -> None:
    _, link = mailed(groundswell, tmp_path)
    envelope = Envelope(id=new_id(), command="supporters.erase", reason="She asked.", data={"supporter": "anna"})
    (answer,) = groundswell.engine.write([groundswell.engine.catalogue.request(envelope, Actor("staff", "test"))])
    assert answer.error is None
    assert client.get(link).status_code == 404
