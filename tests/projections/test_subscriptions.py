"""Whom the planner looks at next; and that mails move nothing else that people look at."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.kernel import identify
from projections.subscriptions import Subscriptions
from tests.support.mails import join
from tests.support.movement import live_contents
from tests.support.store import EVERY_KIND, START, Store

MONDAY = datetime(2026, 1, 12, 8, tzinfo=UTC)
"""The first Monday at eight after the first command."""


def next_at(store: Store, name: str = "anna") -> datetime | None:
    with store.seen(Subscriptions) as (model, connection):
        rows = model.due(connection, datetime.max.replace(tzinfo=UTC), limit=100)
        return next((row.next_at for row in rows if row.supporter == identify("supporter", name)), None)


def tell(store: Store, mail: str, **given: Any) -> None:  # noqa: ANN401
    outcome: dict[str, Any] = {
        "outcome": "accepted",
        "kind": "digest",
        "supporter": "anna",
        "period": "weekly:2026-W03",
    }
    store.run("mails.record", mail=mail, **outcome | {"at": MONDAY, "due_at": MONDAY.isoformat()} | given)


def test_each_event_moves_the_moment(store: Store) -> None:
    join(store, "anna")
    assert next_at(store) == MONDAY
    tell(store, "one")
    assert next_at(store) == MONDAY + timedelta(days=7)
    store.run("supporters.set_digest", supporter="anna", frequency="weekly", weekday=3, hour=20)
    assert next_at(store) == MONDAY + timedelta(days=9, hours=12)
    store.run("supporters.pause_digest", supporter="anna", until="2026-02-05")
    assert next_at(store) == datetime(2026, 2, 11, 20, tzinfo=UTC)
    store.run("supporters.amend", supporter="anna", time_zone="Europe/Lisbon", locale="pt")
    store.run("supporters.set_digest", supporter="anna", frequency="off")
    assert next_at(store) is None
    store.run("supporters.set_digest", supporter="anna", frequency="weekly", hour=8)
    store.run("supporters.suppress_mail", supporter="anna", cause="complaint")
    assert next_at(store) is None
    store.run("supporters.confirm_email", supporter="anna")
    assert next_at(store) is not None
    store.run("supporters.erase", supporter="anna", reason="She asked.")
    tell(store, "two", period="weekly:2026-W04", due_at=(MONDAY + timedelta(days=7)).isoformat())
    store.catch_up()
    assert live_contents(store, Subscriptions) == {"subscriptions": []}


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "confirm"},
        {"due_at": None},
        {"period": "weekly:2026-W40"},
        {"period": "nonsense"},
        {"supporter": "nobody"},
        {"period": "weekly:2026-W01", "due_at": "2025-12-29T08:00:00Z"},
    ],
)
def test_what_is_no_digest_of_hers_or_an_older_one_moves_nothing(store: Store, given: dict[str, Any]) -> None:
    join(store, "anna")
    tell(store, "one")
    before = next_at(store)
    tell(store, "two", **given)
    assert next_at(store) == before


def test_mails_move_nothing_that_people_look_at(database_url: str, tmp_path: Path) -> None:
    with Store(database_url, tmp_path, kinds=EVERY_KIND) as store:
        join(store, "anna")
        store.run("scoring.publish", version=1, points={"supporters.Registered": 3}, applies="to_all_history")
        store.catch_up()
        others = [kind for kind in EVERY_KIND if kind is not Subscriptions]
        before = {kind: live_contents(store, kind) for kind in others}
        for outcome in ("accepted", "deferred", "refused", "unknown", "suppressed", "bounced", "complained"):
            tell(store, outcome, outcome=outcome, at=START.isoformat())
        store.run("mails.halt", reason="Wrong list.")
        store.run("mails.resume")
        store.catch_up()
        assert {kind: live_contents(store, kind) for kind in others} == before
        assert store.refused("scoring.publish", version=2, points={"mails.Accepted": 1}, applies="from_now")
