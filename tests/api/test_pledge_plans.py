"""The public form decides under the append lock whose an address is: across a batch, and across processes."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from api.bootstrap import Groundswell, open_groundswell
from api.pledges import PledgeForm, plan
from api.settings import Settings
from domain.kernel import Actor, identify
from history.answers import Answer
from history.envelope import Envelope
from history.plans import Plan, Wanted
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


@pytest.mark.parametrize("gone", ["amended", "cleared", "erased"])
@pytest.mark.parametrize("together", [True, False])
def test_an_address_that_somebody_gives_up_is_nobodys_for_what_comes_after_it(
    api: Api, gone: str, *, together: bool
) -> None:
    launch(api)
    store = api.groundswell
    api.run("supporters.register", supporter="anna", email="Anna@example.org")
    data: dict[str, Any] = {"supporter": "anna"}
    if gone != "erased":
        data |= {"email": "ann@example.org" if gone == "amended" else None}
    command = "supporters.erase" if gone == "erased" else "supporters.amend"
    giving_up = store.engine.catalogue.request(
        Envelope(id="gives-up", command=command, reason="r", data=data), Actor("staff", "mona")
    )
    batches: list[list[Wanted]] = (
        [[giving_up, wanted(store, "one")]] if together else [[giving_up], [wanted(store, "one")]]
    )
    answers = [answer for batch in batches for answer in store.engine.write(batch)]
    assert [answer.error for answer in answers] == [None, None]
    assert topics(api, 5) == ["supporters.Registered", "pledges.Made"]


def test_an_address_of_two_is_in_a_batch_whose_it_is_between_batches(api: Api) -> None:
    launch(api)
    store = api.groundswell
    first, second = sorted(("anna", "beth"), key=lambda reference: identify("supporter", reference))
    api.run("supporters.register", supporter=first, email="anna@example.org")
    registering = store.engine.catalogue.request(
        Envelope(id="second", command="supporters.register", data={"supporter": second, "email": "anna@example.org"}),
        Actor("staff", "mona"),
    )
    store.engine.write([registering, wanted(store, "one")])
    (made,) = (fact.event for fact in store.engine.log.facts(5))
    assert made.person == identify("supporter", first)


def test_a_plan_that_comes_again_is_answered_again_though_another_has_the_address_now(api: Api) -> None:
    launch(api)
    store = api.groundswell
    assert said(store.engine.write([wanted(store, "one")])) == [(None, [5])]
    api.run("supporters.register", supporter=str(UUID(int=0)), email="anna@example.org")
    assert said(store.engine.write([wanted(store, "one")])) == [(None, [6])]
    assert topics(api, 6) == []


def test_a_plan_that_is_refused_takes_nobodys_address_away(api: Api) -> None:
    launch(api)
    launch(api, "other")
    store = api.groundswell
    store.engine.write([wanted(store, "one")])
    reused = [replace(wanted(store, "one"), if_new=wanted(store, "one", campaign="other").if_new), wanted(store, "two")]
    assert said(store.engine.write(reused)) == [("command.id_reused", []), (None, [8])]
    assert topics(api, 8) == []
