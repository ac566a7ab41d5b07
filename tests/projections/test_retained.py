"""As of a position equals a store that was only ever given the events up to it, whatever states are retained."""

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from api.bootstrap import PROJECTIONS
from domain.chapters import Chapter
from domain.kernel import Event
from domain.slices import Fact
from history.tables import events
from projections import retained
from projections.changes import Changes
from projections.chapters import Chapters
from projections.projection import Projection, on
from projections.replay import replay, scratch
from projections.retained import MOST, SUFFIX, Retained, spacing
from projections.supporters import Supporters
from projections.views import AsOf, Reader
from tests.support.movement import Contents, contents, copied, wander
from tests.support.store import START, Store

STEPS = 900


@pytest.fixture
def moved(database_url: str, tmp_path: Path) -> Iterator[Store]:
    """A store in which everything happened, at times that do not always go on."""
    with Store(database_url, tmp_path, kinds=PROJECTIONS) as store:
        wander(store, seed=7, steps=STEPS)
        yield store


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for states that lie close to each other."""
    monkeypatch.setattr(retained, "CLOSEST", 16)
    return tmp_path / "past"


def as_of(reader: Reader, point: AsOf, kinds: Sequence[type[Projection]] = PROJECTIONS) -> dict[str, Contents]:
    with reader.open(kinds, point) as views:
        return {kind.name: contents(views.connection, views[kind]) for kind in kinds}


def anew(store: Store, folder: Path, *where: sa.ColumnElement[bool]) -> dict[str, Contents]:
    """What the live read models hold of a store that was only ever given some of the events."""
    folder.mkdir()
    with copied(store, f"sqlite:///{folder / 'copy.sqlite3'}", folder, *where) as copy:
        copy.catch_up()
        with copy.views() as views:
            return {kind.name: contents(views.connection, views[kind]) for kind in PROJECTIONS}


def happened(store: Store, by: datetime) -> list[int]:
    """The positions of what had happened by a time, to things that had begun by then."""
    facts = [fact for fact in store.engine.log.follow() if fact.occurred_at <= by]
    begun = {fact.stream for fact in facts if fact.version == 1}
    return [fact.position for fact in facts if fact.stream in begun]


def differing(one: dict[str, Contents], other: dict[str, Contents]) -> list[str]:
    """The tables in which two states differ."""
    tables = [(kind, table) for kind in one for table in one[kind] if one[kind][table] != other[kind][table]]
    return [f"{kind}.{table}" for kind, table in tables]


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob(f"*{SUFFIX}"))


def positions(folder: Path) -> list[int]:
    return sorted(int(path.stem.partition("-")[0]) for path in files(folder))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_as_of_a_position_equals_a_store_that_was_only_given_the_events_up_to_it(
    moved: Store, folder: Path, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    position = dice.randrange(1, moved.head)
    wanted = anew(moved, tmp_path / "copy", events.c.position <= position)
    assert differing(as_of(Reader(moved.runner), AsOf(position)), wanted) == []
    assert differing(as_of(Reader(moved.runner, folder), AsOf(position)), wanted) == []
    assert files(folder)
    for path in dice.sample(files(folder), len(files(folder)) // 2):
        path.unlink()
    assert differing(as_of(Reader(moved.runner, folder), AsOf(position)), wanted) == []


def test_as_of_a_time_equals_a_store_that_was_only_given_what_had_happened_by_it(
    moved: Store, folder: Path, tmp_path: Path
) -> None:
    by = START + timedelta(hours=STEPS // 2)
    wanted = anew(moved, tmp_path / "copy", events.c.position.in_(happened(moved, by)))
    before = as_of(Reader(moved.runner), AsOf(moved.head))
    for _ in ("folded from the beginning", "folded from a state"):
        assert differing(as_of(Reader(moved.runner, folder), AsOf(occurred_by=by)), wanted) == []
    assert positions(folder)
    assert differing(as_of(Reader(moved.runner, folder), AsOf(moved.head)), before) == []


def test_a_later_question_folds_only_what_came_after_the_nearest_state(
    moved: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_of(Reader(moved.runner, folder), AsOf(moved.head))
    kept = positions(folder)
    begun: list[int] = []

    def restored(one: Retained, *arguments: object) -> int:
        begun.append(restore(one, *arguments))  # type: ignore[arg-type]
        return begun[-1]

    restore = Retained.restore
    monkeypatch.setattr(Retained, "restore", restored)
    for position in (kept[3] - 1, kept[3], kept[3] + 1, moved.head):
        as_of(Reader(moved.runner, folder), AsOf(position))
    assert begun == [kept[2], kept[3], kept[3], kept[-1]]
    assert positions(folder) == kept


def test_many_ask_at_once_while_somebody_deletes_the_states(tmp_path: Path, folder: Path) -> None:
    with Store(f"sqlite:///{tmp_path / 'a.sqlite3'}", tmp_path, kinds=[Chapters]) as store:
        store.run_all([found(str(number)) for number in range(200)])
        readers = [Reader(store.runner, folder) for _ in range(4)]

        def ask(number: int) -> bool:
            position = 1 + 37 * number % 200
            if number % 5 == 0:
                shutil.rmtree(folder, ignore_errors=True)
            seen = as_of(readers[number % 4], AsOf(position), [Chapters])
            return len(seen["chapters"]["chapters"]) == position

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(ask, range(40)))


def spoil(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [spoil, cut, empty, Path.unlink])
def test_a_damaged_state_is_passed_over_and_removed(tmp_path: Path, folder: Path, harm: Callable[[Path], None]) -> None:
    with Store(f"sqlite:///{tmp_path / 'a.sqlite3'}", tmp_path, kinds=PROJECTIONS) as store:
        wander(store, seed=3, steps=200)
        wanted = as_of(Reader(store.runner, folder), AsOf(store.head))
        harmed = files(folder)
        for path in harmed:
            harm(path)
        assert differing(as_of(Reader(store.runner, folder), AsOf(store.head)), wanted) == []
        again = files(folder)
        assert len(again) == len(harmed)
        for path in again:
            harm(path)
        before = {path for path in again if path.exists()}
        assert Retained(folder, store.engine.database).restore(PROJECTIONS, store.head, scratch().connect()) == 0
        assert not any(path.exists() for path in before)


def test_a_state_of_another_history_is_not_believed(tmp_path: Path, folder: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        url = f"sqlite:///{tmp_path / name / 'a.sqlite3'}"
        with Store(url, tmp_path / name, kinds=[Chapters]) as store:
            for number in range(40):
                store.run("chapters.found", chapter=f"c{number}", name=f"{name} {number}")
            rows = as_of(Reader(store.runner, folder), AsOf(store.head), [Chapters])["chapters"]["chapters"]
            assert {row["name"].split()[0] for row in rows} == {name}


def test_a_state_of_another_release_is_not_used_and_does_not_stay(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(f"sqlite:///{tmp_path / 'a.sqlite3'}", tmp_path, kinds=[Chapters]) as store:
        store.run_all([found(str(number)) for number in range(40)])
        as_of(Reader(store.runner, folder), AsOf(40), [Chapters])
        old = files(folder)
        monkeypatch.setattr(retained, "release", lambda: "another")
        assert Retained(folder, store.engine.database).restore([Chapters], 40, scratch().connect()) == 0
        as_of(Reader(store.runner, folder), AsOf(40), [Chapters])
        assert files(folder)
        assert not set(files(folder)) & set(old)


def found(chapter: str) -> tuple[str, dict[str, Any]]:
    return "chapters.found", {"chapter": chapter, "name": "C"}


class Founded(Projection, name="founded"):
    """Counts chapters."""

    def define(self) -> None:
        self.counts = self.table(
            "founded", sa.Column("id", sa.Integer, primary_key=True), sa.Column("number", sa.Integer)
        )

    @on(Chapter.Founded)
    def founded(self, _fact: Fact, _event: Event, changes: Changes) -> None:
        changes.add(self.counts, 1, number=1)


def test_states_are_bounded_in_number_and_thinned_out_as_the_history_grows(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retained, "CLOSEST", 4)
    monkeypatch.setattr(retained, "MOST", 6)
    with Store(f"sqlite:///{tmp_path / 'a.sqlite3'}", tmp_path, kinds=[Founded]) as store:
        for size in (20, 40, 80, 160):
            store.run_all(
                [("chapters.found", {"chapter": f"{size} {n}", "name": "C"}) for n in range(size - store.head)]
            )
            (rows,) = as_of(Reader(store.runner, folder), AsOf(size), [Founded])["founded"].values()
            assert rows[0]["number"] == size
            kept = positions(folder)
            assert 2 <= len(kept) <= 6
            assert max(later - earlier for earlier, later in zip(kept, [*kept[1:], size], strict=True)) <= size


def test_states_are_bounded_in_size(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(f"sqlite:///{tmp_path / 'a.sqlite3'}", tmp_path, kinds=PROJECTIONS) as store:
        wander(store, seed=3, steps=200)
        reader = Reader(store.runner, folder)
        as_of(reader, AsOf(store.head), [Supporters])
        large = max(path.stat().st_size for path in files(folder))
        monkeypatch.setattr(retained, "BYTES", 4 * large)
        (release,) = folder.iterdir()
        before = set(release.iterdir())
        as_of(reader, AsOf(store.head), [Supporters, Chapters])
        (new,) = set(release.iterdir()) - before
        assert 0 < sum(path.stat().st_size for path in new.iterdir()) <= 4 * large
        by_kinds = [sum(path.stat().st_size for path in each.iterdir()) for each in release.iterdir()]
        monkeypatch.setattr(retained, "BYTES_IN_ALL", max(by_kinds) - 1)
        Retained(folder, store.engine.database).tidy()
        assert sum(path.stat().st_size for path in files(folder)) < max(by_kinds)
        monkeypatch.setattr(retained, "BYTES", 1)
        as_of(Reader(store.runner, tmp_path / "other"), AsOf(store.head), [Chapters])
        assert files(tmp_path / "other") == []


def test_the_past_can_be_asked_for_where_nothing_can_be_kept(tmp_path: Path, folder: Path) -> None:
    folder.write_text("a file is in the way")
    with Store(f"sqlite:///{tmp_path / 'a.sqlite3'}", tmp_path, kinds=[Chapters]) as store:
        store.run_all([found(str(number)) for number in range(40)])
        assert len(as_of(Reader(store.runner, folder), AsOf(30), [Chapters])["chapters"]["chapters"]) == 30


def test_what_a_writer_that_died_left_behind_is_removed(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(f"sqlite:///{tmp_path / 'a.sqlite3'}", tmp_path, kinds=[Chapters]) as store:
        store.run_all([found(str(number)) for number in range(40)])
        as_of(Reader(store.runner, folder), AsOf(20), [Chapters])
        (of_kinds,) = next(folder.iterdir()).iterdir()
        left = of_kinds / f"x{retained.UNFINISHED}"
        left.write_bytes(b"half of it")
        monkeypatch.setattr(retained, "UNFINISHED_SECONDS", -1)
        as_of(Reader(store.runner, folder), AsOf(40), [Chapters])
        assert not left.exists()


def test_a_replay_goes_on_from_any_page(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path / 'a.sqlite3'}", tmp_path, kinds=[Founded]) as store:
        store.run_all([found(str(n)) for n in range(10)])
        with scratch().connect() as connection:
            model = Founded(1)
            assert list(replay(store.engine.log, [model], connection, 5, page=3)) == [3, 5]
            assert list(replay(store.engine.log, [model], connection, 10, after=5, page=3)) == [8, 10]
            assert contents(connection, model) == {"founded": [{"id": 1, "number": 10}]}


def test_states_lie_closer_where_they_are_small_and_the_history_is_short() -> None:
    assert spacing(1_000, 1) == 4_096
    assert spacing(50_000, 2**20) == 4_096
    assert spacing(1_000_000, 2**20) == 16_384
    assert spacing(1_000_000, 2**27) == 2**19
    for head in (0, 1_000, 10**5, 10**7):
        for size in (0, 10**5, 10**8, 10**9):
            width = spacing(head, size)
            assert head // width + 1 <= max(1, min(MOST, retained.BYTES // max(1, size)))
