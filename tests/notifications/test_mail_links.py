"""The links in mails: nothing happens on GET, everything by POST, and nothing twice."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.bootstrap import Groundswell, open_groundswell
from api.limits import Limiter
from api.settings import Settings
from domain.kernel import Actor, identify, now
from history.envelope import Envelope, new_id
from notifications.recipients import Recipient, load
from notifications.tokens import Purpose, Token, keep, new

HTML = {"Accept": "text/html"}
ANNA = identify("supporter", "anna")


@pytest.fixture
def groundswell(tmp_path: Path) -> Iterator[Groundswell]:
    with open_groundswell(Settings(data_dir=tmp_path, base_url="http://testserver")) as opened:
        yield opened


@pytest.fixture
def client(groundswell: Groundswell) -> Iterator[TestClient]:
    with TestClient(create_app(groundswell, work=False), headers=HTML) as opened:
        yield opened


def run(groundswell: Groundswell, command: str, **data: object) -> None:
    envelope = Envelope(id=new_id(), command=command, at=now().isoformat(), data=data)
    (answer,) = groundswell.engine.write([groundswell.engine.catalogue.request(envelope, Actor("staff", "test"))])
    assert answer.error is None, answer.error


def person(groundswell: Groundswell) -> Recipient:
    found = load(groundswell.engine.log, ANNA)
    assert found
    return found


def register(groundswell: Groundswell, **more: object) -> None:
    run(
        groundswell,
        "supporters.register",
        supporter="anna",
        email="anna@example.org",
        locale="es",
        source="pledge-form",
        **more,
    )


def mailed_link(groundswell: Groundswell, tmp_path: Path) -> str:
    """Return the path of the link in the one confirmation that was mailed."""
    assert groundswell.notifications.run(now())["accepted"] == 1
    (path,) = (tmp_path / "mail").glob("confirm-*.eml")
    found = re.search(r"http://testserver(/confirm/[\w-]+)", path.read_text().replace("=\n", "").replace("=\r\n", ""))
    assert found
    path.unlink()
    return found[1]


def token(groundswell: Groundswell, purpose: Purpose, *, days: int = 0) -> str:
    secret = new()
    with groundswell.engine.database.write() as connection:
        version = person(groundswell).email_version
        keep(connection, {secret: Token(purpose, ANNA, version)}, now() - timedelta(days=days))
    return secret


def test_confirming_by_the_mailed_link(groundswell: Groundswell, client: TestClient, tmp_path: Path) -> None:
    register(groundswell)
    link = mailed_link(groundswell, tmp_path)
    for _ in range(3):  # scanners
        page = client.get(link)
        assert page.status_code == 200
        assert "<form" in page.text
    assert '<html lang="es" dir="ltr">' in page.text
    assert "Confirma tu dirección" in page.text
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    assert not person(groundswell).email_confirmed
    for _ in range(2):
        assert client.post(link, data={"digest": "yes"}).status_code == 200
    version = person(groundswell).version
    assert person(groundswell).email_confirmed
    assert person(groundswell).consented
    client.post(link, data={"digest": "yes"})
    assert person(groundswell).version == version


def test_confirming_without_a_digest(groundswell: Groundswell, client: TestClient) -> None:
    register(groundswell)
    run(groundswell, "supporters.consent", supporter="anna", topic="digest", granted=True, wording="Yes.")
    answer = client.post(f"/confirm/{token(groundswell, Purpose.CONFIRM)}", data={"digest": "no"})
    assert "No te enviaremos el resumen" in answer.text
    assert person(groundswell).email_confirmed
    assert person(groundswell).consented is False


def test_a_link_confirms_only_the_address_it_was_mailed_to(groundswell: Groundswell, client: TestClient) -> None:
    register(groundswell)
    secret = token(groundswell, Purpose.CONFIRM)
    run(groundswell, "supporters.amend", supporter="anna", email="other@example.org")
    assert client.get(f"/confirm/{secret}").status_code == 404
    assert client.post(f"/confirm/{secret}", data={"digest": "yes"}).status_code == 404
    assert not person(groundswell).email_confirmed


def test_unknown_expired_and_other_links_do_nothing(groundswell: Groundswell, client: TestClient) -> None:
    register(groundswell)
    wrong = (
        "nonsense",
        "x" * 5_000,
        token(groundswell, Purpose.CONFIRM, days=15),
        token(groundswell, Purpose.MAIL),
    )
    for secret in wrong:
        assert client.get(f"/confirm/{secret}").status_code == 404
        assert client.post(f"/confirm/{secret}").status_code == 404
    assert not person(groundswell).email_confirmed


def test_unsubscribing_by_the_button(groundswell: Groundswell, client: TestClient) -> None:
    register(groundswell)
    run(groundswell, "supporters.consent", supporter="anna", topic="digest", granted=True, wording="Yes.")
    link = f"/unsubscribe/{token(groundswell, Purpose.MAIL)}"
    assert "<form" in client.get(link).text
    assert person(groundswell).consented
    assert "Ya no recibirás resúmenes" in client.post(link).text
    assert person(groundswell).consented is False


def test_one_click_needs_no_cookie_and_is_always_answered(groundswell: Groundswell, client: TestClient) -> None:
    register(groundswell)
    run(groundswell, "supporters.consent", supporter="anna", topic="digest", granted=True, wording="Yes.")
    secret = token(groundswell, Purpose.MAIL)
    body = {"List-Unsubscribe": "One-Click"}
    with TestClient(create_app(groundswell, work=False)) as bare:
        for _ in range(2):
            assert bare.post(f"/unsubscribe/{secret}", data=body).status_code == 200
        assert bare.post("/unsubscribe/nonsense", files={"List-Unsubscribe": (None, "One-Click")}).status_code == 200
    assert person(groundswell).consented is False
    # who subscribes again can unsubscribe by the same link again
    run(groundswell, "supporters.consent", supporter="anna", topic="digest", granted=True, wording="Yes.")
    client.post(f"/unsubscribe/{secret}", data=body)
    assert person(groundswell).consented is False


@pytest.mark.parametrize(
    "path", ["nonsense", "x" * 5_000, "", "a/b", "a%2Fb/", "%00", "%FF%FE", "%0A", "a?b=%FF", "%E2%80%AE"]
)
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": {"List-Unsubscribe": "One-Click"}},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {"json": {"List-Unsubscribe": 1}},
        {"content": b"\xff\x00", "headers": {"Content-Type": "multipart/form-data"}},
        {"content": b"{", "headers": {"Content-Type": "application/json; charset=nonsense"}},
    ],
)
def test_one_click_is_answered_200_for_whatever_link_and_body(
    client: TestClient, path: str, body: dict[str, Any]
) -> None:
    answer = client.post(f"/unsubscribe/{path}", **body)
    assert answer.status_code == 200
    assert "This link is no longer good" in answer.text
    assert client.get(f"/unsubscribe/{path}").status_code == 404


@pytest.mark.parametrize("body", [{}, {"content": b"\xff", "headers": {"Content-Type": "text/plain"}}])
def test_one_click_reads_no_body(groundswell: Groundswell, client: TestClient, body: dict[str, Any]) -> None:
    register(groundswell)
    run(groundswell, "supporters.consent", supporter="anna", topic="digest", granted=True, wording="Yes.")
    assert client.post(f"/unsubscribe/{token(groundswell, Purpose.MAIL)}", **body).status_code == 200
    assert person(groundswell).consented is False


def test_nobody_is_told_that_digests_stopped_where_that_was_not_recorded(
    groundswell: Groundswell, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(groundswell)
    run(groundswell, "supporters.consent", supporter="anna", topic="digest", granted=True, wording="Yes.")
    link = f"/unsubscribe/{token(groundswell, Purpose.MAIL)}"
    with monkeypatch.context() as broken:
        broken.setattr("domain.supporters.RecordConsent.decide", lambda *_: 1 / 0)
        answer = client.post(link)
    assert answer.status_code == 200
    assert "Seguirás recibiendo resúmenes" in answer.text
    assert person(groundswell).consented
    assert "Ya no recibirás resúmenes" in client.post(link).text
    assert person(groundswell).consented is False


def test_a_link_mailed_to_an_earlier_address_still_unsubscribes_but_shows_nothing(
    groundswell: Groundswell, client: TestClient
) -> None:
    register(groundswell)
    run(groundswell, "supporters.consent", supporter="anna", topic="digest", granted=True, wording="Yes.")
    secret = token(groundswell, Purpose.MAIL)
    run(groundswell, "supporters.amend", supporter="anna", email="other@example.org")
    assert secret not in client.get(f"/unsubscribe/{secret}").text
    assert secret not in client.post(f"/unsubscribe/{secret}").text
    assert person(groundswell).consented is False
    assert client.get(f"/preferences/{secret}").status_code == 404
    assert client.post(f"/preferences/{secret}/again").status_code == 404
    assert person(groundswell).consented is False


def test_a_client_that_asks_without_end_is_asked_to_wait_but_one_click_is_not(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.mail_links.PER_CLIENT", Limiter(2, 60))
    assert [client.get("/confirm/nonsense").status_code for _ in range(3)] == [404, 404, 429]
    assert [client.post("/unsubscribe/nonsense").status_code for _ in range(4)] == [200] * 4
    assert client.get("/preferences/nonsense").status_code == 429


def test_an_erased_persons_links_are_good_for_nothing(groundswell: Groundswell, client: TestClient) -> None:
    register(groundswell)
    confirm, stop = token(groundswell, Purpose.CONFIRM), token(groundswell, Purpose.MAIL)
    envelope = Envelope(id=new_id(), command="supporters.erase", reason="Asked.", data={"supporter": "anna"})
    groundswell.engine.write([groundswell.engine.catalogue.request(envelope, Actor("staff", "test"))])
    assert client.get(f"/confirm/{confirm}").status_code == 404
    assert client.get(f"/preferences/{stop}").status_code == 404
    assert client.post(f"/preferences/{stop}/again").status_code == 404
    assert client.post(f"/unsubscribe/{stop}").status_code == 200
    assert person(groundswell).erased


def test_the_worker_ticks(groundswell: Groundswell) -> None:
    with TestClient(create_app(groundswell)):
        assert groundswell.notifications._ticker._scheduler is not None  # noqa: SLF001
    assert groundswell.notifications._ticker._scheduler is None  # noqa: SLF001
