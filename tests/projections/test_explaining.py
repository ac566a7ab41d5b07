"""Why somebody stands where they do: sums of the ledger, beside slow and obvious ones."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from uuid import UUID

import pytest

from domain.kernel import identify
from history.tables import events
from projections import explaining
from projections.boards import Board, Scope, Standing, Window
from projections.explaining import Reasons, by_topic, reasons
from projections.leaderboards import Leaderboards
from projections.teams import Sort, Team, teams
from tests.support.movement import copied, wander
from tests.support.store import Store

DAY = date(2026, 3, 8)
CHAPTER = identify("chapter", "new")
BOARDS = [
    Board(scope, key, window, None if window is Window.ALL else DAY)
    for scope, key in (
        (Scope.MOVEMENT, None),
        (Scope.CAMPAIGN, identify("campaign", "listening")),
        (Scope.CHAPTER, CHAPTER),
        (Scope.CHAPTERS, None),
        (Scope.PARTNERSHIPS, None),
    )
    for window in Window
]
EVERYBODY = 1_000


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    with Store(database_url, tmp_path, kinds=[Leaderboards]) as store:
        wander(store, steps=1_500)
        again = {"pledges.Made": 2, "pledges.CheckedIn": 1.5, "pledges.Kept": 4, "actions.Logged": 1}
        store.run("scoring.publish", version=2, points=again, applies="to_all_history", at="2026-03-09T00:00:00Z")
        wander_on(store)
        store.catch_up()
        yield store


def wander_on(store: Store) -> None:
    """What is sure to happen after the new rules: two chapters with the same members, one of whom takes back."""
    at, on = "2026-03-08T12:00:00Z", "2026-03-08"
    for chapter in ("new", "newer"):
        store.run("chapters.found", chapter=chapter, name=chapter, at=at)
    store.run("policies.track", policy="late", title="A bill", kind="bill", at=at)
    for number in range(3):
        supporter = f"late-{number}"
        store.run("supporters.register", supporter=supporter, at=at)
        for chapter in ("new", "newer"):
            store.run("supporters.join_chapter", supporter=supporter, chapter=chapter, at=at)
        for each in range(1 + number):
            action = {"action": f"{supporter}-{each}", "policy": "late", "supporter": supporter, "kind": "call"}
            store.run("actions.log", **action, on=on, at=at)
    store.run("actions.retract", action="late-2-0", at="2026-03-09T12:00:00Z")


def obvious_topics(model: Leaderboards, connection: object, board: Board, entity: UUID) -> dict[str, tuple[float, int]]:
    """Sum the entries one by one; what takes back counts under the topic of what it takes back."""
    entries = model.entries_of(connection, board, entity)  # type: ignore[arg-type]
    topics = {each.position: each.topic for each in entries if each.of is None}
    found: defaultdict[str, list[float]] = defaultdict(lambda: [0, 0])
    for each in entries:
        sums = found[topics[each.of or each.position]]
        sums[0] += each.points
        sums[1] += 1 if each.of is None else -1
    return {topic: (points, int(number)) for topic, (points, number) in found.items() if points or number}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: f"{board.scope}-{board.window}")
def test_points_by_kind_of_event_add_up_and_neighbours_are_those_beside(store: Store, board: Board) -> None:
    with store.views() as views:
        model, connection = views[Leaderboards], views.connection
        standings = model.top(connection, board, limit=EVERYBODY)
        assert standings
        for each in standings:
            found = reasons(connection, model, board, each.id)
            sums = {one.topic: (one.points, one.events) for one in found.topics}
            assert sums == obvious_topics(model, connection, board, each.id)
            assert sum(one.points for one in found.topics) == each.points
            beside(found, each, standings)


def beside(found: Reasons, each: Standing, standings: list[Standing]) -> None:
    """The neighbours are the first of the next points up and down, and the differences add up."""
    more = [one for one in standings if one.points > each.points]
    fewer = [one for one in standings if one.points < each.points]
    above = next((one for one in standings if more and one.points == more[-1].points), None)
    below = fewer[0] if fewer else None
    assert (found.above.standing if found.above else None) == above
    assert (found.below.standing if found.below else None) == below
    for neighbour in filter(None, (found.above, found.below)):
        difference = sum(topic.theirs - topic.mine for topic in neighbour.topics)
        assert difference == neighbour.standing.points - each.points


def test_without_points_there_are_no_neighbours(store: Store) -> None:
    with store.views() as views:
        found = reasons(views.connection, views[Leaderboards], BOARDS[0], identify("supporter", "nobody"))
    assert (found.topics, found.above, found.below) == ([], None, None)


def obvious_teams(
    model: Leaderboards, connection: object, board: Board, sort: Sort
) -> list[tuple[UUID, float, int, float]]:
    """Count whoever stands on each chapter's own board."""
    found = []
    for each in model.top(connection, board, limit=EVERYBODY):  # type: ignore[arg-type]
        own = Board(Scope.CHAPTER, each.id, board.window, board.on)
        active = len(model.top(connection, own, limit=EVERYBODY))  # type: ignore[arg-type]
        found.append((each.id, each.points, active, int(each.points * 100 / active + 0.5) / 100))
    return sorted(found, key=lambda one: (-one[3] if sort is Sort.MEAN else -one[1], one[0]))


@pytest.mark.parametrize("window", list(Window))
@pytest.mark.parametrize("sort", list(Sort))
def test_teams_by_their_sum_and_by_their_mean(store: Store, sort: Sort, window: Window) -> None:
    board = Board(Scope.CHAPTERS, None, window, None if window is Window.ALL else DAY)
    with store.views() as views:
        model, connection = views[Leaderboards], views.connection
        found = teams(connection, model, board, sort=sort, limit=EVERYBODY)
        assert [(one.id, one.points, one.active, one.mean) for one in found] == obvious_teams(
            model, connection, board, sort
        )
        shares_ranks([one.mean if sort is Sort.MEAN else one.points for one in found], found)
        paged: list[Team] = []
        while page := teams(connection, model, board, sort=sort, limit=1, after=paged[-1].id if paged else None):
            paged += page
        assert paged == found


def shares_ranks(values: list[float], found: list[Team]) -> None:
    ahead = Counter(values)
    for value, team in zip(values, found, strict=True):
        assert team.rank == 1 + sum(number for other, number in ahead.items() if other > value)


def test_equal_means_share_a_rank(store: Store) -> None:
    with store.views() as views:
        found = teams(views.connection, views[Leaderboards], Board(Scope.CHAPTERS), sort=Sort.MEAN, limit=EVERYBODY)
    ranks = {one.id: one.rank for one in found}
    assert ranks[identify("chapter", "new")] == ranks[identify("chapter", "newer")]


@pytest.mark.parametrize("head", [1, 3, 50])
def test_as_of_a_position_equals_a_store_that_was_only_given_so_many_events(
    store: Store, tmp_path: Path, head: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explaining, "HEAD", head)
    dice = random.Random(5)
    positions = [dice.randrange(store.head // 2, store.head) for _ in range(2)] + [store.head - 1]
    for number, position in enumerate(positions):
        folder = tmp_path / f"copy-{number}"
        folder.mkdir()
        with copied(store, f"sqlite:///{folder / 'copy.sqlite3'}", folder, events.c.position <= position) as copy:
            copy.catch_up()
            same(store, copy, position)


def same(store: Store, copy: Store, position: int) -> None:
    with store.views() as now, copy.views() as then:
        for board in BOARDS:
            model, other = now[Leaderboards], then[Leaderboards]
            for each in other.top(then.connection, board, limit=EVERYBODY):
                expected = reasons(then.connection, other, board, each.id)
                assert reasons(now.connection, model, board, each.id, by=position) == expected
                topics = by_topic(now.connection, model, board, each.id, by=position)
                assert topics == expected.topics
            if board.scope is Scope.CHAPTERS:
                for sort in Sort:
                    expected_teams = teams(then.connection, other, board, sort=sort, limit=EVERYBODY)
                    assert (
                        teams(now.connection, model, board, sort=sort, limit=EVERYBODY, by=position) == expected_teams
                    )
