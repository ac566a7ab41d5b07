import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from domain.kernel import Unavailable
from history.database import Database
from history.engine import Engine
from history.envelope import Request
from history.statements import select_among
from history.tables import commands, events
from tests.support.rooms import Blocked, Count, ask, count, engine_at, enter, outcomes, people, positions


def trouble(engine: Engine, *requests: Request) -> str:
    with pytest.raises(Unavailable) as unavailable:
        engine.write(list(requests))
    assert people(engine) == ["anna"]
    assert count(engine, commands) == 1
    return unavailable.value.code


def test_a_store_that_another_holds_is_locked(database_url: str, tmp_path: Path) -> None:
    with engine_at(database_url, tmp_path, busy_seconds=0.2) as engine, engine_at(database_url, tmp_path) as other:
        outcomes(engine, enter("anna"))
        with Blocked(other):
            assert trouble(engine, enter("ben")) == "store.locked"
        assert outcomes(engine, enter("ben"), enter("anna")) == ["accepted", "repeated"]


def test_a_full_file_is_said_and_nothing_is_recorded(tmp_path: Path) -> None:
    def limit(connection: Any, _record: object) -> None:  # noqa: ANN401
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    with engine_at(f"sqlite:///{tmp_path / 'groundswell.sqlite3'}", tmp_path) as engine:
        outcomes(engine, enter("anna"))
        engine.database.close()
        sa.event.listen(engine.database.engine, "connect", limit)
        assert trouble(engine, *(enter(f"{n}" * 10_000) for n in range(9))) == "store.full"
        sa.event.remove(engine.database.engine, "connect", limit)
        engine.database.close()
        assert outcomes(engine, enter("ben"), enter("anna")) == ["accepted", "repeated"]
        assert engine.write([enter("cleo")])[0].result == {"people": "anna,ben,cleo"}


@pytest.mark.parametrize(
    ("sqlstate", "code"), [("53100", "store.full"), ("58030", "store.disk_error"), ("57014", "store.locked")]
)
def test_what_goes_wrong_in_the_server_is_said_and_nothing_is_recorded(
    new_database: Callable[[], str], tmp_path: Path, sqlstate: str, code: str
) -> None:
    url = new_database()
    with engine_at(url, tmp_path) as engine, psycopg.connect(url, autocommit=True) as server:
        outcomes(engine, enter("anna"))
        server.execute(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END$$"
        )
        server.execute("CREATE TRIGGER fail BEFORE INSERT ON commands FOR EACH ROW EXECUTE FUNCTION fail()")
        assert trouble(engine, enter("ben"), enter("cleo")) == code
        server.execute("DROP TRIGGER fail ON commands")
        assert outcomes(engine, enter("ben"), enter("anna")) == ["accepted", "repeated"]
        assert engine.write([enter("cleo")])[0].result == {"people": "anna,ben,cleo"}


def test_what_is_too_large_for_the_server_hits_only_its_command(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    with engine_at(new_database(), tmp_path) as engine:
        too_large = enter("eve", command_id=secrets.token_hex(4_000))  # no index takes that
        assert outcomes(engine, enter("anna"), too_large, enter("ben")) == ["accepted", "internal.error", "accepted"]
        assert people(engine) == ["anna", "ben"]
        assert positions(engine) == [1, 2, 3]


def test_a_read_only_store_is_said(engine: Engine) -> None:
    outcomes(engine, enter("anna"))
    engine.database.close()
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


def test_what_goes_wrong_while_sqlite_fetches_rows_is_said_like_what_goes_wrong_before(tmp_path: Path) -> None:
    damaged = "SELECT json(data) FROM (SELECT 'a' AS topic, '1' AS data UNION ALL SELECT 'a', '{')"
    database = Database(f"sqlite:///{tmp_path / 'store.db'}")
    with database.read() as connection, pytest.raises(OperationalError, match="malformed JSON"):
        select_among(connection, damaged, events.c.topic, ["a"])
    database.close()
