import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from api.accounts import Role
from api.bootstrap import open_groundswell
from api.operations import STALE
from api.pages.staff import age
from api.settings import Settings
from domain.kernel import now
from history.checkpoints import open_checkpoint, open_receipt
from history.tables import projections as checkpoints
from tests.api.conftest import Api
from tests.support.frost import frost

EVERYWHERE = ("", "/api/v1")


def stand_still(api: Api, **values: object) -> None:
    with api.groundswell.engine.database.write() as connection:
        mine = checkpoints.c.name == "campaigns"
        connection.execute(checkpoints.update().where(mine).values(**values))


@pytest.mark.parametrize("prefix", EVERYWHERE)
def test_alive_and_ready(api: Api, prefix: str) -> None:
    assert api.client.get(f"{prefix}/healthz").json() == {"status": "alive"}
    api.run("chapters.found", chapter="c", name="C")
    ready = api.client.get(f"{prefix}/readyz")
    assert (ready.status_code, ready.json()["status"], ready.json()["lag"], ready.json()["position"]) == (
        200,
        "ready",
        0,
        1,
    )
    assert {"campaigns", "leaderboards", "timeline"} <= {one["name"] for one in ready.json()["projections"]}


def test_behind_is_ready_as_long_as_it_moves(api: Api) -> None:
    api.command("chapters.found", {"chapter": "c", "name": "C"})
    fresh = api.client.get("/readyz")
    assert (fresh.status_code, fresh.json()["lag"]) == (200, 1)


def test_behind_and_standing_still_is_not_ready(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.run("chapters.found", chapter="c", name="C")
    stand_still(api, position=0)
    assert api.client.get("/readyz").status_code == 200
    monkeypatch.setattr("api.operations.now", lambda: now() + timedelta(minutes=1))
    stuck = api.client.get("/readyz")
    assert (stuck.status_code, stuck.json()["status"]) == (503, "unready")
    assert "retry-after" in stuck.headers
    (one,) = [model for model in stuck.json()["projections"] if not model["moving"]]
    assert (one["name"], one["lag"]) == ("campaigns", 1)


def test_trouble_is_not_ready_at_once(api: Api) -> None:
    api.run("chapters.found", chapter="c", name="C")
    stand_still(api, position=0, trouble="history.unknown_topic: x")
    stuck = api.client.get("/readyz")
    assert stuck.status_code == 503
    assert "history.unknown_topic" in stuck.text


def test_the_age_of_what_is_not_taken_yet_is_told(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.run("chapters.found", chapter="c", name="C")
    assert api.client.get("/readyz").json()["lag_seconds"] == 0
    stand_still(api, position=0)
    monkeypatch.setattr("api.operations.now", lambda: now() + timedelta(minutes=1))
    told = api.client.get("/readyz").json()
    assert 60 <= told["lag_seconds"] < 120
    (one,) = [model for model in told["projections"] if model["lag"]]
    assert 60 <= one["lag_seconds"] < 120
    lines = api.client.get("/metrics").text.splitlines()
    assert 'groundswell_projection_moving{projection="campaigns"} 0' in lines
    assert 'groundswell_projection_moving{projection="chapters"} 1' in lines
    assert 'groundswell_projection_lag_seconds{projection="chapters"} 0.0' in lines


def test_why_a_read_model_stands_still_is_on_the_staff_page(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.run("chapters.found", chapter="c", name="C")
    stand_still(api, position=0, trouble="history.unknown_topic: x")
    monkeypatch.setattr("api.operations.now", lambda: now() + timedelta(minutes=5))
    page = api.client.get("/staff", headers=api.token(Role.MANAGER)).text
    assert "has stood still for 5 minutes: history.unknown_topic: x" in page
    stand_still(api, trouble=None)
    page = api.client.get("/staff", headers=api.token(Role.MANAGER)).text
    assert "has stood still for 5 minutes: no “groundswell up” or “work” moves it" in page


def test_a_read_model_of_another_release_says_so_while_it_is_built_anew(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.run("chapters.found", chapter="c", name="C")
    stand_still(api, position=0, version=0)
    monkeypatch.setattr("api.operations.now", lambda: now() + timedelta(minutes=5))
    told = api.client.get("/readyz")
    (one,) = [model for model in told.json()["projections"] if model["trouble"]]
    assert (told.status_code, one["name"], one["trouble"]) == (503, "campaigns", STALE)


def test_what_is_parked_is_told(sqlite_api: Api, tmp_path: Path) -> None:
    with frost(tmp_path / "groundswell.sqlite3"):
        sqlite_api.run("chapters.found", chapter="frost", name="Frost")
    told = sqlite_api.client.get("/readyz")
    assert (told.status_code, told.json()["parked"]) == (200, 1)
    (one,) = [model for model in told.json()["projections"] if model["parked"]]
    assert (one["name"], one["parked"], one["retrying"], one["lag"]) == ("chapters", 1, 1, 0)
    lines = sqlite_api.client.get("/metrics").text.splitlines()
    assert 'groundswell_projection_parked{projection="chapters"} 1' in lines
    assert 'groundswell_projection_retrying{projection="chapters"} 1' in lines
    assert 'groundswell_projection_retries_total{projection="chapters"} 0' in lines
    page = sqlite_api.client.get("/staff", headers=sqlite_api.token(Role.MANAGER)).text
    assert "1 event is parked, of which 1 will be tried again by itself" in page
    assert "chapters could not take" in page
    assert "<code>chapters.Founded</code>: " in page
    assert "; tried again " in page


def test_ages_are_said_in_words() -> None:
    said = [age(seconds) for seconds in (0.2, 1.4, 59, 119, 120, 7_199, 7_200, 86_400, 200_000)]
    assert said == [
        "0 seconds",
        "1 second",
        "59 seconds",
        "119 seconds",
        "2 minutes",
        "119 minutes",
        "2 hours",
        "24 hours",
        "2 days",
    ]


def test_metrics_are_those_of_prometheus(api: Api) -> None:
    api.run("chapters.found", chapter="c", name="C")
    api.command("chapters.found", {"chapter": "c", "name": "C"})
    api.client.get("/api/v1/chapters/c")
    found = api.client.get("/metrics")
    assert found.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = found.text.splitlines()
    assert "groundswell_events 1" in lines
    assert 'groundswell_commands_total{status="accepted"} 1' in lines
    assert 'groundswell_commands_total{status="rejected"} 1' in lines
    assert 'groundswell_projection_lag{projection="campaigns"} 0' in lines
    name = "groundswell_http_request_duration_seconds"
    route = 'method="GET",route="/api/v1/chapters/{chapter}",status="200"'
    assert f'{name}_bucket{{{route},le="+Inf"}} 1' in lines
    assert f"{name}_count{{{route}}} 1" in lines
    assert found.text.endswith("\n")


def test_the_log_can_be_verified_from_what_is_served(api: Api) -> None:
    for number in range(3):
        api.run("chapters.found", chapter=f"c{number}", name="C")
    api.groundswell.checkpoints.make()
    known = api.groundswell.checkpoints.keys().verifiers
    for prefix in EVERYWHERE:
        receipt = api.client.get(f"{prefix}/log/receipts/2")
        assert open_receipt(receipt.text, known).position == 2
        note = api.client.get(f"{prefix}/log/checkpoint")
        assert open_checkpoint(note.text, known).size == 3
        tile = api.client.get(f"{prefix}/log/tile/0/000.p/3")
        assert (len(tile.content), tile.headers["content-type"]) == (96, "application/octet-stream")
        entries = api.client.get(f"{prefix}/log/tile/entries/000.p/3")
        assert b"chapters.Founded" in entries.content
        assert api.client.get(f"{prefix}/log/tile/0/000").json()["code"] == "log.unknown_tile"
        assert api.client.get(f"{prefix}/log/receipts/9").json()["code"] == "log.unknown_position"


def test_a_locked_store_is_503_and_loses_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'groundswell.sqlite3'}"
    with open_groundswell(Settings(data_dir=tmp_path, database_url=url), busy_seconds=0.1) as groundswell:
        api = Api(groundswell)
        headers = api.token(Role.MANAGER)
        other = sqlite3.connect(tmp_path / "groundswell.sqlite3")
        other.execute("BEGIN IMMEDIATE")
        refused = api.command("chapters.found", {"chapter": "c", "name": "C"}, id="one")
        assert (refused.status_code, refused.json()["code"]) == (503, "store.locked")
        assert refused.headers["retry-after"] == "1"
        many = api.client.post(
            "/api/v1/commands",
            content=b'{"id":"two","command":"chapters.found","data":{"chapter":"d","name":"D"}}',
            headers=headers | {"Content-Type": "application/x-ndjson"},
        )
        assert '"code":"store.locked"' in many.text
        other.rollback()
        other.close()
        assert api.command("chapters.found", {"chapter": "c", "name": "C"}, id="one").status_code == 201


def test_a_full_disk_is_503(sqlite_api: Api) -> None:
    def limit(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # that is, what there is now

    sqlite_api.token(Role.MANAGER)
    database = sqlite_api.groundswell.engine.database
    database.close()
    sa.event.listen(database.engine, "connect", limit)
    chapter = {"chapter": "c", "name": "C" * 300}
    refused = [sqlite_api.command("chapters.found", chapter | {"chapter": f"c{n}"}) for n in range(30)]
    assert (refused[-1].status_code, refused[-1].json()["code"]) == (503, "store.full")
    assert refused[-1].headers["Retry-After"] == "1"
