import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from eventsourcing.persistence import AggregateRecorder, IntegrityError, StoredEvent
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
)

from history.database import Database
from history.migrations import migrate
from history.recorder import LogRecorder, StreamRecorder


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    migrate(database)
    yield database
    database.close()


@contextmanager
def all_threads_ended() -> Iterator[None]:
    """The library's suites leave readers running, which would be cut off from a database that is closed."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(10)


class _OnADatabase:
    """Gives the library's suites, which are unittest's, a new database for each test."""

    @pytest.fixture(autouse=True)
    def _prepare(self, tmp_path: Path) -> Iterator[None]:
        with ExitStack() as self._databases:
            self._new_url: Callable[[], str] = lambda: f"sqlite:///{tmp_path / uuid4().hex}.sqlite3"
            with all_threads_ended():
                yield

    def _database(self) -> Database:
        database = Database(self._new_url())
        self._databases.callback(database.close)
        migrate(database)
        return database


class _OnPostgresql(_OnADatabase):
    @pytest.fixture(autouse=True)
    def _prepare(self, new_database: Callable[[], str]) -> Iterator[None]:
        with ExitStack() as self._databases:
            self._new_url = new_database
            with all_threads_ended():
                yield


class TestStreamsOnSqlite(_OnADatabase, AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return StreamRecorder(self._database())


class TestStreamsOnPostgresql(_OnPostgresql, AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return StreamRecorder(self._database())


class _LogSuite(ApplicationRecorderTestCase[LogRecorder]):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestLogOnSqlite(_OnADatabase, _LogSuite):
    def create_recorder(self) -> LogRecorder:
        return LogRecorder(self._database())


class TestLogOnPostgresql(_OnPostgresql, _LogSuite):
    def create_recorder(self) -> LogRecorder:
        return LogRecorder(self._database())


class TestOrderOnSqlite(_OnADatabase, NonInterleavingNotificationIDsBaseCase):
    insert_num = 200

    def create_recorder(self) -> LogRecorder:
        return LogRecorder(self._database())


class TestOrderOnPostgresql(_OnPostgresql, NonInterleavingNotificationIDsBaseCase):
    insert_num = 200

    def create_recorder(self) -> LogRecorder:
        return LogRecorder(self._database())


del AggregateRecorderTestCase, ApplicationRecorderTestCase, NonInterleavingNotificationIDsBaseCase, _LogSuite


def test_a_taken_version_leaves_no_gap_in_the_positions(database: Database) -> None:
    recorder, stream = LogRecorder(database), uuid4()
    event = StoredEvent(stream, 1, "test.Happened", b"{}")
    assert recorder.insert_events([event]) == [1]
    with pytest.raises(IntegrityError):
        recorder.insert_events([StoredEvent(uuid4(), 1, "test.Happened", b"{}"), event])
    assert recorder.insert_events([StoredEvent(stream, 2, "test.Happened", b"{}")]) == [2]
    assert [one.id for one in recorder.select_notifications(None, 10)] == [1, 2]


def test_a_subscription_follows_topics_and_ends_when_stopped(database: Database) -> None:
    recorder, stream = LogRecorder(database), uuid4()
    topics = ["test.A", "test.B", "test.A"]
    recorder.insert_events([StoredEvent(stream, n, topic, b"{}") for n, topic in enumerate(topics, 1)])
    with recorder.subscribe(topics=["test.A"]) as subscription:
        assert [next(subscription).id, next(subscription).id] == [1, 3]
        subscription.stop()
        assert list(subscription) == []
