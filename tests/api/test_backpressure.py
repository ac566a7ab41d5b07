"""A server whose writer is held up: what has no room is sent away, what was taken is answered, and it ends in time."""

import http.client
import itertools
import json
import signal
import socket
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Self
from urllib.request import urlopen

import httpx2
import pytest
import sqlalchemy as sa

from api.accounts import Role
from api.app import create_app
from history.database import Database
from history.tables import events
from tests.api.conftest import Api
from tests.support.cli import Cli
from tests.support.http import PATIENCE, Client, Told, ask_at_once, serving, wait_until
from tests.support.rooms import Blocked

ROOM = 8


def test_what_has_no_room_is_sent_away(api: Api) -> None:
    writer = api.groundswell.engine.writer
    writer.capacity = ROOM
    token = bearer(api)
    with serving(create_app(api.groundswell, work=False)) as port, ThreadPoolExecutor(ROOM + 1) as pool:
        with Blocked(api.groundswell.engine):
            first = pool.submit(ask_at_once, port, token, "first")
            wait_until(lambda: writer.unanswered == 1)
            waiting = [pool.submit(ask_at_once, port, token, f"waiting-{n}") for n in range(ROOM)]
            wait_until(lambda: writer.unanswered == ROOM + 1)
            for n in range(20):
                must_come_back(ask_at_once(port, token, f"late-{n}"))
                assert writer.unanswered == ROOM + 1
        assert [future.result().status for future in (first, *waiting)] == [201] * (ROOM + 1)
        assert ask_at_once(port, token, "late-0").status == 201
    assert api.groundswell.engine.log.head() == ROOM + 2


def test_a_form_that_has_no_room_is_sent_away_with_a_page(api: Api) -> None:
    api.run("campaigns.draft", campaign="spring", title="Spring")
    api.run("campaigns.add_ask", campaign="spring", ask="sign", statement="Sign", kind="once")
    api.run("campaigns.launch", campaign="spring")
    api.groundswell.engine.writer.capacity = 0
    filled = {"ask": "sign", "email": "cleo@example.org", "name": "Cleo", "key": "k1"}
    with serving(create_app(api.groundswell, work=False)) as port:
        page = f"http://127.0.0.1:{port}/campaigns/spring/pledges"
        answer = httpx2.post(page, data=filled)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert "Too many commands are waiting" in answer.text
        api.groundswell.engine.writer.capacity = ROOM
        assert httpx2.post(page, data=filled).status_code == 303


def must_come_back(told: Told) -> None:
    assert (told.status, told.body["code"]) == (503, "writer.busy")
    assert told.headers["Content-Type"] == "application/problem+json"
    assert told.headers["Retry-After"] == "1"


def bearer(api: Api) -> str:
    return api.token(Role.MANAGER)["Authorization"].removeprefix("Bearer ")


# --- the end of a server ---


class Served:
    """``groundswell serve`` as a program of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.cli = Cli(folder, GROUNDSWELL_DATABASE_URL=url)
        self.url, self.token = url, ""
        self.process = self.cli.start("serve", "--port", "0")
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().split("http://127.0.0.1:")[1].split()[0])
        self.token = self.cli("token", "create", "--role", "manager", "--name", "load").out.strip()

    def waiting(self) -> int:
        """How many commands wait in the server, by its metrics."""
        with urlopen(f"http://127.0.0.1:{self.port}/api/v1/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("groundswell_commands_waiting ")))

    def is_closed(self) -> bool:
        """Whether it takes no more connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return True
        return False

    def stop(self) -> None:
        """Ask it to stop, and wait until it takes no more connections."""
        self.process.send_signal(signal.SIGTERM)
        wait_until(self.is_closed)

    def ended(self) -> tuple[int, str]:
        """Return its exit status and what it had to complain about, once it has ended by itself."""
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err

    def recorded(self) -> list[str]:
        """The ids of all commands in its log, in order of position."""
        with closing(Database(self.url)) as database, database.read() as connection:
            return list(connection.scalars(sa.select(events.c.command_id).order_by(events.c.position)))


@pytest.fixture
def served(database_url: str, tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path, database_url)
    try:
        yield served
    finally:
        served.process.kill()
        served.process.communicate()


def test_a_server_under_load_answers_all_that_it_took(served: Served) -> None:
    answered: list[str] = []

    def send(sender: int) -> None:
        with closing(Client(served.port, served.token)) as client, suppress(OSError, http.client.HTTPException):
            for n in itertools.count():
                told = client.command(f"{sender}-{n}", "supporters.register", supporter=f"{sender}-{n}")
                assert told.status == 201
                answered.append(f"{sender}-{n}")

    with ThreadPoolExecutor(12) as pool:
        senders = [pool.submit(send, sender) for sender in range(12)]
        wait_until(lambda: len(answered) > 300)
        served.stop()
        for sender in senders:
            sender.result()
    assert served.ended() == (0, "")
    assert sorted(served.recorded()) == sorted(answered)


def test_what_waits_for_the_writer_is_answered_before_a_server_ends(served: Served) -> None:
    with closing(Database(served.url)) as database, ThreadPoolExecutor(ROOM) as pool:
        with database.append():
            waiting = [pool.submit(ask_at_once, served.port, served.token, f"waiting-{n}") for n in range(ROOM)]
            wait_until(lambda: served.waiting() == ROOM)
            served.stop()
            assert served.process.poll() is None
            assert not any(future.done() for future in waiting)
        assert [future.result().status for future in waiting] == [201] * ROOM
    assert served.ended() == (0, "")
    assert len(served.recorded()) == ROOM


def test_a_stream_of_commands_is_answered_to_its_end_before_a_server_ends(served: Served) -> None:
    with Stream(served.port, served.token) as stream:
        stream.send(range(700))
        assert stream.answers(500) == ["accepted"] * 500
        served.stop()
        stream.send(range(700, 1_400))
        stream.end()
        assert stream.answers(900) == ["accepted"] * 900
    assert served.ended() == (0, "")
    assert served.recorded() == [f"line {n}" for n in range(1_400)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_stream_that_never_ends_keeps_no_server(served: Served) -> None:
    with Stream(served.port, served.token) as stream:
        stream.send(range(10))
        assert stream.answers(10) == ["accepted"] * 10
        served.stop()
        status, err = served.ended()
    assert (status, len(err.splitlines())) == (0, 1)
    assert "timeout graceful shutdown exceeded" in err
    assert len(served.recorded()) == 10


class Stream:
    """Many commands in one request that is still being sent."""

    def __init__(self, port: int, token: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._file = self._socket.makefile("rb")
        head = f"POST /api/v1/commands HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        head += "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
        self._socket.sendall(head.encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, numbers: Iterable[int]) -> None:
        """Send a line for each."""
        for n in numbers:
            envelope = {"id": f"line {n}", "command": "supporters.register", "data": {"supporter": f"s{n}"}}
            line = json.dumps(envelope).encode() + b"\n"
            self._socket.sendall(b"%x\r\n%b\r\n" % (len(line), line))

    def end(self) -> None:
        """Say that this was all."""
        self._socket.sendall(b"0\r\n\r\n")

    def answers(self, count: int) -> list[str]:
        """Return the statuses of the next so many answers."""
        found = (json.loads(line)["status"] for line in self._file if line.startswith(b"{"))
        return list(itertools.islice(found, count))
