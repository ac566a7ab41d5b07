import json
import logging
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from api.cli import COMMANDS, _LogFile, accounts, console
from tests.support.cli import ROOT, Cli, line, write_lines


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    return Cli(tmp_path)


@pytest.fixture
def cli(empty: Cli, tmp_path: Path) -> Cli:
    lines = [
        line(1, data={"supporter": "anna", "name": "Anna Brandt", "email": "anna@example.org"}),
        line(2),
        line(0, id="draft", command="campaigns.draft", data={"campaign": "spring", "title": "Spring"}),
    ]
    empty("import", write_lines(tmp_path / "a.jsonl", lines))
    return empty


# --- all commands ---


def test_every_command_helps(empty: Cli) -> None:
    ran = empty("--help")
    assert ran.status == 0
    for name in COMMANDS:
        assert f"  {name} " in ran.out
        assert empty(name, "--help").status == 0


@pytest.mark.parametrize("arguments", [["frob"], ["--frob"], ["import"], ["up", "--port", "many"], ["token", "create"]])
def test_bad_arguments_are_said_in_one_line(empty: Cli, arguments: list[str]) -> None:
    ran = empty(*arguments)
    assert (ran.status, ran.code, len(ran.err.splitlines())) == (2, "arguments.invalid", 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["history"],
        ["diff", "1"],
        ["rebuild"],
        ["verify"],
        ["keys"],
        ["parked", "list"],
        ["token", "list"],
        ["erase", "anna", "--reason", "asked"],
        ["signin", "--email", "a@example.org", "--role", "manager"],
        ["digest", "status"],
        ["export", "x.tar"],
    ],
)
def test_without_a_store_they_say_how_to_make_one(empty: Cli, tmp_path: Path, arguments: list[str]) -> None:
    ran = empty(*arguments)
    assert (ran.status, ran.code) == (2, "store.missing")
    assert "groundswell up" in ran.err
    assert not (tmp_path / "var").exists()


def test_a_fault_of_ours_is_one_line_and_its_details_are_in_a_file(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        msg = "this was not meant to happen"
        raise RuntimeError(msg)

    monkeypatch.setattr(accounts, "link_url", broken)
    ran = cli("signin", "--email", "a@example.org", "--role", "manager")
    assert (ran.status, ran.code) == (2, "internal.error")
    assert "this was not meant to happen" in (tmp_path / "var" / "groundswell.log").read_text()
    assert "details are in" in ran.err


def test_a_process_that_logs_elsewhere_does_not_name_the_file(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        monkeypatch.setattr(logging.getLogger(), "handlers", [logging.NullHandler()])  # as `up` logs to standard error
        msg = "this was not meant to happen"
        raise RuntimeError(msg)

    monkeypatch.setattr(accounts, "link_url", broken)
    ran = cli("signin", "--email", "a@example.org", "--role", "manager")
    assert (ran.status, ran.code) == (2, "internal.error")
    assert "details are above" in ran.err
    assert not (tmp_path / "var" / "groundswell.log").exists()


def test_tables_show_what_is_in_them_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    said = r"[Errno 111] :smile: [b]bold[/b] [/x] \[y]"
    console.print_table(("what",), [(said,)])
    assert said in capsys.readouterr().out


def test_a_reader_who_has_seen_enough_is_no_error(cli: Cli, tmp_path: Path) -> None:
    cli("import", write_lines(tmp_path / "b.jsonl", [line(n) for n in range(10, 1_500)]))
    program = f"{sys.executable} -m api.cli history | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["/bin/bash", "-c", program],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **cli.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)


# --- the catalogue ---


def test_commands_and_events_are_listed_with_their_schemas(empty: Cli) -> None:
    assert "pledges.make" in empty("commands").out
    schema = empty("commands", "pledges.make", "--json").json["schema"]
    assert schema["required"] == ["campaign", "ask", "supporter"]
    assert len(empty("commands", "--json").json) > 50
    assert "pledges.Made" in empty("events").out
    assert "campaign" in empty("events", "pledges.Made", "--json").json["schema"]["properties"]
    assert empty("commands", "pledges.break").code == "command.unknown"
    assert empty("events", "pledges.Broken").code == "event.unknown"


# --- accounts ---


def test_a_token_is_shown_once_listed_and_revoked(cli: Cli) -> None:
    made = cli("token", "create", "--role", "manager", "--name", "crm", "--json").json
    assert made["token"].startswith("gs_")
    listed = cli("token", "list", "--json")
    assert made["token"] not in listed.out
    assert [(one["name"], one["role"], one["revoked_at"]) for one in listed.json] == [("crm", "manager", None)]
    assert cli("token", "revoke", made["id"]).status == 0
    assert cli("token", "list", "--json").json[0]["revoked_at"] is not None
    assert cli("token", "revoke", made["id"]).code == "token.unknown"
    assert "crm" in cli("token", "list").out


def test_a_sign_in_link_leads_to_the_page_that_asks_for_a_click(cli: Cli) -> None:
    ran = cli("signin", "--email", "maya@example.org", "--role", "manager")
    assert ran.out.startswith("http://127.0.0.1:8000/signin/")
    assert cli("signin", "--email", "nobody", "--role", "manager").code == "email.malformed"


# --- the history ---


def test_the_history_is_lines_of_json_without_personal_data(cli: Cli) -> None:
    ran = cli("history", "--topic", "supporters.Registered")
    found = [json.loads(each) for each in ran.out.splitlines()]
    assert [one["position"] for one in found] == [1, 2]
    assert found[0]["data"]["name"] == {"personal": "sealed"}
    assert "Anna" not in ran.out
    opened = cli("history", "--stream", "supporter:anna", "--personal").json
    assert opened["data"]["name"] == "Anna Brandt"


def test_the_history_is_filtered(cli: Cli) -> None:
    def positions(*arguments: str) -> list[int]:
        return [json.loads(each)["position"] for each in cli("history", *arguments).out.splitlines()]

    assert positions("--actor", "import:test") == [1, 2, 3]
    assert positions("--correlation", "draft") == [3]
    assert positions("--from", "2", "--to", "2") == [2]
    assert positions("--to", "2020-01-01T00:00:00Z") == []
    assert cli("history", "--from", "yesterday").status == 2
    assert cli("history", "--stream", "anna").code == "history.stream"


def test_erasing_says_what_survives_and_what_was_done(cli: Cli) -> None:
    asked = cli("erase", "anna", "--reason", "She asked.")
    assert (asked.status, asked.code) == (2, "arguments.not_confirmed")
    assert "supporters.Registered" in asked.out
    done = cli("erase", "anna@example.org", "--reason", "She asked.", "--yes", "--json").json
    assert (done["survives"], done["positions"], done["personal_fields_erased"]) == (
        {"supporters.Registered": 1},
        [1],
        2,
    )
    assert {kind: count for kind, count in done["destroyed"].items() if count} == {"keys": 1, "index_entries": 1}
    assert (done["position"], done["receipt"]) == (4, "/log/receipts/4")
    assert done["purged_at"]
    assert cli("history", "--to", "1", "--personal").json["data"]["name"] == {"personal": "erased"}
    again = cli("erase", "anna", "--reason", "Again.")
    assert (again.code, again.out) == ("supporter.already_erased", "")
    assert cli("erase", "nobody", "--reason", "x", "--yes").code == "supporter.unknown"
    assert cli("erase", "person-2", "--yes").code == "arguments.reason"
    assert cli("erase", "person-2", "--receipt").code == "supporter.not_erased"
    assert cli("erase", "anna", "--receipt", "--json").json == done
    said = cli("erase", "anna", "--receipt").out
    assert "Erased at position 4; /log/receipts/4 proves it." in said
    assert "rotate-master" in said
    assert "Not finished" not in said


# --- read models ---


def test_a_spoilt_read_model_is_found_and_rebuilt(cli: Cli, tmp_path: Path) -> None:
    assert cli("rebuild", "--compare").status == 0
    with closing(sqlite3.connect(tmp_path / "var" / "groundswell.sqlite3")) as connection:
        connection.execute("UPDATE campaigns_v1 SET title = 'Winter'")
        connection.commit()
    ran = cli("rebuild", "--compare", "campaigns")
    assert ran.status == 1
    assert "Winter" in ran.out
    assert "Spring" in ran.out
    (found,) = cli("rebuild", "--compare", "--json").json["differences"]
    assert (found["projection"], found["table"]) == ("campaigns", "campaigns")
    assert cli("rebuild", "campaigns").status == 0
    assert "Equal: 1 read model, live and built anew from" in cli("rebuild", "--compare", "campaigns").out
    assert cli("rebuild", "--compare").status == 0
    assert cli("rebuild", "nothing").code == "projection.unknown"


def test_a_read_model_named_twice_is_rebuilt_once(cli: Cli) -> None:
    assert cli("rebuild", "campaigns", "campaigns", "--json").json["rebuilt"] == ["campaigns"]


# --- archives ---


def test_no_traceback_where_the_log_file_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDSWELL_DATA_DIR", str(tmp_path))
    (tmp_path / "groundswell.log").mkdir()
    _LogFile().emit(logging.makeLogRecord({"msg": "x"}))


def test_a_history_is_exported_verified_and_restored(cli: Cli, tmp_path: Path) -> None:
    archive = tmp_path / "history.tar"
    assert cli("verify").status == 0
    exported = cli("export", archive, "--json").json
    assert exported["size"] == 3
    assert cli("export", archive).code == "archive.exists"
    assert cli("verify", archive, "--json").json["root"] == exported["root"]
    (key,) = cli("keys", "--json").json
    assert cli("verify", archive, "--key", key).status == 0
    other = Cli(tmp_path, GROUNDSWELL_DATA_DIR=str(tmp_path / "other"))
    assert other("restore", archive).status == 0
    assert other("verify", "--json").json["root"] == exported["root"]
    assert other("rebuild", "--compare").status == 0
    assert other("restore", archive).code == "store.not_empty"


def test_an_archive_with_keys_is_the_full_backup(cli: Cli, tmp_path: Path) -> None:
    archive = tmp_path / "backup.tar"
    assert cli("export", archive, "--with-keys").code == "arguments.passphrase"
    passphrase = {"GROUNDSWELL_PASSPHRASE": "open sesame"}
    here = Cli(tmp_path, GROUNDSWELL_DATA_DIR=str(tmp_path / "var"), **passphrase)
    assert "2 persons" in here("export", archive, "--with-keys").out
    other = Cli(tmp_path, GROUNDSWELL_DATA_DIR=str(tmp_path / "other"), **passphrase)
    assert "2 persons can be read again" in other("restore", archive, "--with-keys").out
    assert other("history", "--to", "1", "--personal").json["data"]["name"] == "Anna Brandt"


def test_a_receipt_or_checkpoint_that_is_none_is_said_to_be_none(cli: Cli, tmp_path: Path) -> None:
    assert cli("keys").status == 0
    noise = tmp_path / "noise"
    noise.write_bytes(bytes(range(256)))
    ran = cli("verify", "--checkpoint", noise)
    assert (ran.status, ran.code) == (2, "note.invalid")
    assert cli("verify", "--receipt", noise).status == 1


def test_a_receipt_is_checked_alone(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for more in ([file], ["--checkpoint", file]):
        ran = cli("verify", "--receipt", file, *more)
        assert (ran.status, ran.code) == (2, "arguments.receipt")


def test_without_an_archive_no_store_is_made(empty: Cli, tmp_path: Path) -> None:
    assert empty("restore", tmp_path / "nothing.tar").code == "archive.missing"
    (tmp_path / "text.tar").write_text("no archive")
    assert empty("restore", tmp_path / "text.tar").code == "archive.unreadable"
    assert not (tmp_path / "var").exists()


def test_a_changed_archive_is_found(cli: Cli, tmp_path: Path) -> None:
    archive = tmp_path / "history.tar"
    cli("export", archive)
    archive.write_bytes(archive.read_bytes().replace(b"import:test", b"import:tost"))
    ran = cli("verify", archive)
    assert ran.status == 1
    assert "First bad position: 1" in ran.out


def test_keys_are_rotated_and_retired(cli: Cli) -> None:
    (first,) = cli("keys").out.split()
    second = cli("keys", "rotate").out.strip()
    assert cli("keys").out.split() == [first, second]
    assert cli("keys", "retire", first.split("+")[1], "--yes").status == 0
    assert cli("keys", "retire", second.split("+")[1], "--yes").code == "keys.only_one"


def test_the_master_key_is_replaced(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "var"
    before = (folder / "master.key").read_text()
    assert cli("keys", "rotate-master").code == "arguments.not_confirmed"
    assert (folder / "master.key").read_text() == before
    ran = cli("keys", "rotate-master", "--yes")
    assert (ran.status, ran.err) == (0, "")
    (old,) = folder.glob("master.key.old-*")
    assert (old.read_text(), str(old) in ran.out) == (before, True)
    assert "2 persons" in ran.out
    old.unlink()
    assert cli("history", "--to", "1", "--personal").json["data"]["name"] == "Anna Brandt"
    assert cli("verify").status == 0
    assert "final" in cli("keys", "--help").out


def test_nothing_runs_on_a_store_whose_master_key_is_lost(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "var" / "master.key").unlink()
    for command in (["up", "--port", "0"], ["work"], ["history"], ["keys", "rotate-master", "--yes"]):
        ran = cli(*command)
        assert (ran.status, ran.code) == (2, "keys.missing")
        assert "can ever be read again" in ran.err
    assert not (tmp_path / "var" / "master.key").exists()


def test_what_needs_nobodys_data_goes_without_the_master_key(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "var" / "master.key").unlink()
    assert cli("verify").status == 0
    archive = str(tmp_path / "saved.tar.gz")
    assert cli("export", archive).status == 0
    assert cli("verify", archive).status == 0
    assert cli("digest", "preview", "--supporter", "anna").code == "keys.missing"


def test_the_keys_that_sign_are_believed_where_the_list_of_keys_is_lost(cli: Cli, tmp_path: Path) -> None:
    assert cli("export", str(tmp_path / "one.tar.gz")).status == 0  # which makes a checkpoint
    (tmp_path / "var" / "verifier.keys").unlink()
    assert cli("verify").status == 0
    wrong = cli("verify", "--key", "foo")
    assert (wrong.status, wrong.code) == (2, "note.invalid")
    assert "“foo” is not a verifier key" in wrong.err


# --- digests ---


def test_digests_are_previewed_counted_and_sent_to_files(cli: Cli) -> None:
    assert "Subject: " in cli("digest", "preview", "--supporter", "anna").out
    assert cli("digest", "preview", "--supporter", "nobody").code == "supporter.unknown"
    assert cli("digest", "run", "--dry-run", "--json").json["audience"] == 0
    assert cli("digest", "run", "--yes").status == 0
    assert cli("digest", "status").status == 0
