import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from domain.kernel import ERASED, Conflict, Unavailable, Unknown, identify
from history.archive import Exported, export
from history.checkpoints import Checkpoints
from history.database import Database
from history.engine import Engine
from history.passphrase import open_lines, seal_lines
from history.restore import restore
from history.tables import checkpoints, commands, events, person_index, store, subtrees
from history.tiles import Damaged
from history.unpacking import verify_archive
from history.verify import verify_store
from tests.history.sample import disarm, found, opened, register, run
from tests.history.tampering import (
    Files,
    add_a_file,
    add_an_event,
    another_key,
    break_a_line,
    change_a_command,
    change_a_leaf,
    change_a_node,
    change_an_actor,
    change_the_newest_checkpoint,
    delete,
    flip_a_byte,
    insert,
    lose_a_tile,
    other_spelling,
    reorder,
    repack,
    swap_data,
    truncate,
)

BASE = "https://climate.example/"
SIZE = 310
TABLES = (events, commands, checkpoints, subtrees)


def filled(engine: Engine, folder: Path) -> Checkpoints:
    """A log of 310 events with three checkpoints; anna gave two addresses, ben took his back, carl was erased."""
    log = Checkpoints(engine.database, folder, BASE)
    register(engine, "anna", "ben", "carl")
    log.make()
    found(engine, 303)
    run(
        engine,
        ("supporters.amend", {"supporter": "anna", "email": "new@example.org"}),
        ("supporters.amend", {"supporter": "ben", "email": None}),
        ("supporters.confirm_email", {"supporter": "anna"}),
        reason="„moved“\n",
    )
    log.make()
    run(engine, ("supporters.erase", {"supporter": "carl"}), reason="asked for it")
    log.make()
    return log


def rows(database: Database) -> list[list[object]]:
    with database.read() as connection:
        return [
            list(connection.execute(sa.select(*kept(table)).order_by(*table.primary_key.columns))) for table in TABLES
        ]


def kept(table: sa.Table) -> list[sa.Column[Any]]:
    """All columns but the keyed hash of a command's content, whose key does not leave the store."""
    return [column for column in table.columns if column.name != "request_hash"]


def names(engine: Engine) -> dict[str, object]:
    with_names = (engine.mapper.topics["supporters.Registered"].TOPIC,)
    facts = engine.log.facts(0, 1_000, events.c.topic.in_(with_names), opened=True)
    known = {identify("supporter", name): name for name in ("anna", "ben", "carl")}
    return {known[fact.stream]: vars(fact.event)["name"] for fact in facts}


def finds(engine: Engine, address: str) -> list[UUID]:
    with engine.database.read() as connection:
        return engine.persons.find(connection, address)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive of a log on SQLite."""
    with opened(f"sqlite:///{tmp_path}/source/g.sqlite3", tmp_path / "source") as engine:
        return export(engine, filled(engine, tmp_path / "source"), tmp_path / "a.tar").path


def test_there_and_back_between_the_databases(tmp_path: Path, new_database: Callable[[], str]) -> None:
    urls = [f"sqlite:///{tmp_path}/0/g.sqlite3", new_database(), f"sqlite:///{tmp_path}/2/g.sqlite3", new_database()]
    with opened(urls[0], tmp_path / "0") as engine:
        seen: list[int] = []
        done = export(engine, filled(engine, tmp_path / "0"), tmp_path / "0.tar", progress=seen.append)
        expected = rows(engine.database)
        assert (done.size, done.persons, seen) == (SIZE, 0, [SIZE])
        # The erasure was decided of an event, all else of one too; so there is a command for each.
        assert done.commands == len(expected[1]) == SIZE
        assert names(engine) == {"anna": "Anna", "ben": "Ben", "carl": ERASED}
    first = (tmp_path / "0.tar").read_bytes()
    for number in (1, 2, 3):
        folder = tmp_path / str(number)
        with opened(urls[number], folder) as engine:
            made = restore(engine, folder, tmp_path / f"{number - 1}.tar")
            assert (made.size, made.root, made.commands, made.persons) == (SIZE, done.root, SIZE, 0)
            assert rows(engine.database) == expected
            assert verify_store(engine.database, folder).sound
            assert names(engine) == {"anna": ERASED, "ben": ERASED, "carl": ERASED}
            assert finds(engine, "new@example.org") == []
            log = Checkpoints(engine.database, folder, "https://elsewhere.example")
            assert log.origin == "climate.example/log"
            export(engine, log, tmp_path / f"{number}.tar", size=SIZE)
            assert (tmp_path / f"{number}.tar").read_bytes() == first
            found(engine, 3, start=500)
            assert log.make().size == SIZE + 3
            assert verify_store(engine.database, folder).sound
    assert verify_archive(tmp_path / "3.tar").sound


def test_a_full_backup_brings_everybody_back_but_the_erased(
    database_url: str, tmp_path: Path, new_database: Callable[[], str]
) -> None:
    target = tmp_path / "full.tar"
    with opened(database_url, tmp_path / "a") as engine:
        log = filled(engine, tmp_path / "a")
        assert export(engine, log, target, passphrase="correct horse").persons == 2
        keys = log.keys()
    assert target.stat().st_mode & 0o777 == 0o600
    for secret in (keys.signing[0].seed.hex(), "Anna", "example.org"):
        assert secret.encode() not in target.read_bytes()
    with opened(new_database(), tmp_path / "b") as engine:
        with pytest.raises(Unavailable, match="passphrase does not open"):
            restore(engine, tmp_path / "b", target, passphrase="wrong")
        made = restore(engine, tmp_path / "b", target, passphrase="correct horse")
        assert (made.size, made.persons) == (SIZE, 2)
        assert names(engine) == {"anna": "Anna", "ben": "Ben", "carl": ERASED}
        assert finds(engine, "NEW@example.org") == [identify("supporter", "anna")]
        assert finds(engine, "anna@example.org") == finds(engine, "ben@example.org") == []
        restored = Checkpoints(engine.database, tmp_path / "b").keys()
        assert [key.seed for key in restored.signing] == [key.seed for key in keys.signing]
        run(engine, ("supporters.amend", {"supporter": "anna", "name": "Anna B."}))
        assert verify_store(engine.database, tmp_path / "b").sound
    with opened(f"sqlite:///{tmp_path}/c/g.sqlite3", tmp_path / "c") as engine:
        assert restore(engine, tmp_path / "c", target).persons == 0
        with engine.database.read() as connection:
            assert connection.execute(sa.select(person_index)).all() == []


def test_a_command_is_not_executed_again_after_a_restore(archive: Path, tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/b/g.sqlite3", tmp_path / "b") as engine:
        restore(engine, tmp_path / "b", archive)
        assert run(engine, ("chapters.found", {"chapter": "c0", "name": "Chapter 0 „Ä“"})) == [4]
        assert engine.log.head() == SIZE


def test_the_same_range_gives_the_same_bytes_however_the_log_grows(database_url: str, tmp_path: Path) -> None:
    with opened(database_url, tmp_path) as engine:
        log = filled(engine, tmp_path)
        for count, name in enumerate(("a.tar", "b.tar", "c.tar")):
            assert export(engine, log, tmp_path / name, size=309).size == 309
            found(engine, 10, start=1_000 + 10 * count)
            log.make()
        assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
        assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "c.tar").read_bytes()
        assert export(engine, log, tmp_path / "all.tar").size == SIZE + 30
        newest = log.make().note
    assert verify_archive(tmp_path / "a.tar").sound
    shorter = verify_archive(tmp_path / "a.tar", checkpoint=newest)
    assert (shorter.first_bad, shorter.size) == (310, 309)


def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/g.sqlite3", tmp_path) as engine:
        log = Checkpoints(engine.database, tmp_path, BASE)
        with pytest.raises(Unknown, match="no event to export"):
            export(engine, log, tmp_path / "a.tar")
        found(engine, 10)
        with pytest.raises(Unknown, match="no checkpoint at position 7"):
            export(engine, log, tmp_path / "a.tar", size=7)
        with pytest.raises(Unavailable, match="not empty"):
            export(engine, log, tmp_path / "a.tar", passphrase="")
        disarm(engine.database)
        with engine.database.write() as connection:
            connection.execute(events.update().where(events.c.position == 7).values(actor_id="x"))
        with pytest.raises(Damaged, match="position 7 was changed"):
            export(engine, log, tmp_path / "a.tar")
        assert sorted(path.name for path in tmp_path.iterdir() if "tar" in path.name) == []
        (tmp_path / "a.tar").write_text("mine")
        with pytest.raises(Conflict, match="already something"):
            export(engine, log, tmp_path / "a.tar")
        assert (tmp_path / "a.tar").read_text() == "mine"


def test_only_an_empty_store_takes_an_archive(archive: Path, tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/b/g.sqlite3", tmp_path / "b") as engine:
        with pytest.raises(Unavailable, match="no archive at"):
            restore(engine, tmp_path / "b", tmp_path / "none.tar")
        with pytest.raises(Unavailable, match="made without keys"):
            restore(engine, tmp_path / "b", archive, passphrase="x")
        found(engine, 1)
        with pytest.raises(Conflict, match="empty store only") as refused:
            restore(engine, tmp_path / "b", archive)
        assert refused.value.code == "store.not_empty"


@pytest.mark.parametrize("content", [b"", b"no archive", b"\0" * 10_240])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(Unavailable, match="not a readable archive"):
        verify_archive(tmp_path / "a.tar")


# --- tampering ------------------------------------------------------------------------------------------------------

MATRIX: list[tuple[Callable[[Files], None], bool, int | None, str]] = [
    (flip_a_byte, True, 50, "its data does not have its hash"),
    (change_an_actor, True, 50, "The event at position 50 was changed"),
    (other_spelling, True, 50, "Line 50 of the archive's events is not an entry"),
    (delete, True, 50, "The event at position 50 is missing; position 51 follows."),
    (reorder, True, 50, "The event at position 50 is missing; position 51 follows."),
    (insert, True, 50, "At position 50 stands an event of position 49."),
    (swap_data, True, 50, "its data does not have its hash"),
    (truncate, True, 306, "history ends at position 305"),
    (break_a_line, True, 50, "Line 50"),
    (add_an_event, True, 311, "The tiles of the archive end before position 311."),
    (change_a_leaf, True, 50, "The event at position 50 was changed"),
    (change_a_node, True, 1, "tile/1/000.p/1 of the archive does not fit"),
    (lose_a_tile, True, None, "tile/0/001.p/54 is missing from the archive."),
    (change_the_newest_checkpoint, True, None, "The newest checkpoint of the archive is not the one"),
    (another_key, True, 3, "None of the known keys signed this note."),
    (change_a_command, False, None, "commands.jsonl of the archive was changed"),
    (add_a_file, False, None, "more is missing from the archive or from its sums."),
]


@pytest.mark.parametrize(("tamper", "sums", "first_bad", "why"), MATRIX, ids=[row[0].__name__ for row in MATRIX])
def test_a_tampered_archive_is_named_and_not_restored(
    archive: Path,
    tmp_path: Path,
    tamper: Callable[[Files], None],
    sums: bool,  # noqa: FBT001 - a column of the matrix
    first_bad: int | None,
    why: str,
) -> None:
    repack(archive, tmp_path / "bad.tar", tamper, sums=sums)
    verdict = verify_archive(tmp_path / "bad.tar")
    assert (verdict.first_bad, why in (verdict.why or "")) == (first_bad, True), verdict.why
    with opened(f"sqlite:///{tmp_path}/b/g.sqlite3", tmp_path / "b") as engine:
        with pytest.raises(Damaged):
            restore(engine, tmp_path / "b", tmp_path / "bad.tar")
        assert engine.log.head() == 0
        assert not (tmp_path / "b" / "verifier.keys").exists()


def test_an_archive_made_and_signed_by_another_is_caught_with_the_logs_own_key(archive: Path, tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/forger/g.sqlite3", tmp_path / "forger") as engine:
        register(engine, "mallory")
        forged = export(engine, Checkpoints(engine.database, tmp_path / "forger", BASE), tmp_path / "forged.tar").path
    with opened(f"sqlite:///{tmp_path}/source/g.sqlite3", tmp_path / "source") as engine:
        log = Checkpoints(engine.database, tmp_path / "source")
        true_keys, kept = log.keys().verifiers, log.at(3)
    assert kept
    assert verify_archive(forged).sound, "on its own it is a history like any other"
    assert verify_archive(forged).keys != verify_archive(archive).keys == tuple(map(str, true_keys))
    assert verify_archive(forged, keys=true_keys).first_bad == 1
    assert verify_archive(archive, keys=true_keys, checkpoint=kept.note).sound
    with opened(f"sqlite:///{tmp_path}/b/g.sqlite3", tmp_path / "b") as engine, pytest.raises(Damaged):
        restore(engine, tmp_path / "b", forged, keys=true_keys)


def test_sealed_lines_cannot_be_changed_moved_or_left_out() -> None:
    sealed = list(seal_lines("secret", [1, 2, 3]))
    assert list(open_lines("secret", sealed)) == [1, 2, 3]
    for bad in (sealed[:-1], [sealed[0], sealed[2], sealed[1], sealed[3]], [], [b"{}\n", *sealed[1:]]):
        with pytest.raises(Unavailable):
            list(open_lines("secret", bad))
    with pytest.raises(Unavailable, match="not of their form"):
        list(open_lines("secret", [*sealed[:1], b"###\n"]))


@pytest.mark.skipif(
    not (shutil.which("openssl") and shutil.which("sha256sum")), reason="there is no openssl or sha256sum here"
)
class TestHowTo:
    """The how-to of the archive, run as it stands there."""

    @staticmethod
    def follow(archive: Path, folder: Path) -> subprocess.CompletedProcess[str]:
        folder.mkdir()
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        blocks = (folder / "HOWTO.md").read_text().split("```sh\n")[1:]
        script = "".join(block.split("```")[0] for block in blocks)
        return subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S607

    def test_it_finds_a_good_archive_good(self, archive: Path, tmp_path: Path) -> None:
        done = self.follow(archive, tmp_path / "unpacked")
        verdict = verify_archive(archive)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"signed by {verdict.keys[0]}" in done.stdout
        assert done.stdout.rstrip().endswith("310 events are as they were signed")

    @pytest.mark.parametrize("tamper", [change_an_actor, swap_data, change_a_node, another_key])
    def test_it_finds_a_bad_one_bad(self, archive: Path, tmp_path: Path, tamper: Callable[[Files], None]) -> None:
        repack(archive, tmp_path / "bad.tar", tamper, sums=True)
        assert self.follow(tmp_path / "bad.tar", tmp_path / "unpacked").returncode != 0


def test_the_result_of_an_export_says_what_was_written(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/g.sqlite3", tmp_path) as engine:
        found(engine, 2)
        log = Checkpoints(engine.database, tmp_path, BASE)
        root = log.make().root
        assert export(engine, log, tmp_path / "a.tar") == Exported(tmp_path / "a.tar", 2, root, 2, 0)
        with engine.database.read() as connection:
            assert connection.execute(sa.select(store.c.name)).scalars().all()
