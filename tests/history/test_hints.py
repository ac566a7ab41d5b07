"""A hint comes when another process appends, is lost without harm, and comes again after the connection died."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from history.database import Database
from history.hints import Hints
from tests.support.postgres import PostgresServer

SOON = 30.0  # seconds, on the slowest of machines


class Woken:
    """Counts how often it was woken, and waits until it is once more."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.times = 0

    def __call__(self) -> None:
        with self._changed:
            self.times += 1
            self._changed.notify_all()

    def until(self, times: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.times >= times, SOON)


@pytest.fixture
def database(new_database: Callable[[], str]) -> Iterator[Database]:
    found = Database(new_database())
    yield found
    found.close()


@pytest.fixture
def other(database: Database) -> Iterator[Database]:
    """The same database, as another process has it."""
    found = Database(database.url)
    yield found
    found.close()


@pytest.fixture
def woken() -> Woken:
    return Woken()


@pytest.fixture
def hints(database: Database, woken: Woken) -> Iterator[Hints]:
    listening = Hints(database, woken)
    listening.start()
    assert woken.until(1), "for what was missed before it listened"
    yield listening
    listening.stop()


def test_a_hint_comes_with_what_another_appends(hints: Hints, other: Database, woken: Woken) -> None:
    for times in (2, 3):
        with other.append():
            assert woken.times == times - 1  # not before it is committed
        assert woken.until(times)
    assert hints is not None


def test_what_is_undone_gives_no_hint_and_neither_does_what_is_its_own(
    hints: Hints, database: Database, other: Database, woken: Woken
) -> None:
    with pytest.raises(ZeroDivisionError), other.append():
        raise ZeroDivisionError
    with database.append():
        pass
    with other.append():
        pass
    assert woken.until(2)
    hints.stop()
    assert woken.times == 2


def test_it_listens_again_after_its_connection_died(hints: Hints, other: Database, woken: Woken) -> None:
    killing = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'groundswell hints' "
    with psycopg.connect(other.url, autocommit=True) as connection:
        connection.execute(killing + "AND datname = current_database()")
    assert woken.until(2), "for what was missed meanwhile"
    with other.append():
        pass
    assert woken.until(3)
    assert hints is not None


def test_it_listens_again_after_the_server_was_away(
    hints: Hints, other: Database, woken: Woken, postgres_server: PostgresServer
) -> None:
    with postgres_server.away():
        pass
    assert woken.until(2)
    with other.append():
        pass
    assert woken.until(3)
    assert hints is not None


def test_on_sqlite_there_are_none(tmp_path: Path, woken: Woken) -> None:
    database = Database(f"sqlite:///{tmp_path / 'g.sqlite3'}")
    hints = Hints(database, woken)
    hints.start()
    with database.append():
        pass
    hints.stop()
    database.close()
    assert woken.times == 0
