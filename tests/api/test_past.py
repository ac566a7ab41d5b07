"""The past in all answers and pages: what was known by a position, and what had happened by a time."""

import csv
import io
import random
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from api.accounts import Role
from api.app import create_app
from api.bootstrap import PROJECTIONS
from api.pages import timeline
from api.timeline import HEADER, prefers_csv
from history.tables import events
from tests.api.conftest import Api
from tests.support.cli import Cli
from tests.support.movement import CAMPAIGNS, wander
from tests.support.store import START, Store

NO_NUMBERS = {
    "/api/v1/history/diff": "compares two points of its own",
    "/api/v1/supporters/{supporter}/erasure": "is a receipt of what was destroyed",
    "/api/v1/campaigns/{campaign}/asks/{ask}/pledges/{supporter}/receipt": "is a proof",
}
"""Routes that need no point of history, and why."""
BESIDES = ("/healthz", "/readyz", "/metrics", "/log/", "/api/v1/healthz", "/api/v1/readyz", "/api/v1/metrics")
BESIDES_TOO = ("/api/v1/log/",)


def read_routes(document: dict[str, Any]) -> Iterator[tuple[str, set[str]]]:
    for path, operations in document["paths"].items():
        if "get" in operations and not path.startswith(BESIDES + BESIDES_TOO):
            yield path, {parameter["name"] for parameter in operations["get"].get("parameters", [])}


def test_every_route_that_shows_numbers_takes_a_point_of_history(sqlite_api: Api) -> None:
    routes = dict(read_routes(sqlite_api.client.get("/openapi.json").json()))
    without = {path for path, names in routes.items() if not {"as_of", "occurred_by"} <= names}
    assert without == NO_NUMBERS.keys() & routes.keys()
    assert len(routes) > len(without) + 20


MARCH = "2026-03-01T09:00:00Z"


@pytest.fixture
def told(api: Api) -> Api:
    """A pledge that was made in March and entered only after what happened in April."""
    api.run("campaigns.draft", campaign="spring", title="Spring", at=MARCH)
    api.run("campaigns.add_ask", campaign="spring", ask="sign", statement="I sign.", kind="once", at=MARCH)
    api.run("campaigns.launch", campaign="spring", at=MARCH)
    for who, at in (("anna", "2026-04-02T12:00:00Z"), ("bert", "2026-03-02T12:00:00Z")):
        api.run("supporters.register", supporter=who, at=at)
        api.run("pledges.make", campaign="spring", ask="sign", supporter=who, at=at)
    return api


def made(api: Api, **point: object) -> int:
    found: int = api.get("/campaigns/spring", point)["counts"]["made"]
    return found


def test_a_backdated_event_had_happened_before_it_was_known(told: Api) -> None:
    assert made(told) == 2
    assert made(told, as_of=5) == 1  # anna's, of April: bert's of March was not known
    assert made(told, occurred_by="2026-03-15T00:00:00Z") == 1  # bert's: anna's had not happened
    assert made(told, as_of=5, occurred_by="2026-03-15T00:00:00Z") == 0  # neither: what was known to have happened
    assert made(told, as_of=7, occurred_by="2026-04-15T00:00:00Z") == 2


def test_a_day_means_its_end_in_utc(told: Api) -> None:
    assert made(told, occurred_by="2026-03-02") == 1
    assert told.get("/supporters", {"occurred_by": "2026-03-01"}, role=Role.MANAGER)["total"] == 0
    assert told.problem("/campaigns/spring", status=422, occurred_by="2026-02-30")
    recorded = told.get("/history", {"from": 7})["events"][0]["recorded_at"]
    assert made(told, as_of=recorded[:10]) == 2
    assert told.get("/campaigns", {"as_of": "2020-01-01"})["campaigns"] == []


def test_the_history_as_of_a_point(told: Api) -> None:
    def seen(**query: object) -> list[int]:
        return [one["position"] for one in told.pages("/history", "events", limit=2, **query)]  # type: ignore[arg-type]

    assert seen() == [1, 2, 3, 4, 5, 6, 7]
    assert seen(as_of=5) == [1, 2, 3, 4, 5]
    assert told.get("/history", {"as_of": 5})["position"] == 5
    assert seen(occurred_by="2026-03-15") == [1, 2, 3, 6, 7]
    assert seen(as_of=6, occurred_by="2026-03-15") == [1, 2, 3, 6]
    assert told.problem("/history", status=422, as_of=8) == "as_of.in_future"


def test_the_difference_between_two_times_at_which_things_happened(told: Api) -> None:
    by = {"from_occurred": "2026-03-15", "to_occurred": "2026-04-15"}
    found = told.get("/history/diff", by)
    assert found["from"]["occurred_by"] == "2026-03-15T23:59:59.999999Z"
    (campaign,) = found["campaigns"]
    assert campaign["changes"]["made"] == {"from": 1, "to": 2}
    assert campaign["positions"] == [5]
    found = told.get("/history/diff", {"from": 5, "to": 7})
    assert found["campaigns"][0]["positions"] == [7]
    assert told.problem("/history/diff", status=422) == "history.no_point"


def test_the_timeline_as_csv(told: Api) -> None:
    for query, headers in (({"format": "csv"}, {}), ({}, {"Accept": "text/csv"})):
        answer = told.client.get("/api/v1/timeline", params={"by": "month", **query}, headers=headers)
        assert answer.headers["content-type"].startswith("text/csv; ")
        assert "charset=utf-8" in answer.headers["content-type"]
        assert answer.headers["content-disposition"] == (
            'attachment; filename="groundswell-timeline-by-month-as-of-7.csv"'
        )
        assert (answer.headers["x-position"], answer.headers["vary"]) == ("7", "Accept")
        assert answer.text.endswith("\r\n")
        header, *rows = csv.reader(io.StringIO(answer.text, newline=""))
        assert tuple(header) == HEADER
        buckets = told.get("/timeline", {"by": "month"})["buckets"]
        assert len(rows) == len(buckets)
        for row, bucket in zip((dict(zip(header, row, strict=True)) for row in rows), buckets, strict=True):
            assert (row["start"], row["end"]) == (bucket["start"], bucket["end"])
            assert {name: int(row[name]) for name in bucket["counts"]} == bucket["counts"]
            assert {name: int(row[f"total_{name}"]) for name in bucket["totals"]} == bucket["totals"]
        assert "The campaign “Spring” was launched." in rows[0][-1]
    assert told.client.get("/api/v1/timeline").headers["content-type"] == "application/json"
    past = told.client.get("/api/v1/timeline?format=csv&by=month&as_of=0")
    assert past.text.splitlines() == [",".join(HEADER)]


@pytest.mark.parametrize(
    ("accept", "preferred"),
    [
        ("text/csv", True),
        ("text/csv, application/json;q=0.5", True),
        ("TEXT/CSV;q=0.9, */*;q=0.8", True),
        ("", False),
        ("*/*", False),
        ("application/json, text/csv", False),
        ("application/json, text/csv;q=0.1", False),
        ("text/csv;q=0", False),
        ("text/csv;q=nothing", False),
    ],
)
def test_which_clients_prefer_csv(accept: str, preferred: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert prefers_csv(accept) is preferred


# --- pages ---


def page(api: Api, path: str, status: int = 200) -> str:
    client = TestClient(create_app(api.groundswell, work=False), headers={"Accept": "text/html"})
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    return " ".join(answer.text.split())


def test_pages_say_of_which_point_they_are_and_keep_it(told: Api) -> None:
    past = page(told, "/campaigns/spring?as_of=5")
    assert "As of position 5 (recorded " in past
    assert '<a href="/campaigns/spring">See the present</a>' in past
    assert 'href="/boards/campaigns/spring?as_of=5"' in past
    assert "<dt>Made</dt><dd>1</dd>" in past
    assert "Make your pledge" not in past
    assert '<form method="post"' not in past
    present = page(told, "/campaigns/spring")
    assert "Make your pledge" in present
    assert "As of position" not in present
    assert "<dt>Made</dt><dd>2</dd>" in present
    home = page(told, "/?occurred_by=2026-03-15")
    assert "What had happened by 15 March 2026, 23:59 UTC, as far as it is known today" in home
    assert '<a href="/campaigns/spring?occurred_by=2026-03-15T23%3A59%3A59.999999Z">Spring</a>' in home
    assert "No campaign had been launched by then" in page(told, "/?as_of=2")
    both = page(told, "/timeline?as_of=5&occurred_by=2026-03-15")
    assert "As of position 5" in both
    assert "and only what had happened by 15 March 2026" in both
    assert page(told, "/timeline?as_of=&occurred_by=") == page(told, "/timeline")
    assert "The history ends at position 7" in page(told, "/timeline?as_of=8", 422)
    assert "By then there was no campaign" in page(told, "/campaigns/spring?as_of=0", 404)
    assert "As of the beginning, before anything was recorded" in page(told, "/timeline?as_of=0")


def test_the_timeline_page_shows_so_many_buckets_at_a_time(told: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "MOST_BARS", 7)
    last = page(told, "/timeline?by=day")
    assert "2 April 2026: 1</title>" in last
    assert '<a href="/timeline?by=day&amp;to=2026-03-26" rel="prev">Earlier</a>' in last
    assert "Later" not in last
    first = page(told, "/timeline?by=day&to=2026-03-02")
    assert "The campaign “Spring” was launched." in first
    assert '<a href="/timeline?by=day&amp;to=2026-03-09" rel="next">Later</a>' in first
    assert "Earlier" not in first
    assert "March 2026: 1</title>" in page(told, "/timeline?by=month&to=2026-04-01")


def test_the_page_of_what_changed(told: Api) -> None:
    asked = page(told, "/history/diff")
    assert "Which days?" in asked
    found = page(told, "/history/diff?from=5")
    assert "made 1 → <strong>2</strong>" in found
    assert '<a href="/api/v1/history?from=7&amp;to=7">7</a>' in found
    assert "not named" in found  # on the board
    assert "No count, rank, stage or name differs." in page(told, "/history/diff?from=7")
    assert "must be the earlier one" in page(told, "/history/diff?from=5&to=3", 422)
    by_time = page(told, "/history/diff?from_occurred=2026-03-15&to_occurred=2026-04-15")
    assert "what had happened by 15 March 2026" in by_time
    assert "Choose the day from which to compare" in page(told, "/history/diff?to=7", 422)
    assert "the beginning, before anything was recorded" in page(told, "/history/diff?from=0&to=5")
    assert "the same point" in page(told, "/history/diff?from=7")
    opened = re.findall(r'<li><a href="([^"]+)"', found)
    assert len(opened) >= 3
    for link in opened:
        assert told.client.get(unescape(link)).status_code == 200
    assert "/history/diff" in page(told, "/timeline")


def test_the_page_of_what_changed_on_a_board(told: Api) -> None:
    link = re.search(r'<a href="(/history/diff[^"]+)">What changed', page(told, "/boards/campaigns/spring"))
    assert link is not None
    asked = page(told, unescape(link[1]))
    assert re.search(r'<option value="campaigns/[-0-9a-f]{36}" selected>Board of “Spring”</option>', asked)
    found = page(told, f"{unescape(link[1])}&from=5")
    assert "<h2>Board of “Spring”</h2>" in found
    (entry,) = re.findall(r'<a href="(/boards/campaigns/[^"]+/entries/[^"]+)">', found)
    assert told.client.get(unescape(entry)).status_code == 200
    assert '<option value="chapters" selected>' in page(told, "/history/diff?board=chapters&from=5")
    assert "There is no campaign “autumn”" in page(told, "/history/diff?board=campaigns/autumn", 404)


def test_what_changed_on_the_command_line(told: Api, tmp_path: Path) -> None:
    cli = Cli(
        tmp_path, GROUNDSWELL_DATABASE_URL=told.groundswell.engine.database.url, GROUNDSWELL_DATA_DIR=f"{tmp_path}"
    )
    found = cli("diff", "5", "7", "--json").json
    assert found["campaigns"][0]["changes"] == told.get("/history/diff", {"from": 5})["campaigns"][0]["changes"]
    said = cli("diff", "5").out
    assert "From position 5 to position 7: 2 events." in said
    assert "Spring" in said
    assert "not named (" in said  # on the board
    told.run("supporters.set_visibility", supporter="bert", public=True, display_name="Bert R.")
    assert "Bert R." in cli("diff", "5").out
    assert "No count, rank, stage or name differs." in cli("diff", "7").out
    assert "to position 7: 1 event." in cli("diff", "6", "7").out
    assert "Bert R." in cli("diff", "5", "--board", "campaigns/spring").out
    assert "Bert R." not in cli("diff", "5", "--board", "partnerships").out
    wrong = {("7", "5"): "history.backwards", ("x",): "command.invalid_date", ("99",): "as_of.in_future"}
    wrong[("5", "--board", "campaigns/autumn")] = "campaign.unknown"
    for arguments, code in wrong.items():
        ran = cli("diff", *arguments)
        assert (ran.status, ran.code) == (2, code)


# --- every route, at any point ---

LISTS = {
    "/campaigns": "campaigns",
    "/chapters": "chapters",
    "/policies": "policies",
    "/partnerships": "partnerships",
    "/recognitions": "recognitions",
    "/officials": "officials",
    "/supporters": "supporters",
}
ALONE = (
    "/actions",
    "/history",
    "/timeline",
    "/leaderboards/movement",
    "/leaderboards/chapters",
    "/leaderboards/partnerships",
)


def shuffled(store: Store, url: str, folder: Path, dice: random.Random) -> None:
    """Make a store with the same events, each of which happened at any time."""
    with Store(url, folder, kinds=PROJECTIONS) as copy, store.engine.database.read() as read:
        rows = [dict(row) for row in read.execute(sa.select(events)).mappings()]
        for row in rows:
            row["occurred_at"] = START + timedelta(hours=dice.randrange(500))
        with copy.engine.database.append() as connection:
            connection.execute(events.insert(), rows)


@pytest.mark.parametrize("seed", [1, 2])
def test_every_route_answers_at_every_point_of_a_movement_in_which_anything_happened(
    new_api: Callable[[str], Api], database_url: str, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    with Store(f"sqlite:///{tmp_path / 'orderly.sqlite3'}", tmp_path, kinds=PROJECTIONS) as orderly:
        wander(orderly, seed=seed, steps=500)
        head = orderly.head
        shuffled(orderly, database_url, tmp_path, dice)
    api = new_api(database_url)
    api.groundswell.catch_up()
    headers = api.token(Role.MANAGER)
    now = {
        path: [one["id"] for one in api.get(path, {"limit": 500}, role=Role.MANAGER)[key]]
        for path, key in LISTS.items()
    }
    alone = [f"{path}/{one}" for path, ids in now.items() for one in ids[:2]]
    pledges = [f"/campaigns/{one}/asks/{ask}/pledges" for one in CAMPAIGNS for ask in ("once", "daily")]
    for _ in range(2):
        moment = (START + timedelta(hours=dice.choice([dice.randrange(-48, 1), dice.randrange(500)]))).isoformat()
        points: list[dict[str, str]] = [{"as_of": str(dice.randrange(head))}, {"occurred_by": moment}]
        for point in (*points, {"as_of": str(head // 2), "occurred_by": moment}):
            for path in (*LISTS, *ALONE):
                answer = api.client.get(f"/api/v1{path}", params=point, headers=headers)
                assert answer.status_code == 200, (path, point, answer.text)
            for path in (*alone, *pledges):
                answer = api.client.get(f"/api/v1{path}", params=point, headers=headers)
                assert answer.status_code in {200, 404}, (path, point, answer.text)
            for path in ("/", "/timeline", "/campaigns/letters"):
                shown = api.client.get(path, params=point, headers={"Accept": "text/html"})
                assert shown.status_code in {200, 404}, (path, point, shown.text)
