"""Real HTTP against a real server: one in this process, and clients that remember what they were told."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from email.message import Message
from typing import Any, NamedTuple

import uvicorn
from starlette.types import ASGIApp

from api.cli.serving import listen

PATIENCE = 60.0


class Told(NamedTuple):
    """An answer: its status, its headers and its body."""

    status: int
    headers: Message
    body: Any


@contextmanager
def serving(app: ASGIApp) -> Iterator[int]:
    """Serve an application in a thread, as ``groundswell serve`` does; give its port."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=10))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


class Client:
    """One connection, opened at the first request and kept alive."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def command(self, command_id: str, command: str, **data: object) -> Told:
        """Give a command; raise OSError or HTTPException where no answer comes."""
        body = json.dumps({"id": command_id, "command": command, "data": data})
        self._connection.request("POST", "/api/v1/commands", body, self._headers)
        answer = self._connection.getresponse()
        return Told(answer.status, answer.headers, json.loads(answer.read()))


def ask_at_once(port: int, token: str, who: str) -> Told:
    """Register a supporter over a connection of its own."""
    with closing(Client(port, token)) as client:
        return client.command(f"register {who}", "supporters.register", supporter=who)


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for something that must come true."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.005)
