"""The master key: made, missed, and replaced under a store that is in use, whatever cuts that off."""

import multiprocessing
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from domain.kernel import Unavailable, identify
from domain.supporters import Amend, Erase, Register
from history import masterkey
from history.checkpoints import Checkpoints
from history.engine import Engine
from history.envelope import Request
from history.tables import events, person_keys
from history.verify import verify_store
from tests.support.rooms import ask, count, engine_at, enter, outcomes


def trouble(url: str, folder: Path) -> tuple[str, str]:
    with pytest.raises(Unavailable) as unavailable, engine_at(url, folder):
        pass
    return unavailable.value.code, unavailable.value.message


# --- the file ---


def test_the_master_key_is_made_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    key = masterkey.make(folder)
    assert masterkey.make(folder).fingerprint == masterkey.find(folder, key.fingerprint).fingerprint == key.fingerprint
    assert len(bytes.fromhex((folder / "master.key").read_text())) == 32
    assert stat.S_IMODE((folder / "master.key").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["master.key"]


def test_a_missing_master_key_is_said_to_be_final_and_none_is_made(database_url: str, tmp_path: Path) -> None:
    with engine_at(database_url, tmp_path):
        pass
    (tmp_path / "master.key").unlink()
    code, message = trouble(database_url, tmp_path)
    assert code == "keys.missing"
    assert str(tmp_path / "master.key") in message
    assert "nobody's personal data can ever be read again" in message
    assert not (tmp_path / "master.key").exists()


def test_the_master_key_of_another_store_is_refused(database_url: str, tmp_path: Path) -> None:
    with engine_at(database_url, tmp_path):
        pass
    (tmp_path / "master.key").write_text("ab" * 32)
    assert trouble(database_url, tmp_path)[0] == "keys.wrong"


@pytest.mark.parametrize("text", [b"", b"ab", b"xy" * 32, b"ab" * 33, b"\xff\xfe"])
def test_a_malformed_master_key_is_said(database_url: str, tmp_path: Path, text: bytes) -> None:
    (tmp_path / "master.key").write_bytes(text)
    assert trouble(database_url, tmp_path)[0] == "keys.malformed"


def test_a_master_key_that_cannot_be_read_is_said(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "master.key").mkdir()
    assert trouble(database_url, tmp_path)[0] == "keys.unreadable"


# --- another key ---


def register(engine: Engine, *names: str) -> list[Request]:
    requests = [ask(Register(supporter=n, name=n.title(), email=f"{n}@example.org")) for n in names]
    assert outcomes(engine, *requests) == ["accepted"] * len(names)
    return requests


def name_of(engine: Engine, who: str) -> object:
    first = events.c.stream_id == identify("supporter", who), events.c.version == 1
    (fact,) = engine.log.facts(0, 1, *first, opened=True)
    return vars(fact.event)["name"]


def wrapped(engine: Engine) -> set[bytes]:
    with engine.database.read() as connection:
        return {bytes(row.wrapped_key) for row in connection.execute(sa.select(person_keys))}


def keys_in(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text().strip() for path in folder.glob("master.key*")}


def test_another_master_key_changes_no_event_and_loses_nobody(database_url: str, tmp_path: Path) -> None:
    with engine_at(database_url, tmp_path) as engine:
        many = [f"person{number}" for number in range(1_100)]
        requests = register(engine, "anna", "ben", *many)
        assert outcomes(engine, ask(Erase(supporter="ben"), reason="asked")) == ["accepted"]
        before, checkpoint = wrapped(engine), Checkpoints(engine.database, tmp_path).make()
        old = keys_in(tmp_path)["master.key"]
        steps: list[int] = []
        assert engine.persons.rotate(engine.database, steps.append) == 1_101
        assert steps[-1] == 1_101
        assert len(wrapped(engine)) == 1_101
        assert not wrapped(engine) & before
    with engine_at(database_url, tmp_path) as engine:
        assert name_of(engine, "anna") == "Anna"
        assert name_of(engine, "person1099") == "Person1099"
        with engine.database.read() as connection:
            assert engine.persons.find(connection, "anna@example.org") == [identify("supporter", "anna")]
        assert outcomes(engine, *requests[:3]) == ["repeated"] * 3
        register(engine, "cleo")
        assert (name_of(engine, "cleo"), count(engine, person_keys)) == ("Cleo", 1_102)
        assert verify_store(engine.database, tmp_path, checkpoint=checkpoint.note).sound
    found = keys_in(tmp_path)
    assert found.pop("master.key") != old
    assert list(found.values()) == [old]
    assert all(name.startswith("master.key.old-") for name in found)


def test_the_old_master_key_opens_nothing_any_more(database_url: str, tmp_path: Path) -> None:
    with engine_at(database_url, tmp_path) as engine:
        register(engine, "anna")
        engine.persons.rotate(engine.database)
    (old,) = tmp_path.glob("master.key.old-*")
    old.replace(tmp_path / "master.key")
    assert trouble(database_url, tmp_path)[0] == "keys.wrong"


def test_a_running_process_takes_the_new_key(database_url: str, tmp_path: Path) -> None:
    with engine_at(database_url, tmp_path) as engine, engine_at(database_url, tmp_path) as other:
        register(engine, "anna")
        register(other, "ben")
        for _ in range(2):
            engine.persons.rotate(engine.database)
            assert name_of(other, "ben") == "Ben"
        engine.persons.rotate(engine.database)
        register(other, "cleo")  # sealed under the key that the store has now
        assert outcomes(other, ask(Amend(supporter="anna", name="Ann"))) == ["accepted"]
        assert other.persons.fingerprint == engine.persons.fingerprint
        assert name_of(engine, "cleo") == "Cleo"
    with engine_at(database_url, tmp_path) as engine:
        assert [name_of(engine, name) for name in ("anna", "ben", "cleo")] == ["Anna", "Ben", "Cleo"]


def test_a_process_without_the_new_key_seals_nothing_and_says_so(database_url: str, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with engine_at(database_url, here) as engine:
        register(engine, "anna")
        there.mkdir()
        (there / "master.key").write_text((here / "master.key").read_text())
        with engine_at(database_url, there) as other:
            engine.persons.rotate(engine.database)
            with pytest.raises(Unavailable, match="bring the new file here"):
                register(other, "ben")
            with pytest.raises(Unavailable, match="bring the new file here"):
                name_of(other, "anna")
            assert count(engine, person_keys) == 1
            assert outcomes(other, enter("nobody in particular")) == ["accepted"]
            (there / "master.key").write_text((here / "master.key").read_text())
            register(other, "ben")
        assert name_of(engine, "ben") == "Ben"


def test_two_stores_in_one_folder_keep_their_keys(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/{name}.sqlite3" for name in ("one", "two")]
    for url in urls:
        with engine_at(url, tmp_path) as engine:
            register(engine, "anna")
    with engine_at(urls[0], tmp_path) as engine:
        engine.persons.rotate(engine.database)
    for url in urls:
        with engine_at(url, tmp_path) as engine:
            assert name_of(engine, "anna") == "Anna"


# --- cut off ---

MOMENTS = ("offered", "wrapped", "committing", "committed", "renamed")
TAKEN = ("committed", "renamed")


def rotate_until(url: str, folder: Path, moment: str) -> None:
    """Rotate, and die by SIGKILL at a moment of it."""
    with engine_at(url, folder) as engine, pytest.MonkeyPatch.context() as patch:
        if moment == "offered":
            patch.setattr(masterkey, "offer", then(masterkey.offer))
        elif moment == "committing":
            sa.event.listen(engine.database.engine, "commit", die)
        elif moment == "committed":
            patch.setattr(
                masterkey, "settle", lambda *_: None if masterkey.read(folder / "master.key.next") is None else die()
            )
        elif moment == "renamed":
            patch.setattr(Path, "replace", then(Path.replace))
        engine.persons.rotate(engine.database, die if moment == "wrapped" else lambda _: None)


def offered(folder: Path) -> bool:
    return (folder / "master.key.next").exists()


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def then(step: Callable[..., object]) -> Callable[..., None]:
    def both(*arguments: object) -> None:
        step(*arguments)
        die()

    return both


def test_a_rotation_that_is_killed_leaves_a_store_that_opens(database_url: str, tmp_path: Path) -> None:
    with engine_at(database_url, tmp_path) as engine:
        register(engine, "anna", "ben")
    context = multiprocessing.get_context("spawn")
    for moment in MOMENTS:
        before = keys_in(tmp_path)
        process = context.Process(target=rotate_until, args=(database_url, tmp_path, moment))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL, moment
        with engine_at(database_url, tmp_path) as engine:
            assert [name_of(engine, name) for name in ("anna", "ben")] == ["Anna", "Ben"], moment
            assert outcomes(engine, ask(Register(supporter=moment, name=moment))) == ["accepted"]
        after = keys_in(tmp_path)
        assert not offered(tmp_path), moment
        assert (after["master.key"] != before["master.key"]) == (moment in TAKEN), moment
        assert before.items() <= after.items() if moment not in TAKEN else before["master.key"] in after.values()
    with engine_at(database_url, tmp_path) as engine:
        assert [name_of(engine, name) for name in MOMENTS] == list(MOMENTS)
        assert engine.persons.rotate(engine.database) == 2 + len(MOMENTS)
        assert name_of(engine, "anna") == "Anna"


def test_a_rotation_whose_commit_is_not_answered_leaves_a_store_that_works(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine_at(database_url, tmp_path) as engine, engine_at(database_url, tmp_path) as other:
        register(engine, "anna")
        with monkeypatch.context() as patch:
            patch.setattr(masterkey, "settle", lambda *_: unreachable() if offered(tmp_path) else None)
            with pytest.raises(Unavailable):
                engine.persons.rotate(engine.database)
        assert offered(tmp_path)
        for process in (engine, other):
            assert name_of(process, "anna") == "Anna"
        register(other, "ben")
        assert engine.persons.rotate(engine.database) == 2
        assert name_of(other, "ben") == "Ben"
        assert not offered(tmp_path)


def unreachable() -> None:
    raise Unavailable("store.unreachable", "The store cannot be reached.")
