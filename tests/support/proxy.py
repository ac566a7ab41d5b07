"""A proxy before PostgreSQL that cuts connections in the middle of COMMIT, with a reset as a broken network would."""

import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from typing import Final

from tests.support.postgres import PostgresServer

_QUERY, _PARSE = b"Q", b"P"
_APPENDS: Final = b"pg_advisory_xact_lock"
_COMMITS: Final = b"COMMIT"
_COMMITTED: Final = b"C\x00\x00\x00\x0bCOMMIT\x00"
"""The server's CommandComplete (PostgreSQL, “Message Formats”)."""


class Cut(Enum):
    """Where a connection is cut."""

    BEFORE = auto()
    """The server never hears of the COMMIT."""
    AFTER = auto()
    """The server has committed, and the client never hears of it."""


class Proxy:
    """Forwards everything, until it is told to cut."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = str(server.directory / ".s.PGSQL.5432")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._mutex = threading.Lock()
        self._planned: list[Cut] = []
        self._threads: list[threading.Thread] = [threading.Thread(target=self._accept)]
        self.cuts = 0
        self._threads[0].start()

    def url(self, database: str) -> str:
        """Return the address by which a database is reached through here, given its name."""
        host, port = self._listener.getsockname()
        return f"postgresql://postgres@{host}:{port}/{database}?sslmode=disable&gssencmode=disable"

    def cut(self, moment: Cut, times: int = 1) -> None:
        """Cut the connections of the next transactions that append, so many times; 0 leaves them alone again."""
        with self._mutex:
            self._planned = [moment] * times
            self.cuts = 0

    def next_cut(self) -> Cut | None:
        """Return where a transaction that is about to commit is to be cut, if it is."""
        with self._mutex:
            if not self._planned:
                return None
            self.cuts += 1
            return self._planned.pop()

    def close(self) -> None:
        """Take no more connections, and wait until those that there were are closed."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                thread = threading.Thread(target=_Connection(self, client, server).forward)
                self._threads.append(thread)
                thread.start()


class _Connection:
    """A client's connection and its other half."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._received = b""
        self._started = self._appends = False

    def forward(self) -> None:
        """Forward until one of the two goes away, or the connection is cut."""
        with self._client, self._server, suppress(OSError):
            while True:
                for ready in select.select([self._client, self._server], [], [])[0]:
                    found = ready.recv(1 << 16)
                    if not found:
                        return
                    if ready is self._server:
                        self._client.sendall(found)
                    elif moment := self._forward_requests(found):
                        self._cut(moment)
                        return

    def _forward_requests(self, found: bytes) -> Cut | None:
        """Forward whole messages; stop before the COMMIT that is to be cut."""
        self._received += found
        for message in self._messages():
            if message[:1] in {_QUERY, _PARSE}:
                self._appends = self._appends or _APPENDS in message
                if _COMMITS in message and self._appends:
                    self._appends = False
                    if moment := self._proxy.next_cut():
                        if moment is Cut.AFTER:
                            self._server.sendall(message + self._received)
                        return moment
            self._server.sendall(message)
        return None

    def _messages(self) -> Iterator[bytes]:
        """Take whole messages from what was received: a letter and the length, the first one without a letter."""
        while True:
            letter = 1 if self._started else 0
            if len(self._received) < letter + 4:
                return
            end = letter + struct.unpack_from("!I", self._received, letter)[0]
            if len(self._received) < end:
                return
            message, self._received = self._received[:end], self._received[end:]
            self._started = True
            yield message

    def _cut(self, moment: Cut) -> None:
        """Reset the client's connection (a linger of no seconds), once the server has committed if it is to."""
        answered = b""
        while moment is Cut.AFTER and _COMMITTED not in answered:
            part = self._server.recv(1 << 16)
            assert part, "the server went away before it committed"
            answered += part
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def proxied(server: PostgresServer) -> Iterator[Proxy]:
    """A proxy before a server."""
    proxy = Proxy(server)
    try:
        yield proxy
    finally:
        proxy.close()
