from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from domain.kernel import identify
from projections.boards import Board, Scope, Standing, Window, window_end, window_start
from projections.leaderboards import Leaderboards
from projections.rebuild import compare, rebuild
from projections.views import AsOf
from tests.projections.listening import LISTEN, MOVEMENT, PEOPLE, begin, supporter
from tests.support.store import Store


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    with Store(database_url, tmp_path, kinds=[Leaderboards], batch=5) as store:
        begin(store)
        yield store


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


def test_many_stand_where_each_of_them_does(store: Store) -> None:
    for name in ("anna", "ben", "eve"):
        store.run("pledges.make", **LISTEN, supporter=name)
    store.run("pledges.keep", **LISTEN, supporter="ben")
    before = store.head
    store.run("pledges.withdraw", **LISTEN, supporter="eve")
    store.run("pledges.make", campaign="talk", ask="once", supporter="zoe")
    store.catch_up()
    everybody = [supporter(name) for name in PEOPLE]
    with store.views() as views:
        model, connection = views[Leaderboards], views.connection
        found = model.standings(connection, MOVEMENT, everybody)
        assert found == {
            key: standing for key in everybody if (standing := model.standing(connection, MOVEMENT, key)) is not None
        }
        assert sorted(each.rank for each in found.values()) == [1, 2, 2]
        assert model.standings(connection, MOVEMENT, [supporter("eve")]) == {}
        scored = [(row.supporter, row.event) for row in model.scored_by(connection, everybody, before)]
    assert scored == [(supporter("eve"), before + 1), (supporter("zoe"), before + 2)]


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


def test_rebuilding_gives_the_same_boards(store: Store) -> None:
    store.run("pledges.make", **LISTEN, supporter="anna")
    store.run("scoring.publish", version=1, points={"pledges.Made": 2}, daily_cap=9, applies="to_all_history")
    store.run("pledges.make", **LISTEN, supporter="ben")
    before = points(store)
    rebuild(store.runner, [Leaderboards])
    assert points(store) == before == {"anna": 2, "ben": 2}
    assert compare(store.runner, [Leaderboards]) == []
