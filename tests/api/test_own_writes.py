"""Whoever writes reads what they wrote, or is told that it is still on its way."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.accounts import Role
from api.app import create_app
from api.bootstrap import Groundswell, open_groundswell
from api.settings import Settings

FORM = {"ask": "circle", "email": "ana@example.org", "name": "Ana"}
STILL = "your own change is still on its way"


@pytest.fixture
def groundswell(database_url: str, tmp_path: Path) -> Iterator[Groundswell]:
    with open_groundswell(Settings(data_dir=tmp_path, database_url=database_url)) as opened:
        yield opened


def launch(groundswell: Groundswell, browser: TestClient) -> dict[str, str]:
    """Launch a campaign; return the header of its manager."""
    headers = {"Authorization": f"Bearer {groundswell.accounts.create_token('test', Role.MANAGER)[1]}"}
    for command, data in (
        ("campaigns.draft", {"title": "Listen"}),
        ("campaigns.add_ask", {"ask": "circle", "statement": "I hold a circle", "kind": "once"}),
        ("campaigns.launch", {}),
    ):
        envelope = {"id": command, "command": command, "data": {"campaign": "listen"} | data}
        assert browser.post("/api/v1/commands", json=envelope, headers=headers).status_code == 201
    return headers


def test_the_page_after_a_form_shows_what_it_did(groundswell: Groundswell) -> None:
    with TestClient(create_app(groundswell)) as browser:
        launch(groundswell, browser)
        for number in range(1, 6):
            form = FORM | {"email": f"person{number}@example.org"}
            page = browser.post("/campaigns/listen/pledges", data=form)
            assert (page.status_code, page.history[0].status_code) == (200, 303)
            assert STILL not in page.text
            assert browser.get("/api/v1/campaigns/listen").json()["counts"]["made"] == number


def test_a_read_that_asks_for_the_position_of_a_write_shows_it(groundswell: Groundswell) -> None:
    with TestClient(create_app(groundswell)) as browser:
        launch(groundswell, browser)
        for number in range(1, 6):
            form = FORM | {"email": f"person{number}@example.org"}
            position = browser.post("/api/v1/campaigns/listen/pledges", json=form).json()["position"]
            read = browser.get("/api/v1/campaigns/listen", headers={"X-Position-AtLeast": str(position)})
            assert "x-position-stale" not in read.headers
            assert int(read.headers["x-position"]) >= position
            assert read.json()["counts"]["made"] == number


def test_where_nobody_works_the_page_says_after_a_while_that_it_is_stale(groundswell: Groundswell) -> None:
    browser = TestClient(create_app(groundswell, work=False))
    headers = launch(groundswell, browser)
    groundswell.catch_up()
    page = browser.post("/campaigns/listen/pledges", data=FORM)
    assert (page.status_code, STILL in page.text) == (200, True)
    position = groundswell.engine.log.head()
    told = browser.get("/staff", headers=headers | {"X-Position-AtLeast": str(position)})
    assert (told.status_code, STILL in told.text) == (200, True)
    groundswell.catch_up()
    assert STILL not in browser.get(f"/campaigns/listen?thanks={position}").text
    for odd in ("0", "-1", str(10**30)):
        assert browser.get(f"/campaigns/listen?thanks={odd}").status_code == 200
