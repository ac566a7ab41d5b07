"""Every public number opens to what it rests on: counts to pledges, awards to rules and events, boards to a query."""

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from api.accounts import Role
from api.common import encode_cursor
from domain.kernel import identify
from tests.api.conftest import Api
from tests.api.test_leaderboards import score

COUNTED = ("active", "kept", "lapsed", "withdrawn")


def pledged(api: Api) -> None:
    """Two asks; of one a pledge in each state, of the other two kept ones; some by a partnership's code."""
    api.run("partnerships.propose", partnership="luna", name="Luna", kind="media")
    api.run("partnerships.agree", partnership="luna", disclosure="Nothing.")
    api.run("partnerships.activate", partnership="luna", referral="LUNA")
    api.run("campaigns.draft", campaign="c", title="C")
    for ask in ("sign", "ask"):
        api.run("campaigns.add_ask", campaign="c", ask=ask, statement="S", kind="once")
    api.run("campaigns.launch", campaign="c")
    for number, command in enumerate(("", "keep", "lapse", "withdraw")):
        name = f"s{number}"
        api.run("supporters.register", supporter=name)
        referral = "luna" if number % 2 else None
        api.run("pledges.make", campaign="c", ask="sign", supporter=name, referral=referral)
        if command:
            api.run(f"pledges.{command}", campaign="c", ask="sign", supporter=name)
    for name in ("s0", "s1"):
        api.run("pledges.make", campaign="c", ask="ask", supporter=name)
        api.run("pledges.keep", campaign="c", ask="ask", supporter=name)


def read(api: Api, address: str, role: Role | None = None) -> Any:  # noqa: ANN401 - any JSON
    """Follow an address that an answer gave."""
    parts = urlsplit(address)
    assert parts.path.startswith("/api/v1/")
    answer = api.client.get(address, headers=api.token(role) if role else {})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_counts_of_a_campaign_open_to_its_pledges(api: Api) -> None:
    pledged(api)
    campaign = api.get("/campaigns/c")
    assert len(read(api, campaign["pledges"])["pledges"]) == campaign["counts"]["made"] == 6
    for state in COUNTED:
        found = api.pages("/campaigns/c/pledges", "pledges", state=state, limit=1)
        assert len(found) == campaign["counts"][state]
        for one in found:
            (event,) = api.get("/history", {"from": one["position"], "to": one["position"]})["events"]
            assert event["topic"] == ("pledges.Made" if state == "active" else f"pledges.{state.capitalize()}")
            assert event["stream"] == one["pledge"]
            assert [each["stream"] for each in read(api, one["history"])["events"]] == [one["pledge"]] * (
                1 if state == "active" else 2
            )
    for ask in campaign["asks"]:
        assert len(read(api, ask["pledges"])["pledges"]) == ask["counts"]["made"]
    listed = api.pages("/campaigns/c/pledges", "pledges", limit=1)
    assert [one["ask"] for one in listed] == ["ask", "ask", "sign", "sign", "sign", "sign"]
    assert len({one["pledge"] for one in listed}) == 6


def test_whose_pledges_they_are_is_told_to_staff_only(api: Api) -> None:
    pledged(api)
    for path in ("/campaigns/c/pledges", "/partnerships/luna/pledges"):
        assert {one["supporter"] for one in api.get(path)["pledges"]} == {None}
        assert {one["supporter"] for one in api.get(path, role=Role.SUPPORTER)["pledges"]} == {None}
        assert None not in {one["supporter"] for one in api.get(path, role=Role.AUDITOR)["pledges"]}


def test_attributed_pledges_of_a_partnership(api: Api) -> None:
    pledged(api)
    partnership = api.get("/partnerships/luna")
    counts = partnership["attributed"]
    assert len(read(api, partnership["pledges"])["pledges"]) == counts["made"]
    found = api.pages("/partnerships/luna/pledges", "pledges", role=Role.MANAGER, limit=1)
    assert len(found) == counts["made"] == 2
    assert {one["supporter"] for one in found} == {str(identify("supporter", name)) for name in ("s1", "s3")}
    for state in COUNTED:
        assert len(api.get("/partnerships/luna/pledges", {"state": state})["pledges"]) == counts[state]


def test_as_of_a_point_of_history(api: Api) -> None:
    pledged(api)
    head = api.groundswell.engine.log.head()
    then = api.get("/campaigns/c/pledges", {"as_of": head - 1})
    assert (then["position"], sum(one["state"] == "kept" for one in then["pledges"])) == (head - 1, 2)
    assert len(api.get("/partnerships/luna/pledges", {"as_of": 3})["pledges"]) == 0


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("/campaigns/none/pledges", {}, "campaign.unknown"),
        ("/partnerships/none/pledges", {}, "partnership.unknown"),
        ("/recognitions/none/evidence", {}, "recognition.unknown"),
        ("/recognitions/none/endorsements", {}, "recognition.unknown"),
        ("/campaigns/c/pledges", {"cursor": "WyJ4Il0"}, "cursor.malformed"),
        ("/campaigns/c/pledges", {"cursor": "WyJhIiwiYiJd"}, "cursor.malformed"),
        ("/campaigns/c/pledges", {"state": "lost"}, "request.invalid"),
    ],
)
def test_what_is_not_there(sqlite_api: Api, path: str, query: dict[str, str], code: str) -> None:
    sqlite_api.run("campaigns.draft", campaign="c", title="C")
    assert sqlite_api.get(path, query, status=422 if query else 404)["code"] == code


def test_a_cursor_that_no_database_could_look_up_is_malformed(api: Api) -> None:
    api.run("campaigns.draft", campaign="c", title="C")
    cursor = encode_cursor("a\0b", UUID(int=1))
    assert api.get("/campaigns/c/pledges", {"cursor": cursor}, status=422)["code"] == "cursor.malformed"


def test_evidence_gives_the_same_answer_again_whatever_happens_later(api: Api) -> None:
    score(api)
    paths = ("/campaigns/c", "/leaderboards/movement", "/leaderboards/chapters", "/leaderboards/campaigns/c",
             "/leaderboards/chapters/lisbon", "/leaderboards/movement/entries/bert")  # fmt: skip
    queries: list[dict[str, str]] = [{"window": "month", "on": "2026-04-03"}, {"occurred_by": "2026-04-01T21:00:00Z"}]
    before = [api.get(path) for path in paths]
    before += [api.get(path, query) for path in paths[1:] for query in queries]
    api.run("pledges.withdraw", campaign="c", ask="daily", supporter="anna")
    api.run("scoring.publish", version=1, points={"pledges.Made": 9}, applies="to_all_history")
    for answer in before:
        assert read(api, answer["evidence"]["query"]) == answer
        assert {"later"} < {one["what"] for one in answer["evidence"]["excluded"]}
        if answer["evidence"]["rules"]:
            rules = read(api, answer["evidence"]["rules"])["rules"]
            assert answer["evidence"]["rules_version"] in {one["version"] for one in rules}


def test_an_automatic_award_opens_to_the_rule_and_to_what_it_was_given_for(api: Api) -> None:
    rules = [{"award": "pair", "title": "Two days", "when": {"streak": 2}}]
    api.run("scoring.publish", version=1, points={"recognitions.Awarded": 5}, awards=rules, applies="to_all_history")
    score(api)
    (award,) = api.get("/recognitions")["recognitions"]
    found = read(api, award["evidence"])
    assert found["given_by"] == "rule"
    assert found["rule"] == {"version": 1, "award": "pair", "title": "Two days", "when": {"streak": 2}, "since": 0}
    assert [one["topic"] for one in found["ground"]] == ["pledges.CheckedIn"] * 2
    assert [one["topic"] for one in found["events"]] == ["recognitions.Nominated", "recognitions.Awarded"]
    for one in (*found["ground"], *found["events"]):
        (event,) = api.get("/history", {"from": one["position"], "to": one["position"]})["events"]
        assert (event["topic"], event["stream"]) == (one["topic"], one["stream"])
    scored = api.get("/leaderboards/movement/entries/anna")["entries"]
    assert [one["stream"] for one in scored if one["topic"] == "recognitions.Awarded"] == [award["id"]]
    api.run("pledges.withdraw", campaign="c", ask="daily", supporter="anna")
    revoked = read(api, award["evidence"])
    assert [one["topic"] for one in revoked["events"]][-1] == "recognitions.Revoked"
    assert revoked["ground"] == found["ground"]


def test_an_award_by_people_opens_to_its_nomination_and_endorsements(api: Api) -> None:
    for name in ("anna", "ben", "cora"):
        api.run("supporters.register", supporter=name, name=name.title())
    api.run("supporters.set_visibility", supporter="ben", public=True)
    api.run("recognitions.nominate", recognition="r", title="T", recipient={"kind": "supporter", "id": "anna"})
    early = api.groundswell.engine.log.head()
    for name in ("ben", "cora"):
        api.run("recognitions.endorse", recognition="r", supporter=name)
    api.run("recognitions.award", recognition="r")
    found = api.get("/recognitions/r/evidence")
    assert (found["given_by"], found["rule"], found["ground"]) == ("people", None, [])
    topics = [one["topic"].partition(".")[2] for one in found["events"]]
    assert topics == ["Nominated", "Endorsed", "Endorsed", "Awarded"]
    endorsed = api.pages("/recognitions/r/endorsements", "endorsements", limit=1)
    assert [(one["name"], one["supporter"]) for one in endorsed] == [
        ("Ben", str(identify("supporter", "ben"))),
        (None, str(identify("supporter", "cora"))),
    ]
    assert [one["position"] for one in endorsed] == [one["position"] for one in found["events"][1:3]]
    assert api.get("/recognitions/r/endorsements", {"as_of": early})["endorsements"] == []
    assert len(api.get("/recognitions/r/evidence", {"as_of": early})["events"]) == 1
