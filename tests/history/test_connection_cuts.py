"""Connections to a real PostgreSQL that are reset in the middle of COMMIT: the command ids tell what took hold."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from domain.kernel import Unavailable
from domain.supporters import Erase, Register
from history.engine import Engine
from history.tables import commands, person_index, person_keys
from tests.support.postgres import PostgresServer
from tests.support.proxy import Cut, Proxy, proxied
from tests.support.rooms import Count, ask, count, engine_at, enter, outcomes, people, positions


@pytest.fixture
def proxy(postgres_server: PostgresServer) -> Iterator[Proxy]:
    with proxied(postgres_server) as proxy:
        yield proxy


@pytest.fixture
def engine(proxy: Proxy, new_database: Callable[[], str], tmp_path: Path) -> Iterator[Engine]:
    """A store that is reached through the proxy, with one person in it."""
    with engine_at(proxy.url(str(make_url(new_database()).database)), tmp_path) as engine:
        assert outcomes(engine, enter("anna")) == ["accepted"]
        yield engine


@pytest.mark.parametrize("moment", Cut)
def test_a_lone_command(engine: Engine, proxy: Proxy, moment: Cut) -> None:
    proxy.cut(moment)
    answer = engine.writer.submit(enter("ben")).result(30)
    assert (answer.status, answer.positions, answer.result) == ("accepted", [3], {"people": "anna,ben"})
    assert proxy.cuts == 1
    assert outcomes(engine, enter("ben"), enter("cleo")) == ["repeated", "accepted"]
    assert people(engine) == ["anna", "ben", "cleo"]
    assert positions(engine) == [1, 2, 3, 4]
    assert count(engine, commands) == 3


@pytest.mark.parametrize("moment", Cut)
def test_a_batch(engine: Engine, proxy: Proxy, moment: Cut) -> None:
    proxy.cut(moment)
    batch = [enter("anna"), ask(Count(room="new")), enter("ben"), enter("ben"), enter("cleo", "new")]
    answers = engine.write(batch)
    assert proxy.cuts == 1
    assert [a.status for a in answers] == ["repeated", "rejected", "accepted", "repeated", "accepted"]
    assert [a.positions for a in answers] == [[1, 2], [], [3], [3], [4, 5]]
    assert outcomes(engine, *batch) == ["repeated", "accepted", "repeated", "repeated", "repeated"]
    assert positions(engine) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("moment", Cut)
def test_many_callers(engine: Engine, proxy: Proxy, moment: Cut) -> None:
    for start in (0, 15):
        proxy.cut(moment)
        futures = [engine.writer.submit(enter(f"p{n}", f"room {n}")) for n in range(start, start + 15)]
        answers = [future.result(30) for future in futures]
        assert proxy.cuts == 1
        assert {answer.status for answer in answers} == {"accepted"}
        first = 3 + 2 * start
        assert [p for answer in answers for p in answer.positions] == list(range(first, first + 30))
    assert positions(engine) == list(range(1, 63))


@pytest.mark.parametrize("moment", Cut)
def test_a_connection_that_is_always_cut(engine: Engine, proxy: Proxy, moment: Cut) -> None:
    """The caller hears that it is not known, and learns it by sending the command again."""
    proxy.cut(moment, times=1_000)
    with pytest.raises(Unavailable) as unavailable:
        engine.write([enter("ben")])
    assert unavailable.value.code == "store.unreachable"
    assert proxy.cuts > 1
    proxy.cut(moment, times=0)
    assert outcomes(engine, enter("ben")) == ["repeated" if moment is Cut.AFTER else "accepted"]
    assert outcomes(engine, enter("ben"), enter("cleo")) == ["repeated", "accepted"]
    assert people(engine) == ["anna", "ben", "cleo"]
    assert positions(engine) == [1, 2, 3, 4]


@pytest.mark.parametrize("moment", Cut)
def test_an_erasure(engine: Engine, proxy: Proxy, moment: Cut) -> None:
    erase = ask(Erase(supporter="anna"), reason="she asked for it")
    assert outcomes(engine, ask(Register(supporter="anna", email="anna@example.org", name="Anna"))) == ["accepted"]
    assert (count(engine, person_keys), count(engine, person_index)) == (1, 1)
    proxy.cut(moment)
    assert outcomes(engine, erase, erase) == ["accepted", "repeated"]
    assert proxy.cuts == 1
    assert (count(engine, person_keys), count(engine, person_index)) == (0, 0)
    assert outcomes(engine, erase, ask(Erase(supporter="anna"), reason="again")) == [
        "repeated",
        "supporter.already_erased",
    ]
