"""Digests that are wanted by a public form: nobody's consent, so whose address it is is asked by mail."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from httpx2 import Response

from api import pledges
from api.app import create_app
from api.bootstrap import Groundswell, open_groundswell
from api.limits import Limiter
from api.settings import Settings
from domain.kernel import Actor, identify, now
from history.envelope import Envelope, new_id
from notifications.recipients import Recipient, load
from notifications.tables import outbox
from tests.notifications.test_mail_links import mailed_link
from tests.support.clock import Clock

ANNA = identify("supporter", "anna")
CONSENT = {"topic": "digest", "wording": "Yes."}
Commands = list[tuple[str, dict[str, Any]]]
STOPPED: Commands = [("supporters.confirm_email", {}), ("supporters.consent", CONSENT | {"granted": False})]
PAGE = {"Accept": "text/html"}

Run = Callable[..., None]


@pytest.fixture(autouse=True)
def _fresh_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pledges, "PER_ADDRESS", Limiter(1_000, 600))


@pytest.fixture
def groundswell(tmp_path: Path, database_url: str) -> Iterator[Groundswell]:
    settings = Settings(data_dir=tmp_path, database_url=database_url, base_url="http://testserver")
    with open_groundswell(settings) as opened:
        yield opened


@pytest.fixture
def client(groundswell: Groundswell) -> TestClient:
    return TestClient(create_app(groundswell, work=False))


@pytest.fixture
def run(groundswell: Groundswell) -> Run:
    """Gives commands; there are a campaign and Anna, who made the pledge long ago and had her digests stopped."""

    def give(command: str, **data: object) -> None:
        envelope = Envelope(id=new_id(), command=command, at=now().isoformat(), reason="Why not.", data=data)
        (answer,) = groundswell.engine.write([groundswell.engine.catalogue.request(envelope, Actor("staff", "test"))])
        assert answer.error is None, answer.error

    give("campaigns.draft", campaign="c", title="C")
    give("campaigns.add_ask", campaign="c", ask="sign", statement="I sign.", kind="once")
    give("campaigns.launch", campaign="c")
    give("supporters.register", supporter="anna", email="anna@example.org", locale="es")
    give("pledges.make", campaign="c", ask="sign", supporter="anna")
    for command, more in STOPPED:
        give(command, supporter="anna", **more)
    groundswell.catch_up()
    return give


def pledge(client: TestClient, email: str = "Anna@example.org", *, ticks: bool = True) -> Response:
    """Send the form of the page; return the answer to it."""
    form = {"ask": "sign", "email": email} | ({"consent": "yes"} if ticks else {})
    return client.post("/campaigns/c/pledges", data=form, headers=PAGE, follow_redirects=False)


def anna(groundswell: Groundswell) -> Recipient:
    found = load(groundswell.engine.log, ANNA)
    assert found
    return found


def asked(groundswell: Groundswell) -> int:
    """Plan and send what is to be; return how many mails asked Anna by now."""
    groundswell.notifications.run(now())
    own = outbox.c.kind == "confirm", outbox.c.supporter == ANNA, outbox.c.state == "accepted"
    with groundswell.engine.database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).where(*own)) or 0


def test_who_stopped_digests_comes_back_by_the_form_the_mail_and_its_button(
    groundswell: Groundswell, client: TestClient, run: Run, tmp_path: Path
) -> None:
    assert anna(groundswell).hindrance == "no_consent"
    assert pledge(client).status_code == 303
    assert anna(groundswell).hindrance == "no_consent", "anybody can type an address"
    link = mailed_link(groundswell, tmp_path)
    assert client.get(link, headers=PAGE).status_code == 200
    assert anna(groundswell).hindrance == "no_consent"
    assert client.post(link, data={"digest": "yes"}).status_code == 200
    assert anna(groundswell).hindrance is None
    assert pledge(client).status_code == 303
    assert groundswell.notifications.run(now()) == {"planned": 0}
    run("supporters.consent", supporter="anna", granted=False, **CONSENT)
    assert anna(groundswell).hindrance == "no_consent"


def test_after_a_no_to_the_mail_nobody_asks_for_thirty_days(
    groundswell: Groundswell, client: TestClient, run: Run, tmp_path: Path, clock: Clock
) -> None:
    pledge(client)
    assert client.post(mailed_link(groundswell, tmp_path), data={"digest": "no"}).status_code == 200
    assert anna(groundswell).hindrance == "no_consent"
    for _ in range(29):
        clock.step(timedelta(days=1))
        assert pledge(client).status_code == 303
        assert asked(groundswell) == 1
    clock.step(timedelta(days=2))
    pledge(client)
    assert asked(groundswell) == 2
    run("supporters.consent", supporter="anna", granted=True, **CONSENT)
    run("supporters.consent", supporter="anna", granted=False, **CONSENT)
    clock.step(timedelta(days=2))
    pledge(client)
    assert asked(groundswell) == 3, "who stops digests has not said no to the question"


def test_it_is_asked_only_where_it_is_wanted_and_not_given(
    groundswell: Groundswell, client: TestClient, run: Run
) -> None:
    pledge(client, ticks=False)
    assert asked(groundswell) == 0
    run("supporters.consent", supporter="anna", granted=True, **CONSENT)
    before = anna(groundswell).version
    pledge(client)
    assert (asked(groundswell), anna(groundswell).version) == (0, before)


@pytest.mark.parametrize("cause", ["complaint", "hard_bounce"])
def test_an_address_that_mail_came_back_from_is_not_asked(
    groundswell: Groundswell, client: TestClient, run: Run, cause: str
) -> None:
    run("supporters.suppress_mail", supporter="anna", cause=cause)
    before = anna(groundswell).version
    pledge(client)
    assert (asked(groundswell), anna(groundswell).version) == (0, before)


def test_it_is_asked_once_a_day_and_five_times_in_thirty_days(
    groundswell: Groundswell, client: TestClient, run: Run, clock: Clock
) -> None:
    del run
    counts = []
    for _ in range(32):
        for _ in range(2):
            pledge(client)
            counts.append(asked(groundswell))
        clock.step(timedelta(days=1, minutes=1))
    assert counts[:12] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5, 5]
    assert counts[58:] == [5, 5, 6, 6, 7, 7]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (("supporters.consent", CONSENT | {"granted": True}), "already_confirmed"),
        (("supporters.consent", CONSENT | {"granted": False}), "already_confirmed"),
        (("supporters.suppress_mail", {"cause": "complaint"}), "complained"),
        (("supporters.amend", {"email": "other@example.org"}), "address_changed"),
        (("supporters.erase", {}), "erased"),
    ],
)
def test_what_was_said_meanwhile_stops_the_mail(
    groundswell: Groundswell, client: TestClient, run: Run, answer: tuple[str, dict[str, Any]], reason: str
) -> None:
    pledge(client)
    assert groundswell.notifications.plan() == 1
    command, data = answer
    run(command, supporter="anna", **data)
    assert asked(groundswell) == 0
    with groundswell.engine.database.read() as connection:
        assert connection.scalar(sa.select(outbox.c.reason).where(outbox.c.supporter == ANNA)) == reason


def test_who_never_confirmed_is_asked_again_for_the_same_pledge(
    groundswell: Groundswell, client: TestClient, run: Run, tmp_path: Path, clock: Clock
) -> None:
    del run
    pledge(client, "beth@example.org")
    mailed_link(groundswell, tmp_path)
    clock.step(timedelta(days=1, minutes=1))
    pledge(client, "beth@example.org", ticks=False)
    assert groundswell.notifications.run(now()) == {"planned": 0}
    pledge(client, "beth@example.org")
    assert client.post(mailed_link(groundswell, tmp_path), data={"digest": "yes"}).status_code == 200


@pytest.mark.parametrize("kind", ["page", "api"])
def test_the_answer_is_the_same_whoever_the_address_belongs_to(
    groundswell: Groundswell, client: TestClient, run: Run, kind: str
) -> None:
    """Unknown; stopped; consented; suppressed; asked before: status, headers, cookies, body and the page after it."""
    known: dict[str, Commands] = {
        "consented": [*STOPPED, ("supporters.consent", CONSENT | {"granted": True})],
        "suppressed": [*STOPPED, ("supporters.suppress_mail", {"cause": "hard_bounce"})],
        "unconfirmed": [],
    }
    for name, given in known.items():
        run("supporters.register", supporter=name, email=f"{name}@example.org")
        for command, more in given:
            run(command, supporter=name, **more)
    names = ("unknown", "anna", "anna", "consented", "suppressed", "unconfirmed")
    answers = [of_kind(kind, client, f"{name}@example.org") for name in names]
    groundswell.catch_up()
    assert [answer.status_code for answer in answers] == [{"page": 303, "api": 202}[kind]] * len(names)
    assert len({told(answer) for answer in answers}) == 1
    assert not any(SimpleCookie(answer.headers.get("set-cookie")) for answer in answers)
    if kind == "page":
        pages = [client.get(answer.headers["location"], headers=PAGE) for answer in answers]
        notices = {re.findall(r'<p class="notice" role="status">.*?</p>', page.text, re.DOTALL)[0] for page in pages}
        assert len(notices) == 1
        assert "still to be confirmed" in notices.pop()


def of_kind(kind: str, client: TestClient, email: str) -> Response:
    if kind == "page":
        return pledge(client, email)
    form = {"ask": "sign", "email": email, "consent": True, "wording": "Yes."}
    return client.post("/api/v1/campaigns/c/pledges", json=form)


def told(answer: Response) -> str:
    """Return all of an answer but the newest position of the whole history."""
    headers = sorted((name, value) for name, value in answer.headers.items() if name != "content-length")
    return re.sub(r"(position\D+|thanks=)\d+", r"\1N", f"{headers} {answer.text}", flags=re.IGNORECASE)
