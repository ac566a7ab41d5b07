import base64
import shutil
import subprocess
import threading
from hashlib import sha256
from pathlib import Path

import pytest
import sqlalchemy as sa

from domain.kernel import Unavailable, Unknown
from history.checkpoints import (
    Checkpoint,
    Checkpoints,
    checkpoint_text,
    default_origin,
    open_checkpoint,
    open_receipt,
    receipt_text,
)
from history.notes import LogKeys, NoteInvalid, SigningKey, VerifierKey, open_note, sign
from history.tables import checkpoints, events, subtrees
from history.tiles import rebuild
from history.tree import EMPTY_ROOT, extends, leaf_hash, root
from tests.history.sample import disarm, found, opened, run

BASE = "https://climate.example/"

# The note and key that the specification of signed notes gives as an example (Go's sumdb/note).
PETER = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
PETERS_NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_the_example_of_the_specification_is_accepted() -> None:
    assert PETER.id.hex() == "c74f20a3"
    assert open_note(PETERS_NOTE, [PETER]).startswith("If you think")


def test_a_note_is_refused_unless_a_known_key_signed_exactly_this() -> None:
    key, other = SigningKey("a.example/log", b"1" * 32), SigningKey("a.example/log", b"2" * 32)
    note = sign("text\n\nmore\n", [key, other])
    assert open_note(note, [key.verifier]) == open_note(note, [other.verifier]) == "text\n\nmore\n"
    assert VerifierKey.parse(str(key.verifier)) == key.verifier
    unknown = SigningKey("a.example/log", b"3" * 32).verifier
    for bad, known in [
        (note, [unknown]),
        (note, [VerifierKey("b.example/log", key.verifier.public)]),
        (note.replace("text", "test"), [key.verifier]),
        (note.removesuffix("\n"), [key.verifier]),
        (note.replace("—", "-"), [key.verifier]),
        (note.replace("more\n\n", "more\n"), [key.verifier]),
        ("text\n", [key.verifier]),
        (sign("a\tb\n", [key]), [key.verifier]),
        (note + "— x !!!!\n", [key.verifier]),
    ]:
        with pytest.raises(NoteInvalid):
            open_note(bad, known)


@pytest.mark.parametrize("text", ["", "a+b", "a+00000000+AQ==", str(PETER).replace("c74f", "c74e"), f"x{PETER}"])
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(NoteInvalid, match="is not"):
        VerifierKey.parse(text)


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl here")
def test_openssl_agrees_with_the_signature(tmp_path: Path) -> None:
    key = SigningKey("a.example/log", b"1" * 32)
    text = checkpoint_text("a.example/log", 3, root([b"1" * 32, b"2" * 32, b"3" * 32]))
    line = sign(text, [key]).splitlines()[-1]
    (tmp_path / "text").write_text(text)
    (tmp_path / "signature").write_bytes(base64.b64decode(line.split()[2])[4:])
    (tmp_path / "key.der").write_bytes(bytes.fromhex("302a300506032b6570032100") + key.verifier.public)
    command: list[str | Path] = [
        "openssl",
        "pkeyutl",
        "-verify",
        "-pubin",
        "-keyform",
        "DER",
        "-inkey",
        tmp_path / "key.der",
        "-rawin",
    ]
    command += ["-in", tmp_path / "text", "-sigfile", tmp_path / "signature"]
    assert b"Verified Successfully" in subprocess.run(command, check=True, capture_output=True).stdout
    (tmp_path / "text").write_text(text.replace("\n3\n", "\n4\n"))
    assert subprocess.run(command, check=False, capture_output=True).returncode == 1


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://climate.example/", "climate.example/log"),
        ("http://127.0.0.1:8000", "groundswell.local/log"),
        ("http://localhost:8000", "groundswell.local/log"),
        ("", "groundswell.local/log"),
    ],
)
def test_the_origin_follows_from_the_address(url: str, origin: str) -> None:
    assert default_origin(url) == origin


def test_checkpoints_grow_with_the_log_and_prove_it(database_url: str, tmp_path: Path) -> None:
    with opened(database_url, tmp_path) as engine:
        log = Checkpoints(engine.database, tmp_path, BASE)
        assert log.newest() is None
        made = [log.make()]
        assert (made[0].size, made[0].root) == (0, EMPTY_ROOT)
        for count in (1, 6, 249, 1, 300):
            found(engine, count, start=made[-1].size)
            made.append(log.make())
        with engine.database.read() as connection:
            leaves = list(connection.scalars(sa.select(events.c.leaf_hash).order_by(events.c.position)))
            assert connection.scalar(sa.select(sa.func.count()).select_from(subtrees)) == 557 // 256
        known = log.keys().verifiers
        for one in made:
            assert open_checkpoint(one.note, known, "climate.example/log").text == one.text
            assert one.root == root(leaves[: one.size])
            proof = log.consistency(one.size, made[-1].size)
            assert extends(one.size, one.root, made[-1].size, made[-1].root, proof)
        assert log.make() == log.newest() == log.at(557) == made[-1]
        assert log.tile("tile/0/000") == b"".join(leaves[:256])
        assert log.tile("tile/0/002.p/45") == b"".join(leaves[512:557])
        assert log.tile("tile/1/000.p/2") == root(leaves[:256]) + root(leaves[256:512])
        assert log.tile("tile/0/002.p/46") is log.tile("tile/1/000.p/3") is log.tile("tile/2/000.p/1") is None
        assert log.tile("checkpoint") is None
        bundle = log.tile("tile/entries/002.p/45") or b""
        for leaf in leaves[512:557]:
            length, bundle = int.from_bytes(bundle[:2]), bundle[2:]
            assert leaf_hash(bundle[:length]) == leaf
            bundle = bundle[length:]
        assert bundle == b""
        with pytest.raises(Unknown):
            log.consistency(1, 558)


def test_a_receipt_proves_its_entry_with_nothing_but_the_key(database_url: str, tmp_path: Path) -> None:
    with opened(database_url, tmp_path) as engine:
        found(engine, 300)
        log = Checkpoints(engine.database, tmp_path, BASE)
        with pytest.raises(Unknown, match="no event at position 301"):
            log.receipt(301)
        known = log.keys().verifiers
        for position in (1, 2, 255, 256, 257, 300):
            receipt = open_receipt(log.receipt(position), known, log.origin)
            assert receipt.position == position
            assert f'"position":{position},'.encode() in receipt.entry
            assert receipt.checkpoint.size == 300
        found(engine, 5, start=300)
        assert open_receipt(log.receipt(300), known).checkpoint.size == 300
        text = log.receipt(301)
        assert open_receipt(text, known).checkpoint.size == 305
    for bad in (
        text.replace("index 300", "index 299"),
        text.replace("extra ", "extra AAAA"),
        text.replace("\n305\n", "\n306\n"),
        text.replace("tlog-proof@v1", "tlog-proof@v2"),
        "",
    ):
        with pytest.raises(NoteInvalid):
            open_receipt(bad, known)
    with pytest.raises(NoteInvalid, match=r"not one of the log other\.example/log"):
        open_receipt(text, known, "other.example/log")
    newest = receipt_text(1, b"{}", [], sign(checkpoint_text("o", 1, leaf_hash(b"{}")), [SigningKey("o", b"1" * 32)]))
    assert open_receipt(newest, [SigningKey("o", b"1" * 32).verifier]).entry == b"{}"


def test_the_origin_stays_what_it_was_at_first(database_url: str, tmp_path: Path) -> None:
    with opened(database_url, tmp_path) as engine:
        assert Checkpoints(engine.database, tmp_path, BASE).origin == "climate.example/log"
        assert Checkpoints(engine.database, tmp_path, "https://moved.example").origin == "climate.example/log"


def test_after_rotation_old_and_new_key_sign_until_the_old_one_retires(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/g.sqlite3", tmp_path) as engine:
        log = Checkpoints(engine.database, tmp_path, BASE)
        found(engine, 3)
        log.make()
        (old,) = log.keys().verifiers
        assert (tmp_path / "signing.key").stat().st_mode & 0o777 == 0o600
        new = log.keys().rotate()
        note = log.make().note
        assert open_checkpoint(note, [old]).size == open_checkpoint(note, [new]).size == 3
        with pytest.raises(Unknown):
            log.keys().retire("00000000")
        assert log.keys().retire(old.id.hex()) == old
        with pytest.raises(NoteInvalid):
            open_checkpoint(log.make().note, [old])
        assert open_checkpoint(log.make().note, [new]).size == 3
        assert log.keys().verifiers == [old, new]
        with pytest.raises(Unavailable, match="only key"):
            log.keys().retire(new.id.hex())
        (tmp_path / "signing.key").unlink()
        with pytest.raises(Unavailable, match="groundswell keys rotate") as missing:
            log.make()
        assert missing.value.code == "keys.missing"
        (tmp_path / "signing.key").write_text("no key\n")
        with pytest.raises(Unavailable, match="64 hexadecimal digits"):
            log.make()


def test_a_log_that_does_not_extend_what_was_signed_is_not_signed(database_url: str, tmp_path: Path) -> None:
    with opened(database_url, tmp_path) as engine:
        log = Checkpoints(engine.database, tmp_path, BASE)
        found(engine, 10)
        log.make()
        disarm(engine.database)
        with engine.database.write() as connection:
            connection.execute(events.delete().where(events.c.position == 10))
        with pytest.raises(Unavailable, match="ends at position 9, but 10") as shrunk:
            log.make()
        run(engine, ("chapters.found", {"chapter": "other", "name": "Other"}))
        with pytest.raises(Unavailable, match="not those that were signed") as forked:
            log.make()
        found(engine, 10, start=20)
        with pytest.raises(Unavailable, match="not those that were signed"):
            log.make()
        assert (shrunk.value.code, forked.value.code) == ("log.shrunk", "log.forked")
        assert log.newest() == log.at(10)


def test_what_was_persisted_before_a_crash_is_signed_later_or_never_contradicted(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/g.sqlite3", tmp_path) as engine:
        log = Checkpoints(engine.database, tmp_path, BASE)
        found(engine, 4)
        kept = log.make()
        with engine.database.write() as connection:  # as after a crash between the two transactions
            connection.execute(checkpoints.update().values(note=None, signed_at=None))
        assert log.newest() is None
        assert log.make().note == kept.note
        with engine.database.write() as connection:
            connection.execute(checkpoints.update().values(note=None, root=b"0" * 32))
        with pytest.raises(Unavailable, match="not those that were signed"):
            log.make()


def test_makers_at_the_same_time_agree(database_url: str, tmp_path: Path) -> None:
    with opened(database_url, tmp_path) as engine:
        log = Checkpoints(engine.database, tmp_path, BASE)
        made: list[Checkpoint] = []

        def work() -> None:
            made.extend(log.make() for _ in range(10))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        found(engine, 600)
        for thread in threads:
            thread.join()
        made.append(log.make())
        with engine.database.read() as connection:
            leaves = list(connection.scalars(sa.select(events.c.leaf_hash).order_by(events.c.position)))
        assert len(made) == 41
        assert all(one.root == root(leaves[: one.size]) for one in made)
        assert len(log.keys().signing) == 1


def test_subtrees_can_be_rebuilt(database_url: str, tmp_path: Path) -> None:
    with opened(database_url, tmp_path) as engine:
        log = Checkpoints(engine.database, tmp_path, BASE)
        found(engine, 520)
        made = log.make()
        with engine.database.write() as connection:
            connection.execute(subtrees.update().values(hash=sha256(b"wrong").digest()))
        with pytest.raises(Unavailable):
            log.make()
        rebuild(engine.database, made.size)
        assert log.make() == made


def test_adopted_keys_are_known_and_sign(tmp_path: Path) -> None:
    theirs = SigningKey("o", b"7" * 32)
    keys = LogKeys(tmp_path, "o")
    keys.adopt([PETER, theirs.verifier])
    assert LogKeys(tmp_path, "o").verifiers == [PETER, theirs.verifier]
    assert LogKeys(tmp_path, "o").signing == []
    keys.adopt([], [theirs.seed])
    assert [key.verifier for key in LogKeys(tmp_path, "o").signing] == [theirs.verifier]
