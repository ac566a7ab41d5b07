"""A supporter's own pledge has a receipt: for whoever the mail was for, for staff, and for nobody else."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from api import pledges
from api.accounts import Role
from api.limits import Limiter
from domain.kernel import identify, now
from domain.pledges import pledge_id
from history.checkpoints import open_receipt
from notifications.recipients import load
from notifications.tokens import Purpose, Token, keep, new
from tests.api.conftest import Api

ANNA = identify("supporter", "anna")
PATH = "/api/v1/campaigns/c/asks/{}/pledges/anna/receipt"


@pytest.fixture(autouse=True)
def _fresh_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pledges, "PER_ADDRESS", Limiter(10, 600))


@pytest.fixture
def told(api: Api) -> Api:
    """Anna has pledged twice, withdrawn one and made it again: positions 6, 7, 8, 9."""
    api.run("campaigns.draft", campaign="c", title="Listening")
    api.run("campaigns.add_ask", campaign="c", ask="sign", statement="I sign.", kind="once")
    api.run("campaigns.add_ask", campaign="c", ask="tell", statement="I tell <others>.", kind="once")
    api.run("campaigns.launch", campaign="c")
    api.run("supporters.register", supporter="anna", email="anna@example.org", name="Anna", locale="es")
    for command, ask in (("make", "sign"), ("make", "tell"), ("withdraw", "sign"), ("make", "sign")):
        api.run(f"pledges.{command}", campaign="c", ask=ask, supporter="anna")
    return api


def entry(api: Api, receipt: str) -> Any:  # noqa: ANN401 - any JSON
    found = open_receipt(receipt, api.groundswell.checkpoints.keys().verifiers)
    return json.loads(found.entry)


def token(api: Api, purpose: Purpose, who: str = "anna", version: int = 1) -> str:
    secret = new()
    with api.groundswell.engine.database.write() as connection:
        keep(connection, {secret: Token(purpose, identify("supporter", who), version)}, now())
    return secret


@pytest.mark.parametrize("role", [Role.MANAGER, Role.AUDITOR, Role.SUPPORTER])
def test_the_receipt_proves_the_promise_that_stands(told: Api, role: Role) -> None:
    for ask, position, topic in (("sign", 9, "pledges.Renewed"), ("tell", 7, "pledges.Made")):
        answer = told.client.get(PATH.format(ask), headers=told.token(role))
        assert answer.status_code == 200
        found = entry(told, answer.text)
        assert (found["position"], found["topic"]) == (position, topic)
        assert found["stream"] == str(pledge_id(identify("campaign", "c"), ask, ANNA))
        assert "anna" not in answer.text.lower()
        assert str(ANNA) not in json.dumps(found)


def test_it_is_not_for_others_to_ask_who_has_pledged(told: Api) -> None:
    assert told.client.get(PATH.format("sign")).json()["code"] == "auth.required"
    refused = told.client.get(PATH.format("sign"), headers=told.token(Role.ADVOCATE))
    assert (refused.status_code, refused.json()["code"]) == (403, "auth.forbidden")
    unknown = told.client.get(PATH.format("nothing"), headers=told.token(Role.SUPPORTER))
    assert (unknown.status_code, unknown.json()["code"]) == (404, "pledge.unknown")


@pytest.mark.parametrize(("purpose", "path"), [(Purpose.CONFIRM, "confirm"), (Purpose.MAIL, "unsubscribe")])
def test_whoever_was_mailed_sees_their_pledges_and_receipts(told: Api, purpose: Purpose, path: str) -> None:
    secret = token(told, purpose)
    page = told.client.get(f"/{path}/{secret}", headers={"Accept": "text/html"})
    assert f'href="/receipts/{secret}"' in page.text
    page = told.client.get(f"/receipts/{secret}", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "Tus compromisos y sus recibos" in page.text
    assert "I tell &lt;others&gt;." in page.text
    assert "Anna" not in page.text
    links = re.findall(r'href="(/log/receipts/\d+)"', page.text)
    assert sorted(entry(told, told.client.get(link).text)["position"] for link in links) == [7, 9]
    assert told.client.get("/log/receipts").text.startswith("# How to check a receipt")


def test_no_other_link_shows_anything(told: Api) -> None:
    earlier = [token(told, purpose) for purpose in Purpose]
    assert told.client.get("/receipts/unknown").status_code == 404
    told.run("supporters.amend", supporter="anna", email="other@example.org")
    assert [told.client.get(f"/receipts/{secret}").status_code for secret in earlier] == [404] * len(Purpose)
    anna = load(told.groundswell.engine.log, ANNA)
    assert anna is not None
    good = token(told, Purpose.MAIL, version=anna.email_version)
    assert told.client.get(f"/receipts/{good}").status_code == 200
    told.run("supporters.erase", supporter="anna", reason="asked")
    assert told.client.get(f"/receipts/{good}").status_code == 404


def test_who_has_not_pledged_has_no_receipt(told: Api) -> None:
    told.run("supporters.register", supporter="ben", email="ben@example.org")
    page = told.client.get(f"/receipts/{token(told, Purpose.CONFIRM, 'ben')}")
    assert "There is no pledge of yours here." in page.text


def test_from_the_form_to_the_receipt(told: Api, tmp_path: Path) -> None:
    form = {"ask": "tell", "email": "dora@example.org", "key": "k", "name": "Dora"}
    thanks = told.client.post("/campaigns/c/pledges", data=form)
    assert "lead to the receipt of your pledge" in thanks.text
    told.groundswell.notifications.run(now())
    (path,) = (tmp_path / "mail").glob("confirm-*.eml")
    link = re.search(r"http://[^/]+(/confirm/[\w-]+)", path.read_text().replace("=\n", "").replace("=\r\n", ""))
    assert link
    told.groundswell.catch_up()
    done = told.client.post(link[1], data={"digest": "no"})
    (receipts,) = re.findall(r'href="(/receipts/[\w-]+)"', done.text)
    (receipt,) = re.findall(r'href="(/log/receipts/\d+)"', told.client.get(receipts).text)
    found = entry(told, told.client.get(receipt).text)
    assert (found["topic"], found["actor"]) == ("pledges.Made", "supporter:public")
    assert "dora" not in told.client.get(receipt).text.lower()
