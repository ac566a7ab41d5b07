import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, inspect, make_url, text

_KEEP_A_SERVER = """
import time
from tests.support.postgres import running_server
with running_server() as server:
    print(server.directory, (server.directory / "data" / "postmaster.pid").read_text().split()[0], flush=True)
    time.sleep(60)
"""


def test_a_new_database_answers_and_is_empty(database_url: str) -> None:
    url = make_url(database_url)
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(text("select 1")).scalar() == 1
    assert inspect(engine).get_table_names() == []
    engine.dispose()


def test_databases_do_not_see_each_other(new_database: Callable[[], str]) -> None:
    first, second = new_database(), new_database()
    with psycopg.connect(first) as connection:
        connection.execute("create table pledge (id int)")
    with psycopg.connect(second) as connection:
        assert connection.execute("select to_regclass('pledge')").fetchone() == (None,)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_server_outlives_its_test_process(how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _KEEP_A_SERVER],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        directory, server = process.stdout.readline().split()
        os.kill(int(server), 0)
        process.send_signal(how)
    deadline = time.monotonic() + 10
    while Path(directory).exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(ProcessLookupError):
        os.kill(int(server), 0)
