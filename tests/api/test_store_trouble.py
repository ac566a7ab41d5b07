"""HTTP while the store cannot be reached: a problem document that says when to come back, and then it works again."""

from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import make_url

from api.accounts import Role
from api.app import create_app
from tests.api.conftest import Api
from tests.support.http import wait_until
from tests.support.postgres import PostgresServer, running_server
from tests.support.proxy import Cut, Proxy, proxied


@pytest.fixture
def proxy(postgres_server: PostgresServer) -> Iterator[Proxy]:
    with proxied(postgres_server) as proxy:
        yield proxy


@pytest.fixture
def cut_api(proxy: Proxy, new_database: Callable[[], str], new_api: Callable[[str], Api]) -> Api:
    return new_api(proxy.url(str(make_url(new_database()).database)))


def register(api: Api, who: str) -> Response:
    return api.command("supporters.register", {"supporter": who}, headers={"Idempotency-Key": who})


@pytest.mark.parametrize("moment", Cut)
def test_a_commit_that_is_cut_is_answered_rightly(cut_api: Api, proxy: Proxy, moment: Cut) -> None:
    cut_api.token(Role.MANAGER)
    proxy.cut(moment)
    first = register(cut_api, "anna")
    assert proxy.cuts == 1
    assert (first.status_code, first.json()["status"], first.json()["position"]) == (201, "accepted", 1)
    again = register(cut_api, "anna")
    assert (again.status_code, again.json()["status"], again.json()["position"]) == (200, "repeated", 1)
    assert cut_api.groundswell.engine.log.head() == 1


@pytest.mark.parametrize("moment", Cut)
def test_a_form_whose_commit_is_cut_makes_one_supporter_and_one_pledge(cut_api: Api, proxy: Proxy, moment: Cut) -> None:
    cut_api.run("campaigns.draft", campaign="c", title="C")
    cut_api.run("campaigns.add_ask", campaign="c", ask="sign", statement="I sign.", kind="once")
    cut_api.run("campaigns.launch", campaign="c")
    form = {"ask": "sign", "email": "anna@example.org", "name": "Anna"}
    proxy.cut(moment)
    for _ in range(2):
        answer = cut_api.client.post("/api/v1/campaigns/c/pledges", json=form, headers={"Idempotency-Key": "k"})
        assert (answer.status_code, answer.json()["position"], proxy.cuts) == (202, 5, 1)
    topics = [fact.topic for fact in cut_api.groundswell.engine.log.facts(after=3)]
    assert topics == ["supporters.Registered", "pledges.Made"]


@pytest.mark.parametrize("moment", Cut)
def test_a_commit_that_is_always_cut_is_said(cut_api: Api, proxy: Proxy, moment: Cut) -> None:
    cut_api.token(Role.MANAGER)
    proxy.cut(moment, times=1_000)
    must_come_back(register(cut_api, "anna"))
    proxy.cut(moment, times=0)
    again = register(cut_api, "anna")
    expected = (200, "repeated") if moment is Cut.AFTER else (201, "accepted")
    assert (again.status_code, again.json()["status"]) == expected
    assert cut_api.groundswell.engine.log.head() == 1


def test_a_server_that_goes_and_comes_back(new_api: Callable[[str], Api]) -> None:
    with running_server(durable=True) as server, server.new_database() as url:
        api = new_api(url)
        api.client = TestClient(create_app(api.groundswell))
        with api.client:
            assert register(api, "anna").status_code == 201
            with server.away():
                must_come_back(register(api, "ben"))
                must_come_back(api.client.get("/api/v1/chapters"))
                assert api.client.get("/api/v1/healthz").status_code == 200
                assert api.client.get("/api/v1/readyz").status_code == 503
            assert register(api, "anna").json()["status"] == "repeated"
            assert register(api, "ben").json()["position"] == 2
            found = api.command("chapters.found", {"chapter": "lisbon", "name": "Lisbon"}).json()["position"]
            wait_until(lambda: api.get("/readyz")["position"] == found and api.get("/readyz")["lag"] == 0)
            assert [chapter["name"] for chapter in api.get("/chapters")["chapters"]] == ["Lisbon"]


def must_come_back(response: Response) -> None:
    assert response.status_code == 503
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Retry-After"] == "1"
    assert response.json()["code"] == "store.unreachable"
