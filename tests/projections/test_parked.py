from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Column, Text, Uuid

from domain.campaigns import Campaign
from domain.kernel import Unknown
from domain.slices import Fact
from projections.changes import Changes
from projections.parked import discard, parked, retry
from projections.projection import Projection, on
from tests.support.store import Store

unpalatable = {"Frost"}


class Titles(Projection, name="titles"):
    """Titles of campaigns, as a fold that chokes on some of them."""

    def define(self) -> None:
        """One row per campaign."""
        self.titles = self.table("titles", Column("id", Uuid, primary_key=True), Column("title", Text))

    @on(Campaign.Drafted)
    def drafted(self, fact: Fact, event: Campaign.Drafted, changes: Changes) -> None:
        """Note a title."""
        if event.title in unpalatable:
            msg = f"cannot take {event.title}"
            raise ValueError(msg)
        changes.connection.execute(self.titles.insert().values(id=fact.stream, title=event.title))

    @on(Campaign.Amended)
    def amended(self, fact: Fact, event: Campaign.Amended, changes: Changes) -> None:
        """Note a new title."""
        mine = self.titles.c.id == fact.stream
        changes.connection.execute(self.titles.update().where(mine).values(title=event.title))


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    unpalatable.add("Frost")
    with Store(database_url, tmp_path, kinds=[Titles]) as store:
        store.run("campaigns.draft", campaign="a", title="Spring")
        store.run("campaigns.draft", campaign="b", title="Frost")
        store.run("campaigns.amend", campaign="b", title="Thaw")
        store.run("campaigns.draft", campaign="c", title="Summer")
        store.catch_up()
        yield store


def titles(store: Store) -> list[Any]:
    with store.views() as views:
        table = views[Titles].titles
        return sorted(views.connection.scalars(sa.select(table.c.title)))


def test_what_failed_and_what_follows_it_is_listed(store: Store) -> None:
    assert [(one.projection, one.position, one.topic) for one in parked(store.runner)] == [
        ("titles", 2, "campaigns.Drafted"),
        ("titles", 3, "campaigns.Amended"),
    ]
    assert titles(store) == ["Spring", "Summer"]


def test_a_retry_that_fails_again_leaves_all_parked(store: Store) -> None:
    done = retry(store.runner, Titles)
    assert (done.applied, done.waiting) == (0, 2)
    assert [one.position for one in parked(store.runner)] == [2, 3]


def test_a_retry_applies_in_order_and_the_stream_goes_on(store: Store) -> None:
    unpalatable.clear()
    seen: list[int] = []
    done = retry(store.runner, Titles, seen.append)
    assert (done.applied, done.waiting, seen) == (2, 0, [1, 2])
    assert parked(store.runner) == []
    assert titles(store) == ["Spring", "Summer", "Thaw"]
    store.run("campaigns.amend", campaign="b", title="Flood")
    store.catch_up()
    assert titles(store) == ["Flood", "Spring", "Summer"]


def test_what_is_discarded_is_given_up(store: Store) -> None:
    with pytest.raises(Unknown, match="position 9"):
        discard(store.runner, Titles, [9])
    assert discard(store.runner, Titles, [2]) == 1
    assert [one.position for one in parked(store.runner, ["titles"])] == [3]
    assert discard(store.runner, Titles) == 1
    assert parked(store.runner) == []
    assert titles(store) == ["Spring", "Summer"]
