from datetime import date

import pytest

from domain.kernel import identify
from projections.counts import counts
from projections.evidence import behind_partnership
from projections.partnerships import Partnerships
from projections.pledges import Pledges
from tests.support.store import START, Store

PIA, RUI = (identify("partnership", name) for name in ("pia", "rui"))


def begin(store: Store) -> None:
    for name in ("pia", "rui"):
        store.run("partnerships.propose", partnership=name, name=name, kind="influencer", audience=5_000_000_000)
        deliverables = [{"deliverable": "talk", "title": "A talk", "due_on": "2026-02-01"}]
        store.run("partnerships.agree", partnership=name, disclosure="none", deliverables=deliverables)
    store.run("partnerships.activate", partnership="pia", referral="Straße", at=START)
    store.run("campaigns.draft", campaign="c", title="C")
    store.run("campaigns.add_ask", campaign="c", ask="a", statement="I will", kind="once")
    store.run("campaigns.launch", campaign="c")
    for supporter in ("anna", "ben", "cleo"):
        store.run("supporters.register", supporter=supporter)


def pledge(store: Store, command: str, supporter: str, **more: str) -> None:
    store.run(f"pledges.{command}", campaign="c", ask="a", supporter=supporter, **more)


def counted(store: Store, *, together: bool) -> dict[str, dict[str, int]]:
    """Return the counts that are not 0; ``together`` leaves all to one batch."""
    if together:
        store.catch_up()
    else:
        store.runner.batch = 1
    with store.seen(Partnerships) as (partnerships, connection):
        rows = partnerships.all(connection)
        return {row.name: {state: n for state, n in counts(row).items() if n} for row in rows}


together = pytest.mark.parametrize("together", [True, False])


@together
def test_pledges_count_for_the_partner_whose_code_was_active_in_whatever_case(store: Store, *, together: bool) -> None:
    begin(store)
    pledge(store, "make", "anna", referral="STRASSE")
    pledge(store, "make", "ben", referral="somebody")
    pledge(store, "make", "cleo")
    pledge(store, "keep", "anna")
    pledge(store, "lapse", "ben")
    assert counted(store, together=together) == {"pia": {"made": 1, "kept": 1}, "rui": {}}


@together
def test_an_ended_partnership_keeps_its_pledges_and_gets_no_more(store: Store, *, together: bool) -> None:
    begin(store)
    pledge(store, "make", "anna", referral="Straße")
    store.run("partnerships.end", partnership="pia")
    pledge(store, "make", "ben", referral="Straße")
    store.run("partnerships.activate", partnership="rui", referral="strasse")
    pledge(store, "make", "cleo", referral="Straße")
    pledge(store, "withdraw", "anna")
    assert counted(store, together=together) == {"pia": {"made": 1, "withdrawn": 1}, "rui": {"made": 1, "active": 1}}


@together
def test_a_pledge_made_again_moves_only_by_another_active_code(store: Store, *, together: bool) -> None:
    begin(store)
    store.run("partnerships.activate", partnership="rui", referral="rui")
    for supporter, code in (("anna", "rui"), ("ben", "unknown"), ("cleo", "Straße")):
        pledge(store, "make", supporter, referral="Straße")
        pledge(store, "withdraw", supporter)
        pledge(store, "make", supporter, referral=code)
    found = counted(store, together=together)
    assert found == {"pia": {"made": 2, "active": 2}, "rui": {"made": 1, "active": 1}}
    with store.views() as views:
        asked = views.connection, views[Partnerships], views[Pledges], PIA
        assert [row.state for row in behind_partnership(*asked)] == ["active", "active"]
        (first,) = behind_partnership(*asked, limit=1)
        assert len(behind_partnership(*asked, after=first.id)) == 1


def test_a_partnership_shows_when_it_came_to_each_state(store: Store) -> None:
    begin(store)
    with store.seen(Partnerships) as (partnerships, connection):
        pia = partnerships.find(connection, PIA)
        assert pia is not None
        assert (pia.state, pia.referral, pia.activated_at, pia.audience) == ("active", "Straße", START, 5_000_000_000)
        assert [row.id for row in partnerships.all(connection, states=["agreed"])] == [RUI]
        assert partnerships.using(connection, "STRASSE") == PIA
    store.run("partnerships.end", partnership="pia", at=START)
    store.run("partnerships.decline", partnership="rui", at=START)
    with store.seen(Partnerships) as (partnerships, connection):
        found = partnerships.several(connection, [PIA, RUI])
        assert (found[PIA].state, found[PIA].ended_at, found[PIA].referral) == ("ended", START, "Straße")
        assert (found[RUI].state, found[RUI].declined_at) == ("declined", START)
        assert partnerships.using(connection, "STRASSE") is None


def test_a_deliverable_is_promised_handed_in_and_decided_on_perhaps_twice(store: Store) -> None:
    begin(store)
    talk = {"partnership": "pia", "deliverable": "talk"}

    def deliverable() -> tuple[object, ...]:
        with store.seen(Partnerships) as (partnerships, connection):
            (row,) = partnerships.deliverables_of(connection, [PIA])
        assert (row.title, row.due_on) == ("A talk", date(2026, 2, 1))
        return row.state, row.url, row.submitted_on, row.decided_on

    assert deliverable() == ("promised", None, None, None)
    store.run("partnerships.submit_deliverable", url="https://a.example", on="2026-01-20", **talk)
    assert deliverable() == ("submitted", "https://a.example", date(2026, 1, 20), None)
    store.run("partnerships.reject_deliverable", at=START, **talk)
    assert deliverable() == ("rejected", "https://a.example", date(2026, 1, 20), START.date())
    store.run("partnerships.submit_deliverable", url="https://b.example", on="2026-01-30", **talk)
    assert deliverable() == ("submitted", "https://b.example", date(2026, 1, 30), None)
    store.run("partnerships.accept_deliverable", on="2026-01-31", **talk)
    assert deliverable() == ("accepted", "https://b.example", date(2026, 1, 30), date(2026, 1, 31))
