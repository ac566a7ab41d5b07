"""Opening a store, and what the database says when it cannot serve."""

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy as sa

from domain import supporters
from domain.kernel import Sealed, Unavailable, identify
from domain.supporters import Register
from history.database import Database
from history.engine import Engine, open_store
from history.migrations import migrate
from history.tables import metadata, person_keys
from tests.support.rooms import ask, engine_at, enter, outcomes, people

_OPEN: Final[list[Engine]] = []


@pytest.fixture(autouse=True)
def _close_what_was_opened() -> Iterator[None]:
    yield
    while _OPEN:
        _OPEN.pop().close()


def opened(url: str, folder: Path, *, create: bool = True) -> Engine:
    _OPEN.append(open_store(url, folder, [supporters.SLICE], create=create, busy_seconds=5))
    return _OPEN[-1]


def trouble(url: str, folder: Path, *, create: bool = True) -> tuple[str, str]:
    with pytest.raises(Unavailable) as unavailable:
        opened(url, folder, create=create)
    return unavailable.value.code, unavailable.value.message


def test_a_store_is_made_once_and_found_again(database_url: str, tmp_path: Path) -> None:
    opened(database_url, tmp_path).close()
    opened(database_url, tmp_path, create=False).close()
    database = Database(database_url)
    migrate(database)
    with database.read() as connection:
        assert metadata.tables.keys() <= set(sa.inspect(connection).get_table_names())
    database.close()


def test_a_store_is_not_made_where_it_must_be_there(database_url: str, tmp_path: Path) -> None:
    assert trouble(database_url, tmp_path, create=False)[0] == "store.missing"
    assert not list(tmp_path.glob("*.sqlite3"))
    assert not (tmp_path / "master.key").exists()


def test_a_store_of_a_newer_release_is_said(database_url: str, tmp_path: Path) -> None:
    with opened(database_url, tmp_path).database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    code, message = trouble(database_url, tmp_path)
    assert code == "store.newer"
    assert message == "A newer release of groundswell wrote this store (9999); use that release."


@pytest.mark.parametrize("url", ["nonsense", "", "mysql://host/x", "oracle://x"])
def test_only_sqlite_and_postgresql_are_known(url: str, tmp_path: Path) -> None:
    assert trouble(url, tmp_path)[0] == "store.unknown_database"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_memory_is_no_store(url: str, tmp_path: Path) -> None:
    assert trouble(url, tmp_path)[0] == "store.not_a_file"


def test_files_that_are_no_store_are_said(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite3"
    path.write_text("This is a letter, not a database. " * 100)
    assert trouble(f"sqlite:///{path}", tmp_path) == (
        "store.not_a_store",
        f"{path} is not a store: it is no SQLite file.",
    )
    assert trouble(f"sqlite:///{tmp_path}", tmp_path)[0] == "store.unreachable"
    assert trouble(f"sqlite:///{path}/in/a/file", tmp_path)[0] == "store.missing"


def test_a_postgresql_that_does_not_answer_is_said(new_database: Callable[[], str], tmp_path: Path) -> None:
    assert trouble(new_database().replace("/test_", "/nope_"), tmp_path)[0] == "store.missing"
    assert trouble(f"postgresql://postgres@/x?host={tmp_path}", tmp_path)[0] == "store.unreachable"


def test_passwords_are_not_shown() -> None:
    database = Database("postgresql://me:secret@host/x")
    assert "secret" not in repr(database)


def test_a_wrong_query_is_our_fault_not_the_stores(database_url: str, tmp_path: Path) -> None:
    with opened(database_url, tmp_path).database.read() as connection, pytest.raises(sa.exc.DBAPIError):
        connection.exec_driver_sql("SELECT * FROM nowhere")


def _open(url: str, folder: str, errors: "multiprocessing.SimpleQueue[str]") -> None:
    try:
        opened(url, Path(folder)).close()
        errors.put("")
    except BaseException as error:  # noqa: BLE001 - whatever it is, the test shows it
        errors.put(repr(error))


def test_processes_may_make_a_store_at_once(database_url: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    errors: multiprocessing.SimpleQueue[str] = context.SimpleQueue()
    processes = [context.Process(target=_open, args=(database_url, str(tmp_path), errors)) for _ in range(3)]
    for process in processes:
        process.start()
    assert [errors.get() for _ in processes] == [""] * 3
    for process in processes:
        process.join()
    opened(database_url, tmp_path, create=False).close()


def test_threads_may_make_a_store_at_once(database_url: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        engines = list(pool.map(lambda _: opened(database_url, tmp_path), range(4)))
    assert len({engine.persons.fingerprint for engine in engines}) == 1
    for engine in engines:
        engine.close()


# --- reading and writing ---


def test_a_reader_sees_one_state_while_a_writer_writes(database_url: str, tmp_path: Path) -> None:
    with engine_at(database_url, tmp_path) as engine:
        outcomes(engine, enter("anna"))
        count = sa.text("SELECT count(*) FROM events")
        with engine.database.read() as reader:
            assert reader.scalar(count) == 2
            outcomes(engine, enter("ben"))
            assert reader.scalar(count) == 2
        with engine.database.append() as writer:
            writer.execute(sa.text("INSERT INTO reactions VALUES ('x', 1, '{}')"))
            with engine.database.read() as reader:
                assert reader.scalar(sa.text("SELECT count(*) FROM reactions")) == 0
                assert reader.scalar(count) == 3


def test_a_read_cannot_write_on_postgresql(new_database: Callable[[], str], tmp_path: Path) -> None:
    engine = opened(new_database(), tmp_path)
    with pytest.raises(Unavailable) as unavailable, engine.database.read() as connection:
        connection.execute(person_keys.delete())
    assert unavailable.value.code == "store.read_only"


def test_what_fails_in_a_write_is_undone(database_url: str, tmp_path: Path) -> None:
    with engine_at(database_url, tmp_path) as engine:
        with pytest.raises(sa.exc.DBAPIError), engine.database.append() as connection:
            connection.execute(sa.text("INSERT INTO reactions VALUES ('x', 1, '{}'), ('x', 1, '{}')"))
        with engine.database.read() as connection:
            assert connection.scalar(sa.text("SELECT count(*) FROM reactions")) == 0
        assert outcomes(engine, enter("anna")) == ["accepted"]
        assert people(engine) == ["anna"]


def test_appenders_wait_for_each_other(database_url: str, tmp_path: Path) -> None:
    with engine_at(database_url, tmp_path) as engine, engine_at(database_url, tmp_path) as other:
        with engine.database.append():
            thread = threading.Thread(target=outcomes, args=(other, enter("anna")))
            thread.start()
            thread.join(0.2)
            assert thread.is_alive()
        thread.join()
        assert people(engine) == ["anna"]


# --- persons ---


def test_a_spoilt_key_of_a_person_is_said(database_url: str, tmp_path: Path) -> None:
    with engine_at(database_url, tmp_path) as engine:
        outcomes(engine, ask(Register(supporter="anna", name="Anna")))
        with engine.database.write() as connection:
            connection.execute(person_keys.update().values(wrapped_key=b"x" * 60))
        with pytest.raises(Unavailable) as unavailable:
            engine.log.facts(opened=True)
        assert unavailable.value.code == "keys.wrong"
        assert engine.log.facts()[0].stream == identify("supporter", "anna")


def test_many_persons_are_read_indexed_and_forgotten(database_url: str, tmp_path: Path) -> None:
    with engine_at(database_url, tmp_path) as engine, engine.database.append() as connection:
        everybody = [identify("supporter", str(n)) for n in range(1_201)]
        keys = engine.persons.make(connection, everybody)
        assert len(set(keys.values())) == 1_201
        assert engine.persons.keys(connection, everybody) == keys
        engine.persons.index(connection, {person: f"{n}@example.org" for n, person in enumerate(everybody)})
        assert engine.persons.find(connection, "1200@example.org") == [everybody[1200]]
        engine.persons.forget(connection, dict.fromkeys(everybody, 1))
        assert engine.persons.keys(connection, everybody) == {}
        assert engine.persons.find(connection, "1200@example.org") == []


def test_two_stores_have_two_blind_indexes(tmp_path: Path) -> None:
    with (
        engine_at(f"sqlite:///{tmp_path}/one.sqlite3", tmp_path) as one,
        engine_at(f"sqlite:///{tmp_path}/two.sqlite3", tmp_path) as two,
    ):
        assert one.persons.fingerprint == two.persons.fingerprint
        assert one.persons.blind("anna@example.org") != two.persons.blind("anna@example.org")


def test_opening_keeps_the_order_and_leaves_none_alone(database_url: str, tmp_path: Path) -> None:
    with engine_at(database_url, tmp_path) as engine:
        outcomes(engine, *(ask(Register(supporter=name, name=name.title())) for name in ("anna", "ben")))
        boxes = [vars(fact.event)["name"] for fact in engine.log.facts()]
        assert all(isinstance(box, Sealed) for box in boxes)
        with engine.database.read() as connection:
            assert engine.persons.open(connection, [boxes[1], None, boxes[0]]) == ["Ben", None, "Anna"]


def test_sqlite_files_keep_nothing_of_what_was_deleted(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.sqlite3'}"
    with engine_at(url, tmp_path) as engine, engine.database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
