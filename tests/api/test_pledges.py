from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response

from api import pledges
from api.accounts import Role
from api.limits import Limiter
from tests.api.conftest import Api

FORM: dict[str, Any] = {"ask": "sign", "email": "Anna@Example.org", "name": "Anna"}
WORDING = "Send me a digest."


@pytest.fixture(autouse=True)
def _fresh_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pledges, "PER_ADDRESS", Limiter(10, 600))
    monkeypatch.setattr(pledges, "PER_CLIENT", Limiter(300, 600))


def launch(api: Api) -> None:
    api.run("campaigns.draft", campaign="c", title="C")
    api.run("campaigns.add_ask", campaign="c", ask="sign", statement="I sign.", kind="once")
    api.run("campaigns.add_ask", campaign="c", ask="daily", statement="I listen.", kind="challenge", days=21)
    api.run("campaigns.launch", campaign="c")


def pledge(api: Api, key: str | None = None, **form: object) -> Response:
    headers = {"Idempotency-Key": key} if key else {}
    answer = api.client.post("/api/v1/campaigns/c/pledges", json=FORM | form, headers=headers)
    api.groundswell.catch_up()
    return answer


def topics(api: Api) -> list[str]:
    return [fact.topic for fact in api.groundswell.engine.log.facts()][4:]


def without_position(answer: Response) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    del body["position"]
    return body


def test_a_pledge_makes_a_supporter(api: Api) -> None:
    launch(api)
    answer = pledge(api, consent=True, wording=WORDING, locale="pt", time_zone="Europe/Lisbon", note="ção")
    assert answer.status_code == 202
    assert topics(api) == ["supporters.Registered", "pledges.Made", "supporters.ConsentRecorded"]
    registered = api.groundswell.engine.log.facts(4, opened=True)[0]
    assert registered.event.source == "pledge-form"  # type: ignore[attr-defined]
    assert registered.event.email == "Anna@example.org"  # type: ignore[attr-defined]
    assert str(registered.actor) == "supporter:public"
    assert answer.json()["position"] == 7
    assert api.get("/campaigns/c")["counts"]["active"] == 1


def test_a_known_address_gets_the_same_answer_and_no_second_supporter(api: Api) -> None:
    launch(api)
    first = pledge(api)
    second = pledge(api, email="ANNA@example.org", name="Somebody else")
    other_ask = pledge(api, ask="daily")
    assert {one.status_code for one in (first, second, other_ask)} == {202}
    assert without_position(first) == without_position(second) == without_position(other_ask)
    assert topics(api) == ["supporters.Registered", "pledges.Made", "pledges.Made"]
    assert api.get("/campaigns/c")["counts"]["made"] == 2


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({"ask": "nothing"}, 404, "ask.unknown"),
        ({"email": "anna"}, 422, "email.malformed"),
        ({"chapter": "atlantis"}, 404, "chapter.unknown"),
        ({"locale": "!"}, 422, "locale.malformed"),
        ({"time_zone": "Mars/Olympus"}, 422, "time_zone.unknown"),
        ({"name": "x" * 301}, 422, "command.wrong_length"),
        ({"name": "\0"}, 422, "text.control_character"),
        ({"note": "x" * 10_001}, 422, "command.wrong_length"),
        ({"consent": True}, 422, "consent.wording_missing"),
        ({"consent": "yes"}, 422, "request.invalid"),
        ({"shoe_size": 7}, 422, "request.invalid"),
    ],
)
def test_refusals_are_the_same_for_known_and_unknown(
    sqlite_api: Api, form: dict[str, Any], status: int, code: str
) -> None:
    api = sqlite_api
    launch(api)
    unknown = pledge(api, **form)
    head = api.groundswell.engine.log.head()
    assert head == 4
    pledge(api)
    known = pledge(api, **form)
    assert (unknown.status_code, unknown.json()["code"]) == (status, code)
    assert unknown.json() == known.json()
    assert "data." not in unknown.json()["detail"]


def test_a_campaign_that_is_not_launched_makes_no_supporter(sqlite_api: Api) -> None:
    api = sqlite_api
    assert pledge(api).json()["code"] == "campaign.unknown"
    launch(api)
    api.run("campaigns.pause", campaign="c")
    assert (pledge(api).status_code, topics(api)) == (409, ["campaigns.Paused"])


def test_a_key_is_executed_once(api: Api) -> None:
    launch(api)
    first = pledge(api, "k", consent=True, wording=WORDING)
    again = pledge(api, "k", consent=True, wording=WORDING)
    assert first.json() == again.json()
    assert len(topics(api)) == 3
    other = pledge(api, "k", email="bert@example.org")
    assert (other.status_code, other.json()["code"]) == (409, "command.id_reused")
    assert len(topics(api)) == 3


def test_what_a_form_made_cannot_be_found_in_the_history_by_its_key(
    new_api: Callable[[str], Api], tmp_path: Path
) -> None:
    """Who sent a form knows its key; the public history would tell whether it made a supporter."""
    recorded: list[set[str]] = []
    for name in ("one", "two"):
        api = new_api(f"sqlite:///{tmp_path}/{name}.sqlite3")
        launch(api)
        assert pledge(api, "k").status_code == 202
        facts = api.groundswell.engine.log.facts(4)
        recorded.append({name for fact in facts for name in (str(fact.command_id), str(fact.stream))})
    assert len(recorded[0]) == len(recorded[1]) == 4
    assert not recorded[0] & recorded[1]


def test_a_withdrawn_pledge_is_made_again(sqlite_api: Api) -> None:
    api = sqlite_api
    launch(api)
    pledge(api)
    supporter = str(api.groundswell.engine.log.facts(4)[0].stream)
    api.run("pledges.withdraw", campaign="c", ask="sign", supporter=supporter)
    assert pledge(api).status_code == 202
    assert topics(api)[-1] == "pledges.Renewed"


def test_nobody_consents_for_somebody_whose_address_is_confirmed(sqlite_api: Api) -> None:
    api = sqlite_api
    launch(api)
    pledge(api)
    supporter = str(api.groundswell.engine.log.facts(4)[0].stream)
    api.run("supporters.confirm_email", supporter=supporter)
    pledge(api, ask="daily", consent=True, wording=WORDING)
    assert "supporters.ConsentRecorded" not in topics(api)


def test_the_same_address_at_the_same_time_is_one_supporter(api: Api) -> None:
    launch(api)
    with api.client, ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(
                lambda ask: api.client.post("/api/v1/campaigns/c/pledges", json=FORM | {"ask": ask}),
                ["sign", "daily"] * 4,
            )
        )
    assert {answer.status_code for answer in found} == {202}
    assert sorted(topics(api)) == ["pledges.Made", "pledges.Made", "supporters.Registered"]


def test_machines_and_the_impatient_are_kept_out(sqlite_api: Api) -> None:
    api = sqlite_api
    launch(api)
    assert pledge(api, website="https://casino.example").status_code == 202
    assert topics(api) == []
    answers = [pledge(api) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [202] * 10 + [429]
    assert answers[-1].json()["code"] == "request.too_many"
    assert int(answers[-1].headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("body", "media", "status", "code"),
    [
        (b"{", "application/json", 400, "request.invalid_json"),
        (b"\xff", "application/json", 400, "request.invalid_utf8"),
        (b"[]", "application/json", 422, "request.invalid"),
        (b'{"ask": "sign", "email": "\\ud800@example.org"}', "application/json", 422, ""),
        (b"ask=sign", "application/x-www-form-urlencoded", 415, "request.media_type"),
        (b" " * (1 << 17), "application/json", 413, "request.too_large"),
    ],
)
def test_bodies_that_cannot_be_read(sqlite_api: Api, body: bytes, media: str, status: int, code: str) -> None:
    answer = sqlite_api.client.post("/api/v1/campaigns/c/pledges", content=body, headers={"Content-Type": media})
    assert answer.status_code == status
    assert code in {"", answer.json()["code"]}


def test_staff_list_the_pledges_to_an_ask(api: Api) -> None:
    launch(api)
    for number in range(120):
        supporter = f"s{number}"
        assert api.command("supporters.register", {"supporter": supporter}).status_code == 201
        made = {"campaign": "c", "ask": "sign", "supporter": supporter, "note": "mine"}
        assert api.command("pledges.make", made).status_code == 201
    api.groundswell.catch_up()
    path = "/campaigns/c/asks/sign/pledges"
    found = api.pages(path, "pledges", role=Role.MANAGER, limit=7)
    assert len(found) == len({one["id"] for one in found}) == 120
    assert found[0]["note"] == "mine"
    assert api.get(path, role=Role.AUDITOR)["pledges"][0]["note"] is None
    assert api.problem(path, status=401) == "auth.required"
    assert api.problem(path, role=Role.ADVOCATE, status=403) == "auth.forbidden"
    assert api.problem("/campaigns/c/asks/none/pledges", role=Role.MANAGER, status=404) == "ask.unknown"
    assert len(api.pages(path, "pledges", role=Role.MANAGER, as_of=8)) == 2


def test_check_ins_and_streaks_are_listed(api: Api) -> None:
    launch(api)
    api.run("supporters.register", supporter="anna")
    promise = {"campaign": "c", "ask": "daily", "supporter": "anna"}
    api.run("pledges.make", at="2026-03-01T10:00:00Z", **promise)
    for day in (1, 2, 4):
        api.run("pledges.check_in", at=f"2026-03-0{day}T20:00:00Z", on=f"2026-03-0{day}", **promise)
    (one,) = api.get("/campaigns/c/asks/daily/pledges", role=Role.MANAGER)["pledges"]
    assert (one["check_ins"], one["streak"], one["longest_streak"]) == (3, 1, 2)
