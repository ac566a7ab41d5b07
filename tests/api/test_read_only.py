"""A store that can only be read: it is read, and whoever would change it hears why that cannot be."""

import json
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from api.bootstrap import Groundswell, open_groundswell
from api.settings import Settings
from domain.kernel import Actor
from tests.support.cli import Cli, Ran, line, write_lines
from tests.support.http import Client
from tests.support.postgres import running_server
from tests.support.read_only import only_readable

CHAPTER = json.dumps({"id": "found", "command": "chapters.found", "data": {"chapter": "lisbon", "name": "Lisbon"}})


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def fill(cli: Cli) -> tuple[Ran, Ran]:
    """Make a store of four events, and return what reading it says."""
    file = write_lines(cli.folder / "commands", [CHAPTER, *(line(n) for n in range(3))])
    assert cli("import", file).json["accepted"] == 4
    assert cli("keys").status == 0
    found = cli("verify"), cli("history", "--personal")
    assert found[0].out.startswith("Sound: 4 events")
    return found


def must_be_refused(ran: Ran) -> None:
    assert (ran.status, ran.code) == (2, "store.read_only")


def append_one(groundswell: Groundswell, position: int = 5) -> None:
    _, request = groundswell.engine.catalogue.read(line(9).encode(), Actor("system", "test"))
    assert groundswell.engine.write([request])[0].positions == [position]


def test_a_folder_that_can_only_be_read(cli: Cli) -> None:
    found = fill(cli)
    more = write_lines(cli.folder / "more", [line(9)])
    with only_readable(cli.folder / "var") as prefix:
        assert (cli.apart("verify", prefix=prefix), cli.apart("history", "--personal", prefix=prefix)) == found
        must_be_refused(cli.apart("import", more, prefix=prefix))
        must_be_refused(cli.apart("erase", "person-1", "--reason", "asked", "--yes", prefix=prefix))
        ran = cli.apart("keys", "rotate", prefix=prefix)
        assert (ran.status, ran.code) == (2, "keys.unwritable")
    assert cli("import", more).json["accepted"] == 1


@contextmanager
def serving(cli: Cli, prefix: Sequence[str]) -> Iterator[int]:
    """Run ``groundswell serve``; give its port."""
    process = cli.start("serve", "--port", "0", prefix=prefix)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline().split("http://127.0.0.1:")[1].split()[0])
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


def read(port: int, page: str) -> Any:  # noqa: ANN401 - any JSON
    with urlopen(f"http://127.0.0.1:{port}/api/v1/{page}", timeout=60) as answer:
        return json.load(answer)


def test_boards_of_a_folder_that_can_only_be_read(cli: Cli) -> None:
    fill(cli)
    token = cli("token", "create", "--role", "manager", "--name", "test").out.strip()
    with only_readable(cli.folder / "var") as prefix, serving(cli, prefix) as port:
        assert [chapter["name"] for chapter in read(port, "chapters")["chapters"]] == ["Lisbon"]
        assert read(port, "leaderboards/movement")["as_of"] == 4
        assert read(port, "readyz")["status"] == "ready"
        with closing(Client(port, token)) as client:
            told = client.command("new", "supporters.register", supporter="new")
        assert (told.status, told.body["code"]) == (503, "store.read_only")


def test_whoever_can_only_read_sees_what_others_write(cli: Cli) -> None:
    fill(cli)
    with only_readable(cli.folder / "var") as prefix:
        if not prefix:
            pytest.skip("what stops this user from writing stops the other, too")
        with serving(cli, prefix) as port:
            assert read(port, "history")["position"] == 4
            for n in (7, 8):
                assert cli("import", write_lines(cli.folder / "more", [line(n)])).json["accepted"] == 1
                assert read(port, "history")["position"] == n - 2
            with open_groundswell(Settings(data_dir=cli.folder / "var")) as groundswell:
                append_one(groundswell, 7)
                assert read(port, "history")["position"] == 7


def test_a_file_that_can_only_be_read_while_another_writes_it(cli: Cli) -> None:
    fill(cli)
    data = cli.folder / "var"
    with open_groundswell(Settings(data_dir=data)) as groundswell:
        append_one(groundswell)
        with only_readable(data / "groundswell.sqlite3") as prefix:
            assert cli.apart("verify", prefix=prefix).out.startswith("Sound: 5 events")
            must_be_refused(cli.apart("import", write_lines(cli.folder / "more", [line(10)]), prefix=prefix))


def test_a_copy_that_was_not_closed(cli: Cli) -> None:
    """Its newest events are in a log that SQLite cannot read without writing; leaving them out would be a lie."""
    fill(cli)
    data, copy = cli.folder / "var", cli.folder / "copy"
    with open_groundswell(Settings(data_dir=data)) as groundswell:
        append_one(groundswell)
        shutil.copytree(data, copy, ignore=shutil.ignore_patterns("*-shm"))
    other = Cli(cli.folder, GROUNDSWELL_DATA_DIR=str(copy))
    with only_readable(copy) as prefix:
        ran = other.apart("verify", prefix=prefix)
        must_be_refused(ran)
        assert "groundswell.sqlite3-wal" in ran.err
    assert other("verify").out.startswith("Sound: 5 events")


def test_a_standby_of_postgresql(tmp_path: Path) -> None:
    with running_server(durable=True) as server:
        cli = Cli(tmp_path, GROUNDSWELL_DATABASE_URL=server.url())
        found = fill(cli)
        server.stand_by()
        assert (cli("verify"), cli("history", "--personal")) == found
        must_be_refused(cli("import", write_lines(tmp_path / "more", [line(9)])))
        must_be_refused(cli("erase", "person-1", "--reason", "asked", "--yes"))
