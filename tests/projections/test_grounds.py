"""Every automatic award opens to the rule and the events that it was given for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.slices import Fact
from history.tables import events
from projections.grounds import Ground, ground
from projections.leaderboards import Leaderboards
from projections.recognitions import Recognitions
from tests.support.movement import wander
from tests.support.store import Store

LISTEN = {"campaign": "listening", "ask": "daily"}
RULES: dict[str, Any] = {"points": {}, "applies": "from_now"}
DAYS = [{"award": "days", "title": "Days", "when": {"streak": 2}}]


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    with Store(database_url, tmp_path, kinds=[Leaderboards, Recognitions]) as store:
        yield store


def grounds(store: Store) -> list[tuple[Any, Fact, Ground | None]]:
    """Every automatic award, its nomination, and what it was given for."""
    store.react()
    store.catch_up()
    with store.views() as views:
        rows = views[Recognitions].all(views.connection, limit=1_000)
        found = []
        for row in rows:
            if row.award is not None:
                (nomination,) = store.engine.log.facts(0, 1, events.c.stream_id == row.id, events.c.version == 1)
                given = ground(
                    store.engine.log, views.connection, views[Leaderboards], row.recipient, nomination, row.award
                )
                found.append((row, nomination, given))
        return found


def keep_a_streak(store: Store) -> None:
    """Two days in a row: what happens at random does not always hold that."""
    steady = {"campaign": "steady", "ask": "daily"}
    store.run("campaigns.draft", campaign="steady", title="Steady", at="2026-03-05T08:00:00Z")
    challenge: dict[str, Any] = {"statement": "Daily", "kind": "challenge", "days": 5}
    store.run("campaigns.add_ask", **steady, **challenge, at="2026-03-05T08:00:00Z")
    store.run("campaigns.launch", campaign="steady", at="2026-03-05T08:00:00Z")
    store.run("supporters.register", supporter="steady", at="2026-03-05T08:00:00Z")
    store.run("pledges.make", **steady, supporter="steady", at="2026-03-05T09:00:00Z")
    for day in ("2026-03-05", "2026-03-06"):
        store.run("pledges.check_in", **steady, supporter="steady", on=day, at=f"{day}T10:00:00Z")


def test_every_award_in_a_movement_has_its_ground(store: Store) -> None:
    wander(store, steps=1_500)
    keep_a_streak(store)
    more = [{"award": "days", "title": "Days", "when": {"streak": 2}},
            {"award": "letters", "title": "Letters", "when": {"verified_actions": 1}}]  # fmt: skip
    rules: dict[str, Any] = {"version": 2, "points": {}, "awards": more, "applies": "to_all_history"}
    store.run("scoring.publish", **rules, at="2026-03-09T00:00:00Z")
    found = grounds(store)
    topics = {"keeper": "pledges.Kept", "days": "pledges.CheckedIn", "letters": "actions.Verified"}
    assert {row.award for row, *_ in found} == topics.keys()
    for row, nomination, given in found:
        assert given is not None
        assert given.version == (1 if row.award == "keeper" else 2)
        assert (given.rule["award"], given.rule["title"]) == (row.award, row.title)
        assert {fact.topic for fact in given.events} == {topics[row.award]}
        assert {fact.event.person for fact in given.events} == {row.recipient}
        (least,) = given.rule["when"].values()
        assert len(given.events) >= least
        assert all(fact.position < nomination.position for fact in given.events)


def test_only_what_the_rule_counted_at_that_moment(store: Store) -> None:
    wander(store, steps=0)
    store.run("supporters.register", supporter="anna", at="2026-01-01T00:00:00Z")
    store.run("pledges.make", **LISTEN, supporter="anna", at="2026-01-01T12:00:00Z")
    store.run("pledges.check_in", **LISTEN, supporter="anna", on="2026-01-01", at="2026-01-01T13:00:00Z")
    published = store.run("scoring.publish", version=2, **RULES, awards=DAYS, at="2026-01-01T14:00:00Z")
    checked = [
        store.run("pledges.check_in", **LISTEN, supporter="anna", on=on, at=f"{on}T20:00:00Z").positions[0]
        for on in ("2026-01-02", "2026-01-03", "2026-01-04")
    ]
    ((_, _, given),) = grounds(store)
    assert given is not None
    assert given.rule["since"] == published.positions[0]
    assert [fact.position for fact in given.events] == checked[:2]
    store.run("pledges.withdraw", **LISTEN, supporter="anna", at="2026-01-05T20:00:00Z")
    ((row, _, again),) = grounds(store)
    assert row.state == "revoked"
    assert again == given
