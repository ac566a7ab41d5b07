"""New scoring rules weighed before they are published: over HTTP, on the page for staff, and on the command line."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from api import scoring
from api.accounts import Role
from api.common import SESSION_COOKIE
from tests.api.conftest import Api
from tests.api.test_leaderboards import score
from tests.support.cli import Cli, line, write_lines

RULES: dict[str, Any] = {
    "version": 1,
    "points": {"pledges.Made": 7, "pledges.CheckedIn": 0.5, "recognitions.Awarded": 4},
    "daily_cap": None,
    "awards": [{"award": "pair", "title": "Two days", "when": {"streak": 2}}],
    "applies": "to_all_history",
}
FILLED: dict[str, str] = {
    "points.pledges.Made": "7",
    "points.pledges.CheckedIn": "0,5",
    "points.recognitions.Awarded": " 4 ",
    "daily_cap": "",
    "award": "pair",
    "title": "Two days",
    "ground": "streak",
    "least": "2",
    "applies": "to_all_history",
}


def weigh(api: Api, rules: object, status: int = 200, role: Role | None = Role.AUDITOR, **query: str | int) -> Any:  # noqa: ANN401 - any JSON
    headers = api.token(role) if role else {}
    answer = api.client.post("/api/v1/scoring/preview", json=rules, params=query, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def rows(api: Api) -> dict[str, int]:
    """How many rows each table of the store has, but for sessions and tokens."""
    with api.groundswell.engine.database.read() as connection:
        names = set(sa.inspect(connection).get_table_names()) - {"sessions", "signin_links", "api_tokens"}
        return {name: connection.scalar(sa.text(f'SELECT count(*) FROM "{name}"')) or 0 for name in names}  # noqa: S608


def test_what_is_said_is_what_publishing_does_and_nothing_else_happens(api: Api) -> None:
    score(api)
    api.run("supporters.set_visibility", supporter="anna", public=True)
    before = rows(api)
    said = weigh(api, RULES)
    assert rows(api) == before
    assert said["behind"] == 0
    assert said["as_of"] == api.groundswell.engine.log.head()
    assert (said["top"][0]["rank"], said["top"][0]["points"]) == ({"before": 1, "after": 1}, {"before": 5, "after": 12})
    assert (said["top"][0]["name"], said["top"][0]["awards"]) == ("Anna", ["pair"])
    assert {one["name"] for one in said["top"][1:]} == {None}
    assert said["awards"] == [{"award": "pair", "title": "Two days", "given": 1}]
    assert {one["topic"]: (one["before"], one["after"]) for one in said["topics"]} == {
        "pledges.CheckedIn": (8, 2),
        "pledges.Made": (4, 28),
        "recognitions.Awarded": (0, 4),
    }
    api.run("scoring.publish", **RULES)
    now = api.get("/leaderboards/movement")["entries"]
    assert [(one["rank"]["after"], one["id"], one["points"]["after"]) for one in said["top"]] == [
        (one["rank"], one["id"], one["points"]) for one in now
    ]
    assert (said["size"]["after"], said["moved"]) == (4, {"ranks": 0, "points": 4})


def test_rules_that_count_from_now_on_move_nobody(api: Api) -> None:
    score(api)
    said = weigh(api, RULES | {"applies": "from_now"})
    assert (said["movers"], said["moved"]) == ([], {"ranks": 0, "points": 0})
    assert said["awards"][0]["given"] == 0
    board = api.get("/leaderboards/movement")["entries"]
    api.run("scoring.publish", **RULES | {"applies": "from_now"})
    assert api.get("/leaderboards/movement")["entries"] == board


def test_other_boards(sqlite_api: Api) -> None:
    score(sqlite_api)
    assert weigh(sqlite_api, RULES, chapter="lisbon")["size"] == {"before": 2, "after": 2}
    assert weigh(sqlite_api, RULES, campaign="c", top=1)["top"][0]["points"] == {"before": 5, "after": 8}
    assert len(weigh(sqlite_api, RULES, campaign="c", top=1)["top"]) == 1
    assert weigh(sqlite_api, RULES, 404, campaign="none")["code"] == "campaign.unknown"
    assert weigh(sqlite_api, RULES, 422, campaign="c", chapter="lisbon")["code"] == "scoring.one_board"


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"version": 3}, 409, "scoring.version_not_next"),
        ({"points": {"campaigns.Launched": 1}}, 404, "scoring.topic_unknown"),
        ({"points": {"pledges.Made": "many"}}, 422, "command.wrong_type"),
        ({"applies": "sometimes"}, 422, "command.invalid_value"),
        ({"more": 1}, 422, "command.unknown_field"),
    ],
)
def test_what_could_not_be_published_is_refused(
    sqlite_api: Api, changed: dict[str, Any], status: int, code: str
) -> None:
    assert weigh(sqlite_api, RULES | changed, status)["code"] == code


def test_only_staff_may_weigh(sqlite_api: Api) -> None:
    assert weigh(sqlite_api, RULES, 401, None)["code"] == "auth.required"
    assert weigh(sqlite_api, RULES, 403, Role.ADVOCATE)["code"] == "auth.forbidden"
    headers = sqlite_api.token(Role.MANAGER) | {"Content-Type": "application/json"}
    for content, code in (
        (b"{", "request.invalid_json"),
        (b"[]", "command.wrong_type"),
        (b"\xff", "request.invalid_json"),
    ):
        answer = sqlite_api.client.post("/api/v1/scoring/preview", content=content, headers=headers)
        assert answer.json()["code"] == code


def test_many_versions_of_the_rules_can_be_read(sqlite_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "VERSIONS", 2)
    for version in range(1, 6):
        assert [one["version"] for one in sqlite_api.get("/scoring/rules")["rules"]] == [*range(version - 1, -1, -1)]
        sqlite_api.run("scoring.publish", **RULES | {"version": version})


def test_all_versions_of_the_rules_can_be_read(sqlite_api: Api) -> None:
    assert [one["version"] for one in sqlite_api.get("/scoring/rules")["rules"]] == [0]
    position = sqlite_api.run("scoring.publish", **RULES)["position"]
    first, default = sqlite_api.get("/scoring/rules")["rules"]
    assert (first["version"], first["position"], first["points"]) == (1, position, RULES["points"])
    assert first["awards"][0]["when"] == {"streak": 2, "kept": None, "verified_actions": None}
    assert (default["version"], default["position"], default["points"]["pledges.Kept"]) == (0, None, 10)
    for past in ({"as_of": 0}, {"occurred_by": "2020-01-01"}):
        assert [one["version"] for one in sqlite_api.get("/scoring/rules", past)["rules"]] == [0]
    assert sqlite_api.problem("/scoring/rules", status=422, as_of=9) == "as_of.in_future"


# --- the page ---


def sign_in(api: Api, role: Role) -> None:
    secret = api.groundswell.accounts.sign_in(api.groundswell.accounts.create_link("staff@example.org", role))
    api.client.cookies.set(SESSION_COOKIE, secret)


def hidden(html: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', html)
    assert found
    return found[1].replace("&#34;", '"')


def test_the_page_weighs_and_a_second_button_publishes(api: Api) -> None:
    score(api)
    assert api.client.get("/staff/scoring", follow_redirects=False).headers["location"] == "/signin"
    sign_in(api, Role.MANAGER)
    shown = api.client.get("/staff/scoring").text
    assert "Weigh version 1" in shown
    assert "Publish" not in shown
    before = api.groundswell.engine.log.head()
    weighed = api.client.post("/staff/scoring", data=FILLED)
    assert weighed.status_code == 200
    for said in ("What version 1 would change", "5 → 12", "pledges made +6", "award pair", "Two days"):
        assert said in weighed.text
    assert api.groundswell.engine.log.head() == before
    assert json.loads(hidden(weighed.text, "rules")) == RULES
    sent = {"rules": hidden(weighed.text, "rules"), "key": hidden(weighed.text, "key")}
    for _ in range(2):
        done = api.client.post("/staff/scoring/publish", data=sent, follow_redirects=False)
        assert done.headers["location"] == f"/staff/scoring?published={before + 1}"
    api.groundswell.catch_up()
    page = api.client.get(done.headers["location"]).text
    assert "The rules are published" in page
    assert "Weigh version 2" in page
    assert api.get("/leaderboards/movement")["entries"][0]["points"] == 12


def test_the_page_takes_pasted_rules_and_says_what_is_wrong_with_them(sqlite_api: Api) -> None:
    score(sqlite_api)
    sign_in(sqlite_api, Role.MANAGER)
    weighed = sqlite_api.client.post("/staff/scoring", data={"rules": json.dumps(RULES)})
    assert json.loads(hidden(weighed.text, "rules")) == RULES
    for wrong, said in (
        ({"rules": "{"}, "not JSON"),
        ({"rules": "[]"}, "not a JSON object"),
        (FILLED | {"points.pledges.Made": "<b>"}, "“&lt;b&gt;” for pledges made is not a number"),
        (FILLED | {"daily_cap": "-1"}, "must be at least 0"),
        (FILLED | {"campaign": "none"}, "There is no campaign “none”"),
    ):
        answer = sqlite_api.client.post("/staff/scoring", data=wrong)
        assert answer.status_code in {400, 404, 422}
        assert said in answer.text
        assert "Publish" not in answer.text
    again = sqlite_api.client.post("/staff/scoring", data=FILLED | {"points.pledges.Kept": "lots"}).text
    assert 'value="lots"' in again
    assert 'value="Two days"' in again


def test_an_auditor_weighs_and_cannot_publish(sqlite_api: Api) -> None:
    score(sqlite_api)
    sign_in(sqlite_api, Role.AUDITOR)
    weighed = sqlite_api.client.post("/staff/scoring", data=FILLED)
    assert "What version 1 would change" in weighed.text
    assert "Only campaign managers may publish" in weighed.text
    assert "/staff/scoring/publish" not in weighed.text
    sent = {"rules": json.dumps(RULES), "key": "k"}
    refused = sqlite_api.client.post("/staff/scoring/publish", data=sent, headers={"Accept": "text/html"})
    assert refused.status_code == 403
    for role in (Role.ADVOCATE, Role.SUPPORTER):
        sign_in(sqlite_api, role)
        assert sqlite_api.client.get("/staff/scoring").status_code == 403
        assert sqlite_api.client.post("/staff/scoring", data=FILLED).status_code == 403


def test_what_cannot_be_published_any_more_is_said_on_the_page(sqlite_api: Api) -> None:
    sign_in(sqlite_api, Role.MANAGER)
    sqlite_api.run("scoring.publish", **RULES)
    for rules in (json.dumps(RULES), "[]"):
        answer = sqlite_api.client.post("/staff/scoring/publish", data={"rules": rules, "key": f"k{rules[:1]}"})
        assert answer.status_code in {409, 422}
        assert 'role="alert"' in answer.text


# --- the command line ---


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    cli = Cli(tmp_path)
    data = {"campaign": "c", "ask": "once", "supporter": "person-1"}
    lines = [
        line(1),
        line(2, id="d", command="campaigns.draft", data={"campaign": "c", "title": "C"}),
        line(
            3,
            id="a",
            command="campaigns.add_ask",
            data={"campaign": "c", "ask": "once", "statement": "S", "kind": "once"},
        ),
        line(4, id="l", command="campaigns.launch", data={"campaign": "c"}),
        line(5, id="p", command="pledges.make", data=data),
    ]
    assert cli("import", write_lines(tmp_path / "a.jsonl", lines)).status == 0
    return cli


def test_on_the_command_line(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(RULES))
    ran = cli("scoring", "preview", file)
    assert ran.status == 0
    assert "1 → 7" in ran.out
    assert "pledges made +6" in ran.out
    as_json = cli("scoring", "preview", file, "--json", "--campaign", "c")
    assert as_json.json["top"][0]["points"] == {"before": 1, "after": 7}
    piped = cli("scoring", "preview", "-", stdin=json.dumps(RULES | {"applies": "from_now"}).encode())
    assert "nobody moves" in piped.out
    assert [one["version"] for one in cli("scoring", "rules", "--json").json] == [0]
    assert "pledges.Kept 10" in cli("scoring", "rules").out


def test_what_is_wrong_is_said_in_one_line(cli: Cli, tmp_path: Path) -> None:
    assert cli("scoring", "preview", "none.json").code == "arguments.file_missing"
    assert cli("scoring", "preview", tmp_path).code == "arguments.file_unreadable"
    assert cli("scoring", "preview", "-", stdin=b"{").code == "command.invalid_json"
    assert cli("scoring", "preview", "-", stdin=json.dumps(RULES | {"version": 9}).encode()).code == (
        "scoring.version_not_next"
    )
    assert cli("scoring", "preview", "-", "--chapter", "x", stdin=json.dumps(RULES).encode()).code == "chapter.unknown"


@pytest.mark.parametrize("arguments", [["rules"], ["preview", "-"]])
def test_without_a_store_it_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Cli(tmp_path)("scoring", *arguments, stdin=json.dumps(RULES).encode()).code == "store.missing"


def test_it_says_how_many_newer_events_are_not_counted(sqlite_api: Api) -> None:
    score(sqlite_api)
    sqlite_api.command("supporters.register", {"supporter": "late"})
    assert weigh(sqlite_api, RULES)["behind"] == 1
