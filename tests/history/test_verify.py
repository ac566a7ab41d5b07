"""The tamper matrix: everything a person with full access to the database could try, with its triggers dropped."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from domain.kernel import now
from history.checkpoints import Checkpoint, Checkpoints, checkpoint_text
from history.database import Database
from history.engine import Engine
from history.notes import LogKeys, NoteInvalid, SigningKey, sign
from history.tables import checkpoints, events, subtrees
from history.tiles import grow, own_leaf, reader, rebuild, records
from history.tree import tree_root
from history.verify import Verdict, verify_store
from tests.history.sample import disarm, found, opened, register, run

BASE = "https://climate.example/"
SIZE = 310


@pytest.fixture
def engine(database_url: str, tmp_path: Path) -> Iterator[Engine]:
    """A sealed store: 310 events, checkpoints at 1, 100, 300 and 310, streams of one to three events."""
    with opened(database_url, tmp_path) as engine:
        log = Checkpoints(engine.database, tmp_path, BASE)
        register(engine, "anna")
        log.make()
        found(engine, 96)
        amend = {"supporter": "anna", "locale": "de"}
        run(engine, ("supporters.amend", amend), ("supporters.amend", {**amend, "locale": "fr"}), reason="she asked")
        register(engine, "ben")
        log.make()
        found(engine, 200, start=100)
        log.make()
        found(engine, 10, start=400)
        assert log.make().size == SIZE
        disarm(engine.database)
        yield engine


def verify(engine: Engine, folder: Path, checkpoint: str | None = None) -> Verdict:
    return verify_store(engine.database, folder, checkpoint=checkpoint)


def test_an_untouched_store_is_sound(engine: Engine, tmp_path: Path) -> None:
    seen: list[int] = []
    log = Checkpoints(engine.database, tmp_path, BASE)
    newest = log.make()
    verdict = verify_store(engine.database, tmp_path, progress=seen.append)
    assert verdict == Verdict(SIZE, newest.root, 4, tuple(map(str, log.keys().verifiers)))
    assert verdict.sound
    assert seen == [SIZE]
    first = log.at(100)
    assert first
    assert verify(engine, tmp_path, first.note).checkpoints == 5


def test_an_empty_store_is_sound(database_url: str, tmp_path: Path) -> None:
    with opened(database_url, tmp_path) as engine:
        assert verify(engine, tmp_path).sound
        Checkpoints(engine.database, tmp_path).make()
        assert verify(engine, tmp_path).checkpoints == 1


def at(position: int) -> sa.Update:
    return events.update().where(events.c.position == position)


def flip_a_byte(connection: Connection) -> None:
    data = connection.scalar(sa.select(events.c.data).where(events.c.position == 50)) or b""
    connection.execute(at(50).values(data=data[:9] + bytes([data[9] ^ 1]) + data[10:]))


def flip_a_leaf(connection: Connection) -> None:
    connection.execute(at(50).values(leaf_hash=b"0" * 32))


def delete(connection: Connection) -> None:
    connection.execute(events.delete().where(events.c.position == 50))


def delete_the_first(connection: Connection) -> None:
    connection.execute(events.delete().where(events.c.position == 1))


def move(connection: Connection, position: int, to: int) -> None:
    connection.execute(at(position).values(position=to))


def delete_and_close_the_gap(connection: Connection) -> None:
    delete(connection)
    for position in range(51, SIZE + 1):
        move(connection, position, position - 1)


def reorder(connection: Connection) -> None:
    move(connection, 50, 9_999)
    move(connection, 51, 50)
    move(connection, 9_999, 51)


def swap_data(connection: Connection) -> None:
    one, other = (connection.scalar(sa.select(events.c.data).where(events.c.position == p)) for p in (50, 60))
    connection.execute(at(50).values(data=other))
    connection.execute(at(60).values(data=one))


def change_an_actor(connection: Connection) -> None:
    connection.execute(at(50).values(actor_id="somebody else"))


def change_a_time(connection: Connection) -> None:
    connection.execute(at(50).values(occurred_at=now()))


def backdate_in_another_spelling(connection: Connection) -> None:
    text = "UPDATE events SET recorded_at = replace(recorded_at, 'Z', '+00:00') WHERE position = 50"
    connection.execute(sa.text(text))


def skip_a_version(connection: Connection) -> None:
    connection.execute(at(99).values(version=4))


def insert_before_all(connection: Connection) -> None:
    copy(connection, 50, 0)


def insert_at_the_end(connection: Connection) -> None:
    copy(connection, 50, SIZE + 1)


def insert_between(connection: Connection) -> None:
    for position in range(SIZE, 49, -1):
        move(connection, position, position + 1)
    copy(connection, 51, 50)


def copy(connection: Connection, position: int, to: int) -> None:
    row = connection.execute(sa.select(events).where(events.c.position == position)).one()._asdict()
    connection.execute(events.insert().values(row | {"position": to, "version": 2}))


def rewrite_with_its_hash(connection: Connection) -> None:
    connection.execute(at(50).values(actor_id="somebody else"))
    rehash(connection, 50)


def rehash(connection: Connection, position: int) -> None:
    record = next(records(connection, position - 1, position))._replace(leaf=None)
    connection.execute(at(position).values(leaf_hash=own_leaf(record)))


def truncate_the_tail(connection: Connection) -> None:
    connection.execute(events.delete().where(events.c.position > 305))


def truncate_all(connection: Connection) -> None:
    connection.execute(events.delete())


def change_a_subtree(connection: Connection) -> None:
    connection.execute(subtrees.update().values(hash=b"0" * 32))


def lose_a_subtree(connection: Connection) -> None:
    connection.execute(subtrees.delete())


def foresee_a_subtree(connection: Connection) -> None:
    connection.execute(subtrees.insert().values(level=1, number=1, hash=b"0" * 32))


def change_a_checkpoints_root(connection: Connection) -> None:
    connection.execute(checkpoints.update().where(checkpoints.c.size == 100).values(root=b"0" * 32))


def change_a_checkpoints_size(connection: Connection) -> None:
    connection.execute(checkpoints.update().where(checkpoints.c.size == 100).values(size=101))


def change_a_signature(connection: Connection) -> None:
    note = connection.scalar(sa.select(checkpoints.c.note).where(checkpoints.c.size == 100)) or ""
    wrong = connection.scalar(sa.select(checkpoints.c.note).where(checkpoints.c.size == 300)) or ""
    changed = note.splitlines()[:-1] + wrong.splitlines()[-1:]
    connection.execute(checkpoints.update().where(checkpoints.c.size == 100).values(note="\n".join(changed) + "\n"))


def sign_with_another_key(connection: Connection) -> None:
    root = connection.scalar(sa.select(checkpoints.c.root).where(checkpoints.c.size == 100)) or b""
    note = sign(checkpoint_text("climate.example/log", 100, root), [SigningKey("climate.example/log", b"1" * 32)])
    connection.execute(checkpoints.update().where(checkpoints.c.size == 100).values(note=note))


def swap_the_notes(connection: Connection) -> None:
    note = connection.scalar(sa.select(checkpoints.c.note).where(checkpoints.c.size == 300))
    connection.execute(checkpoints.update().where(checkpoints.c.size == 100).values(note=note))


MATRIX: list[tuple[Callable[[Connection], None], int, str]] = [
    (flip_a_byte, 50, "The event at position 50 was changed"),
    (flip_a_leaf, 50, "The event at position 50 was changed"),
    (delete, 50, "The event at position 50 is missing; position 51 follows."),
    (delete_the_first, 1, "The event at position 1 is missing; position 2 follows."),
    (delete_and_close_the_gap, 50, "The event at position 50 was changed"),
    (reorder, 50, "The event at position 50 was changed"),
    (swap_data, 50, "The event at position 50 was changed"),
    (change_an_actor, 50, "The event at position 50 was changed"),
    (change_a_time, 50, "The event at position 50 was changed"),
    (backdate_in_another_spelling, 50, "The event at position 50 was changed"),
    (skip_a_version, 99, "The event at position 99 has version 4 of its stream, not 3."),
    (insert_before_all, 1, "At position 1 stands an event of position 0."),
    (insert_between, 50, "The event at position 50 has version 2 of its stream, not 1."),
    (insert_at_the_end, SIZE + 1, f"The event at position {SIZE + 1} was changed"),
    (rewrite_with_its_hash, 2, "Of the positions 2 to 100 one was rewritten with its hash"),
    (truncate_the_tail, 306, "history ends at position 305, a checkpoint was made of 310"),
    (truncate_all, 1, "history ends at position 0, a checkpoint was made of 1"),
    (change_a_subtree, 1, "The tree has another hash for the positions 1 to 256"),
    (lose_a_subtree, 1, "The tree has another hash for the positions 1 to 256"),
    (foresee_a_subtree, SIZE + 1, f"The tree has hashes of positions after {SIZE}"),
    (change_a_checkpoints_root, 2, "the checkpoint at 100 has another root"),
    (change_a_checkpoints_size, 2, "the checkpoint at 101 has another root"),
    (change_a_signature, 100, "The signature of the key climate.example/log"),
    (sign_with_another_key, 100, "None of the known keys signed this note."),
    (swap_the_notes, 100, "Its note is one of 300 positions."),
]


@pytest.mark.parametrize(("tamper", "first_bad", "why"), MATRIX, ids=[row[0].__name__ for row in MATRIX])
def test_what_was_tampered_with_is_named(
    engine: Engine, tmp_path: Path, tamper: Callable[[Connection], None], first_bad: int, why: str
) -> None:
    with engine.database.write() as connection:
        tamper(connection)
    verdict = verify(engine, tmp_path)
    assert not verdict.sound
    assert (verdict.first_bad, why in (verdict.why or "")) == (first_bad, True), verdict.why


def test_a_column_of_the_wrong_type_is_named(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/g.sqlite3", tmp_path) as engine:
        found(engine, 10)
        disarm(engine.database)
        for column in ("data", "stream_id", "occurred_at"):
            with engine.database.write() as connection:
                connection.execute(sa.text(f"UPDATE events SET {column} = 7 WHERE position = 8"))  # noqa: S608
            assert verify(engine, tmp_path).first_bad == 8


def test_a_page_of_the_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "g.sqlite3"
    with opened(f"sqlite:///{path}", tmp_path) as engine:
        found(engine, 500)
    content = path.read_bytes()
    page = content.index(b"Chapter 300 ") // 4_096 * 4_096
    path.write_bytes(content[:page] + b"\xff" * 4_096 + content[page + 4_096 :])
    with opened(f"sqlite:///{path}", tmp_path) as engine:
        verdict = verify(engine, tmp_path)
    assert verdict.first_bad
    assert 280 < verdict.first_bad <= 301
    assert f"The event at position {verdict.first_bad} cannot be read." in (verdict.why or "")


def rewrite_all(database: Database) -> None:
    """Change an actor, then every hash that follows from it, as somebody with time would."""
    with database.write() as connection:
        rewrite_with_its_hash(connection)
    rebuild(database, SIZE)


def root_now(database: Database, size: int) -> bytes:
    with database.read() as connection:
        return tree_root(reader(connection), size)


@pytest.mark.parametrize("keep_note", [True, False])
def test_a_new_root_without_the_key_is_caught(engine: Engine, tmp_path: Path, keep_note: bool) -> None:  # noqa: FBT001
    rewrite_all(engine.database)
    for size in (100, 300, SIZE):
        change = {"root": root_now(engine.database, size)} | ({} if keep_note else {"note": None})
        with engine.database.write() as connection:
            connection.execute(checkpoints.update().where(checkpoints.c.size == size).values(change))
    outside = Checkpoints(engine.database, tmp_path, BASE)
    verdict = verify(engine, tmp_path)
    if keep_note:
        assert verdict.first_bad == 2
    else:  # nothing signed is left after the rewritten event: that needs a checkpoint from outside
        assert verdict.sound
        assert outside.at(1)


def kept_outside(engine: Engine, folder: Path, size: int) -> Checkpoint:
    found = Checkpoints(engine.database, folder, BASE).at(size)
    assert found
    return found


def test_a_history_rewritten_and_signed_with_the_right_key_needs_a_checkpoint_kept_outside(
    engine: Engine, tmp_path: Path
) -> None:
    before, after = kept_outside(engine, tmp_path, 1), kept_outside(engine, tmp_path, 100)
    rewrite_all(engine.database)
    keys = LogKeys(tmp_path, "climate.example/log").signing
    for size in (100, 300, SIZE):
        root = root_now(engine.database, size)
        note = sign(checkpoint_text("climate.example/log", size, root), keys)
        with engine.database.write() as connection:
            connection.execute(checkpoints.update().where(checkpoints.c.size == size).values(root=root, note=note))
    assert verify(engine, tmp_path).sound, "a lone log cannot show this"
    assert verify(engine, tmp_path, before.note).sound, "nor can a checkpoint from before the rewritten event"
    verdict = verify(engine, tmp_path, after.note)
    assert verdict.first_bad == 1
    assert verdict.why == (
        "Of the positions 1 to 100 one was rewritten with its hash: the checkpoint at 100 has another root."
    )


def test_a_tail_cut_back_with_its_checkpoints_needs_a_checkpoint_kept_outside(engine: Engine, tmp_path: Path) -> None:
    newest = kept_outside(engine, tmp_path, SIZE)
    with engine.database.write() as connection:
        connection.execute(events.delete().where(events.c.position > 300))
        connection.execute(checkpoints.delete().where(checkpoints.c.size > 300))
    assert verify(engine, tmp_path).sound, "a lone log cannot show this"
    assert verify(engine, tmp_path, newest.note).first_bad == 301


def test_a_checkpoint_of_another_key_or_log_is_refused_not_believed(engine: Engine, tmp_path: Path) -> None:
    for name, seed in (("climate.example/log", b"1" * 32), ("other.example/log", b"2" * 32)):
        key = SigningKey(name, seed)
        note = sign(checkpoint_text(name, 100, b"0" * 32), [key])
        with pytest.raises(NoteInvalid, match="None of the known keys"):
            verify(engine, tmp_path, note)
        if name.startswith("other"):
            with pytest.raises(NoteInvalid, match="not one of the log"):
                verify_store(engine.database, tmp_path, checkpoint=note, keys=[key.verifier])


def test_without_the_logs_key_files_no_signature_is_believed(engine: Engine, tmp_path: Path) -> None:
    known = LogKeys(tmp_path, "climate.example/log").verifiers
    shutil.move(tmp_path / "verifier.keys", tmp_path / "away")
    assert verify(engine, tmp_path).sound  # by the keys that sign
    shutil.move(tmp_path / "signing.key", tmp_path / "away too")
    verdict = verify(engine, tmp_path)
    assert (verdict.first_bad, "None of the known keys" in (verdict.why or "")) == (1, True)
    assert verify_store(engine.database, tmp_path, keys=known).sound


def test_what_is_appended_while_it_runs_does_no_harm(engine: Engine, tmp_path: Path) -> None:
    log = Checkpoints(engine.database, tmp_path, BASE)
    found(engine, 2_500, start=1_000)

    def meanwhile(position: int) -> None:
        found(engine, 10, start=10_000 + position)
        log.make()

    verdict = verify_store(engine.database, tmp_path, progress=meanwhile)
    assert verdict.sound
    assert (verdict.size, verdict.checkpoints) == (SIZE + 2_500, 4)
    grow(engine.database, verdict.size)
    assert verify(engine, tmp_path).sound
