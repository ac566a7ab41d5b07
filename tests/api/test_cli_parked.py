"""What a read model could not take is listed, applied after all, or given up."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Cli, write_lines
from tests.support.frost import WHY, frost


def chapter(number: int, command: str, **data: str) -> str:
    envelope = {"id": f"c{number}", "command": f"chapters.{command}", "at": "2026-03-01T12:00:00Z"}
    return json.dumps(envelope | {"actor": "import:test", "data": data})


LINES = [
    chapter(1, "found", chapter="spring", name="Spring"),
    chapter(2, "found", chapter="frost", name="Frost"),
    chapter(3, "amend", chapter="frost", website="https://frost.example.org"),
]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    found = Cli(tmp_path)
    assert found("import", write_lines(tmp_path / "nothing.jsonl", [])).status == 0  # makes the store
    return found


@pytest.fixture
def frozen(cli: Cli, tmp_path: Path) -> Iterator[Path]:
    """The store's file, with two events parked for chapters."""
    path = cli.folder / "var" / "groundswell.sqlite3"
    with frost(path):
        assert cli("import", write_lines(tmp_path / "chapters.jsonl", LINES)).status == 0
        yield path


def test_where_nothing_is_parked_it_says_so(cli: Cli) -> None:
    assert (cli("parked", "list").status, cli("parked", "list").out) == (0, "No event is parked.\n")
    assert cli("parked", "list", "--json").json == []
    assert (cli("parked", "retry").status, cli("parked", "retry").out) == (0, "No event is parked.\n")
    assert cli("parked", "retry", "chapters").out == "No event is parked for chapters.\n"
    assert cli("parked", "retry", "--json").json == {}
    assert cli("parked", "discard", "chapters", "--yes").out == "No event is parked for chapters.\n"


def test_what_is_parked_is_listed_with_the_reason(cli: Cli, frozen: Path) -> None:
    assert frozen.exists()
    listed = cli("parked", "list")
    assert (listed.status, WHY in listed.out) == (1, True)
    found = cli("parked", "list", "chapters", "--json").json
    assert [(one["position"], one["topic"], one["attempts"]) for one in found] == [
        (2, "chapters.Founded", 1),
        (3, "chapters.Amended", 0),
    ]
    assert found[0]["error"] == WHY
    assert found[0]["retry_at"] > found[0]["parked_at"]
    assert all("T" in found[0][key] and found[0][key].endswith("Z") for key in ("parked_at", "retry_at"))
    assert found[1]["retry_at"] is None
    assert cli("parked", "list", "pledges").status == 0


def test_a_retry_that_fails_leaves_it_for_a_person(cli: Cli, frozen: Path) -> None:
    assert frozen.exists()
    ran = cli("parked", "retry", "chapters", "--json")
    assert (ran.status, ran.json) == (1, {"chapters": {"applied": 0, "waiting": 2}})
    first, _ = cli("parked", "list", "--json").json
    assert (first["attempts"], first["retry_at"]) == (2, None)


def test_a_retry_applies_what_is_parked_when_the_fault_has_gone(cli: Cli, tmp_path: Path) -> None:
    with frost(cli.folder / "var" / "groundswell.sqlite3"):
        cli("import", write_lines(tmp_path / "chapters.jsonl", LINES))
    ran = cli("parked", "retry")
    assert (ran.status, ran.out) == (0, "chapters: 2 applied, 0 still parked.\n")
    assert cli("parked", "list").status == 0
    assert cli("rebuild", "--compare").status == 0


def test_what_is_given_up_is_not_shown_until_it_is_rebuilt(cli: Cli, tmp_path: Path) -> None:
    with frost(cli.folder / "var" / "groundswell.sqlite3"):
        cli("import", write_lines(tmp_path / "chapters.jsonl", LINES))
    unknown = cli("parked", "discard", "chapters", "9", "--yes")
    assert (unknown.status, unknown.code) == (2, "parked.unknown")
    ran = cli("parked", "discard", "chapters", "2", "--yes", "--json")
    assert (ran.status, ran.json) == (0, {"projection": "chapters", "discarded": 1, "waiting": 1})
    said = cli("parked", "discard", "chapters", "3", "--yes").out
    assert said == "1 event given up until a “groundswell rebuild chapters”.\n"
    assert cli("rebuild", "--compare").status == 1
    assert cli("rebuild", "chapters").status == 0
    assert cli("rebuild", "--compare").status == 0
