import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from domain.campaigns import Draft
from domain.kernel import ERASED, Unavailable, identify
from domain.pledges import Pledge
from domain.supporters import Amend, Erase, Register, Supporter
from history.answers import Answer
from history.engine import Engine
from history.envelope import Envelope, Request, new_id
from history.tables import commands, events, person_index, person_keys
from history.writer import Writer
from tests.support.rooms import TESTER, Count, ask, engine_at, enter, outcomes, people


@pytest.fixture
def engine(database_url: str, tmp_path: Path) -> Iterator[Engine]:
    with engine_at(database_url, tmp_path) as engine:
        yield engine


@pytest.fixture
def other(database_url: str, tmp_path: Path, engine: Engine) -> Iterator[Engine]:
    """Another process on the same store."""
    assert engine.log.head() == 0
    with engine_at(database_url, tmp_path) as other:
        yield other


def positions(engine: Engine) -> list[int]:
    return [fact.position for fact in engine.log.follow()]


def count(engine: Engine, table: sa.Table) -> int:
    with engine.database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


# --- batches ---


def test_a_batch_is_recorded_densely_and_in_order(engine: Engine) -> None:
    answers = engine.write([enter(f"p{n}", f"room {n % 3}") for n in range(7)])
    assert [a.positions for a in answers] == [[1, 2], [3, 4], [5, 6], [7], [8], [9], [10]]
    assert positions(engine) == list(range(1, 11))
    assert answers[3].result == {"people": "p0,p3"}
    assert answers[3].as_json() == {
        "id": "room 0:p3",
        "status": "accepted",
        "positions": [7],
        "result": {"people": "p0,p3"},
        "error": None,
    }


def test_an_empty_batch_is_nothing(engine: Engine) -> None:
    assert engine.write([]) == []


def test_a_refusal_hits_only_its_command(engine: Engine) -> None:
    batch = [enter("anna"), ask(Count(room="void")), enter("ben")]
    assert outcomes(engine, *batch) == ["accepted", "room.empty", "accepted"]
    assert people(engine) == ["anna", "ben"]
    assert positions(engine) == [1, 2, 3]
    assert count(engine, commands) == 2


@pytest.mark.parametrize(
    ("then", "code"), [("refuse", "room.refused"), ("break", "internal.error"), ("spoil", "internal.error")]
)
def test_a_command_that_fails_leaves_no_trace(engine: Engine, then: str, code: str) -> None:
    assert outcomes(engine, enter("anna")) == ["accepted"]
    batch = [
        enter("ben"),
        enter("eve", then=then),
        enter("eve", "new", then=then),
        enter("cleo"),
        ask(Count(room="new")),
    ]
    assert outcomes(engine, *batch) == ["accepted", code, code, "accepted", "room.empty"]
    assert people(engine) == ["anna", "ben", "cleo"]
    assert positions(engine) == [1, 2, 3, 4]
    assert engine.write([enter("dora")])[0].result == {"people": "anna,ben,cleo,dora"}


def test_what_was_refused_may_be_sent_again(engine: Engine) -> None:
    assert outcomes(engine, ask(Count(room="hall"), "count")) == ["room.empty"]
    assert outcomes(engine, enter("anna"), ask(Count(room="hall"), "count")) == ["accepted", "accepted"]


def test_a_repeat_answers_with_the_first_outcome(engine: Engine) -> None:
    first, in_batch = engine.write([enter("anna"), enter("anna")])
    across = engine.write([enter("ben"), enter("anna")])[1]
    assert (first.status, in_batch.status, across.status) == ("accepted", "repeated", "repeated")
    assert first.positions == in_batch.positions == across.positions == [1, 2]
    assert first.result == in_batch.result == across.result == {"people": "anna"}
    assert people(engine) == ["anna", "ben"]


def test_an_id_with_another_content_is_refused(engine: Engine) -> None:
    batch = [enter("anna", command_id="x"), enter("ben", command_id="x")]
    assert outcomes(engine, *batch) == ["accepted", "command.id_reused"]
    assert outcomes(engine, *batch) == ["repeated", "command.id_reused"]
    assert people(engine) == ["anna"]


def test_an_id_of_another_kind_of_thing_is_refused_and_hits_only_its_command(engine: Engine) -> None:
    uuid = "6f9619ff-8b86-4011-b42d-00cf4fc964ff"
    batch = [
        ask(Register(supporter=uuid)),
        ask(Draft(campaign=uuid, title="T")),
        enter("anna"),
        ask(Draft(campaign="fine", title="T")),
    ]
    assert outcomes(engine, *batch) == ["accepted", "campaign.id_taken", "accepted", "accepted"]
    assert outcomes(engine, batch[1]) == ["campaign.id_taken"]


def test_a_version_that_has_moved_is_refused(engine: Engine) -> None:
    version = engine.write([enter("anna")])[0].version
    assert version == 2
    asked = [enter("ben"), enter("cleo")]
    for request in asked:
        request.if_match = version
    assert outcomes(engine, *asked) == ["accepted", "command.precondition_failed"]


def test_a_stream_that_cannot_be_read_hits_only_its_commands(engine: Engine) -> None:
    outcomes(engine, enter("anna"), enter("ben", "other"))
    with engine.database.append() as connection:
        row = dict(connection.execute(sa.select(events).where(events.c.position == 2)).mappings().one())
        connection.execute(events.insert().values(**row | {"position": 5, "version": 3, "topic": "rooms.Vanished"}))
    batch = [enter("cleo"), enter("dora", "other"), enter("eve")]
    assert outcomes(engine, *batch) == ["history.unknown_topic", "accepted", "history.unknown_topic"]
    assert outcomes(engine, enter("finn"), enter("gus", "other")) == ["history.unknown_topic", "accepted"]


def test_listeners_hear_of_new_positions_and_cannot_spoil_the_answer(engine: Engine) -> None:
    def fail(_position: int) -> None:
        raise ZeroDivisionError

    heard: list[int] = []
    engine.writer.listeners += [fail, heard.append]
    assert outcomes(engine, enter("anna")) == ["accepted"]
    assert outcomes(engine, ask(Count(room="void"))) == ["room.empty"]
    assert heard == [2]


# --- many processes and threads ---


def test_two_processes_see_each_others_changes(engine: Engine, other: Engine) -> None:
    for n in range(6):
        one, two = (engine, other) if n % 2 else (other, engine)
        assert outcomes(one, enter(f"p{n}")) == ["accepted"]
        assert outcomes(two, enter(f"p{n}"), enter(f"q{n}")) == ["repeated", "accepted"]
    assert people(engine) == [f"{name}{n}" for n in range(6) for name in "pq"]
    assert positions(engine) == list(range(1, 14))


def test_two_processes_at_once_execute_each_id_once(engine: Engine, other: Engine) -> None:
    def run(one: Engine) -> list[str]:
        return [s for n in range(15) for s in outcomes(one, enter(f"p{n}"), enter(f"p{n + 1}", f"room {n % 2}"))]

    with ThreadPoolExecutor() as pool:
        mine, theirs = pool.map(run, (engine, other))
    assert all(sorted(pair) == ["accepted", "repeated"] for pair in zip(mine, theirs, strict=True))
    assert sorted(people(engine)) == sorted(f"p{n}" for n in range(15))
    assert positions(engine) == list(range(1, 34))


def test_many_threads_submit(engine: Engine) -> None:
    def run(thread: int) -> list[Future[Answer]]:
        return [engine.writer.submit(enter(f"{thread}-{n}", f"room {n % 4}")) for n in range(20)]

    with ThreadPoolExecutor(16) as pool:
        answers = [future.result() for futures in pool.map(run, range(16)) for future in futures]
    assert {a.status for a in answers} == {"accepted"}
    assert sorted(p for a in answers for p in a.positions) == positions(engine) == list(range(1, 325))


class _Blocked:
    """Holds the append lock of a store, so that what is submitted has to wait."""

    def __init__(self, engine: Engine) -> None:
        self._lock = engine.database.append()

    def __enter__(self) -> None:
        self._lock.__enter__()

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(None, None, None)


@pytest.fixture
def narrow(engine: Engine) -> Iterator[Writer]:
    """A writer with room for three commands."""
    writer = Writer(engine.database, engine.mapper, engine.persons, waiting=3)
    yield writer
    writer.close()


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if true():
            return
        threading.Event().wait(0.005)
    pytest.fail("it did not come true")


def test_too_many_waiting_commands_are_refused_and_close_finishes_the_rest(engine: Engine, narrow: Writer) -> None:
    with _Blocked(engine):
        taken = narrow.submit(enter("first"))
        wait_until(taken.running)
        waiting = [narrow.submit(enter(f"p{n}")) for n in range(3)]
        with pytest.raises(Unavailable, match="Too many commands are waiting") as busy:
            narrow.submit(enter("one too many"))
        assert busy.value.code == "writer.busy"
        cancelled = waiting[1].cancel()
        closing = threading.Thread(target=narrow.close)
        closing.start()
    closing.join()
    assert cancelled
    assert [future.result(0).status for future in (taken, waiting[0], waiting[2])] == ["accepted"] * 3
    assert people(engine) == ["first", "p0", "p2"]
    with pytest.raises(Unavailable) as closed:
        narrow.submit(enter("late"))
    assert closed.value.code == "writer.closed"
    narrow.close()


def test_close_leaves_no_caller_waiting(engine: Engine) -> None:
    futures: list[Future[Answer]] = []

    def submit(n: int) -> None:
        with suppress(Unavailable):
            futures.extend(engine.writer.submit(enter(f"{n}-{i}")) for i in range(50))

    threads = [threading.Thread(target=submit, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(futures) > 5)
    engine.writer.close()
    for thread in threads:
        thread.join()
    assert {future.result(5).status for future in futures} == {"accepted"}


# --- persons ---

ANNA = identify("supporter", "anna")


def with_a_pledge(engine: Engine) -> None:
    lines = [
        {"command": "campaigns.draft", "data": {"campaign": "c", "title": "C"}},
        {"command": "campaigns.add_ask", "data": {"campaign": "c", "ask": "a", "statement": "s", "kind": "once"}},
        {"command": "campaigns.launch", "data": {"campaign": "c"}},
        {"command": "supporters.register", "data": {"supporter": "anna", "name": "Anna", "email": "anna@example.org"}},
        {
            "command": "pledges.make",
            "data": {"campaign": "c", "ask": "a", "supporter": "anna", "note": "my secret note"},
        },
    ]
    assert outcomes(engine, *(read(engine, **line) for line in lines)) == ["accepted"] * 5


def read(engine: Engine, **line: Any) -> Request:  # noqa: ANN401
    return engine.catalogue.request(Envelope(id=new_id(), **line), TESTER)


def find(engine: Engine, email: str) -> list[Any]:
    with engine.database.read() as connection:
        return engine.persons.find(connection, email)


def cached(engine: Engine) -> str:
    """Everything that the writer remembers, as text."""
    stage = engine.writer._aggregates  # noqa: SLF001
    return repr([vars(a) for a in stage._cache.values() if a]) + repr(stage._decided) + repr(stage._touched)  # noqa: SLF001


def test_an_erased_person_is_forgotten_everywhere(engine: Engine, other: Engine) -> None:
    with_a_pledge(engine)
    assert outcomes(other, read(other, command="supporters.confirm_email", data={"supporter": "anna"})) == ["accepted"]
    assert outcomes(other, read(other, command="pledges.keep", data={"campaign": "c", "ask": "a", "supporter": "anna"}))
    assert "secret" in cached(engine)
    assert "secret" in cached(other)
    assert find(engine, "anna@example.org") == [ANNA]
    pledged = [f.event for f in engine.log.facts(opened=True) if isinstance(f.event, Pledge.Made)]
    assert pledged[0].note == "my secret note"
    assert outcomes(engine, ask(Erase(supporter="anna"), reason="asked for it"), enter("ben")) == ["accepted"] * 2
    assert count(engine, person_keys) == count(engine, person_index) == 0
    assert find(engine, "anna@example.org") == []
    assert "secret" not in cached(engine)
    assert outcomes(other, enter("cleo")) == ["accepted"]
    assert "secret" not in cached(other)
    facts = engine.log.facts(opened=True)
    (registered,) = (f.event for f in facts if isinstance(f.event, Supporter.Registered))
    (made,) = (f.event for f in facts if isinstance(f.event, Pledge.Made))
    assert registered.name is registered.email is made.note is ERASED
    assert outcomes(engine, ask(Amend(supporter="anna", name="Ann"))) == ["supporter.erased"]
    assert count(engine, person_keys) == 0


def test_who_is_registered_and_erased_in_one_batch_leaves_nothing(engine: Engine) -> None:
    batch = [ask(Register(supporter="anna", email="anna@example.org")), ask(Erase(supporter="anna"), reason="r")]
    assert outcomes(engine, *batch) == ["accepted", "accepted"]
    assert count(engine, person_keys) == count(engine, person_index) == 0
    assert find(engine, "anna@example.org") == []


def test_the_index_follows_the_address(engine: Engine) -> None:
    batch = [
        ask(Register(supporter="anna", email="one@example.org")),
        ask(Register(supporter="ben", email="one@example.org")),
        ask(Amend(supporter="anna", email="two@example.org")),
        ask(Amend(supporter="anna", email="three@example.org")),
    ]
    assert outcomes(engine, *batch) == ["accepted"] * 4
    assert find(engine, "ONE@example.org") == [identify("supporter", "ben")]
    assert find(engine, "two@example.org") == []
    assert find(engine, "three@example.org") == [ANNA]
    assert outcomes(engine, ask(Amend(supporter="anna", name="Anna"))) == ["accepted"]
    assert find(engine, "three@example.org") == [ANNA]
    assert outcomes(engine, ask(Amend(supporter="anna", email=None))) == ["accepted"]
    assert find(engine, "three@example.org") == []


def test_personal_data_is_nowhere_in_the_clear(engine: Engine) -> None:
    with_a_pledge(engine)
    with engine.database.read() as connection:
        stored = repr([connection.execute(sa.select(t)).all() for t in (events, commands, person_index, person_keys)])
    assert "secret" not in stored
    assert "Anna" not in stored
    assert "example.org" not in stored


# --- history stays as it is ---


@pytest.mark.parametrize("verb", ["UPDATE events SET topic = 'x'", "DELETE FROM events", "TRUNCATE events"])
def test_history_cannot_be_changed(engine: Engine, verb: str) -> None:
    outcomes(engine, enter("anna"))
    if engine.database.is_sqlite and verb.startswith("TRUNCATE"):
        pytest.skip("SQLite has no TRUNCATE")
    with pytest.raises(DBAPIError, match="events are never changed or deleted"), engine.database.write() as connection:
        connection.exec_driver_sql(verb)
    assert people(engine) == ["anna"]


# --- a store in trouble ---


def trouble(engine: Engine, *requests: Request) -> str:
    with pytest.raises(Unavailable) as unavailable:
        engine.write(list(requests))
    assert people(engine) == ["anna"]
    assert count(engine, commands) == 1
    return unavailable.value.code


def test_a_store_that_another_holds_is_locked(database_url: str, tmp_path: Path) -> None:
    with engine_at(database_url, tmp_path, busy_seconds=0.2) as engine, engine_at(database_url, tmp_path) as other:
        outcomes(engine, enter("anna"))
        with _Blocked(other):
            assert trouble(engine, enter("ben")) == "store.locked"
        assert outcomes(engine, enter("ben"), enter("anna")) == ["accepted", "repeated"]


def test_a_full_disk_is_said_and_nothing_is_recorded(engine: Engine) -> None:
    outcomes(engine, enter("anna"))
    engine.database.engine.dispose()
    hook: Callable[..., None]
    if engine.database.is_sqlite:

        def hook(connection: Any, _record: object) -> None:  # noqa: ANN401
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages}")

        sa.event.listen(engine.database.engine, "connect", hook)
        name = "connect"
    else:

        def hook(_c: object, _cursor: object, statement: str, *_: object) -> None:
            if "INSERT INTO commands" in statement:
                raise psycopg.errors.DiskFull

        name = "before_cursor_execute"
        sa.event.listen(engine.database.engine, name, hook)
    assert trouble(engine, *(enter(f"{n}" * 10_000) for n in range(9))) == "store.full"
    sa.event.remove(engine.database.engine, name, hook)
    engine.database.engine.dispose()
    assert outcomes(engine, enter("ben"), enter("anna")) == ["accepted", "repeated"]
    assert engine.write([enter("cleo")])[0].result == {"people": "anna,ben,cleo"}


def test_a_read_only_store_is_said(engine: Engine) -> None:
    outcomes(engine, enter("anna"))
    engine.database.engine.dispose()
    setting = "PRAGMA query_only = ON" if engine.database.is_sqlite else "SET default_transaction_read_only = on"

    def hook(connection: Any, _record: object) -> None:  # noqa: ANN401
        connection.execute(setting)
        if not engine.database.is_sqlite:
            connection.commit()

    sa.event.listen(engine.database.engine, "connect", hook)
    assert trouble(engine, enter("ben")) == "store.read_only"


@pytest.mark.parametrize("took_hold", [True, False])
def test_a_commit_that_is_not_answered_is_looked_up(
    new_database: Callable[[], str], tmp_path: Path, *, took_hold: bool
) -> None:
    with engine_at(new_database(), tmp_path) as engine:
        assert outcomes(engine, enter("anna")) == ["accepted"]
        cut = CutCommit(engine, took_hold=took_hold)
        batch = [enter("anna"), ask(Count(room="new")), enter("ben"), enter("ben"), enter("cleo", "new")]
        answers = engine.write(batch)
        assert cut.cuts == 1
        assert [a.status for a in answers] == ["repeated", "rejected", "accepted", "repeated", "accepted"]
        assert [a.positions for a in answers] == [[1, 2], [], [3], [3], [4, 5]]
        assert people(engine) == ["anna", "ben"]
        assert positions(engine) == [1, 2, 3, 4, 5]
        assert outcomes(engine, *batch) == ["repeated", "accepted", "repeated", "repeated", "repeated"]


def test_a_commit_that_is_never_answered_is_said_and_may_be_sent_again(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    with engine_at(new_database(), tmp_path) as engine:
        outcomes(engine, enter("anna"))
        cut = CutCommit(engine, took_hold=False, times=3)
        with pytest.raises(Unavailable) as unavailable:
            engine.write([enter("ben")])
        assert unavailable.value.code == "store.unreachable"
        cut.times = 0
        assert outcomes(engine, enter("ben"), enter("anna")) == ["accepted", "repeated"]
        assert engine.write([enter("cleo")])[0].result == {"people": "anna,ben,cleo"}


def test_a_commit_of_the_same_id_by_another_is_not_taken_for_ours(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    url = new_database()
    with engine_at(url, tmp_path) as engine, engine_at(url, tmp_path) as other:
        CutCommit(engine, took_hold=False, then=lambda: outcomes(other, enter("ben")))
        assert outcomes(engine, enter("ben"), enter("cleo")) == ["repeated", "accepted"]
        assert people(engine) == ["ben", "cleo"]


def test_a_commit_that_took_hold_counts_whatever_went_wrong_after_it(engine: Engine) -> None:
    """On SQLite and PostgreSQL, and for an error that is not the driver's."""
    cut = CutCommit(engine, took_hold=True, error=MemoryError())
    assert outcomes(engine, enter("anna"), enter("ben")) == ["accepted", "accepted"]
    assert cut.cuts == 1
    assert people(engine) == ["anna", "ben"]


class CutCommit:
    """Cuts the connection at a commit, before or after it took hold."""

    def __init__(
        self,
        engine: Engine,
        *,
        took_hold: bool,
        times: int = 1,
        then: Callable[[], object] = lambda: None,
        error: Exception | None = None,
    ) -> None:
        self.times, self.cuts = times, 0
        dialect = engine.database.engine.dialect
        commit = dialect.do_commit

        def do_commit(connection: Any) -> None:  # noqa: ANN401
            if self.cuts >= self.times:
                commit(connection)
                return
            self.cuts += 1
            if took_hold:
                commit(connection)
            if error is not None:
                raise error
            connection.dbapi_connection.close()
            then()
            message = "server closed the connection unexpectedly"
            raise psycopg.OperationalError(message)

        dialect.do_commit = do_commit  # type: ignore[method-assign, assignment]


def test_a_server_that_ends_our_connections_is_found_again(new_database: Callable[[], str], tmp_path: Path) -> None:
    url = new_database()
    with engine_at(url, tmp_path) as engine:
        outcomes(engine, enter("anna"))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert outcomes(engine, enter("ben"), enter("anna")) == ["accepted", "repeated"]


def test_what_is_kept_of_a_command_does_not_give_away_what_a_person_wrote(engine: Engine) -> None:
    envelope = Envelope(id="r", command="supporters.register", data={"supporter": "ana", "email": "ana@example.org"})
    asked = engine.catalogue.request(envelope, TESTER)
    assert [answer.status for answer in engine.write([asked])] == ["accepted"]
    with engine.database.read() as connection:
        recorded = connection.scalar(sa.select(commands.c.request_hash))
    assert recorded == engine.persons.keyed(asked.digest)
    assert recorded != asked.digest
    assert [answer.status for answer in engine.write([asked])] == ["repeated"]
