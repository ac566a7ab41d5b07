import json
from typing import Any

import sqlalchemy as sa

from domain.kernel import ERASED, identify
from domain.pledges import Pledge
from domain.supporters import Amend, Erase, Register, Supporter
from history.engine import Engine
from history.envelope import Envelope, Request, new_id
from history.tables import commands, erasures, events, person_index, person_keys, snapshots
from tests.support.rooms import ANNA, TESTER, ask, count, enter, outcomes


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
    with engine.database.read() as connection:
        (erasure,) = connection.execute(sa.select(erasures)).all()
    assert (erasure.person_id, erasure.position) == (ANNA, 8)
    assert json.loads(erasure.destroyed) == {"keys": 1, "index_entries": 1}
    assert erasure.purged_at is None
    assert "secret" not in cached(engine)
    assert identify.cache_info().currsize < 10
    assert "secret" in cached(other)
    other.writer.notice()
    assert "secret" not in cached(other)
    assert outcomes(other, enter("cleo")) == ["accepted"]
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
        tables = (events, commands, person_index, person_keys, snapshots)
        stored = repr([tuple(row) for table in tables for row in connection.execute(sa.select(table))])
    assert "secret" not in stored
    assert "Anna" not in stored
    assert "example.org" not in stored


# --- history stays as it is ---


def test_what_is_kept_of_a_command_does_not_give_away_what_a_person_wrote(engine: Engine) -> None:
    envelope = Envelope(id="r", command="supporters.register", data={"supporter": "ana", "email": "ana@example.org"})
    asked = engine.catalogue.request(envelope, TESTER)
    assert [answer.status for answer in engine.write([asked])] == ["accepted"]
    with engine.database.read() as connection:
        recorded = connection.scalar(sa.select(commands.c.request_hash))
    assert recorded == engine.persons.keyed(asked.digest)
    assert recorded != asked.digest
    assert [answer.status for answer in engine.write([asked])] == ["repeated"]


def test_what_a_process_remembers_it_drops_too_when_nothing_is_written_there(engine: Engine, other: Engine) -> None:
    with_a_pledge(engine)
    other.writer.notice()
    assert outcomes(other, read(other, command="pledges.keep", data={"campaign": "c", "ask": "a", "supporter": "anna"}))
    assert outcomes(engine, enter("ben")) == ["accepted"]
    other.writer.notice()
    assert "secret" in cached(other)
    assert outcomes(other, enter("cleo", "hall")) == ["accepted"]
    assert outcomes(engine, ask(Erase(supporter="anna"), reason="asked for it")) == ["accepted"]
    other.writer.notice()
    other.writer.notice()
    assert "secret" not in cached(other)
    assert outcomes(other, enter("dora")) == ["accepted"]
