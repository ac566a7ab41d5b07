"""Hints that another process appended: PostgreSQL's NOTIFY, sent by every transaction that holds the append lock.

Only a hint: whoever follows the log asks for what is new all the same, every so often. A hint that is lost, because the
connection died or there is none, costs no more than that time.
"""

import logging
import selectors
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from sqlalchemy import make_url

from history.database import CHANNEL, Database

log = logging.getLogger(__name__)

SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds until the next attempt to listen, after the first failure and after many in a row."""


class Hints:
    """Calls ``wake`` when others append, from ``start`` to ``stop``; its own connection may die, and comes back."""

    def __init__(self, database: Database, wake: Callable[[], Any]) -> None:
        self._database, self._wake = database, wake
        self._thread: threading.Thread | None = None
        self._stop: socket.socket | None = None

    def start(self) -> None:
        """Begin to listen; on SQLite, which knows no hints, this does nothing."""
        if not self._database.is_sqlite:
            stopped, self._stop = socket.socketpair()
            self._thread = threading.Thread(target=self._run, args=[stopped], name="hints", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        if self._stop is not None and self._thread is not None:
            self._stop.close()
            self._thread.join()
            self._stop = self._thread = None

    def _run(self, stopped: socket.socket) -> None:
        failures, over = 0, False
        with stopped:
            while not over:
                try:
                    with psycopg.connect(**_parameters(self._database), autocommit=True) as connection:
                        connection.execute(f"LISTEN {CHANNEL}")
                        failures = 0
                        self._wake()  # for what was missed until now
                        self._listen(connection, stopped)
                        over = True
                except psycopg.Error as error:
                    failures += 1
                    log.info("No hints for a while: %s", error)
                    pause = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(failures - 1, 10))
                    over = stopped in _ready([stopped], pause)

    def _listen(self, connection: psycopg.Connection, stopped: socket.socket) -> None:
        """Wake for each hint until stopped; raise where the connection dies."""
        while stopped not in _ready([stopped, connection]):
            connection.pgconn.consume_input()
            tokens = set()
            while hint := connection.pgconn.notifies():
                tokens.add(hint.extra.decode())
            if tokens - {self._database.token}:
                self._wake()


def _ready(watched: Sequence[Any], seconds: float | None = None) -> list[Any]:
    """Wait until some of what has a file descriptor can be read, or for the time; return what can be."""
    with selectors.DefaultSelector() as selector:
        for each in watched:
            selector.register(each, selectors.EVENT_READ)
        return [key.fileobj for key, _ in selector.select(seconds)]


def _parameters(database: Database) -> dict[str, Any]:
    """Return how to connect, as the driver wants it."""
    _, parameters = database.engine.dialect.create_connect_args(make_url(database.engine.url))
    return {**parameters, "connect_timeout": 10, "application_name": "groundswell hints"}
