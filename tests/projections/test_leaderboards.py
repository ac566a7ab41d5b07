import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.kernel import identify
from domain.slices import Fact
from projections.boards import Board, Scope, Standing, Window, window_end, window_start
from projections.changes import Changes
from projections.leaderboards import Leaderboards
from projections.pages import Pages
from projections.rebuild import compare, rebuild
from projections.replay import scratch
from projections.retaining import complete
from projections.views import AsOf
from tests.projections.scores import boards, scores
from tests.support.store import Store

MOVEMENT = Board(Scope.MOVEMENT)
LISTEN = {"campaign": "listen", "ask": "daily"}
PEOPLE = ("anna", "ben", "eve", "zoe")


def supporter(name: str) -> UUID:
    return identify("supporter", name)


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    with Store(database_url, tmp_path, kinds=[Leaderboards], batch=5) as store:
        begin(store)
        yield store


def begin(store: Store) -> None:
    store.run("chapters.found", chapter="lisbon", name="Lisbon")
    store.run("chapters.found", chapter="porto", name="Porto")
    for campaign in ("listen", "talk"):
        store.run("campaigns.draft", campaign=campaign, title=campaign)
        store.run("campaigns.add_ask", campaign=campaign, ask="once", statement="Once", kind="once")
        store.run(
            "campaigns.add_ask",
            campaign=campaign,
            ask="daily",
            statement="Daily",
            kind="challenge",
            days=21,
            backdating_days=30,
        )
        store.run("campaigns.launch", campaign=campaign)
    store.run("policies.track", policy="bill", title="Bill", kind="bill")
    for name in ("radio", "paper"):
        store.run("partnerships.propose", partnership=name, name=name, kind="media")
        store.run("partnerships.agree", partnership=name, disclosure="nothing")
    for name in PEOPLE:
        store.run("supporters.register", supporter=name)


def points(
    store: Store, board: Board = MOVEMENT, window: Window = Window.ALL, on: date | None = None
) -> dict[str, float]:
    store.catch_up()
    names = {supporter(name): name for name in PEOPLE}
    names |= {identify("chapter", name): name for name in ("lisbon", "porto")}
    names |= {identify("partnership", name): name for name in ("radio", "paper")}
    board = Board(board.scope, board.scope_id, window, on)
    with store.views() as views:
        return {names[each.id]: each.points for each in views[Leaderboards].top(views.connection, board)}


def test_points_by_the_rules_that_hold_until_others_are_published(store: Store) -> None:
    store.run("pledges.make", **LISTEN, supporter="anna")
    store.run("pledges.check_in", **LISTEN, supporter="anna", on="2026-01-05")
    store.run("pledges.keep", **LISTEN, supporter="anna")
    store.run("actions.log", action="call", policy="bill", supporter="ben", kind="call", on="2026-01-05")
    assert points(store) == {"anna": 13}
    store.run("actions.verify", action="call")
    store.run("recognitions.nominate", recognition="r", title="Star", recipient={"kind": "supporter", "id": "eve"})
    store.run("recognitions.award", recognition="r")
    assert points(store) == {"anna": 13, "ben": 10, "eve": 20}
    assert points(store, Board(Scope.CAMPAIGN, identify("campaign", "listen"))) == {"anna": 13}
    assert points(store, Board(Scope.CAMPAIGN, identify("campaign", "talk"))) == {}


def test_what_is_taken_back_takes_back_all_it_gave_and_what_lapses_keeps_it(store: Store) -> None:
    for name in ("anna", "ben"):
        store.run("pledges.make", **LISTEN, supporter=name)
        store.run("pledges.check_in", **LISTEN, supporter=name, on="2026-01-05")
    store.run("pledges.lapse", **LISTEN, supporter="anna")
    store.run("pledges.withdraw", **LISTEN, supporter="ben")
    store.run("actions.log", action="call", policy="bill", supporter="eve", kind="call", on="2026-01-05")
    store.run("actions.verify", action="call")
    store.run("actions.reject", action="call", reason="never happened")
    store.run("recognitions.nominate", recognition="r", title="Star", recipient={"kind": "supporter", "id": "zoe"})
    store.run("recognitions.award", recognition="r")
    store.run("recognitions.revoke", recognition="r", reason="a mistake")
    assert points(store) == {"anna": 3}
    store.run("actions.verify", action="call")
    assert points(store) == {"anna": 3, "eve": 10}
    store.run("pledges.make", **LISTEN, supporter="anna")
    assert points(store) == {"anna": 4, "eve": 10}
    store.run("pledges.withdraw", **LISTEN, supporter="anna")
    assert points(store) == {"eve": 10}


def test_what_is_taken_back_leaves_the_week_in_which_it_was_given(store: Store) -> None:
    store.run("pledges.make", **LISTEN, supporter="anna", at="2026-01-05T12:00:00Z")
    store.run("pledges.make", campaign="talk", ask="once", supporter="anna", at="2026-01-14T12:00:00Z")
    store.run("pledges.withdraw", **LISTEN, supporter="anna", at="2026-01-15T12:00:00Z")
    assert points(store, window=Window.WEEK, on=date(2026, 1, 11)) == {}
    assert points(store, window=Window.WEEK, on=date(2026, 1, 18)) == {"anna": 1}


def test_a_daily_cap_counts_the_supporters_own_day(store: Store) -> None:
    store.run("supporters.amend", supporter="ben", time_zone="Pacific/Auckland")
    rules = {"pledges.Made": 3, "pledges.CheckedIn": 2.5}
    store.run("scoring.publish", version=1, points=rules, daily_cap=5, applies="from_now")
    for name in ("anna", "ben"):
        store.run("pledges.make", **LISTEN, supporter=name, at="2026-01-05T10:30:00Z")
        store.run("pledges.check_in", **LISTEN, supporter=name, on="2026-01-05", at="2026-01-05T11:30:00Z")
    assert points(store) == {"anna": 5, "ben": 5.5}
    store.run("pledges.withdraw", **LISTEN, supporter="anna", at="2026-01-05T12:00:00Z")
    store.run("pledges.make", campaign="talk", ask="once", supporter="anna", at="2026-01-05T13:00:00Z")
    assert points(store) == {"anna": 3, "ben": 5.5}


def test_new_rules_from_now_on_or_for_all_history(store: Store) -> None:
    store.run("pledges.make", **LISTEN, supporter="anna")
    store.run("scoring.publish", version=1, points={"pledges.Made": 5}, applies="from_now")
    store.run("pledges.make", **LISTEN, supporter="ben")
    assert points(store) == {"anna": 1, "ben": 5}
    store.run("scoring.publish", version=2, points={"supporters.Registered": 0.5}, applies="to_all_history")
    assert points(store) == dict.fromkeys(PEOPLE, 0.5)
    with store.views() as views:
        rules = views[Leaderboards].rules_in_force(views.connection)
        explained = views[Leaderboards].entry(views.connection, MOVEMENT, supporter("anna"))
    assert rules.version == 2
    assert explained is not None
    assert (explained.rank, explained.points) == (1, 0.5)
    ((entry),) = explained.entries
    assert (entry.topic, entry.points, entry.rules_version) == ("supporters.Registered", 0.5, 2)
    assert entry.since == store.head > entry.position


def test_every_score_opens_to_the_events_that_gave_and_took(store: Store) -> None:
    made = store.run("pledges.make", **LISTEN, supporter="anna").positions
    store.run("pledges.make", campaign="talk", ask="once", supporter="anna")
    withdrawn = store.run("pledges.withdraw", **LISTEN, supporter="anna").positions
    store.catch_up()
    with store.views() as views:
        explained = views[Leaderboards].entry(views.connection, MOVEMENT, supporter("anna"))
        board = Board(Scope.CAMPAIGN, identify("campaign", "listen"))
        nothing_left = views[Leaderboards].entry(views.connection, board, supporter("anna"))
        never = views[Leaderboards].entry(views.connection, MOVEMENT, supporter("ben"))
    assert explained is not None
    told = [(entry.position, entry.topic, entry.points, entry.rules_version, entry.of) for entry in explained.entries]
    assert told == [
        (made[0], "pledges.Made", 1, 0, None),
        (made[0] + 1, "pledges.Made", 1, 0, None),
        (withdrawn[0], "pledges.Withdrawn", -1, 0, made[0]),
    ]
    assert nothing_left is not None
    assert (nothing_left.rank, nothing_left.points, len(nothing_left.entries)) == (None, 0, 2)
    assert never is None


def test_equal_points_share_a_rank_on_every_page(store: Store) -> None:
    for name in ("anna", "ben", "eve", "zoe"):
        store.run("pledges.make", **LISTEN, supporter=name)
    store.run("pledges.keep", **LISTEN, supporter="anna")
    store.run("pledges.check_in", **LISTEN, supporter="ben", on="2026-01-05")
    store.run("pledges.check_in", **LISTEN, supporter="eve", on="2026-01-05")
    store.catch_up()
    with store.views() as views:
        model = views[Leaderboards]
        top = model.top(views.connection, MOVEMENT)
        assert [each.rank for each in top] == [1, 2, 2, 4]
        pages: list[Standing] = []
        while page := model.top(views.connection, MOVEMENT, limit=1, after=pages[-1].id if pages else None):
            pages += page
        assert pages == top
        assert [model.standing(views.connection, MOVEMENT, each.id) for each in top] == top
        assert model.size(views.connection, MOVEMENT) == 4


def test_chapters_get_the_points_of_those_who_were_members_then(store: Store) -> None:
    store.run("pledges.make", **LISTEN, supporter="anna")
    store.run("supporters.join_chapter", supporter="anna", chapter="lisbon")
    store.run("pledges.check_in", **LISTEN, supporter="anna", on="2026-01-05")
    store.run("supporters.amend", supporter="anna", chapter="porto")
    store.run("pledges.keep", **LISTEN, supporter="anna")
    assert points(store, Board(Scope.CHAPTERS)) == {"porto": 10, "lisbon": 2}
    assert points(store, Board(Scope.CHAPTER, identify("chapter", "lisbon"))) == {"anna": 2}
    store.run("pledges.make", campaign="talk", ask="once", supporter="anna")
    assert points(store, Board(Scope.CHAPTERS)) == {"porto": 11, "lisbon": 2}


def test_partnerships_get_the_points_of_pledges_that_came_by_their_code(store: Store) -> None:
    store.run("partnerships.activate", partnership="radio", referral="WAVE")
    store.run("pledges.make", **LISTEN, supporter="anna", referral="wave")
    store.run("partnerships.end", partnership="radio")
    store.run("partnerships.activate", partnership="paper", referral="Wave")
    store.run("pledges.check_in", **LISTEN, supporter="anna", on="2026-01-05")
    store.run("pledges.make", **LISTEN, supporter="ben", referral="wave")
    assert points(store, Board(Scope.PARTNERSHIPS)) == {"radio": 3, "paper": 1}
    with store.views() as views:
        board = Board(Scope.PARTNERSHIPS)
        explained = views[Leaderboards].entry(views.connection, board, identify("partnership", "radio"))
    assert explained is not None
    assert [entry.supporter for entry in explained.entries] == [supporter("anna")] * 2


def test_the_erased_keep_their_points(store: Store) -> None:
    store.run("pledges.make", **LISTEN, supporter="anna")
    store.run("supporters.erase", supporter="anna", reason="asked")
    assert points(store) == {"anna": 1}


def test_the_erased_are_members_of_no_chapter_any_more(store: Store) -> None:
    store.run("supporters.join_chapter", supporter="anna", chapter="lisbon")
    store.run("pledges.make", **LISTEN, supporter="anna")
    store.run("supporters.erase", supporter="anna", reason="asked")
    store.run("pledges.keep", **LISTEN, supporter="anna")
    assert points(store) == {"anna": 11}
    lisbon = identify("chapter", "lisbon")
    assert points(store, Board(Scope.CHAPTER, lisbon)) == {"anna": 1}
    store.run("pledges.make", **LISTEN | {"campaign": "talk"}, supporter="ben")
    assert compare(store.runner, [Leaderboards]) == []


def test_boards_as_they_were(store: Store) -> None:
    store.run("pledges.make", **LISTEN, supporter="anna")
    before = store.head
    store.run("pledges.withdraw", **LISTEN, supporter="anna")
    store.run("scoring.publish", version=1, points={"pledges.Withdrawn": 7}, applies="to_all_history")
    assert points(store) == {"anna": 7}
    with store.views(AsOf(position=before)) as views:
        (then,) = views[Leaderboards].top(views.connection, MOVEMENT)
        assert (then.id, then.points) == (supporter("anna"), 1)


@pytest.mark.parametrize(
    ("window", "day", "start", "end"),
    [
        (Window.WEEK, date(2026, 1, 4), date(2025, 12, 29), date(2026, 1, 4)),
        (Window.MONTH, date(2024, 2, 29), date(2024, 2, 1), date(2024, 2, 29)),
        (Window.MONTH, date(2026, 12, 31), date(2026, 12, 1), date(2026, 12, 31)),
        (Window.ALL, date(2026, 1, 1), date.min, date.max),
    ],
)
def test_windows(window: Window, day: date, start: date, end: date) -> None:
    assert window_start(window, day) == start
    assert window_end(window, start) == end


# --- any history, against the slow and obvious count ---

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


def test_rebuilding_gives_the_same_boards(store: Store) -> None:
    store.run("pledges.make", **LISTEN, supporter="anna")
    store.run("scoring.publish", version=1, points={"pledges.Made": 2}, daily_cap=9, applies="to_all_history")
    store.run("pledges.make", **LISTEN, supporter="ben")
    before = points(store)
    rebuild(store.runner, [Leaderboards])
    assert points(store) == before == {"anna": 2, "ben": 2}
    assert compare(store.runner, [Leaderboards]) == []
