"""The public form decides under the append lock whose an address is: across a batch, and across processes."""

from collections.abc import Iterator

import pytest

from api.bootstrap import Groundswell, open_groundswell
from api.pledges import PledgeForm, plan
from api.settings import Settings
from history.answers import Answer
from history.plans import Plan
from tests.api.conftest import Api


@pytest.fixture
def other(api: Api) -> Iterator[Groundswell]:
    """The same store as another process has it open."""
    url = api.groundswell.settings.database_url
    with open_groundswell(Settings(data_dir=api.groundswell.settings.data_dir, database_url=url)) as groundswell:
        yield groundswell


def launch(api: Api, campaign: str = "c") -> None:
    api.run("campaigns.draft", campaign=campaign, title="C")
    api.run("campaigns.add_ask", campaign=campaign, ask="sign", statement="I sign.", kind="once")
    api.run("campaigns.launch", campaign=campaign)


def wanted(groundswell: Groundswell, key: str, email: str = "anna@example.org", campaign: str = "c") -> Plan:
    return plan(groundswell, campaign, PledgeForm(ask="sign", email=email, wording=None, website=None), email, key)


def topics(api: Api, after: int = 3) -> list[str]:
    return [fact.topic for fact in api.groundswell.engine.log.facts(after)]


def said(answers: list[Answer]) -> list[tuple[str | None, list[int]]]:
    return [(answer.error.code if answer.error else None, answer.positions) for answer in answers]


def test_an_address_twice_in_one_batch_is_one_supporter(api: Api) -> None:
    launch(api)
    store = api.groundswell
    all_of_them = [
        wanted(store, "one"),
        wanted(store, "two", "anna@example.org"),
        wanted(store, "three", "b@b.org"),
    ]
    assert said(store.engine.write(all_of_them)) == [(None, [7])] * 3
    assert topics(api) == ["supporters.Registered", "pledges.Made"] * 2


def test_two_processes_make_one_supporter_of_an_address(api: Api, other: Groundswell) -> None:
    launch(api)
    before = wanted(other, "two")
    assert said(api.groundswell.engine.write([wanted(api.groundswell, "one")])) == [(None, [5])]
    assert said(other.engine.write([before])) == [(None, [5])]
    assert topics(api) == ["supporters.Registered", "pledges.Made"]


def test_what_refuses_a_plan_undoes_all_of_it_and_says_the_same_of_everybody(api: Api) -> None:
    launch(api)
    api.run("campaigns.draft", campaign="draft", title="D")
    api.run("campaigns.add_ask", campaign="draft", ask="sign", statement="I sign.", kind="once")
    store = api.groundswell
    store.engine.write([wanted(store, "known", "known@example.org")])
    answers = store.engine.write(
        [
            wanted(store, "1", campaign="draft"),
            wanted(store, "2", "known@example.org", campaign="draft"),
            wanted(store, "3", campaign="nowhere"),
            wanted(store, "4", "known@example.org", campaign="nowhere"),
            wanted(store, "5"),
        ]
    )
    refused = ["campaign.not_launched"] * 2 + ["campaign.unknown"] * 2
    assert said(answers) == [*((code, []) for code in refused), (None, [9])]
    assert topics(api, 7) == ["supporters.Registered", "pledges.Made"]
    assert [answer.id for answer in answers] == [None] * 5


def test_a_plan_that_comes_again_is_answered_again(api: Api, other: Groundswell) -> None:
    launch(api)
    for store in (api.groundswell, other, api.groundswell):
        assert said(store.engine.write([wanted(store, "one")])) == [(None, [5])]
    changed = wanted(other, "one", "somebody@example.org")
    assert said(other.engine.write([changed])) == [("command.id_reused", [])]
    assert topics(api) == ["supporters.Registered", "pledges.Made"]
