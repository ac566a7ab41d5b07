"""``groundswell up``, ``serve``, ``work``: the processes that keep running until a signal."""

import asyncio
import errno
import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any, Final

import click

from api.bootstrap import Groundswell
from api.cli import console
from api.process import tune
from api.settings import Settings, from_environment
from domain.kernel import Unavailable

HOST: Final = "127.0.0.1"
PORT: Final = 8000
DRAIN_SECONDS: Final = 10

host_option = click.option("--host", default=HOST, show_default=True, help="The address to listen on.")
port_option = click.option(
    "--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="The port to listen on; 0: any."
)


@click.command()
@host_option
@port_option
def up(*, host: str, port: int) -> int:
    """Run everything in one process: pages and API, writer, read models, reactions, scheduler.

    Makes the store where there is none. SIGTERM or Ctrl+C finishes what is under way and stops.
    """
    return _at(host, port, work=True)


@click.command()
@host_option
@port_option
def serve(*, host: str, port: int) -> int:
    """Run pages and API only; a “groundswell work” keeps read models and mails going."""
    return _at(host, port, work=False)


@click.command()
def work() -> int:
    """Run read models, reactions and the scheduler only, until a signal."""
    settings = from_environment()
    _log_to_stderr(settings)
    with _signals() as stopping, console.opened(create=True, settings=settings) as groundswell:
        groundswell.worker.start()
        console.say("Working; Ctrl+C stops.")
        while not stopping.wait(1):
            pass
    return console.DONE


def _at(host: str, port: int, *, work: bool) -> int:
    listener = listen(host, port)
    return run_http(listener, reached_at(from_environment(), listener), work=work)


def run_http(listener: socket.socket, settings: Settings, *, work: bool, greeting: str = "") -> int:
    """Serve until a signal; what is under way is finished, and what waits for the writer is written."""
    with listener, _signals():
        _log_to_stderr(settings)
        with console.opened(create=True, settings=settings) as groundswell:
            _serve(groundswell, listener, work=work, greeting=greeting)
    return console.DONE


def _serve(groundswell: Groundswell, listener: socket.socket, *, work: bool, greeting: str) -> None:
    # Only those who serve wait for these two to load.
    import uvicorn  # noqa: PLC0415

    from api.app import create_app  # noqa: PLC0415

    app = create_app(groundswell, work=work)
    tune()  # again, with all of this loaded
    level = groundswell.settings.log_level
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="debug" if level == "debug" else "warning",
        access_log=level == "debug",
        timeout_graceful_shutdown=DRAIN_SECONDS,
        server_header=False,
    )
    console.say(greeting or f"Groundswell is at {groundswell.settings.base_url} (Ctrl+C stops).")
    sys.stdout.flush()
    uvicorn.Server(config).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; raise Unavailable, with the reason in one sentence."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Unavailable("server.bad_address", f"{host} is not an address to listen on: {error.strerror}.") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            message = f"Port {port} of {host} is in use by another program; choose another with --port."
            raise Unavailable("server.port_in_use", message) from None
        raise Unavailable("server.bad_address", f"Cannot listen on {host}:{port}: {error.strerror}.") from None
    return listener


def reached_at(settings: Settings, listener: socket.socket) -> Settings:
    """Return the settings with the address listened on as base URL, unless another was set."""
    if settings.base_url != Settings.base_url:
        return settings
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": HOST, "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 - compared only
    return replace(settings, base_url=f"http://{host}:{port}")


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """Take SIGTERM and SIGINT as a wish to stop; uvicorn takes them first, and gives them back when it has stopped."""
    stopping = threading.Event()

    def asked(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    before: dict[signal.Signals, Any] = {n: signal.signal(n, asked) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _log_to_stderr(settings: Settings) -> None:
    """Log to standard error in place of the file; a process that keeps running is watched there."""
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    handler = logging.StreamHandler()
    handler.addFilter(_is_no_cancellation)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    root.setLevel(settings.log_level.upper())
    if settings.log_level != "debug":
        for chatty in ("alembic", "uvicorn", "apscheduler"):
            logging.getLogger(chatty).setLevel(logging.WARNING)


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """Keep out where a request stood that was still not sent when the server had waited for it: it was no fault."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


COMMANDS = {"up": up, "serve": serve, "work": work}
