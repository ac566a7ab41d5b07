"""What is said of new rules before they are published is what publishing them does."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from domain.kernel import Conflict, Invalid, Unknown, identify
from domain.scoring import Publish
from history.codec import read_command
from projections import preview as module
from projections.boards import Board, Scope
from projections.leaderboards import Leaderboards
from projections.preview import Mover, Preview, preview
from projections.recognitions import Recognitions
from tests.support.movement import wander
from tests.support.store import Store

MOVEMENT = Board(Scope.MOVEMENT)
BOARDS = (
    MOVEMENT,
    Board(Scope.CAMPAIGN, identify("campaign", "listening")),
    Board(Scope.CHAPTER, identify("chapter", "c1")),
)
PUBLISHED = datetime(2026, 6, 1, 22, 30, tzinfo=UTC)
RULES: dict[str, Any] = {
    "version": 2,
    "points": {"pledges.Made": 2.5, "pledges.CheckedIn": 1, "pledges.Kept": 4, "actions.Logged": 3,
               "recognitions.Nominated": 0.5, "recognitions.Awarded": 7},
    "daily_cap": 8,
    "awards": [{"award": "letters", "title": "Writer", "when": {"verified_actions": 1}},
               {"award": "days", "title": "Listener", "when": {"streak": 2}},
               {"award": "keeper", "title": "Keeper", "when": {"kept": 1}}],
    "applies": "to_all_history",
}  # fmt: skip


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    with Store(database_url, tmp_path, kinds=[Leaderboards, Recognitions]) as store:
        wander(store, steps=1_200)
        store.run("supporters.amend", supporter="s1", time_zone="Pacific/Auckland", at="2026-05-01T00:00:00Z")
        store.catch_up()
        yield store


def proposed(**changed: object) -> Publish:
    found = read_command(Publish, RULES | changed)
    assert isinstance(found, Publish)
    return found


def weighed(store: Store, rules: Publish, board: Board = MOVEMENT, top: int = 1_000) -> Preview:
    with store.views(kinds=[Leaderboards]) as views:
        return preview(views.connection, views[Leaderboards], rules, board, at=PUBLISHED, top=top)


def standings(store: Store, board: Board) -> list[tuple[int, Any, float]]:
    with store.seen(Leaderboards) as (model, connection):
        return [(each.rank, each.id, each.points) for each in model.top(connection, board, limit=1_000)]


def everything(store: Store) -> dict[str, int]:
    """Return how many rows each table of the store has."""
    with store.engine.database.read() as connection:
        names = sa.inspect(connection).get_table_names()
        return {name: connection.scalar(sa.text(f'SELECT count(*) FROM "{name}"')) or 0 for name in names}  # noqa: S608


@pytest.mark.parametrize("applies", ["to_all_history", "from_now"])
def test_what_was_said_is_what_publishing_does(store: Store, applies: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERSONS", 4)
    rows, before = everything(store), [standings(store, board) for board in BOARDS]
    said = [weighed(store, proposed(applies=applies), board) for board in BOARDS]
    assert everything(store) == rows
    assert [standings(store, board) for board in BOARDS] == before

    held = awards(store)
    store.run("scoring.publish", **RULES | {"applies": applies}, at=PUBLISHED)
    store.react()
    for board, was, told in zip(BOARDS, before, said, strict=True):
        now = standings(store, board)
        assert [(each.rank_after, each.id, each.points_after) for each in told.top] == now
        changed = {key for _, key, _ in {*was, *now} if place(was, key) != place(now, key)}
        assert {each.id for each in told.movers} == changed
        for each in told.movers:
            assert (each.rank_before, each.rank_after) == (place(was, each.id), place(now, each.id))
        assert (told.size_before, told.size_after) == (len(was), len(now))
        assert told.ranks_moved == len(changed)
    given = {key: number - held.get(key, 0) for key, number in awards(store).items()}
    assert {each.award: each.given for each in said[0].awards} == {
        key: given.get(key, 0) for key in ("letters", "days", "keeper")
    }
    if applies == "to_all_history":
        assert given["letters"] > 0
        assert held["keeper"] > 0
        assert said[0].movers
    else:
        assert not said[0].movers


def awards(store: Store) -> dict[str, int]:
    with store.seen(Recognitions) as (model, connection):
        found: dict[str, int] = {}
        for row in model.all(connection, states=["awarded"], limit=1_000):
            found[row.award] = found.get(row.award, 0) + 1
        return found


def place(standing: list[tuple[int, Any, float]], key: object) -> int | None:
    return next((rank for rank, each, _ in standing if each == key), None)


def test_the_reasons_add_up(store: Store) -> None:
    told = weighed(store, proposed())
    assert len(told.top) > 3
    for each in (*told.top, *told.movers):
        assert sum(topic.before for topic in each.topics) == each.points_before
        assert sum(topic.after for topic in each.topics) == each.points_after
    assert any(each.capped for each in told.top)
    assert all(each.capped == 0 for each in weighed(store, proposed(daily_cap=None)).top)


def test_the_most_moved_come_first_and_no_more_than_asked_for(store: Store) -> None:
    everybody, few = weighed(store, proposed()), weighed(store, proposed(), top=2)
    assert [few.top, few.movers] == [everybody.top[:2], everybody.movers[:2]]
    assert few.ranks_moved == everybody.ranks_moved
    last = everybody.size_before + 1, everybody.size_after + 1

    def steps(mover: Mover) -> int:
        return abs((mover.rank_before or last[0]) - (mover.rank_after or last[1]))

    assert [steps(each) for each in everybody.movers] == sorted(map(steps, everybody.movers), reverse=True)


def test_progress_is_told_from_nothing_to_everything(store: Store) -> None:
    told: list[tuple[int, int]] = []
    with store.views(kinds=[Leaderboards]) as views:
        preview(
            views.connection,
            views[Leaderboards],
            proposed(),
            MOVEMENT,
            at=PUBLISHED,
            progress=lambda done, total: told.append((done, total)),
        )
    (first, total), last = told[0], told[-1]
    assert (first, last) == (0, (total, total))
    assert total > 0


@pytest.mark.parametrize(
    ("changed", "refused", "code"),
    [
        ({"version": 1}, Conflict, "scoring.version_not_next"),
        ({"version": 4}, Conflict, "scoring.version_not_next"),
        ({"points": {"campaigns.Launched": 1}}, Unknown, "scoring.topic_unknown"),
        ({"points": {"pledges.Made": 0.001}}, Invalid, "scoring.points_malformed"),
        ({"awards": [{"award": "a", "title": "A", "when": {}}]}, Invalid, "scoring.award_ground"),
    ],
)
def test_what_could_not_be_published_is_refused(
    store: Store, changed: dict[str, Any], refused: type[Exception], code: str
) -> None:
    with pytest.raises(refused) as said:
        weighed(store, proposed(**changed))
    assert getattr(said.value, "code", None) == code


def test_an_empty_store(database_url: str, tmp_path: Path) -> None:
    with Store(database_url, tmp_path, kinds=[Leaderboards]) as store:
        told = weighed(store, proposed(version=1))
    assert (told.size_before, told.size_after, told.top, told.movers, told.topics) == (0, 0, [], [], [])


def begin(store: Store) -> dict[str, str]:
    """Anna lives where it is tomorrow already, and makes a pledge."""
    listen = {"campaign": "listening", "ask": "daily", "supporter": "anna"}
    store.run_all([
        ("campaigns.draft", {"campaign": "listening", "title": "L"}),
        ("campaigns.add_ask", {"campaign": "listening", "ask": "daily", "statement": "S", "kind": "challenge",
                               "days": 9}),
        ("campaigns.launch", {"campaign": "listening"}),
        ("supporters.register", {"supporter": "anna", "time_zone": "Pacific/Auckland"}),
    ])  # fmt: skip
    store.run("pledges.make", **listen, at="2026-06-01T01:00:00Z")
    return listen


@pytest.fixture
def fresh(database_url: str, tmp_path: Path) -> Iterator[Store]:
    with Store(database_url, tmp_path, kinds=[Leaderboards, Recognitions]) as store:
        yield store


def test_an_award_counts_on_the_supporters_own_day_which_has_its_own_cap(fresh: Store) -> None:
    listen = begin(fresh)
    fresh.run("pledges.check_in", **listen, on="2026-06-01", at="2026-06-01T02:00:00Z")
    rules = proposed(version=1, points={"pledges.Made": 8, "recognitions.Awarded": 7}, daily_cap=8, awards=FIRST_DAY)
    fresh.react()
    with fresh.seen(Leaderboards) as (model, connection):
        told = preview(connection, model, rules, MOVEMENT, at=PUBLISHED)
    assert [each.points_after for each in told.top] == [15]


FIRST_DAY = [{"award": "first", "title": "First", "when": {"streak": 1}}]


def test_what_was_taken_back_is_not_kept_back_by_the_cap(fresh: Store) -> None:
    listen = begin(fresh)
    rules = proposed(version=1, points={"pledges.Made": 5, "pledges.Renewed": 2}, daily_cap=4, awards=[])
    with fresh.seen(Leaderboards) as (model, connection):
        (anna,) = preview(connection, model, rules, MOVEMENT, at=PUBLISHED).top
    assert (anna.points_after, anna.capped) == (4, 1)
    fresh.run("pledges.withdraw", **listen, at="2026-06-01T03:00:00Z")
    fresh.run("pledges.make", **listen, at="2026-06-01T04:00:00Z")
    with fresh.seen(Leaderboards) as (model, connection):
        (anna,) = preview(connection, model, rules, MOVEMENT, at=PUBLISHED).top
    assert (anna.points_after, anna.capped) == (2, 0)
