from typing import Any

import pytest

from api.accounts import Role
from tests.api.conftest import Api


def tell(api: Api) -> None:
    api.run("campaigns.draft", campaign="spring", title="Spring")
    api.run("campaigns.add_ask", campaign="spring", ask="sign", statement="I sign.", kind="once")
    api.run("campaigns.launch", campaign="spring")
    api.run("supporters.register", supporter="anna", email="anna@example.org", name="Anna", locale="pt")
    api.run("pledges.make", campaign="spring", ask="sign", supporter="anna", note="mine")
    api.run("pledges.withdraw", campaign="spring", ask="sign", supporter="anna", reason="changed my mind")


def data_of(api: Api, position: int, role: Role | None = None) -> dict[str, Any]:
    found: dict[str, Any] = api.get("/history", {"from": position, "to": position}, role=role)["events"][0]["data"]
    return found


def test_every_event_once_in_order(api: Api) -> None:
    tell(api)
    found = api.pages("/history", "events", role=Role.MANAGER, limit=2)
    assert [one["position"] for one in found] == [1, 2, 3, 4, 5, 6]
    assert [one["topic"] for one in found] == [
        "campaigns.Drafted",
        "campaigns.AskAdded",
        "campaigns.Launched",
        "supporters.Registered",
        "pledges.Made",
        "pledges.Withdrawn",
    ]
    assert found[5]["reason"] == "changed my mind"
    assert found[5]["actor"] == "api:a manager"
    assert found[4]["version"] == 1
    assert found[5]["version"] == 2


def test_filters(api: Api) -> None:
    tell(api)

    def positions(**query: object) -> list[int]:
        query = {key.removesuffix("_"): value for key, value in query.items()}
        return [one["position"] for one in api.get("/history", query, role=Role.MANAGER)["events"]]

    assert positions(topic="pledges.Made") == [5]
    assert positions(topic="pledges.Nothing") == []
    assert positions(stream="campaign:spring") == [1, 2, 3]
    one = api.get("/history", {"from": 4, "to": 4})["events"][0]
    assert positions(stream=one["stream"]) == [4]
    assert positions(correlation=one["correlation"]) == [4]
    assert positions(actor="api:a manager", from_=5) == [5, 6]
    assert positions(actor="import:x") == []
    recorded = api.get("/history", {"from": 3, "to": 3})["events"][0]["recorded_at"]
    assert positions(to=recorded) == [1, 2, 3]
    assert positions(from_=recorded, to=4) == [3, 4]


def test_personal_data_is_for_managers_only(api: Api) -> None:
    tell(api)
    mine = data_of(api, 4, Role.MANAGER)
    assert (mine["email"], mine["name"], mine["locale"]) == ("anna@example.org", "Anna", "pt")
    for role in (None, Role.AUDITOR, Role.ADVOCATE, Role.SUPPORTER):
        theirs = data_of(api, 4, role)
        assert theirs["email"] == theirs["name"] == {"personal": "sealed"}
        assert theirs["locale"] == "pt"
        assert data_of(api, 5, role)["note"] == {"personal": "sealed"}
    api.run("supporters.erase", supporter="anna", reason="asked for it")
    for everybody in (None, Role.MANAGER):
        assert data_of(api, 4, everybody)["email"] == {"personal": "erased"}


def test_the_public_sees_no_names_of_actors_and_no_reasons(sqlite_api: Api) -> None:
    tell(sqlite_api)
    last = sqlite_api.get("/history", {"from": 6})["events"][0]
    assert (last["actor"], last["reason"]) == ("api", None)
    known = sqlite_api.get("/history", {"from": 6}, role=Role.SUPPORTER)["events"][0]
    assert (known["actor"], known["reason"]) == ("api:a manager", "changed my mind")


def test_what_changed_between_two_points(api: Api) -> None:
    tell(api)
    found = api.get("/history/diff", {"from": 4})
    assert (found["from"]["position"], found["to"]["position"], found["events"]) == (4, 6, 2)
    (campaign,) = found["campaigns"]
    assert campaign["name"] == "Spring"
    assert campaign["changes"] == {"withdrawn": {"from": 0, "to": 1}, "made": {"from": 0, "to": 1}}
    assert campaign["positions"] == [5, 6]
    middle = api.get("/history/diff", {"from": 3, "to": 5})
    assert middle["supporters"] == {"new": 1, "erased": 0}
    assert middle["asks"][0]["changes"]["active"] == {"from": 0, "to": 1}
    recorded = api.get("/history", {"from": 5, "to": 5})["events"][0]["recorded_at"]
    assert api.get("/history/diff", {"from": 3, "to": recorded})["to"]["position"] == 5


def test_what_changed_on_a_board_of_ones_own(api: Api) -> None:
    tell(api)
    whole = api.get("/history/diff", {"from": 4, "to": 5})
    assert whole["board_of"] == "movement"
    found = api.get("/history/diff", {"from": 4, "to": 5, "board": "campaigns/spring"})
    assert found["board_of"] == f"campaigns/{found['campaigns'][0]['id']}"
    assert found["board"] == whole["board"] != []
    assert api.get("/history/diff", {"from": 4, "to": 5, "board": "chapters"})["board"] == []
    wrong = {
        "campaigns/autumn": "campaign.unknown",
        "chapters/spring": "chapter.unknown",
        "campaigns/": "campaign.unknown",
    }
    wrong |= dict.fromkeys(("", "movement/", "campaign", "chapter/spring", "partnerships/x"), "board.unknown")
    for board, code in wrong.items():
        assert api.problem("/history/diff", status=404, board=board, from_occurred="2020-01-01") == code


def test_numbers_as_of_a_position_and_a_time(api: Api) -> None:
    tell(api)

    def counts(**query: object) -> tuple[int, int]:
        found = api.get("/campaigns/spring", query)["counts"]
        return found["active"], found["withdrawn"]

    assert counts() == (0, 1)
    assert counts(as_of=5) == (1, 0)
    assert counts(as_of=4) == (0, 0)
    recorded = api.get("/history", {"from": 5, "to": 5})["events"][0]["recorded_at"]
    assert counts(as_of=recorded) == (1, 0)
    api.run("supporters.register", supporter="bert", at="2020-01-01T00:00:00Z")
    api.run("pledges.make", campaign="spring", ask="sign", supporter="bert", at="2020-01-01T00:00:00Z")
    by = {"occurred_by": "2021-01-01T00:00:00Z"}
    found = api.get("/supporters", by, role=Role.MANAGER)
    assert [one["pledges"]["active"] for one in found["supporters"]] == [1]
    assert found["total"] == 1
    assert api.problem("/campaigns/spring", status=422, as_of=99) == "as_of.in_future"


@pytest.mark.parametrize("address", ["/campaigns?as_of=", "/history?from=", "/history/diff?from="])
def test_a_point_that_cannot_be_read_says_what_would_do(sqlite_api: Api, address: str) -> None:
    with_plus = sqlite_api.client.get(f"/api/v1{address}2026-11-22T06:00:00+00:00").json()
    assert with_plus["code"] == "command.invalid_date"
    assert "position" in with_plus["detail"]
    assert "%2B" in with_plus["detail"]
    assert "%2B" not in sqlite_api.client.get(f"/api/v1{address}-1").json()["detail"]


def test_the_timeline(api: Api) -> None:
    tell(api)
    api.run("supporters.register", supporter="bert", at="2026-01-05T12:00:00Z")
    found = api.get("/timeline", {"by": "month", "from": "2026-01-01", "to": "2026-02-28"})
    assert [(one["start"], one["end"], one["counts"]["supporters"]) for one in found["buckets"]] == [
        ("2026-01-01", "2026-01-31", 1),
        ("2026-02-01", "2026-02-28", 0),
    ]
    assert found["buckets"][1]["totals"]["supporters"] == 1
    assert [one["kind"] for one in api.get("/timeline")["milestones"]] == ["campaign_launched", "supporters", "pledges"]
