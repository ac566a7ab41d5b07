import multiprocessing
import os
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from domain.kernel import Conflict, Unavailable, identify
from history.tables import projections as checkpoints
from projections import crew, drafts, loading
from projections import rebuild as rebuilding
from projections.campaigns import Campaigns
from projections.changes import Changes
from projections.chapters import Chapters
from projections.crew import FoldFailed
from projections.drafts import Draft
from projections.leaderboards import Leaderboards
from projections.pledges import Pledges
from projections.projection import Projection
from projections.rebuild import DRAFTS, compare, rebuild
from projections.runner import Runner
from tests.support.movement import live_contents, wander
from tests.support.store import EVERY_KIND, KINDS, Store


class Interrupted(Exception):
    """The power went off."""


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few events at a time, so that a small history takes many rounds."""
    monkeypatch.setattr(rebuilding, "PAGE", 20)
    monkeypatch.setattr(rebuilding, "LAST", 5)
    monkeypatch.setattr(drafts, "BATCH", 20)
    monkeypatch.setattr(loading, "CHUNK", 7)
    monkeypatch.setattr(loading, "LINES", 7)


def builds(store: Store, kind: type[Projection]) -> list[tuple[int, bool, int]]:
    with store.engine.database.read() as connection:
        columns = checkpoints.c.build, checkpoints.c.live, checkpoints.c.position
        query = sa.select(*columns).where(checkpoints.c.name == kind.name).order_by(checkpoints.c.build)
        return [(row.build, row.live, row.position) for row in connection.execute(query)]


def table_of(store: Store, kind: type[Projection], name: str) -> sa.Table:
    return store.runner.instance(kind, 1).metadata.tables[f"{name}_v1"]


def test_what_is_built_anew_equals_what_was_live(store: Store) -> None:
    wander(store, steps=500)
    store.catch_up()
    before = {kind: live_contents(store, kind) for kind in KINDS}
    rebuild(store.runner, KINDS)
    assert {kind: live_contents(store, kind) for kind in KINDS} == before
    assert builds(store, Campaigns) == [(1, False, store.head), (2, True, store.head)]
    assert compare(store.runner, KINDS) == []


def test_every_read_model_is_built_anew_also_where_all_history_was_scored_anew(
    database_url: str, tmp_path: Path
) -> None:
    with Store(database_url, tmp_path, kinds=EVERY_KIND) as store:
        wander(store, steps=400)
        store.catch_up()
        store.run("scoring.publish", version=2, points={"pledges.Made": 3}, daily_cap=9, applies="to_all_history")
        store.catch_up()
        before = {kind: live_contents(store, kind) for kind in EVERY_KIND}
        assert before[Leaderboards]["score_teams"]
        rebuild(store.runner, EVERY_KIND)
        assert {kind: live_contents(store, kind) for kind in EVERY_KIND} == before
        assert compare(store.runner, EVERY_KIND) == []


def test_a_swapped_build_goes_on_live_and_the_one_before_the_last_is_dropped(store: Store) -> None:
    wander(store, steps=200)
    store.catch_up()
    for _ in range(2):
        rebuild(store.runner, [Chapters])
    store.run("chapters.found", chapter="late", name="Late")
    store.catch_up()
    assert builds(store, Chapters) == [(2, False, store.head - 1), (3, True, store.head)]
    with store.engine.database.read() as connection:
        tables = sa.inspect(connection).get_table_names()
    assert {name for name in tables if name.startswith("chapters")} == {"chapters_v2", "chapters_v3"}
    with store.seen(Chapters) as (chapters, connection):
        assert chapters.find(connection, identify("chapter", "late")) is not None


def test_compare_finds_the_row_that_was_tampered_with(store: Store) -> None:
    wander(store, steps=300)
    store.catch_up()
    campaign = identify("campaign", "listening")
    with store.engine.database.write() as connection:
        table = table_of(store, Campaigns, "campaigns")
        connection.execute(table.update().where(table.c.id == campaign).values(kept=1_000_000))
    (difference,) = compare(store.runner, KINDS)
    assert (difference.projection, difference.table) == ("campaigns", "campaigns")
    assert difference.live is not None
    assert difference.fresh is not None
    assert difference.live["id"] == difference.fresh["id"] == campaign
    assert difference.live["kept"] == 1_000_000
    rebuild(store.runner, [Campaigns])
    assert compare(store.runner, KINDS) == []


def test_compare_finds_rows_that_are_missing_and_rows_that_are_too_many(store: Store) -> None:
    store.run("chapters.found", chapter="c", name="C")
    store.catch_up()
    table = table_of(store, Chapters, "chapters")
    with store.engine.database.write() as connection:
        connection.execute(table.delete())
    (missing,) = compare(store.runner, [Chapters])
    assert missing.live is None
    with store.engine.database.write() as connection:
        pledges = table_of(store, Pledges, "pledges")
        connection.execute(pledges.insert().values(id=identify("pledge", "forged"), state="kept"))
    (forged,) = compare(store.runner, [Pledges])
    assert forged.fresh is None


def test_compare_orders_text_as_bytes_on_every_database(store: Store) -> None:
    store.run("campaigns.draft", campaign="c", title="C")
    for locale in ("pt", "pt-BR", "pt_PT", "PT", "en", "zh-Hant"):
        store.run("campaigns.frame", campaign="c", locale=locale, title=locale)
    assert compare(store.runner, KINDS) == []


def test_nobody_waits_for_a_comparison(store: Store) -> None:
    """Commands go on while it runs, and what they bring is no difference."""
    wander(store, steps=100)
    late: list[int] = []

    def meanwhile(_position: int) -> None:
        if not late:
            late.extend(store.run("chapters.found", chapter="meanwhile", name="M").positions)
            store.catch_up()

    assert compare(store.runner, KINDS, meanwhile) == []
    assert late == [store.head]


@pytest.mark.parametrize("stage", ["rebuilding", "writing"])
def test_an_interrupted_rebuild_goes_on_where_it_ended(store: Store, tmp_path: Path, stage: str) -> None:
    wander(store, steps=300)
    store.catch_up()
    before = {kind: live_contents(store, kind) for kind in KINDS}

    def fail(at: str, done: int) -> None:
        if at == stage and done >= 60:
            raise Interrupted

    with pytest.raises(Interrupted):
        rebuild(store.runner, KINDS, fail, tmp_path)
    assert {kind: live_contents(store, kind) for kind in KINDS} == before
    told: list[tuple[str, int]] = []
    rebuild(Runner(store.engine.log, KINDS), KINDS, lambda at, done: told.append((at, done)), tmp_path)
    folded = [done for at, done in told if at == "rebuilding"]
    assert min(folded) > 60 if stage == "rebuilding" else folded[:-1] in ([], [store.head])
    assert {kind: builds(store, kind)[1] for kind in KINDS} == dict.fromkeys(KINDS, (2, True, store.head))
    assert {kind: live_contents(store, kind) for kind in KINDS} == before
    assert compare(store.runner, KINDS) == []


def test_the_draft_of_another_history_is_not_gone_on_with(
    store: Store, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The store was made anew, and the folder stayed."""
    wander(store, steps=100)
    store.catch_up()

    def fail(_stage: str, _done: int) -> None:
        raise Interrupted

    folder = tmp_path / DRAFTS
    with pytest.raises(Interrupted):
        rebuild(store.runner, KINDS, fail, folder)
    on_sqlite = store.engine.database.is_sqlite
    url = f"sqlite:///{tmp_path / 'other.sqlite3'}" if on_sqlite else request.getfixturevalue("new_database")()
    with Store(url, tmp_path / "other") as other:
        wander(other, steps=400, seed=8)
        other.catch_up()
        before = {kind: live_contents(other, kind) for kind in KINDS}
        rebuild(other.runner, KINDS, folder=folder)
        assert {kind: live_contents(other, kind) for kind in KINDS} == before
    assert list(folder.glob("*.draft")) == []


def test_two_rebuilds_at_once_fold_nothing_twice(store: Store) -> None:
    wander(store, steps=400)
    store.catch_up()
    before = {kind: live_contents(store, kind) for kind in KINDS}
    runners = [Runner(store.engine.log, KINDS) for _ in range(2)]
    together = threading.Barrier(2)

    def run(runner: Runner) -> None:
        together.wait()
        rebuild(runner, [Pledges, Campaigns])

    threads = [threading.Thread(target=run, args=[runner]) for runner in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compare(store.runner, KINDS) == []
    assert {kind: live_contents(store, kind) for kind in KINDS} == before


@pytest.fixture
def many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small history is shared out among processes too."""
    monkeypatch.setattr(crew, "MANY", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)


@pytest.mark.usefixtures("many_processes")
def test_several_processes_fold_what_one_does(store: Store) -> None:
    wander(store, steps=300)
    store.catch_up()
    before = {kind: live_contents(store, kind) for kind in KINDS}
    told: list[tuple[str, int]] = []
    rebuild(store.runner, KINDS, lambda stage, done: told.append((stage, done)))
    assert {kind: live_contents(store, kind) for kind in KINDS} == before
    assert ("rebuilding", 0) in told, "the others had not begun"
    assert told.count(("writing", store.head)) == 1, "all have written all"
    assert compare(store.runner, KINDS) == []


@pytest.mark.usefixtures("many_processes")
def test_a_fold_that_fails_in_a_process_says_so(store: Store) -> None:
    store.run("chapters.found", chapter="c", name="C")
    store.catch_up()
    with pytest.raises(FoldFailed, match="ZeroDivisionError"):
        rebuild(Runner(store.engine.log, [Broken, Pledges]), [Broken, Pledges])
    assert multiprocessing.active_children() == []


class Newer(Chapters, name="chapters", version=2):
    """Chapters as a newer release has them."""


def test_another_version_is_built_beside_and_swapped_in(store: Store) -> None:
    wander(store, steps=100)
    store.catch_up()
    store.runner.release()
    newer = Runner(store.engine.log, (Newer, Pledges))
    stale = newer.prepare()
    assert stale == [Newer]
    with pytest.raises(Conflict):
        compare(newer, [Newer])
    rebuild(newer, stale)
    assert newer.prepare() == []
    assert compare(newer, [Newer, Pledges]) == []
    assert builds(store, Newer) == [(1, False, store.head), (2, True, store.head)]


class Broken(Chapters, name="chapters", version=3):
    """A release with a fault."""

    def finish(self, changes: Changes) -> None:
        raise ZeroDivisionError(changes)


def test_a_rebuild_that_fails_leaves_the_live_tables_alone(store: Store) -> None:
    store.run("chapters.found", chapter="c", name="C")
    store.catch_up()
    before = live_contents(store, Chapters)
    with pytest.raises(ZeroDivisionError):
        rebuild(Runner(store.engine.log, [Broken]), [Broken])
    assert live_contents(store, Chapters) == before
    rebuild(store.runner, [Chapters])
    assert live_contents(store, Chapters) == before


def test_a_draft_from_before_the_machine_went_down_is_not_gone_on_with(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What of it had reached the disk, nobody knows."""
    wander(store, steps=300)
    store.catch_up()

    def fail(_stage: str, done: int) -> None:
        if done >= 60:
            raise Interrupted

    folder = tmp_path / DRAFTS
    with pytest.raises(Interrupted):
        rebuild(store.runner, KINDS, fail, folder)
    monkeypatch.setattr(drafts, "boot", lambda: "another time")
    told: list[tuple[str, int]] = []
    rebuild(store.runner, KINDS, lambda stage, done: told.append((stage, done)), folder)
    assert told[0] == ("rebuilding", 20)
    assert compare(store.runner, KINDS) == []


def test_a_loading_that_failed_is_done_again_by_the_same_runner(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    wander(store, steps=200)
    store.catch_up()
    before = {kind: live_contents(store, kind) for kind in KINDS}
    index = Projection.index

    def fail(self: Projection, connection: sa.Connection, tables: None = None, *, only_for_fold: bool = False) -> None:
        if not only_for_fold:
            raise Interrupted
        index(self, connection, tables, only_for_fold=True)

    monkeypatch.setattr(Projection, "index", fail)
    with pytest.raises(Interrupted):
        rebuild(store.runner, KINDS)
    monkeypatch.setattr(Projection, "index", index)
    rebuild(store.runner, KINDS)
    assert {kind: live_contents(store, kind) for kind in KINDS} == before
    with store.engine.database.read() as connection:
        keys = sa.inspect(connection).get_pk_constraint("pledges_v2")
    assert keys["constrained_columns"] == ["id"]


def test_what_another_has_swapped_in_is_not_swapped_in_again(store: Store) -> None:
    """It is live, and what its runner has parked since stays parked."""
    wander(store, steps=100)
    store.catch_up()
    builds_of_ours = [rebuilding.begin(store.runner, kind) for kind in KINDS]
    rebuild(Runner(store.engine.log, KINDS), KINDS)
    with store.engine.database.read() as connection:
        assert rebuilding.pending(connection, builds_of_ours) == []
    for _ in range(2):
        rebuild(store.runner, [Chapters])
    with store.engine.database.read() as connection, pytest.raises(Conflict) as error:
        rebuilding.pending(connection, builds_of_ours)
    assert error.value.code == "rebuild.overtaken"


class Roomless(Chapters, name="chapters", version=4):
    """A release for which there is no room."""

    def finish(self, changes: Changes) -> None:
        raise Unavailable("rebuild.no_room", f"There is no room for {changes}.")


@pytest.mark.usefixtures("many_processes")
def test_what_the_store_fails_a_process_in_is_raised_as_that(store: Store) -> None:
    store.run("chapters.found", chapter="c", name="C")
    store.catch_up()
    with pytest.raises(Unavailable) as told:
        rebuild(Runner(store.engine.log, [Roomless, Pledges]), [Roomless, Pledges])
    assert told.value.code == "rebuild.no_room"


def test_where_a_draft_finds_no_room_it_is_said_in_a_sentence(tmp_path: Path) -> None:
    draft = Draft([kind(1) for kind in KINDS], tmp_path)
    with pytest.raises(Unavailable) as told, draft.opened() as connection:
        fill(connection)
    assert told.value.code == "rebuild.no_room"


def fill(connection: sa.Connection) -> None:
    """Write more than there is room for."""
    connection.exec_driver_sql("PRAGMA max_page_count = 1")
    connection.exec_driver_sql("CREATE TABLE large (text TEXT)")
