import gzip
import json
import os
import signal
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from api.cli import console
from tests.support.cli import Cli, line, write_lines


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    return Cli(tmp_path)


def refused(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(each) for each in file]


def test_a_summary_says_what_became_of_the_lines(cli: Cli, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "a.jsonl", [line(1), "", line(2), "   ", line(1), line(3)])
    ran = cli("import", file)
    assert ran.status == 0
    assert ran.json == {
        "lines": 4,
        "accepted": 3,
        "repeated": 1,
        "rejected": 0,
        "first_position": 1,
        "last_position": 3,
    }
    assert ran.err == ""
    assert not (tmp_path / "a.jsonl.rejected.jsonl").exists()


def test_the_read_models_follow(cli: Cli, tmp_path: Path) -> None:
    cli("import", write_lines(tmp_path / "a.jsonl", [line(n) for n in range(30)]))
    assert cli("rebuild", "--compare").status == 0


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"this is not JSON", "command.invalid_json"),
        (b'{"id": "x", "command": "supporters.register"', "command.invalid_json"),
        (line(9, data={"supporter": "a\0b"}).encode(), "reference.control_character"),
        (line(9).encode()[:-1] + b"\0}", "command.invalid_json"),
        (line(9).encode().replace(b"Person", b"Pers\xff\xfe"), "command.invalid_utf8"),
        (line(9, command="supporters.adore").encode(), "command.unknown"),
        (line(9, colour="red").encode(), "command.unknown_field"),
        (line(9, data={"supporter": "a", "colour": "red"}).encode(), "command.unknown_field"),
        (line(9, data={}).encode(), "command.missing_field"),
        (line(9, data={"supporter": "a", "name": 7}).encode(), "command.wrong_type"),
        (line(9, data={"supporter": "x" * 201}).encode(), "command.wrong_length"),
        (line(9, id="x" * 201).encode(), "command.wrong_length"),
        (line(9, at="2026-03-01T12:00:00").encode(), "command.time_without_offset"),
        (line(9, at="2026-02-30T12:00:00Z").encode(), "command.invalid_date"),
        (
            line(9, command="policies.advance", data={"policy": "p", "stage": "vote", "on": "2026-02-30"}).encode(),
            "command.invalid_date",
        ),
        (line(1, data={"supporter": "another"}).encode(), "command.id_reused"),
        (line(9, actor="nobody").encode(), "actor.malformed"),
        (line(9, data={"supporter": "a", "email": "no address"}).encode(), "email.malformed"),
        (line(9, data={"x": 0}).encode().replace(b"0}", b"[" * 100_000), "command.invalid_json"),
        (line(9, reason="x" * (1 << 20)).encode(), "command.too_large"),
    ],
)
def test_a_bad_line_is_refused_and_stops_nothing(cli: Cli, tmp_path: Path, content: bytes, code: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(line(1).encode() + b"\n" + content + b"\n" + line(2).encode() + b"\n")
    ran = cli("import", file)
    assert ran.status == 1
    assert (ran.json["accepted"], ran.json["rejected"]) == (2, 1)
    (found,) = refused(tmp_path / "a.jsonl.rejected.jsonl")
    assert (found["line"], found["code"]) == (2, code)
    assert found["message"]
    assert found["text"].encode(errors="replace")[:40] == content.decode(errors="replace").encode()[:40]


def test_gzip_and_standard_input_are_read(cli: Cli, tmp_path: Path) -> None:
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(f"{line(1)}\n{line(2)}".encode()))
    assert cli("import", packed).json["accepted"] == 2
    ran = cli("import", "-", stdin=f"{line(3)}\nnonsense\n".encode())
    assert (ran.status, ran.json["accepted"], ran.json["rejected"]) == (1, 1, 1)
    assert refused(tmp_path / "stdin.rejected.jsonl")[0]["text"] == "nonsense"


def test_running_it_again_accepts_nothing(cli: Cli, tmp_path: Path) -> None:
    campaign = {"campaign": "spring"}
    pledge = {"campaign": "spring", "ask": "sign", "supporter": "person-1"}
    ask = {"campaign": "spring", "ask": "sign", "statement": "I sign.", "kind": "once"}
    told: Sequence[tuple[str, str, dict[str, Any]]] = (
        ("a", "campaigns.draft", {"campaign": "spring", "title": "Spring"}),
        ("b", "campaigns.add_ask", ask),
        ("c", "campaigns.launch", campaign),
        ("d", "pledges.make", pledge),
        ("refused", "pledges.make", pledge),
        ("e", "pledges.withdraw", pledge),
    )
    lines = [line(1), *(line(0, id=key, command=command, data=data) for key, command, data in told)]
    file = write_lines(tmp_path / "a.jsonl", lines)
    first, second = cli("import", file), cli("import", file)
    assert (first.json["accepted"], first.json["rejected"]) == (6, 1)
    assert (second.json["accepted"], second.json["repeated"], second.json["rejected"]) == (0, 6, 1)
    assert refused(tmp_path / "a.jsonl.rejected.jsonl")[0]["code"] == "pledge.already_active"
    assert second.json["first_position"] is None


def test_a_corrected_line_and_one_that_came_too_early_may_be_sent_again(cli: Cli, tmp_path: Path) -> None:
    early = line(1, id="early", command="supporters.consent")
    early = early.replace('"name": "Person 1", "locale": "pt"', '"topic": "digest", "granted": true, "wording": "Yes."')
    wrong = line(2, data={"supporter": "person-2", "email": "nonsense"})
    ran = cli("import", write_lines(tmp_path / "a.jsonl", [early, wrong, line(1)]))
    assert (ran.json["accepted"], ran.json["rejected"]) == (1, 2)
    ran = cli("import", write_lines(tmp_path / "a.jsonl", [early, line(2), line(1)]))
    assert (ran.json["accepted"], ran.json["repeated"], ran.json["rejected"]) == (2, 1, 0)
    assert not (tmp_path / "a.jsonl.rejected.jsonl").exists()


def test_a_dry_run_decides_on_its_own_effects_and_records_nothing(cli: Cli, tmp_path: Path) -> None:
    lines = [line(n) for n in range(700)] + [line(0, id="again"), line(5)]
    file = write_lines(tmp_path / "a.jsonl", lines)
    ran = cli("import", "--dry-run", file)
    assert ran.status == 1
    assert (ran.json["accepted"], ran.json["repeated"], ran.json["rejected"]) == (700, 1, 1)
    assert ran.json["dry_run"] is True
    assert not (tmp_path / "var").exists()
    cli("import", write_lines(tmp_path / "b.jsonl", [line(0)]))
    assert cli("import", "--dry-run", file).json["accepted"] == 699
    assert len(cli("history").out.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "code"), [("nowhere.jsonl", "import.missing"), (".", "import.directory"), ("plain.gz", "import.not_gzip")]
)
def test_what_cannot_be_read_is_said_in_one_line(cli: Cli, tmp_path: Path, name: str, code: str) -> None:
    write_lines(tmp_path / "plain.gz", [line(1)])
    ran = cli("import", tmp_path / name)
    assert (ran.status, ran.code) == (2, code)


def test_of_a_truncated_gzip_file_the_lines_before_the_end_are_kept(cli: Cli, tmp_path: Path) -> None:
    whole = gzip.compress("".join(f"{line(n)}\n" for n in range(3_000)).encode())
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    ran = cli("import", tmp_path / "a.jsonl.gz")
    assert (ran.status, ran.code) == (2, "import.truncated")
    assert ran.json["interrupted"] is True
    assert 0 < ran.json["accepted"] < 3_000
    assert len(cli("history").out.splitlines()) == ran.json["accepted"]
    (tmp_path / "a.jsonl.gz").write_bytes(whole)
    again = cli("import", tmp_path / "a.jsonl.gz")
    assert (again.status, again.json["accepted"] + again.json["repeated"]) == (0, 3_000)


def test_a_locked_store_is_said_and_nothing_is_lost(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_lines(tmp_path / "a.jsonl", [line(1)])
    cli("import", write_lines(tmp_path / "b.jsonl", [line(2)]))
    monkeypatch.setattr(console, "BUSY_SECONDS", 0.2)
    with closing(sqlite3.connect(tmp_path / "var" / "groundswell.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        ran = cli("import", file)
    assert (ran.status, ran.code) == (2, "store.locked")
    assert cli("import", file).json["accepted"] == 1


def test_a_missing_database_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = Cli(tmp_path, GROUNDSWELL_DATABASE_URL="postgresql://127.0.0.1:1/none")("history")
    assert (ran.status, ran.code) == (2, "store.unreachable")
    assert Cli(tmp_path)("history").code == "store.missing"


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every store opened from now on may grow by 400 pages only."""
    connect = sqlite3.connect

    def small(*arguments: Any, **options: Any) -> sqlite3.Connection:  # noqa: ANN401 - as in sqlite3
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.execute("PRAGMA max_page_count = 400")
        return connection

    monkeypatch.setattr("sqlite3.dbapi2.connect", small)
    monkeypatch.setattr("sqlite3.connect", small)
    yield
    monkeypatch.undo()


def test_a_full_disk_keeps_what_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    cli = Cli(tmp_path)
    file = write_lines(tmp_path / "a.jsonl", [line(n) for n in range(5_000)])
    cli("import", write_lines(tmp_path / "b.jsonl", [line(0)]))
    request.getfixturevalue("full_disk")
    ran = cli("import", file)
    assert (ran.status, ran.code) == (2, "store.full")
    assert "run the same import again" in ran.err
    assert 500 <= ran.json["lines"] < 5_000
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert len(cli("history").out.splitlines()) == 1 + ran.json["accepted"]
    again = cli("import", file)
    assert (again.status, again.json["accepted"] + again.json["repeated"]) == (0, 5_000)
    assert cli("verify").status == 0


def test_a_signal_in_the_middle_finishes_the_batch_at_hand(cli: Cli, tmp_path: Path) -> None:
    lines = [line(n) for n in range(40_000)]
    file = write_lines(tmp_path / "a.jsonl", lines)
    process = cli.start("import", file)
    store = tmp_path / "var" / "groundswell.sqlite3"
    deadline = time.monotonic() + 60
    while not (store.exists() and _events(store) >= 1_000):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    summary = json.loads(out.splitlines()[-1])
    assert process.returncode == 2
    assert "[interrupted]" in err
    assert summary["interrupted"] is True
    assert summary["accepted"] < 40_000
    assert _events(store) == summary["accepted"] == summary["last_position"]
    rest = write_lines(tmp_path / "a.jsonl", lines[: summary["accepted"] + 10])
    ran = cli("import", rest)
    assert (ran.json["repeated"], ran.json["accepted"]) == (summary["accepted"], 10)


def test_a_signal_while_it_waits_for_input_ends_it(cli: Cli, tmp_path: Path) -> None:
    process = cli.start("import", "-")
    assert process.stdin is not None
    process.stdin.write(f"{line(1)}\n")
    process.stdin.flush()
    store = tmp_path / "var" / "groundswell.sqlite3"
    deadline = time.monotonic() + 60
    while not store.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert json.loads(out.splitlines()[-1])["accepted"] == 1


def test_a_signal_while_the_read_models_follow_still_ends_with_the_summary(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(_groundswell: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("It went on")

    file = write_lines(tmp_path / "a.jsonl", [line(1)])
    with monkeypatch.context() as patch:
        patch.setattr(console, "catch_up", slow)
        ran = cli("import", file)
    assert (ran.status, ran.code, ran.json["accepted"], ran.json["interrupted"]) == (2, "interrupted", 1, True)
    assert cli("import", file).json["repeated"] == 1
    assert cli("rebuild", "--compare").status == 0


def _events(store: Path) -> int:
    with closing(sqlite3.connect(store, timeout=30)) as connection:
        try:
            found: int = connection.execute("SELECT count(*) FROM events").fetchone()[0]
        except sqlite3.OperationalError:  # no tables yet
            return 0
        return found
