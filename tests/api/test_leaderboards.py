import pytest

from history.tables import projections as checkpoints
from projections.leaderboards import Leaderboards
from tests.api.conftest import Api


def score(api: Api) -> None:
    """Anna 5, Bert and Cora 3, Dora 1; Anna and Bert in Lisbon."""
    api.run("chapters.found", chapter="lisbon", name="Lisboa")
    api.run("campaigns.draft", campaign="c", title="C")
    api.run("campaigns.add_ask", campaign="c", ask="daily", statement="S", kind="challenge", days=21, backdating_days=9)
    api.run("campaigns.launch", campaign="c")
    for name, days in (("anna", 2), ("bert", 1), ("cora", 1), ("dora", 0)):
        chapter = "lisbon" if name in {"anna", "bert"} else None
        api.run("supporters.register", supporter=name, name=name.title(), chapter=chapter)
        api.run("pledges.make", campaign="c", ask="daily", supporter=name, at="2026-03-30T10:00:00Z")
        for day in range(days):
            on = f"2026-04-0{day + 1}"
            api.run("pledges.check_in", campaign="c", ask="daily", supporter=name, on=on, at=f"{on}T20:00:00Z")


def test_equal_points_share_a_rank(api: Api) -> None:
    score(api)
    board = api.get("/leaderboards/movement")
    assert [(one["rank"], one["points"]) for one in board["entries"]] == [(1, 5), (2, 3), (2, 3), (4, 1)]
    assert (board["rules_version"], board["size"], board["window"]) == (0, 4, "all")
    assert board["as_of"] == api.groundswell.engine.log.head()
    paged = api.pages("/leaderboards/movement", "entries", limit=1)
    assert paged == board["entries"]
    campaign = api.get("/leaderboards/campaigns/c")
    assert campaign["entries"] == board["entries"]


def test_names_only_of_those_who_chose_it_even_in_the_past(api: Api) -> None:
    score(api)
    assert {one["name"] for one in api.get("/leaderboards/movement")["entries"]} == {None}
    api.run("supporters.set_visibility", supporter="anna", public=True, display_name="A.")
    api.run("supporters.set_visibility", supporter="bert", public=True)
    head = api.groundswell.engine.log.head()
    assert {one["name"] for one in api.get("/leaderboards/movement")["entries"]} == {None, "A.", "Bert"}
    api.run("supporters.set_visibility", supporter="anna", public=False)
    assert {one["name"] for one in api.get("/leaderboards/movement", {"as_of": head})["entries"]} == {None, "Bert"}


def test_windows(api: Api) -> None:
    score(api)
    march = api.get("/leaderboards/movement", {"window": "month", "on": "2026-03-31"})
    assert [one["points"] for one in march["entries"]] == [1, 1, 1, 1]
    assert (march["since"], march["until"]) == ("2026-03-01", "2026-03-31")
    april = api.get("/leaderboards/movement", {"window": "month", "on": "2026-04-10"})
    assert [one["points"] for one in april["entries"]] == [4, 2, 2]
    week = api.get("/leaderboards/movement", {"window": "week", "on": "2026-04-01"})
    assert [one["points"] for one in week["entries"]] == [5, 3, 3, 1]
    by = api.get("/leaderboards/movement", {"window": "month", "occurred_by": "2026-04-01T23:00:00Z"})
    assert [one["points"] for one in by["entries"]] == [2, 2, 2]


def test_a_window_is_that_of_the_time_asked_for_even_where_nothing_was_recorded_lately(api: Api) -> None:
    score(api)
    found = api.get("/leaderboards/movement", {"window": "month", "as_of": "2999-05-31T23:30:00-02:00"})
    assert (found["since"], found["until"]) == ("2999-06-01", "2999-06-30")
    assert found["as_of"] == api.groundswell.engine.log.head()


@pytest.mark.parametrize(
    ("window", "on", "days"),
    [
        ("month", "9999-12-31", ("9999-12-01", "9999-12-31")),
        ("week", "9999-12-31", ("9999-12-27", "9999-12-31")),
        ("month", "0001-01-01", ("0001-01-01", "0001-01-31")),
        ("week", "0001-01-01", ("0001-01-01", "0001-01-07")),
    ],
)
def test_windows_end_with_the_calendar(api: Api, window: str, on: str, days: tuple[str, str]) -> None:
    score(api)
    for point in ({}, {"as_of": 12}, {"occurred_by": "9999-12-31"}):
        found = api.get("/leaderboards/movement", {"window": window, "on": on, **point})
        assert ((found["since"], found["until"]), found["entries"]) == (days, [])
    api.get("/leaderboards/movement/entries/anna", {"window": window, "on": on}, status=404)


def test_chapters_as_teams_and_within(api: Api) -> None:
    score(api)
    assert [one["points"] for one in api.get("/leaderboards/chapters/lisbon")["entries"]] == [5, 3]
    assert [(one["name"], one["points"]) for one in api.get("/leaderboards/chapters")["entries"]] == [("Lisboa", 8)]
    team = api.get("/leaderboards/chapters/entries/lisbon")
    assert (team["rank"], team["points"], sum(one["points"] for one in team["entries"])) == (1, 8, 8)


@pytest.mark.parametrize("board", ["movement", "campaigns/c", "chapters/lisbon"])
def test_points_open_to_their_events(api: Api, board: str) -> None:
    score(api)
    found = api.get(f"/leaderboards/{board}/entries/anna")
    assert (found["rank"], found["points"]) == (1, 5)
    assert [(one["topic"], one["points"]) for one in found["entries"]] == [
        ("pledges.Made", 1),
        ("pledges.CheckedIn", 2),
        ("pledges.CheckedIn", 2),
    ]
    for one in found["entries"]:
        (event,) = api.get("/history", {"from": one["position"], "to": one["position"]})["events"]
        assert event["topic"] == one["topic"]
    assert api.pages(f"/leaderboards/{board}/entries/anna", "entries", limit=1) == found["entries"]


def test_what_was_taken_back_is_shown(api: Api) -> None:
    score(api)
    before = api.groundswell.engine.log.head()
    api.run("pledges.withdraw", campaign="c", ask="daily", supporter="dora")
    gone = api.get("/leaderboards/movement/entries/dora")
    assert (gone["rank"], gone["points"]) == (None, 0)
    assert [one["points"] for one in gone["entries"]] == [1, -1]
    assert gone["entries"][1]["of"] == gone["entries"][0]["position"]
    then = api.get("/leaderboards/movement/entries/dora", {"as_of": before})
    assert (then["rank"], then["points"], then["as_of"]) == (4, 1, before)


def test_the_place_above_says_what_is_missing_and_of_which_kind(api: Api) -> None:
    score(api)
    bert = api.get("/leaderboards/movement/entries/bert")
    assert bert["topics"] == [
        {"topic": "pledges.CheckedIn", "points": 2, "events": 1},
        {"topic": "pledges.Made", "points": 1, "events": 1},
    ]
    above = bert["above"]
    assert (above["rank"], above["name"], above["points"], above["difference"]) == (1, None, 5, 2)
    assert above["topics"][0] == {
        "topic": "pledges.CheckedIn", "mine": 2, "theirs": 4, "difference": 2, "my_events": 1, "their_events": 2,
    }  # fmt: skip
    assert (bert["below"]["rank"], bert["below"]["difference"]) == (4, -2)
    cora = api.get("/leaderboards/movement/entries/cora")
    assert (cora["rank"], cora["above"]["id"]) == (2, above["id"])
    assert api.get("/leaderboards/movement/entries/anna")["above"] is None
    api.run("supporters.set_visibility", supporter="anna", public=True)
    assert api.get("/leaderboards/movement/entries/bert")["above"]["name"] == "Anna"


def test_the_past_of_a_board_is_the_same_from_the_ledger_and_by_folding_anew(api: Api) -> None:
    score(api)
    api.run("scoring.publish", version=1, points={"pledges.CheckedIn": 3}, applies="to_all_history")
    api.run("pledges.withdraw", campaign="c", ask="daily", supporter="anna")
    head = api.groundswell.engine.log.head()
    paths = [
        "movement",
        "chapters",
        "chapters/lisbon",
        "campaigns/c",
        "movement/entries/bert",
        "chapters/entries/lisbon",
    ]
    for position in (head, head - 1, head - 2, head - 4):
        for path in paths:
            ledger = api.get(f"/leaderboards/{path}", {"as_of": position})
            folded = api.get(f"/leaderboards/{path}", {"as_of": position, "occurred_by": "2999-01-01T00:00:00Z"})
            assert ledger.pop("evidence")["as_of"] == folded.pop("evidence")["as_of"] == position
            assert ledger == folded


def test_a_position_that_the_read_models_have_not_come_to_is_folded(sqlite_api: Api) -> None:
    score(sqlite_api)
    made = {"campaign": "c", "ask": "daily", "supporter": "dora", "on": "2026-04-01"}
    position = sqlite_api.command("pledges.check_in", made, at="2026-04-01T20:00:00Z").json()["position"]
    assert sqlite_api.get("/leaderboards/movement/entries/dora", {"as_of": position})["points"] == 3
    assert sqlite_api.get("/leaderboards/movement/entries/dora")["points"] == 1


def test_boards_of_the_past_wait_for_no_other_read_model(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    score(api)
    runner, before = api.groundswell.runner, api.get("/leaderboards/movement")
    with api.groundswell.engine.database.write() as connection:
        behind = checkpoints.update().where(checkpoints.c.name != Leaderboards.name)
        connection.execute(behind.values(position=1))
    monkeypatch.setattr(runner.moved, "wait", lambda _seconds: pytest.fail("It waited."))
    found = api.get("/leaderboards/movement", {"as_of": before["as_of"]})
    assert (found["as_of"], found["entries"]) == (before["as_of"], before["entries"])
