import signal
import socket
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.cli import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture
def port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        found: int = taken.getsockname()[1]
        return found


@pytest.mark.parametrize("command", [["up"], ["serve"], ["demo", "--serve"]])
def test_a_port_in_use_is_said_before_anything_is_made(cli: Cli, tmp_path: Path, command: list[str]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        ran = cli(*command, "--port", str(taken.getsockname()[1]))
    assert (ran.status, ran.code, len(ran.err.splitlines())) == (2, "server.port_in_use", 1)
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize("command", ["up", "serve"])
def test_it_serves_until_a_signal_and_leaves_with_0(cli: Cli, port: int, command: str) -> None:
    process = cli.start(command, "--port", str(port))
    try:
        assert process.stdout is not None
        assert f"http://127.0.0.1:{port}" in process.stdout.readline()
        assert _get(f"http://127.0.0.1:{port}/api/v1/campaigns") == 200
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def test_work_ends_with_a_signal(cli: Cli) -> None:
    process = cli.start("work")
    assert process.stdout is not None
    assert process.stdout.readline() == "Working; Ctrl+C stops.\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def _get(url: str) -> int:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own server
                status: int = answer.status
                return status
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
