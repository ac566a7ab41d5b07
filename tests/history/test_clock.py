"""A clock that is set back an hour: recorded times never go back, whoever writes and in whichever process."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from eventsourcing.persistence import StoredEvent

from history.engine import Engine
from history.verify import verify_store
from tests.support.clock import Clock
from tests.support.rooms import enter, outcomes

HOUR = timedelta(hours=1)


def test_recorded_times_never_go_back(engine: Engine, other: Engine, clock: Clock, tmp_path: Path) -> None:
    moments = {}
    for n, step in enumerate((timedelta(), -HOUR, timedelta(), 2 * HOUR, -HOUR)):
        clock.step(step)
        moments[n] = clock()
        assert outcomes((engine, other)[n % 2], enter(f"p{n}", f"room {n}")) == ["accepted"]
        assert engine.writer.submit(enter(f"q{n}", f"room {n}")).result(30).status == "accepted"
    facts = list(engine.log.follow())
    recorded = [fact.recorded_at for fact in facts]
    assert recorded == sorted(recorded)
    # While the clock is behind, time stands still; once it has passed the newest event, it goes on.
    assert recorded[3] == recorded[2 * 3 + 1] < moments[3] <= recorded[3 * 3]
    assert verify_store(engine.database, tmp_path).sound


def test_the_recorder_of_the_library_never_goes_back_either(engine: Engine, clock: Clock) -> None:
    def insert() -> datetime:
        stored = StoredEvent(uuid.uuid4(), 1, "library.Happened", b"{}")
        (position,) = engine.recorder.insert_events([stored]) or ()
        with engine.database.read() as connection:
            (row,) = engine.log.rows(connection, position - 1, 1)
        moment: datetime = row.recorded_at
        return moment

    first = insert()
    clock.step(-HOUR)
    assert insert() == first
    clock.step(HOUR)
    assert insert() > first


def test_what_happened_is_told_by_the_clock_as_it_was(engine: Engine, clock: Clock) -> None:
    """Only when it was recorded is ours to say; when it happened is the sender's."""
    outcomes(engine, enter("anna"))
    clock.step(-HOUR)
    before = datetime.now(UTC) - HOUR
    outcomes(engine, enter("ben"))
    *_, anna, ben = engine.log.follow()
    assert before <= ben.occurred_at < anna.occurred_at
    assert ben.recorded_at == anna.recorded_at
