"""Hints that another process appended: PostgreSQL's NOTIFY, sent by every transaction that holds the append lock.

Only a hint: whoever follows the log asks for what is new all the same, every so often. A hint that is lost, because the
connection died or there is none, costs no more than that time.
"""

import logging
import select
import socket
import threading
from collections.abc import Callable
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
        self._stopped, self._stop = socket.socketpair()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to listen; on SQLite, which knows no hints, this does nothing."""
        if not self._database.is_sqlite:
            self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        self._stop.close()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._stopped.close()

    def _run(self) -> None:
        failures, stopped = 0, False
        while not stopped:
            try:
                with psycopg.connect(**_parameters(self._database), autocommit=True) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    failures = 0
                    self._wake()  # for what was missed until now
                    stopped = self._listen(connection)
            except psycopg.Error as error:
                failures += 1
                log.info("No hints for a while: %s", error)
                stopped = self._is_stopped(min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(failures - 1, 10)))

    def _listen(self, connection: psycopg.Connection) -> bool:
        """Wake for each hint; return when stopped, raise where the connection dies."""
        while not self._is_stopped(None, connection):
            connection.pgconn.consume_input()
            tokens = set()
            while hint := connection.pgconn.notifies():
                tokens.add(hint.extra.decode())
            if tokens - {self._database.token}:
                self._wake()
        return True

    def _is_stopped(self, seconds: float | None, connection: psycopg.Connection | None = None) -> bool:
        """Wait for the time, or until the connection has something to say; tell whether it is time to stop."""
        watched: list[Any] = [self._stopped] if connection is None else [self._stopped, connection]
        ready, _, _ = select.select(watched, [], [], seconds)
        return self._stopped in ready


def _parameters(database: Database) -> dict[str, Any]:
    """Return how to connect, as the driver wants it."""
    _, parameters = database.engine.dialect.create_connect_args(make_url(database.engine.url))
    return {**parameters, "connect_timeout": 10, "application_name": "groundswell hints"}
