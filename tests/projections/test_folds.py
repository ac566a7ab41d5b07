"""What holds for every read model, whatever happened and however it was delivered."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.pledges import Pledge
from domain.slices import Fact
from history.tables import events
from projections.campaigns import Campaigns
from projections.changes import Changes
from projections.counts import STATES, counts
from projections.projection import Projection
from projections.replay import scratch
from projections.views import AsOf
from tests.support.movement import Contents, contents, copied, live_contents
from tests.support.store import EVERY_KIND, KINDS, START, Store

each_kind = pytest.mark.parametrize("kind", EVERY_KIND, ids=lambda kind: kind.name)


@pytest.fixture(scope="module")
def facts(moved: Store) -> list[Fact]:
    return list(moved.engine.log.follow())


def batches(facts: Sequence[Fact], sizes: Sequence[int]) -> Iterator[Sequence[Fact]]:
    """Cut the facts into batches of these sizes, the last one again and again."""
    start = 0
    for size in chain(sizes, repeat(sizes[-1])):
        if start >= len(facts):
            return
        yield facts[start : start + size]
        start += size


def folded(kind: type[Projection], *, bulk: Iterable[Sequence[Fact]] = (), live: Iterable[Sequence[Fact]]) -> Contents:
    """Fold batches into new tables, the first of them in bulk, as a rebuild does before it goes on live."""
    engine, model = scratch(), kind(1)
    with engine.begin() as connection:
        model.create(connection)
        for batch in bulk:
            apply(model, batch, Changes(connection, bulk=True))
        model.derive(connection)
        model.settle(connection)
        for batch in live:
            apply(model, batch, Changes(connection))
        found = contents(connection, model)
    engine.dispose()
    return found


def apply(model: Projection, batch: Sequence[Fact], changes: Changes) -> None:
    model.apply(batch, changes)
    changes.flush()


@each_kind
@settings(max_examples=15)
@example(sizes=[1])
@example(sizes=[2])
@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=30))
def test_any_split_into_batches_gives_the_same_tables(
    moved: Store, facts: list[Fact], kind: type[Projection], sizes: list[int]
) -> None:
    assert folded(kind, live=batches(facts, sizes)) == live_contents(moved, kind)


@each_kind
@settings(max_examples=10)
@example(sizes=[400], part=100)
@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=10), part=st.integers(1, 100))
def test_a_bulk_fold_that_goes_on_live_gives_the_same_tables(
    moved: Store, facts: list[Fact], kind: type[Projection], sizes: list[int], part: int
) -> None:
    """In bulk up to some percent of the history, in any batches, and live from there on."""
    cut = len(facts) * part // 100
    both = folded(kind, bulk=batches(facts[:cut], sizes), live=batches(facts[cut:], sizes))
    assert both == live_contents(moved, kind)


@each_kind
def test_both_databases_hold_the_same(
    moved: Store, kind: type[Projection], new_database: object, tmp_path: Path
) -> None:
    assert callable(new_database)
    with copied(moved, new_database(), tmp_path) as copy:
        copy.catch_up()
        assert live_contents(copy, kind) == live_contents(moved, kind)


@given(position=st.integers(1, 800))
@settings(max_examples=5)
def test_as_of_a_position_is_what_a_store_holds_that_was_given_no_more(
    moved: Store, tmp_path_factory: pytest.TempPathFactory, position: int
) -> None:
    folder = tmp_path_factory.mktemp("copy")
    with copied(moved, f"sqlite:///{folder / 'g.sqlite3'}", folder, events.c.position <= position) as copy:
        copy.catch_up()
        with moved.views(AsOf(position=position)) as views:
            for kind in EVERY_KIND:
                assert contents(views.connection, views[kind]) == live_contents(copy, kind)


def test_as_of_a_time_is_what_a_store_holds_that_was_given_only_what_had_happened(moved: Store, tmp_path: Path) -> None:
    by = START.replace(month=3)
    with copied(moved, f"sqlite:///{tmp_path / 'g.sqlite3'}", tmp_path, events.c.occurred_at <= by) as copy:
        copy.catch_up()
        with moved.views(AsOf(occurred_by=by)) as views:
            for kind in EVERY_KIND:
                assert contents(views.connection, views[kind]) == live_contents(copy, kind)


def test_counts_are_those_of_the_rows_they_count(moved: Store) -> None:
    tables: Contents = {name: rows for kind in KINDS for name, rows in live_contents(moved, kind).items()}
    states = ("active", "kept", "lapsed", "withdrawn")

    by_campaign = Counter((row["campaign"], row["state"]) for row in tables["pledges"])
    assert {
        (row["id"], state): row[state] for row in tables["campaigns"] for state in states if row[state]
    } == by_campaign
    by_supporter = Counter((row["supporter"], row["state"]) for row in tables["pledges"])
    assert {(row["id"], s): row[s] for row in tables["supporters"] for s in states if row[s]} == by_supporter
    by_partner = Counter((row["partnership"], row["state"]) for row in tables["attributed_pledges"])
    assert {(row["id"], s): row[s] for row in tables["partnerships"] for s in states if row[s]} == by_partner
    state_of = {row["id"]: row["state"] for row in tables["pledges"]}
    assert all(state_of[row["pledge"]] == row["state"] for row in tables["attributed_pledges"])

    members = Counter(row["chapter"] for row in tables["memberships"])
    assert {row["id"]: row["members"] for row in tables["chapters"] if row["members"]} == members
    pairs = {(row["supporter"], row["chapter"]) for row in tables["memberships"]}
    assert {(row["supporter"], row["chapter"]) for row in tables["supporter_chapters"]} == pairs
    check_ins = Counter(row["pledge"] for row in tables["check_ins"])
    assert {row["id"]: row["check_ins"] for row in tables["pledges"] if row["check_ins"]} == check_ins
    endorsed = Counter(row["recognition"] for row in tables["endorsements"])
    assert {row["id"]: row["endorsements"] for row in tables["recognitions"] if row["endorsements"]} == endorsed

    found = ("logged", "verified", "rejected", "retracted")
    by_kind = Counter((row["policy"], row["kind"], row["state"]) for row in tables["actions"])
    kinds = tables["policy_actions_by_kind"]
    assert {(row["policy"], row["kind"], s): row[s] for row in kinds for s in found if row[s]} == by_kind


def test_made_is_active_kept_lapsed_and_withdrawn_of_every_ask_at_every_position(facts: list[Fact]) -> None:
    """The five counts against a list of all pledges, one event after the other."""
    engine, model = scratch(), Campaigns(1)
    states: dict[tuple[UUID, str], dict[UUID, str]] = defaultdict(dict)
    with engine.begin() as connection:
        model.create(connection)
        for fact in facts:
            apply(model, [fact], Changes(connection))
            match fact.event:
                case Pledge.Made() | Pledge.Renewed():
                    states[fact.event.campaign, fact.event.ask][fact.stream] = "active"
                case Pledge.Kept() | Pledge.Lapsed() | Pledge.Withdrawn():
                    states[fact.event.campaign, fact.event.ask][fact.stream] = fact.topic.partition(".")[2].lower()
                case _:
                    continue
            key = fact.event.campaign, fact.event.ask
            (row,) = (row for row in model.asks_of(connection, [fact.event.campaign]) if row.ask == fact.event.ask)
            found = counts(row)
            assert found == {"made": len(states[key]), **dict.fromkeys(STATES, 0), **Counter(states[key].values())}
            assert found["made"] == found["active"] + found["kept"] + found["lapsed"] + found["withdrawn"]
            total = counts(model.find(connection, fact.event.campaign))
            assert total["made"] == sum(len(of) for (campaign, _), of in states.items() if campaign == key[0])
    engine.dispose()
    assert len(states) == 4
    assert {state for of in states.values() for state in of.values()} == set(STATES)


def test_nothing_personal_is_kept_in_the_clear(moved: Store) -> None:
    said = str([live_contents(moved, kind) for kind in EVERY_KIND])
    for personal in ("Anna", "@example.org", "For my son", "They listened"):
        assert personal not in said
