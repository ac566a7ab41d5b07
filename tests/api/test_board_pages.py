"""Boards as people see them: why somebody stands where they do, in words, and what is shown of whom."""

import re
from html import unescape
from urllib.parse import quote

import pytest

from api.pages import boards
from domain.kernel import identify
from tests.api.conftest import Api
from tests.api.test_leaderboards import score
from tests.api.test_pages import Text


def html(api: Api, path: str, status: int = 200) -> str:
    answer = api.client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == status, answer.text
    assert "<script" not in answer.text
    return answer.text


def seen(api: Api, path: str, status: int = 200) -> str:
    return " ".join(Text(html(api, path, status)).seen.split())


def links(page: str) -> list[str]:
    return [unescape(found) for found in re.findall(r'href="([^"]+)"', page)]


def rows(api: Api, path: str) -> list[str]:
    """Where the rows of a board lead to."""
    return [link for link in links(html(api, path)) if "/entries/" in link and link.startswith("/boards/")]


def test_every_row_opens_to_why_it_stands_there(api: Api) -> None:
    score(api)
    api.run("supporters.set_visibility", supporter="anna", public=True)
    first, second, third, last = rows(api, "/boards/movement")
    bert = seen(api, second)
    for said in (
        "A supporter who is not named Board of the movement · All time",
        "Rank2 Points3",
        "Why rank 2?",
        "2 points behind Anna, at rank 1. They have 1 more check-in (+2).",
        "2 points ahead of a supporter who is not named, at rank 4. They have 1 fewer check-in (\N{MINUS SIGN}2).",
        "Check-in12",
        "Version 0: pledge made 1",
        "Pledge made30 March 2026 · C",
        "As of another day",
    ):
        assert said in bert
    assert "Why rank 2?" in seen(api, third)
    assert "Nobody stands higher" in seen(api, first)
    assert "ahead of" not in seen(api, last)
    for entry in api.get(f"/leaderboards{second.removeprefix('/boards')}")["entries"]:
        position = entry["position"]
        assert f"/api/v1/history?from={position}&to={position}" in links(html(api, second))


@pytest.mark.parametrize("board", ["movement", "campaigns/c", "chapters/lisbon", "chapters"])
def test_all_boards_open(api: Api, board: str) -> None:
    score(api)
    found = rows(api, f"/boards/{board}")
    assert found
    for link in found:
        assert "The events behind it" in seen(api, link)
    week = rows(api, f"/boards/{board}?window=week&on=2026-04-01")
    assert all("window=week" in link and "on=2026-04-01" in link for link in week)
    assert "30 March 2026 to 5 April 2026" in seen(api, week[0])


def test_nothing_tells_who_somebody_is_that_is_not_named(api: Api) -> None:
    score(api)
    api.run("supporters.amend", supporter="bert", email="bert@example.org")
    for link in rows(api, "/boards/movement"):
        page = html(api, link).casefold()
        for told in ("anna", "bert", "cora", "dora"):
            assert told not in page
    explained = api.client.get("/api/v1/leaderboards/movement/entries/bert").text.casefold()
    assert not [told for told in ("anna", "bert", "cora", "dora") if told in explained]


def test_of_whoever_is_erased_the_points_stay_and_nothing_else(api: Api) -> None:
    score(api)
    api.run("supporters.set_visibility", supporter="anna", public=True)
    api.run("supporters.erase", supporter="anna", reason="asked for it")
    found = seen(api, f"/boards/movement/entries/{identify('supporter', 'anna')}")
    assert "has been erased for good" in found
    assert "Rank1" in found
    assert "Anna" not in found
    assert api.get("/leaderboards/movement/entries/anna")["name"] is None


def test_what_was_taken_back_is_told(api: Api) -> None:
    score(api)
    api.run("pledges.withdraw", campaign="c", ask="daily", supporter="dora")
    found = seen(api, "/boards/movement/entries/dora")
    assert "Without points there is no place on this board" in found
    assert "takes back what" in found
    assert "Why rank" not in found


def test_chapters_by_their_mean(api: Api) -> None:
    score(api)
    api.run("chapters.found", chapter="porto", name="Porto")
    api.run("supporters.register", supporter="eve", chapter="porto")
    api.run("pledges.make", campaign="c", ask="daily", supporter="eve", at="2026-03-30T10:00:00Z")
    for day in range(1, 4):
        on = f"2026-04-0{day}"
        api.run("pledges.check_in", campaign="c", ask="daily", supporter="eve", on=on, at=f"{on}T20:00:00Z")
    by_points = api.get("/leaderboards/chapters")
    assert [(one["name"], one["points"], one["active"], one["mean"]) for one in by_points["entries"]] == [
        ("Lisboa", 8, 2, 4),
        ("Porto", 7, 1, 7),
    ]
    by_mean = api.get("/leaderboards/chapters", {"sort": "mean"})
    assert [(one["rank"], one["name"]) for one in by_mean["entries"]] == [(1, "Porto"), (2, "Lisboa")]
    assert by_mean["sort"] == "mean"
    assert api.pages("/leaderboards/chapters", "entries", sort="mean", limit=1) == by_mean["entries"]
    head = api.groundswell.engine.log.head()
    api.run("pledges.withdraw", campaign="c", ask="daily", supporter="eve")
    then = api.get("/leaderboards/chapters", {"sort": "mean", "as_of": head})
    assert then["entries"] == by_mean["entries"]
    page = seen(api, f"/boards/chapters?sort=mean&as_of={head}")
    assert page.index("Porto") < page.index("Lisboa")
    assert f"As of position {head}" in page
    assert "Porto" not in seen(api, "/boards/chapters?sort=mean")


def test_links_keep_the_point_of_history_and_its_window(api: Api) -> None:
    score(api)
    head = api.groundswell.engine.log.head()
    path = f"/boards/movement?window=month&on=2026-03-30&as_of={head - 1}"
    page = html(api, path)
    assert "See the present" in page
    kept = {"window=month", "on=2026-03-30", f"as_of={head - 1}"}
    assert all(kept <= set(link.partition("?")[2].split("&")) for link in rows(api, path))
    entry = html(api, rows(api, path)[0])
    assert f"As of position {head - 1}" in entry
    at = quote("2026-04-01T21:00:00Z")
    assert "What had happened by 1 April 2026, 21:00 UTC" in seen(api, f"/boards/movement?occurred_by={at}")
    assert "The history ends at position" in seen(api, "/boards/movement?as_of=99999", 422)


def test_a_board_leads_to_its_campaign_and_to_the_months_beside(api: Api) -> None:
    score(api)
    page = html(api, "/boards/campaigns/c?window=month&on=2026-04-01")
    assert "/campaigns/c" in links(page)
    assert "/boards/campaigns/c?window=month&on=2026-03-31" in links(page)
    assert "/boards/campaigns/c?window=month&on=2026-05-01" in links(page)
    assert "Board of “" in page
    present = html(api, "/boards/campaigns/c?window=month")
    assert "Earlier" in present
    assert "Later" not in present
    assert "Earlier" not in html(api, "/boards/campaigns/c")
    assert "Nobody had points here then" in html(api, "/boards/movement?window=week&on=0001-01-01")


def test_boards_begin_with_teams(sqlite_api: Api) -> None:
    assert "Chapters as teams" in seen(sqlite_api, "/boards")


def test_a_difference_that_newer_rules_made_is_told(api: Api) -> None:
    score(api)
    _, second, *_ = rows(api, "/boards/movement")
    assert "worth what the rules of its time give" not in seen(api, second)
    api.run("scoring.publish", version=1, points={"pledges.Made": 3}, daily_cap=30, applies="from_now")
    api.run("supporters.register", supporter="emil")
    api.run("pledges.make", campaign="c", ask="daily", supporter="emil")
    assert "worth what the rules of its time give" in seen(api, second)


def test_long_boards_and_long_lists_of_events_go_on(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    score(api)
    monkeypatch.setattr(boards, "SHOWN", 3)
    monkeypatch.setattr(boards, "ENTRIES", 2)
    first = html(api, "/boards/movement")
    (more,) = [link for link in links(first) if "cursor=" in link]
    assert len(rows(api, "/boards/movement")) == 3
    assert len(rows(api, more)) == 1
    anna = html(api, "/boards/movement/entries/anna")
    (later,) = [link for link in links(anna) if "cursor=" in link]
    rest = html(api, later)
    assert "Later events" not in rest
    assert "Points by kind of event" not in rest


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/boards/movement/entries/nobody", "Nothing was ever scored there"),
        ("/boards/movement/entries/nobody?as_of=0", "Nothing had been scored there by then"),
        ("/board", "There is nothing at this address."),
        ("/boards/nothing", "There is no board “nothing”."),
        ("/boards/nothing/entries/anna", "There is no board “nothing”."),
        ("/campaigns/none?as_of=0", "By then there was no campaign “none”."),
        ("/boards/campaigns/none/entries/anna", "There is no campaign"),
        ("/boards/chapters/none/entries/anna", "There is no chapter"),
        ("/boards/chapters/entries/none", "Nothing was ever scored there"),
    ],
)
def test_what_is_not_there(sqlite_api: Api, path: str, said: str) -> None:
    assert said in seen(sqlite_api, path, 404)
