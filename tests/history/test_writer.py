import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from domain.campaigns import Draft
from domain.kernel import Unavailable
from domain.supporters import Erase, Register
from history.answers import Answer
from history.engine import Engine
from history.envelope import Request
from history.tables import commands, events
from history.writer import Writer
from tests.support.rooms import Blocked, Count, ask, count, enter, outcomes, people, positions

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


def stays(request: Request) -> Request:
    request.refusal_stays = True
    return request


def test_a_refusal_that_stays_is_repeated_beside_its_correction(engine: Engine) -> None:
    refused = stays(ask(Count(room="hall"), "x"))
    assert outcomes(engine, refused) == ["room.empty"]
    assert outcomes(engine, enter("anna")) == ["accepted"]
    correction = stays(enter("ben", command_id="x"))
    assert outcomes(engine, refused, correction, refused) == ["room.empty", "accepted", "command.id_reused"]
    assert outcomes(engine, refused, correction) == ["command.id_reused", "repeated"]


def test_a_refusal_that_stays_outlives_a_correction_that_is_none(engine: Engine) -> None:
    refused = stays(ask(Count(room="hall"), "x"))
    assert outcomes(engine, refused) == ["room.empty"]
    unknown = stays(ask(Erase(supporter="nobody"), "x", reason="r"))
    assert outcomes(engine, unknown, enter("anna")) == ["supporter.unknown", "accepted"]
    assert outcomes(engine, refused) == ["room.empty"]


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
    with Blocked(engine):
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


def test_nothing_of_a_command_is_held_on_to_while_no_other_comes(engine: Engine) -> None:
    request = enter("anna")
    held = weakref.ref(request.command)
    assert engine.writer.submit(request).result(10).status == "accepted"
    del request
    wait_until(lambda: held() is None)


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


@pytest.mark.parametrize("verb", ["UPDATE events SET topic = 'x'", "DELETE FROM events", "TRUNCATE events"])
def test_history_cannot_be_changed(engine: Engine, verb: str) -> None:
    outcomes(engine, enter("anna"))
    if engine.database.is_sqlite and verb.startswith("TRUNCATE"):
        pytest.skip("SQLite has no TRUNCATE")
    with pytest.raises(DBAPIError, match="events are never changed or deleted"), engine.database.write() as connection:
        connection.exec_driver_sql(verb)
    assert people(engine) == ["anna"]


# --- a store in trouble ---
