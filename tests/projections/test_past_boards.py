"""Boards of any history and as of any position, against the slow and obvious count."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.slices import Fact
from projections.boards import Board, Scope, Standing, Window
from projections.changes import Changes
from projections.leaderboards import Leaderboards
from projections.pages import Pages
from projections.rebuild import compare, rebuild
from projections.replay import scratch
from projections.retaining import complete
from projections.views import AsOf
from tests.projections.listening import LISTEN, MOVEMENT, PEOPLE, begin, supporter
from tests.projections.scores import boards, scores
from tests.support.store import Store


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    with Store(database_url, tmp_path, kinds=[Leaderboards], batch=5) as store:
        begin(store)
        yield store


NAMES = st.sampled_from(PEOPLE)
HOURS = st.integers(-40, 90)
PROMISES = st.fixed_dictionaries(
    {"campaign": st.sampled_from(("listen", "talk")), "ask": st.sampled_from(("once", "daily")), "supporter": NAMES}
)
SCORED = (
    *("supporters.Registered", "supporters.ChapterJoined", "pledges.Made", "pledges.Renewed", "pledges.CheckedIn"),
    *("pledges.Kept", "pledges.Lapsed", "pledges.Withdrawn", "actions.Logged", "actions.Verified", "actions.Rejected"),
    *("recognitions.Nominated", "recognitions.Awarded"),
)
RULES = st.fixed_dictionaries(
    {
        "points": st.dictionaries(st.sampled_from(SCORED), st.sampled_from((0.25, 1, 2, 5, -1.5)), min_size=3),
        "daily_cap": st.sampled_from((None, 0, 2, 3.5, 6)),
        "applies": st.sampled_from(("from_now", "to_all_history")),
    }
)
THINGS = st.integers(0, 3).map(str)
CODES = st.sampled_from((None, "wave", "WAVE", "ink"))
ZONES = st.sampled_from((None, "Pacific/Auckland", "America/Los_Angeles"))


def command(name: str, **data: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.tuples(st.just(name), st.fixed_dictionaries(data))


def promise(name: str, **more: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.tuples(st.just(name), st.builds(lambda one, other: one | other, PROMISES, st.fixed_dictionaries(more)))


COMMANDS = st.one_of(
    promise("pledges.make", referral=CODES),
    promise("pledges.make", referral=CODES),
    promise("pledges.check_in", days_ago=st.integers(0, 3)),
    promise("pledges.check_in", days_ago=st.integers(0, 3)),
    promise("pledges.keep"),
    promise("pledges.lapse"),
    promise("pledges.withdraw"),
    promise("pledges.withdraw"),
    command("actions.log", action=THINGS, supporter=NAMES),
    command("actions.verify", action=THINGS),
    command("actions.verify", action=THINGS),
    command("actions.reject", action=THINGS),
    command("actions.retract", action=THINGS),
    command("recognitions.nominate", recognition=THINGS, recipient=NAMES),
    command("recognitions.award", recognition=THINGS),
    command("recognitions.revoke", recognition=THINGS),
    command("supporters.join_chapter", supporter=NAMES, chapter=st.sampled_from(("lisbon", "porto"))),
    command("supporters.leave_chapter", supporter=NAMES, chapter=st.sampled_from(("lisbon", "porto"))),
    command("supporters.amend", supporter=NAMES, time_zone=ZONES),
    command("partnerships.activate", partnership=st.sampled_from(("radio", "paper")), referral=CODES.filter(bool)),
    command("partnerships.end", partnership=st.sampled_from(("radio", "paper"))),
    st.tuples(st.just("scoring.publish"), RULES),
)


def completed(name: str, data: dict[str, Any], at: datetime, versions: Iterator[int]) -> dict[str, Any]:
    """Fill in what follows from the time or is always the same."""
    match name:
        case "pledges.check_in":
            return {
                **{k: v for k, v in data.items() if k != "days_ago"},
                "on": str(at.date() - timedelta(data["days_ago"])),
            }
        case "actions.log":
            return data | {"policy": "bill", "kind": "call", "on": str(at.date() - timedelta(1))}
        case "recognitions.nominate":
            return data | {"title": "Star", "recipient": {"kind": "supporter", "id": data["recipient"]}}
        case "scoring.publish":
            return data | {"version": next(versions)}
        case _:
            return data


def play(store: Store, commands: list[tuple[tuple[str, dict[str, Any]], int]]) -> None:
    at, versions = datetime(2026, 1, 9, 12, tzinfo=UTC), iter(range(1, 1_000))
    requests = []
    for (name, data), hours in commands:
        at += timedelta(hours=hours)
        requests.append(store.request(name, completed(name, data, at, versions), at=at, reason="why not"))
    store.engine.write(requests)


HISTORIES = (
    st.lists(st.tuples(COMMANDS, HOURS), min_size=8, max_size=60),
    st.integers(1, 40),
    st.integers(0, 100),
    st.integers(1, 4),
    st.integers(1, 9),
)
"""Commands, the size of batches, how far back to look (percent), the length of pages and the entries between two."""


@contextmanager
def played(commands: list[Any], batch: int, kept: int, every: int) -> Iterator[Store]:
    with (
        patch.multiple(Pages, KEPT=kept, EVERY=every),
        tempfile.TemporaryDirectory() as folder,
        Store(f"sqlite:///{folder}/store.sqlite3", Path(folder), kinds=[Leaderboards], batch=batch) as store,
    ):
        begin(store)
        half = len(commands) // 2
        play(store, commands[:half])
        store.catch_up()
        play(store, commands[half:])
        store.catch_up()
        yield store


@settings(max_examples=40)
@given(*HISTORIES)
def test_any_history_in_any_batches(commands: list[Any], batch: int, percent: int, kept: int, every: int) -> None:
    with played(commands, batch, kept, every) as store:
        assert compare(store.runner, [Leaderboards]) == []
        agree(store, AsOf())
        by = store.head * percent // 100
        agree(store, AsOf(position=by))
        agree(store, AsOf(), by)


@settings(max_examples=20)
@given(*HISTORIES)
def test_any_history_folded_in_bulk(commands: list[Any], batch: int, percent: int, kept: int, every: int) -> None:
    with played(commands, batch, kept, every) as store:
        rebuild(store.runner, [Leaderboards])
        by = store.head * percent // 100
        agree(store, AsOf(), by)
        walked(store)
        agree(store, AsOf(), by)


def walked(store: Store) -> list[int]:
    """Make the pages that a fold in bulk leaves out; there is nothing left to make then."""
    with store.views() as views:
        model = views[Leaderboards]
    reached = list(complete(store.engine.database, model))
    assert list(complete(store.engine.database, model)) == []
    return reached


def agree(store: Store, as_of: AsOf, by: int | None = None) -> None:
    """All boards are those of the slow count, and every standing is the sum of its entries, with its rank."""
    last = as_of.position if by is None else by
    facts = [f for f in store.engine.log.follow() if last is None or f.position <= last]
    wanted = boards(scores(facts))
    with store.views(as_of) as views:
        model = views[Leaderboards]
        for (scope, scope_id, window, start), expected in wanted.items():
            board = Board(Scope(scope), UUID(scope_id) if scope_id else None, Window(window), start)
            top = model.top(views.connection, board, limit=1_000, by=by)
            assert model.top(views.connection, board, limit=2, by=by) == top[:2]
            assert model.size(views.connection, board, by) == len(top)
            assert {each.id: round(each.points * 100) for each in top} == expected
            for each in top:
                assert each.rank == 1 + sum(points > expected[each.id] for points in expected.values())
                explained = model.entry(views.connection, board, each.id, by)
                assert explained is not None
                assert (explained.rank, explained.points) == (each.rank, each.points)
                assert sum(entry.points for entry in explained.entries) == each.points


def test_the_past_of_a_large_board_is_found_from_its_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pages, "EVERY", 4)
    monkeypatch.setattr(Pages, "KEPT", 2)
    for day in range(5, 13):
        for name in PEOPLE:
            if day == 5:
                store.run("pledges.make", **LISTEN, supporter=name, at="2026-01-05T12:00:00Z")
            store.run(
                "pledges.check_in", **LISTEN, supporter=name, on=f"2026-01-{day:02}", at=f"2026-01-{day:02}T13:00:00Z"
            )
    store.catch_up()
    rebuild(store.runner, [Leaderboards])
    with store.views() as views:
        model = views[Leaderboards]
        assert views.connection.scalar(sa.select(sa.func.count()).select_from(model.pages.table)) == 0
        tops = [model.top(views.connection, MOVEMENT, limit=1, by=by) for by in range(store.head + 1)]
    assert walked(store)
    with store.views() as views:
        page = model.pages.newest(views.connection, MOVEMENT.id, 0, store.head)
        assert page is not None
        assert len(page.standings) == 2
        assert sum(number for _, number in page.counts) == len(PEOPLE)
        assert [model.top(views.connection, MOVEMENT, limit=1, by=by) for by in range(store.head + 1)] == tops
        positions = views.connection.scalars(sa.select(model.pages.table.c.position))
        assert len({each for each in positions if each > 0}) >= len(PEOPLE) * 8 // 4


@pytest.mark.parametrize("applies", ["from_now", "to_all_history"])
def test_an_event_that_was_parked_counts_in_the_past_as_well(
    store: Store, monkeypatch: pytest.MonkeyPatch, applies: str
) -> None:
    monkeypatch.setattr(Pages, "EVERY", 2)
    for name in PEOPLE:
        store.run("pledges.make", **LISTEN, supporter=name)
    store.run("scoring.publish", version=1, points={"pledges.Made": 2, "pledges.Kept": 5}, applies=applies)
    for name in PEOPLE:
        store.run("pledges.keep", **LISTEN, supporter=name)
    facts = list(store.engine.log.follow())
    parked = next(fact for fact in facts if fact.topic == "pledges.Made" and fact.event.person == supporter("ben"))
    since = max(fact.position for fact in facts if fact.topic == "scoring.Published")

    def boards_after(order: list[Fact]) -> list[list[Standing]]:
        engine, model = scratch(), Leaderboards(1)
        with engine.begin() as connection:
            model.create(connection)
            for fact in order:
                changes = Changes(connection)
                model.apply([fact], changes)
                changes.flush()
            start = since if applies == "to_all_history" else 0
            found = [model.top(connection, MOVEMENT, by=by) for by in range(start, store.head + 1)]
            assert found[-1] == model.top(connection, MOVEMENT)
            assert len(found[-1]) == len(PEOPLE)
        engine.dispose()
        return found

    assert boards_after([*(fact for fact in facts if fact is not parked), parked]) == boards_after(facts)
