import json
from typing import Any

import pytest
from httpx2 import Response

from api.accounts import Role
from tests.api.conftest import Api

ANNA = {"supporter": "anna", "email": "anna@example.org", "name": "Anna"}


def post(api: Api, body: bytes, media: str, **headers: str) -> Response:
    return api.client.post(
        "/api/v1/commands", content=body, headers=api.token(Role.MANAGER) | {"Content-Type": media} | headers
    )


def lines(api: Api, *given: bytes, **headers: str) -> list[dict[str, Any]]:
    answer = post(api, b"\n".join(given), "application/x-ndjson", **headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def envelope(number: int, **more: object) -> bytes:
    data = {"supporter": f"s{number}", "name": f"Number {number}"}
    return json.dumps({"id": f"c{number}", "command": "supporters.register", "data": data, **more}).encode()


def test_one_command_is_accepted_then_repeated(api: Api) -> None:
    first = api.command("supporters.register", ANNA, id="one")
    assert first.status_code == 201
    assert first.json() == {
        "id": "one",
        "status": "accepted",
        "positions": [1],
        "result": {},
        "error": None,
        "position": 1,
    }
    assert first.headers["etag"] == '"1"'
    again = api.command("supporters.register", ANNA, id="one")
    assert (again.status_code, again.json()["status"], again.json()["positions"]) == (200, "repeated", [1])
    assert again.headers["etag"] == first.headers["etag"]
    api.command("supporters.set_visibility", {"supporter": "anna", "public": True})
    later = api.command("supporters.register", ANNA, id="one")
    assert later.headers["etag"] == first.headers["etag"]  # what it led to then, not what others made of it since
    assert api.groundswell.engine.log.head() == 2


def test_an_id_with_other_content_is_refused(api: Api) -> None:
    api.command("supporters.register", ANNA, id="one")
    other = api.command("supporters.register", ANNA | {"name": "Anne"}, id="one")
    assert other.status_code == 409
    assert other.headers["content-type"] == "application/problem+json"
    assert (other.json()["code"], other.json()["id"]) == ("command.id_reused", "one")


def test_the_idempotency_key_stands_for_a_missing_id(api: Api) -> None:
    first = api.command("supporters.register", ANNA, headers={"Idempotency-Key": "k1"})
    assert (first.status_code, first.json()["id"]) == (201, "k1")
    assert api.command("supporters.register", ANNA, headers={"Idempotency-Key": "k1"}).status_code == 200
    body = json.dumps({"command": "supporters.register", "data": ANNA}).encode()
    assert post(api, body, "application/json").json()["code"] == "command.missing_field"
    long = post(api, body, "application/json", **{"Idempotency-Key": "k" * 201})
    assert (long.status_code, long.json()["code"]) == (422, "request.idempotency_key")


def test_if_match_refuses_what_has_changed(api: Api) -> None:
    api.run("campaigns.draft", campaign="c", title="First")
    read = api.client.get("/api/v1/campaigns/c")
    etag = read.headers["etag"]
    changed = api.command("campaigns.amend", {"campaign": "c", "title": "Second"}, headers={"If-Match": etag})
    assert changed.status_code == 201
    late = api.command("campaigns.amend", {"campaign": "c", "title": "Third"}, headers={"If-Match": etag})
    assert (late.status_code, late.json()["code"]) == (412, "command.precondition_failed")
    assert (
        api.command(
            "campaigns.amend", {"campaign": "c", "title": "Third"}, headers={"If-Match": changed.headers["etag"]}
        ).status_code
        == 201
    )
    odd = api.command("campaigns.amend", {"campaign": "c", "title": "X"}, headers={"If-Match": "abc"})
    assert (odd.status_code, odd.json()["code"]) == (422, "request.if_match")


def test_roles(sqlite_api: Api) -> None:
    api = sqlite_api
    draft = {"campaign": "c", "title": "C"}
    assert api.client.post("/api/v1/commands", json={}).json()["code"] == "auth.required"
    wrong = api.client.post("/api/v1/commands", json={}, headers={"Authorization": "Bearer nonsense"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "auth.token_unknown")
    assert wrong.headers["www-authenticate"].startswith("Bearer")
    for role in (Role.ADVOCATE, Role.SUPPORTER, Role.AUDITOR):
        refused = api.command("campaigns.draft", draft, role=role, id="x")
        assert (refused.status_code, refused.json()["code"], refused.json()["id"]) == (403, "auth.forbidden", "x")
    assert api.command("supporters.register", ANNA, role=Role.SUPPORTER).status_code == 201
    assert api.command("officials.register", {"official": "o", "name": "O"}, role=Role.ADVOCATE).status_code == 201


@pytest.mark.parametrize("command", ["supporters.erase", "supporters.confirm_email"])
def test_what_cannot_be_taken_back_or_lets_mail_out_is_for_managers(sqlite_api: Api, command: str) -> None:
    api = sqlite_api
    assert api.command("supporters.register", ANNA).status_code == 201
    anna = {"supporter": ANNA["supporter"]}
    refused = api.command(command, anna, role=Role.SUPPORTER, reason="mischief")
    assert (refused.status_code, refused.json()["code"]) == (403, "auth.forbidden")
    assert api.command(command, anna, reason="she asked").status_code == 201


def test_only_managers_name_another_actor(sqlite_api: Api) -> None:
    api = sqlite_api
    other = api.command("supporters.register", ANNA, role=Role.SUPPORTER, actor="import:x")
    assert (other.status_code, other.json()["code"]) == (403, "auth.actor_forbidden")
    own = api.command("supporters.register", ANNA, role=Role.SUPPORTER, actor="api:a supporter")
    assert own.status_code == 201
    assert api.command("supporters.register", {"supporter": "b"}, actor="import:x").status_code == 201
    actors = [str(fact.actor) for fact in api.groundswell.engine.log.facts()]
    assert actors == ["api:a supporter", "import:x"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "command.invalid_json"),
        (b"{", 400, "command.invalid_json"),
        (b"[1]", 422, "command.wrong_type"),
        (b'{"id":"a","command":"supporters.register","data":{"supporter":"\xff"}}', 400, "command.invalid_utf8"),
        (
            b'{"id":"a","command":"supporters.register","data":{"supporter":"\\u0000"}}',
            422,
            "reference.control_character",
        ),
        (
            b'{"id":"a","command":"supporters.register","data":{"supporter":"a","name":"\\u0000"}}',
            422,
            "text.control_character",
        ),
        (b'{"id":"a","command":"supporters.fly","data":{}}', 422, "command.unknown"),
        (b'{"id":"a","command":"supporters.register","data":{"nobody":1}}', 422, "command.unknown_field"),
        (b'{"id":"a","command":"supporters.register","data":{"supporter":7}}', 422, "command.wrong_type"),
        (
            b'{"id":"a","command":"supporters.register","data":{"supporter":"' + b"x" * 201 + b'"}}',
            422,
            "command.wrong_length",
        ),
        (
            b'{"id":"a","command":"supporters.register","at":"2026-01-01T00:00:00","data":{"supporter":"a"}}',
            422,
            "command.time_without_offset",
        ),
        (
            b'{"id":"a","command":"policies.advance","data":{"policy":"a","stage":"b","on":"2026-02-30"}}',
            422,
            "command.invalid_date",
        ),
        (b'{"id":"a","command":"campaigns.launch","data":{"campaign":"c"}}', 404, "campaign.unknown"),
        (b" " * (1 << 20) + b" ", 413, "command.too_large"),
    ],
)
def test_bad_input_is_refused_with_a_code(sqlite_api: Api, body: bytes, status: int, code: str) -> None:
    answer = post(sqlite_api, body, "application/json")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert sqlite_api.groundswell.engine.log.head() == 0
    if status != 413:
        (line,) = lines(sqlite_api, body) or [{"error": {"code": code}}]
        assert line["error"]["code"] == code


def test_another_media_type_is_refused(sqlite_api: Api) -> None:
    answer = post(sqlite_api, b"<xml/>", "application/xml")
    assert (answer.status_code, answer.json()["code"]) == (415, "request.media_type")


def test_many_are_answered_line_by_line(api: Api) -> None:
    given = [envelope(1), b"", b"not json", envelope(1), envelope(2, command="supporters.fly"), envelope(3), b"\xff"]
    found = lines(api, *given)
    assert [(one["line"], one["status"], one["id"]) for one in found] == [
        (1, "accepted", "c1"),
        (3, "rejected", None),
        (4, "repeated", "c1"),
        (5, "rejected", "c2"),
        (6, "accepted", "c3"),
        (7, "rejected", None),
    ]
    assert [one["error"] and one["error"]["code"] for one in found] == [
        None,
        "command.invalid_json",
        None,
        "command.unknown",
        None,
        "command.invalid_utf8",
    ]
    assert found[4]["positions"] == [2]


def test_more_lines_than_one_batch_keep_their_order(api: Api) -> None:
    found = lines(api, *(envelope(n) for n in range(1, 1302)))
    assert [one["id"] for one in found] == [f"c{n}" for n in range(1, 1302)]
    assert [one["position"] for one in found] == list(range(1, 1302))


def test_a_line_that_is_too_long_stops_nothing(sqlite_api: Api) -> None:
    found = lines(sqlite_api, envelope(1), b"x" * (3 << 20), envelope(2))
    assert [(one["status"], (one["error"] or {}).get("code")) for one in found] == [
        ("accepted", None),
        ("rejected", "command.too_large"),
        ("accepted", None),
    ]


def test_a_key_names_many_lines(sqlite_api: Api) -> None:
    body = b'{"command":"supporters.register","data":{"supporter":"a"}}'
    assert [one["id"] for one in lines(sqlite_api, body, **{"Idempotency-Key": "k"})] == ["k:1"]
    assert [one["status"] for one in lines(sqlite_api, body, **{"Idempotency-Key": "k"})] == ["repeated"]


def test_roles_hold_for_each_line(sqlite_api: Api) -> None:
    api = sqlite_api
    body = envelope(1) + b"\n" + envelope(2, command="campaigns.draft", data={"campaign": "c", "title": "C"})
    headers = api.token(Role.SUPPORTER) | {"Content-Type": "application/x-ndjson"}
    answer = api.client.post("/api/v1/commands", content=body, headers=headers)
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert [one["status"] for one in found] == ["accepted", "rejected"]
    assert found[1]["error"]["code"] == "auth.forbidden"
