"""Sends prepared HTTP requests over keep-alive connections as fast as they are answered, in a process of its own.

It costs little of the processors that it shares with the server: raw bytes out, status and length read back.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec
import uvloop

HOST = "127.0.0.1"
CONNECTIONS = 64
WARM_UP_SECONDS, SECONDS = 0.5, 2.0
_LENGTH = b"content-length: "


@dataclass(frozen=True)
class Load:
    """What was measured: requests per second, and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float


def post(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """Return one HTTP/1.1 request."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {HOST}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def measure(port: int, requests: Sequence[bytes], status: int, folder: Path) -> Load:
    """Send requests for some seconds; fails unless each is answered with the status and with a position."""
    file = folder / "requests"
    file.write_bytes(msgspec.msgpack.encode(requests))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", str(port), str(status), str(file)], check=True, stdout=subprocess.PIPE
    )
    return msgspec.json.decode(done.stdout, type=Load)


class Connection(asyncio.Protocol):
    """Sends one request after another and notes how long each took."""

    def __init__(self, status: int) -> None:
        self._status = str(status).encode()
        self._requests: list[bytes] = []
        self._until = self._sent = 0.0
        self._answer = b""
        self.latencies: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note where to write."""
        self._transport = cast("asyncio.Transport", transport)

    def run(self, requests: list[bytes], seconds: float) -> "asyncio.Future[None]":
        """Take requests off the list and send them for so long; the future is done when the last is answered."""
        self._requests, self._until, self.latencies = requests, time.perf_counter() + seconds, []
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next()
        return self._done

    def _next(self) -> None:
        self._sent = time.perf_counter()
        if not self._requests or self._sent > self._until:
            self._done.set_result(None)
            return
        self._transport.write(self._requests.pop())

    def data_received(self, data: bytes) -> None:
        """Wait for the whole answer, check it, and send the next request."""
        self._answer += data
        head, blank, body = self._answer.partition(b"\r\n\r\n")
        if not blank or len(body) < int(head[head.index(_LENGTH) + len(_LENGTH) :].partition(b"\r\n")[0]):
            return
        self.latencies.append(time.perf_counter() - self._sent)
        if head[9:12] != self._status or b'"position":' not in body:
            self._done.set_exception(RuntimeError(self._answer.decode()))
            return
        self._answer = b""
        self._next()

    def connection_lost(self, _error: Exception | None) -> None:
        """Fail where the server hung up."""
        if not self._done.done():
            self._done.set_exception(ConnectionError("The server closed a connection."))


async def send(port: int, status: int, requests: list[bytes]) -> Load:
    """Send the requests over all connections: first to warm up, then with the clock running."""
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Connection(status), HOST, port) for _ in range(CONNECTIONS)]
    connections = [connection for _, connection in made]
    await asyncio.gather(*(each.run(requests, WARM_UP_SECONDS) for each in connections))
    begun = time.perf_counter()
    await asyncio.gather(*(each.run(requests, SECONDS) for each in connections))
    seconds = time.perf_counter() - begun
    latencies = [1_000 * each for one in connections for each in one.latencies]
    cuts = statistics.quantiles(latencies, n=100)
    return Load(len(latencies) / seconds, cuts[49], cuts[98])


if __name__ == "__main__":
    _port, _status, _file = sys.argv[1:]
    _requests = msgspec.msgpack.decode(Path(_file).read_bytes(), type=list[bytes])
    found = uvloop.run(send(int(_port), int(_status), _requests))
    sys.stdout.write(json.dumps(vars(found)))
