import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from domain.kernel import Invalid, identify
from projections.boards import Board, Scope
from projections.history_diff import COMPARED, KINDS, MOVEMENT, diff
from projections.leaderboards import Leaderboards
from projections.views import PRESENT, AsOf
from tests.support.store import Store

LISTEN = {"campaign": "listen", "ask": "once"}
CAMPAIGN = str(identify("campaign", "listen"))


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    with Store(database_url, tmp_path, kinds=(*KINDS, Leaderboards)) as store:
        store.run("chapters.found", chapter="lisbon", name="Lisbon")
        store.run("campaigns.draft", campaign="listen", title="Listen")
        store.run("campaigns.add_ask", **LISTEN, statement="Listen once", kind="once")
        store.run("campaigns.launch", campaign="listen")
        store.run("policies.track", policy="bill", title="Bill", kind="bill", stage="draft")
        for name in ("anna", "ben"):
            store.run("supporters.register", supporter=name, chapter="lisbon")
            store.run("pledges.make", **LISTEN, supporter=name)
        yield store


def between(store: Store, since: AsOf, until: AsOf = PRESENT, board: Board = MOVEMENT) -> dict[str, Any]:
    store.catch_up()
    found = diff(store.reader, since, until, board)
    assert json.loads(json.dumps(found)) == found
    return found


def only(found: dict[str, Any], *names: str) -> bool:
    return all(bool(found[name]) == (name in names) for name in COMPARED)


def test_nothing_changed_where_nothing_happened(store: Store) -> None:
    found = between(store, AsOf(position=store.head))
    assert found["events"] == 0
    assert found["from"] == found["to"] == {"position": store.head, "occurred_by": None}
    assert only(found)
    assert found["board"] == []


def test_counts_with_the_events_that_changed_them(store: Store) -> None:
    before = store.head
    kept = store.run("pledges.keep", **LISTEN, supporter="ben").positions
    found = between(store, AsOf(position=before))
    assert only(found, "campaigns", "asks")
    changes = {"active": {"from": 2, "to": 1}, "kept": {"from": 0, "to": 1}}
    by = {"events": 1, "positions": list(kept)}
    assert found["campaigns"] == [{"id": CAMPAIGN, "name": "Listen", "changes": changes, **by}]
    assert found["asks"] == [{"id": CAMPAIGN, "ask": "once", "name": "Listen once", "changes": changes, **by}]
    anna, ben = (str(identify("supporter", name)) for name in ("anna", "ben"))
    assert found["board"] == [
        {"id": ben, "changes": {"points": {"from": 1, "to": 11}}, **by},
        {"id": anna, "changes": {"rank": {"from": 1, "to": 2}}, "events": 0, "positions": []},
    ]


def test_stages_members_and_awards(store: Store) -> None:
    before = store.head
    advanced = store.run("policies.advance", policy="bill", stage="committee", on="2026-01-05").positions
    concluded = store.run("policies.conclude", policy="bill", outcome="won", on="2026-01-06").positions
    erased = store.run("supporters.erase", supporter="anna", reason="asked").positions
    store.run("supporters.register", supporter="eve")
    store.run("recognitions.nominate", recognition="r", title="Star", recipient={"kind": "chapter", "id": "lisbon"})
    found = between(store, AsOf(position=before))
    assert only(found, "policies", "chapters", "recognitions")
    (policy,) = found["policies"]
    assert policy["positions"] == [*advanced, *concluded]
    assert policy["changes"] == {
        "stage": {"from": "draft", "to": "committee"},
        "outcome": {"from": None, "to": "won"},
        "concluded_on": {"from": None, "to": "2026-01-06"},
    }
    (chapter,) = found["chapters"]
    assert chapter["changes"] == {"members": {"from": 2, "to": 1}}
    assert chapter["positions"] == list(erased)
    assert found["recognitions"][0]["changes"]["state"] == {"from": None, "to": "nominated"}
    assert found["supporters"] == {"new": 1, "erased": 1}


def test_an_erasure_changes_the_chapters_that_somebody_was_a_member_of_then(store: Store) -> None:
    for name in ("porto", "braga"):
        store.run("chapters.found", chapter=name, name=name)
    store.run("supporters.join_chapter", supporter="anna", chapter="porto")
    before = store.head
    left = store.run("supporters.leave_chapter", supporter="anna", chapter="porto").positions
    joined = store.run("supporters.join_chapter", supporter="anna", chapter="braga").positions
    erased = store.run("supporters.erase", supporter="anna", reason="asked").positions
    found = {one["name"]: one for one in between(store, AsOf(position=before))["chapters"]}
    assert {name: one["positions"] for name, one in found.items()} == {"Lisbon": [*erased], "porto": [*left]}
    found = {one["name"]: one for one in between(store, AsOf(position=joined[0]))["chapters"]}
    assert {name: one["positions"] for name, one in found.items()} == {"Lisbon": [*erased], "braga": [*erased]}


def test_attributed_pledges_with_the_events_that_moved_them(store: Store) -> None:
    for name, code in (("luna", "LUNA"), ("sol", "SOL")):
        store.run("partnerships.propose", partnership=name, name=name, kind="media")
        store.run("partnerships.agree", partnership=name, disclosure="None.")
        store.run("partnerships.activate", partnership=name, referral=code)
    store.run("supporters.register", supporter="eve")
    start = store.head
    made = store.run("pledges.make", **LISTEN, supporter="eve", referral="luna").positions
    lapsed = store.run("pledges.lapse", **LISTEN, supporter="eve").positions
    found = between(store, AsOf(position=start))
    (luna,) = found["partnerships"]
    assert (luna["name"], luna["events"], luna["positions"]) == ("luna", 2, [*made, *lapsed])
    assert luna["changes"] == {"lapsed": {"from": 0, "to": 1}, "made": {"from": 0, "to": 1}}
    again = store.run("pledges.make", **LISTEN, supporter="eve", referral="sol").positions
    found = between(store, AsOf(position=lapsed[0]))
    assert {one["name"]: one["positions"] for one in found["partnerships"]} == {"luna": [*again], "sol": [*again]}


def test_between_two_points_of_the_past(store: Store) -> None:
    kept = store.run("pledges.keep", **LISTEN, supporter="ben").positions[0]
    store.run("pledges.withdraw", **LISTEN, supporter="anna")
    found = between(store, AsOf(position=0), AsOf(position=kept))
    assert found["events"] == kept
    (campaign,) = found["campaigns"]
    assert campaign["changes"]["made"] == {"from": None, "to": 2}
    assert campaign["changes"]["active"] == {"from": None, "to": 1}
    assert len(found["board"]) == 2
    found = between(store, AsOf(position=kept))
    assert found["campaigns"][0]["changes"] == {"active": {"from": 1, "to": 0}, "withdrawn": {"from": 0, "to": 1}}


def test_between_two_times_at_which_things_happened(store: Store) -> None:
    late = store.run("pledges.keep", **LISTEN, supporter="ben", at="2026-03-01T12:00:00Z").positions
    store.run("pledges.lapse", **LISTEN, supporter="anna", at="2026-02-01T12:00:00Z")
    february = AsOf(occurred_by=datetime(2026, 2, 15, tzinfo=UTC))
    found = between(store, february)
    assert found["events"] == 1
    assert found["from"]["occurred_by"] == "2026-02-15T00:00:00Z"
    assert found["campaigns"][0]["positions"] == list(late)
    assert found["campaigns"][0]["changes"] == {"active": {"from": 1, "to": 0}, "kept": {"from": 0, "to": 1}}


def test_new_rules_move_the_board(store: Store) -> None:
    before = store.head
    rules = {"points": {"pledges.Made": 4}, "applies": "to_all_history"}
    published = store.run("scoring.publish", version=1, **rules).positions  # type: ignore[arg-type]
    found = between(store, AsOf(position=before))
    assert [each["changes"] for each in found["board"]] == [{"points": {"from": 1, "to": 4}}] * 2
    assert all(each["positions"] == list(published) for each in found["board"])


def test_ranks_on_any_board(store: Store) -> None:
    store.run("chapters.found", chapter="porto", name="Porto")
    store.run("campaigns.draft", campaign="speak", title="Speak")
    store.run("campaigns.add_ask", campaign="speak", ask="once", statement="Speak once", kind="once")
    store.run("campaigns.launch", campaign="speak")
    store.run("supporters.register", supporter="eve", chapter="porto")
    before = store.head
    kept = store.run("pledges.keep", **LISTEN, supporter="ben").positions
    spoke = store.run("pledges.make", campaign="speak", ask="once", supporter="eve").positions
    after = store.head
    store.run("pledges.keep", campaign="speak", ask="once", supporter="eve")
    anna, ben, eve = (str(identify("supporter", name)) for name in ("anna", "ben", "eve"))
    lisbon, porto = (identify("chapter", name) for name in ("lisbon", "porto"))
    by_ben, by_eve = {"events": 1, "positions": [*kept]}, {"events": 1, "positions": [*spoke]}
    moved = {
        Board(Scope.CAMPAIGN, identify("campaign", "speak")): [
            {"id": eve, "changes": {"rank": {"from": None, "to": 1}, "points": {"from": None, "to": 1}}, **by_eve}
        ],
        Board(Scope.CHAPTER, lisbon): [
            {"id": ben, "changes": {"points": {"from": 1, "to": 11}}, **by_ben},
            {"id": anna, "changes": {"rank": {"from": 1, "to": 2}}, "events": 0, "positions": []},
        ],
        Board(Scope.CHAPTERS): [
            {"id": str(lisbon), "changes": {"points": {"from": 2, "to": 12}}, **by_ben},
            {
                "id": str(porto),
                "changes": {"rank": {"from": None, "to": 2}, "points": {"from": None, "to": 1}},
                **by_eve,
            },
        ],
        Board(Scope.PARTNERSHIPS): [],
    }
    for board, wanted in moved.items():
        assert between(store, AsOf(position=before), AsOf(position=after), board)["board"] == wanted


def test_the_earlier_point_comes_first(store: Store) -> None:
    store.catch_up()
    with pytest.raises(Invalid, match="earlier"):
        diff(store.reader, PRESENT, AsOf(position=3))
    with pytest.raises(Invalid, match="earlier"):
        diff(store.reader, PRESENT, AsOf(occurred_by=datetime(2026, 1, 5, tzinfo=UTC)))
