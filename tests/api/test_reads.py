"""Lists and single reads of every feature: paging, refusals, the past, and waiting for a position."""

from typing import Any

import pytest

from api.accounts import Role
from tests.api.conftest import Api

MANY = 120
THINGS: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("campaigns.draft", "campaign", {"title": "T"}, "/campaigns", "campaigns"),
    ("chapters.found", "chapter", {"name": "N"}, "/chapters", "chapters"),
    ("officials.register", "official", {"name": "N"}, "/officials", "officials"),
    ("policies.track", "policy", {"title": "T", "kind": "bill"}, "/policies", "policies"),
    ("partnerships.propose", "partnership", {"name": "N", "kind": "media"}, "/partnerships", "partnerships"),
    ("supporters.register", "supporter", {}, "/supporters", "supporters"),
    (
        "recognitions.nominate",
        "recognition",
        {"title": "T", "recipient": {"kind": "supporter", "id": "anna"}},
        "/recognitions",
        "recognitions",
    ),
]


def lines(command: str, name: str, data: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"id": f"{name}-{n}", "command": command, "data": {name: f"{name}-{n}"} | data} for n in range(MANY)]


@pytest.mark.parametrize(("command", "name", "data", "path", "key"), THINGS)
def test_paging_gives_each_item_once(
    api: Api, command: str, name: str, data: dict[str, Any], path: str, key: str
) -> None:
    api.run("supporters.register", supporter="anna")
    api.run_many(lines(command, name, data))
    found = api.pages(path, key, role=Role.MANAGER, limit=7)
    assert len(found) == len({one["id"] for one in found}) == MANY + (name == "supporter")
    half = api.pages(path, key, role=Role.MANAGER, limit=50, as_of=1 + MANY // 2)
    assert len(half) == MANY // 2 + (name == "supporter")
    assert api.get(path, {"as_of": 0}, role=Role.MANAGER)[key] == []


def test_a_list_of_campaigns_has_all_that_each_one_answers_alone(api: Api) -> None:
    for name in ("spring", "autumn"):
        api.run("campaigns.draft", campaign=name, title=name)
        api.run("campaigns.add_ask", campaign=name, ask="a", statement="S", kind="once")
        api.run("campaigns.frame", campaign=name, locale="es", title=f"{name} en español")
    listed = {one["reference"]: one for one in api.pages("/campaigns", "campaigns")}
    assert listed == {name: api.get(f"/campaigns/{name}") for name in ("spring", "autumn")}
    assert [one["title"] for one in listed["spring"]["framings"]] == ["spring en español"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/campaigns/none", "campaign.unknown"),
        ("/chapters/none", "chapter.unknown"),
        ("/officials/none", "official.unknown"),
        ("/policies/none", "policy.unknown"),
        ("/partnerships/none", "partnership.unknown"),
        ("/recognitions/none", "recognition.unknown"),
        ("/supporters/none", "supporter.unknown"),
        ("/leaderboards/campaigns/none", "campaign.unknown"),
        ("/leaderboards/chapters/none", "chapter.unknown"),
        ("/leaderboards/movement/entries/none", "entry.unknown"),
        ("/leaderboards/chapters/entries/none", "entry.unknown"),
        ("/leaderboards/partnerships/entries/none", "entry.unknown"),
        ("/nothing", "route.unknown"),
    ],
)
def test_what_is_unknown(sqlite_api: Api, path: str, code: str) -> None:
    assert sqlite_api.problem(path, role=Role.MANAGER, status=404) == code


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "501"},
        {"limit": "many"},
        {"cursor": "nonsense"},
        {"cursor": "WyJ4Il0"},
        {"cursor": "x" * 1001},
        {"as_of": "yesterday"},
        {"as_of": "-1"},
        {"as_of": "9" * 39},
        {"as_of": "9" * 5000},
        {"as_of": "2026-01-01T00:00:00"},
        {"as_of": "٣"},
        {"occurred_by": "2026-02-30T00:00:00Z"},
        {"occurred_by": "3"},
    ],
)
@pytest.mark.parametrize("path", [path for *_, path, _ in THINGS] + ["/leaderboards/movement"])
def test_queries_that_make_no_sense(sqlite_api: Api, path: str, query: dict[str, str]) -> None:
    body = sqlite_api.get(path, query, role=Role.MANAGER, status=422)
    assert body["code"]
    assert body["detail"]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/chapters", {"state": "lost"}),
        ("/officials", {"state": "lost"}),
        ("/campaigns", {"state": "lost"}),
        ("/recognitions", {"state": "lost"}),
        ("/recognitions", {"recipient": "x" * 201}),
        ("/recognitions", {"recipient": ""}),
        ("/leaderboards/movement", {"window": "year"}),
        ("/leaderboards/movement", {"on": "2026-02-30"}),
        ("/timeline", {"by": "hour"}),
        ("/timeline", {"from": "0001-01-01", "to": "9998-12-31", "by": "day"}),
        ("/history", {"from": "then"}),
        ("/history", {"to": "9" * 30}),
        ("/history", {"stream": "nothing"}),
        ("/history", {"actor": "nobody"}),
        ("/history/diff", {}),
        ("/history/diff", {"from": "3", "to": "2"}),
        ("/history/diff", {"from": "99"}),
        ("/log/receipts/0", {}),
        ("/log/receipts/x", {}),
    ],
)
def test_values_that_are_not_among_those_possible(sqlite_api: Api, path: str, query: dict[str, str]) -> None:
    for number in range(3):
        sqlite_api.run("chapters.found", chapter=f"c{number}", name="C")
    assert sqlite_api.get(path, query, status=422)["code"]


def test_staff_only(sqlite_api: Api) -> None:
    for path in ("/supporters", "/supporters/anna", "/actions"):
        assert sqlite_api.problem(path, status=401) == "auth.required"
        assert sqlite_api.problem(path, role=Role.SUPPORTER, status=403) == "auth.forbidden"


def test_a_read_waits_for_a_position_and_says_when_it_is_stale(sqlite_api: Api) -> None:
    api = sqlite_api
    position = api.command("chapters.found", {"chapter": "c", "name": "C"}).json()["position"]
    stale = api.client.get("/api/v1/chapters", headers={"X-Position-AtLeast": str(position)})
    assert (stale.headers["x-position"], stale.headers["x-position-stale"]) == ("0", "true")
    api.groundswell.catch_up()
    fresh = api.client.get("/api/v1/chapters", headers={"X-Position-AtLeast": str(position)})
    assert fresh.headers["x-position"] == "1"
    assert "x-position-stale" not in fresh.headers
    far = api.client.get("/api/v1/chapters", headers={"X-Position-AtLeast": str(10**30)})
    assert (far.status_code, far.headers["x-position-stale"]) == (200, "true")
    odd = api.client.get("/api/v1/chapters", headers={"X-Position-AtLeast": "soon"})
    assert (odd.status_code, odd.json()["code"]) == (422, "request.invalid")


def test_chapters_stand_in_a_tree(api: Api) -> None:
    place = {"city": "Lisboa", "latitude": 38.72, "longitude": -9.14}
    api.run("chapters.found", chapter="iberia", name="Iberia")
    api.run("chapters.found", chapter="lisbon", name="Lisboa", parent="iberia", place=place)
    api.run("supporters.register", supporter="anna", chapter="lisbon")
    found = api.get("/chapters/lisbon")
    assert (found["name"], found["members"], found["state"]) == ("Lisboa", 1, "open")
    assert found["place"] == place | {"country": None}
    assert [one["reference"] for one in found["above"]] == ["iberia"]
    assert [one["reference"] for one in api.get("/chapters/iberia")["below"]] == ["lisbon"]
    api.run("chapters.close", chapter="lisbon")
    assert [one["name"] for one in api.get("/chapters")["chapters"]] == ["Iberia"]
    assert [one["name"] for one in api.get("/chapters", {"state": "closed"})["chapters"]] == ["Lisboa"]
    assert api.client.get("/api/v1/chapters/lisbon").headers["etag"] == '"2"'
    assert "etag" not in api.client.get("/api/v1/chapters/lisbon?as_of=2").headers


def test_a_policy_with_targets_positions_and_actions(api: Api) -> None:
    api.run("supporters.register", supporter="anna")
    api.run("officials.register", official="o", name="Olga", office="Mayor")
    api.run("officials.register", official="p", name="Pia")
    api.run("policies.track", policy="p", title="P", kind="bill", stage="draft")
    api.run("policies.add_target", policy="p", official="o")
    api.run("policies.record_position", policy="p", official="o", stance="undecided")
    api.run("policies.record_position", policy="p", official="p", stance="opposes", evidence="Said so.")
    for name in ("a1", "a2"):
        api.run("actions.log", action=name, policy="p", supporter="anna", kind="letter", on="2026-01-01", note="mine")
    api.run("actions.verify", action="a1")
    api.run("actions.record_response", action="a1", summary="Thanks.", on="2026-01-05")
    found = api.get("/policies/p")
    assert found["actions"] == {"letter": {"made": 2, "logged": 1, "verified": 1, "rejected": 0, "retracted": 0}}
    assert [(one["name"], one["position"]["stance"]) for one in found["targets"]] == [("Olga", "undecided")]
    assert [(one["name"], one["position"]["evidence"]) for one in found["other_positions"]] == [("Pia", "Said so.")]
    assert [one["stage"] for one in found["stages"]] == ["draft"]
    assert api.get("/policies")["policies"][0]["targets"] == found["targets"]
    assert api.get("/officials/o")["policies"][0]["title"] == "P"
    assert api.get("/policies", {"state": "concluded"})["policies"] == []
    actions = api.get("/actions", {"policy": "p"}, role=Role.MANAGER)["actions"]
    assert [(one["reference"], one["state"], one["note"]) for one in actions] == [
        ("a2", "logged", "mine"),
        ("a1", "verified", "mine"),
    ]
    assert actions[1]["responses"] == [{"summary": "Thanks.", "on": "2026-01-05"}]
    assert api.get("/actions", {"state": "logged"}, role=Role.AUDITOR)["actions"][0]["note"] is None


def test_a_partnership_with_deliverables_and_attribution(api: Api) -> None:
    promised = [{"deliverable": "post", "title": "A post", "due_on": "2026-03-01"}]
    api.run("partnerships.propose", partnership="luna", name="Luna", kind="media", audience=12_000)
    api.run("partnerships.approach", partnership="luna")
    api.run("partnerships.agree", partnership="luna", disclosure="Two tickets.", terms="Secret.", deliverables=promised)
    api.run("partnerships.activate", partnership="luna", referral="LUNA")
    api.run("partnerships.submit_deliverable", partnership="luna", deliverable="post", url="https://e.org")
    api.run("campaigns.draft", campaign="c", title="C")
    api.run("campaigns.add_ask", campaign="c", ask="sign", statement="S", kind="once")
    api.run("campaigns.launch", campaign="c")
    for name in ("anna", "bert"):
        api.run("supporters.register", supporter=name)
        api.run("pledges.make", campaign="c", ask="sign", supporter=name, referral="luna")
    api.run("pledges.keep", campaign="c", ask="sign", supporter="bert")
    found = api.get("/partnerships/luna")
    assert found["attributed"] == {"made": 2, "active": 1, "kept": 1, "lapsed": 0, "withdrawn": 0}
    assert [(one["deliverable"], one["state"]) for one in found["deliverables"]] == [("post", "submitted")]
    assert (found["state"], found["disclosure"], found["terms"]) == ("active", "Two tickets.", None)
    assert api.get("/partnerships/luna", role=Role.AUDITOR)["terms"] == "Secret."
    assert api.get("/partnerships", {"state": "ended"})["partnerships"] == []
    board = api.get("/leaderboards/partnerships")
    assert [(one["name"], one["points"]) for one in board["entries"]] == [("Luna", 12)]
    explained = api.get("/leaderboards/partnerships/entries/luna")
    assert sum(one["points"] for one in explained["entries"]) == explained["points"] == 12


def test_recognitions_of_a_recipient(api: Api) -> None:
    api.run("supporters.register", supporter="anna", name="Anna")
    api.run("chapters.found", chapter="anna", name="Anna's")
    for kind in ("supporter", "chapter"):
        api.run("recognitions.nominate", recognition=kind, title="T", recipient={"kind": kind, "id": "anna"})
    api.run("recognitions.award", recognition="supporter")

    def found(**query: str) -> list[tuple[str, str | None]]:
        listed = api.get("/recognitions", query)["recognitions"]
        return [(one["recipient"]["kind"], one["recipient"]["name"]) for one in listed]

    assert found(recipient="anna") == [("chapter", "Anna's"), ("supporter", None)]
    assert found(recipient="supporter:anna") == [("supporter", None)]
    assert found(recipient="partnership:anna") == []
    assert found(state="awarded") == [("supporter", None)]
    api.run("supporters.set_visibility", supporter="anna", public=True)
    assert found(recipient="supporter:anna") == [("supporter", "Anna")]
    assert api.get("/recognitions/chapter")["state"] == "nominated"


def test_supporters_are_shown_to_staff_and_named_to_managers(api: Api) -> None:
    api.run("supporters.register", supporter="anna", email="anna@example.org", name="Anna", locale="pt")
    api.run("supporters.consent", supporter="anna", topic="digest", granted=True, wording="Yes")
    api.run("supporters.register", supporter="bert")
    one = api.get("/supporters/anna", role=Role.MANAGER)
    assert (one["email"], one["name"], one["locale"]) == ("anna@example.org", "Anna", "pt")
    assert [(each["topic"], each["granted"]) for each in one["consents"]] == [("digest", True)]
    hidden = api.get("/supporters/anna", role=Role.AUDITOR)
    assert (hidden["email"], hidden["name"], hidden["locale"]) == (None, None, "pt")
    assert api.get("/supporters", {"consents_to": "digest"}, role=Role.AUDITOR)["total"] == 1
    api.run("supporters.erase", supporter="anna", reason="asked for it")
    gone = api.get("/supporters/anna", role=Role.MANAGER)
    assert gone["email"] is None
    assert gone["erased_at"]
    assert [api.get("/supporters", {"state": s}, role=Role.MANAGER)["total"] for s in ("present", "erased", "all")] == [
        1,
        1,
        2,
    ]
