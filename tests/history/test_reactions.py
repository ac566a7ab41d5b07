import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa

from domain.kernel import identify
from domain.slices import Fact, Follow
from history import reactions as module
from history.engine import Engine
from history.reactions import command_id
from history.tables import reaction_states, reactions
from tests.support.rooms import Count, Enter, Room, engine_at, enter, outcomes, people


class Doorman:
    """Follows every second person into the room, and counts what the room has seen; never follows itself."""

    name = "doorman"
    topics = frozenset({Room.Entered.TOPIC})

    def share(self, _fact: Fact, shared: dict[str, Any]) -> None:
        shared["seen"] = shared.get("seen", 0) + 1

    def keys(self, fact: Fact, known: Callable[[], Sequence[str]]) -> Sequence[str]:
        assert list(known()) == sorted(known())
        return (str(fact.stream),)

    def react(self, fact: Fact, _key: str, state: dict[str, Any], shared: Mapping[str, Any]) -> Sequence[Follow]:
        assert isinstance(fact.event, Room.Entered)
        who = fact.event.who
        state.setdefault("people", []).append(who)
        if who.startswith("doorman") or shared["seen"] > 1_000:
            return ()
        number = sum(not name.startswith("doorman") for name in state["people"])
        return [Follow(Enter(room=str(fact.stream), who=f"doorman after {who}"), "enter")] if number % 2 == 0 else ()


HALL: Final = str(identify("room", "hall"))


@pytest.fixture
def open_engine(database_url: str, tmp_path: Path) -> Callable[[], Any]:
    return lambda: engine_at(database_url, tmp_path, Doorman())


@pytest.fixture
def engine(open_engine: Callable[[], Any]) -> Iterator[Engine]:
    with open_engine() as engine:
        yield engine


def state_of(engine: Engine) -> tuple[int, Any, Any]:
    """Return (position, shared, the state of the hall)."""
    with engine.database.read() as connection:
        row = connection.execute(sa.select(reactions)).one()
        query = sa.select(reaction_states.c.state).where(reaction_states.c.key == HALL)
        return row.position, json.loads(row.shared), json.loads(connection.scalar(query) or "null")


def followed(engine: Engine) -> list[str]:
    return [name for name in people(engine) if name.startswith("doorman")]


def test_what_follows_is_done_once_and_the_state_is_kept(engine: Engine) -> None:
    outcomes(engine, enter("a"), enter("b"), enter("c"), enter("d"))
    engine.react()
    assert followed(engine) == ["doorman after b", "doorman after d"]
    names = ["a", "b", "c", "d", "doorman after b", "doorman after d"]
    assert state_of(engine) == (7, {"seen": 6}, {"people": names})
    engine.react()
    assert len(people(engine)) == 6


def test_the_state_outlives_the_process(open_engine: Callable[[], Any]) -> None:
    with open_engine() as engine:
        outcomes(engine, enter("a"))
        engine.react()
    with open_engine() as engine:
        outcomes(engine, enter("b"))
        engine.react()
        assert followed(engine) == ["doorman after b"]


def test_what_follows_says_what_caused_it(engine: Engine) -> None:
    outcomes(engine, enter("a"), enter("b"))
    engine.react()
    *_, cause, effect = engine.log.follow()
    assert effect.causation_id == str(cause.event_id)
    assert effect.correlation_id == cause.correlation_id == "hall:b"
    assert str(effect.actor) == "system:doorman"
    assert effect.occurred_at == cause.occurred_at
    assert effect.command_id == f"reaction:doorman:{cause.event_id}:{HALL}:enter"


def test_a_crash_before_the_checkpoint_sends_nothing_twice(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes(engine, enter("a"), enter("b"))
    reactor = engine.reactors[0]

    def crash(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(reactor, "_advance", crash)
        with pytest.raises(KeyboardInterrupt):
            reactor.run()
    assert followed(engine) == ["doorman after b"]
    # The page that is read again now also holds the reaction's own effect, and what came after it.
    outcomes(engine, enter("c"), enter("d"))
    engine.react()
    assert followed(engine) == ["doorman after b", "doorman after d"]
    assert state_of(engine)[2]["people"] == people(engine)


def test_pages_are_folded_one_after_the_other(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    outcomes(engine, *(enter(f"p{n}") for n in range(8)))
    engine.react()
    assert followed(engine) == [f"doorman after p{n}" for n in (1, 3, 5, 7)]
    assert state_of(engine)[2]["people"] == people(engine)


def test_reactors_at_once_do_no_harm(engine: Engine, open_engine: Callable[[], Any]) -> None:
    with open_engine() as other, ThreadPoolExecutor() as pool:
        for n in range(5):
            outcomes(engine, enter(f"a{n}"), enter(f"b{n}"))
            list(pool.map(lambda one: one.react(), (engine, other)))
    engine.react()
    assert followed(engine) == [f"doorman after b{n}" for n in range(5)]
    assert state_of(engine)[2]["people"] == people(engine)
    assert state_of(engine)[1] == {"seen": 15}


def test_a_checkpoint_that_another_moved_is_left_alone(engine: Engine) -> None:
    advance = engine.reactors[0]._advance  # noqa: SLF001
    with engine.database.append() as connection:
        connection.execute(reactions.insert().values(name="doorman", position=2, shared='{"seen": 77}'))
    with engine.database.write() as connection:
        assert not advance(connection, 0, 3, {})
        assert not advance(connection, 1, 3, {})
        assert connection.scalar(sa.select(reactions.c.shared)) == '{"seen": 77}'
        assert advance(connection, 2, 3, {"seen": 78})
    with engine.database.read() as connection:
        assert connection.execute(sa.select(reactions)).one() == ("doorman", 3, '{"seen": 78}')


def test_a_refusal_of_what_follows_stops_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.reactors[0].reaction, "react", lambda *_: [Follow(Count(room="void"), "count")])
    outcomes(engine, enter("a"))
    engine.react()
    assert state_of(engine)[0] == engine.log.head()


def test_a_fault_of_ours_makes_it_stand_still_and_nothing_is_lost(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes(engine, enter("a"), enter("b"), enter("c"))
    reaction = engine.reactors[0].reaction
    with monkeypatch.context() as patch:
        broken = Follow(Enter(room="hall", who="doorman", then="break"), "enter")
        patch.setattr(reaction, "react", lambda *_: [broken])
        engine.react()
    assert people(engine) == ["a", "b", "c"]
    assert "Reaction doorman stands still at position 0" in caplog.text
    engine.react()
    assert followed(engine) == ["doorman after b"]
    assert state_of(engine)[0] == engine.log.head()


def test_long_command_ids_stay_different() -> None:
    event = identify("event", "x")
    ids = {command_id("r" * 150, event, key, "k" * 300) for key in ("a", "b")}
    assert len(ids) == 2
    assert all(len(found) <= 200 for found in ids)
    assert command_id("r", event, "a", "b") == f"reaction:r:{event}:a:b"
