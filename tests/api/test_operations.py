import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from api.accounts import Role
from api.bootstrap import open_groundswell
from api.settings import Settings
from domain.kernel import now
from history.checkpoints import open_checkpoint, open_receipt
from history.tables import projections as checkpoints
from tests.api.conftest import Api

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
