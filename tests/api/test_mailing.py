"""The command line of the mails: the audience is shown and capped, mails can be halted, the unknown is settled."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from notifications.transmitting import IN_FLIGHT
from tests.support.cli import Cli, Ran
from tests.support.due import file_of
from tests.support.sink import Sink, running_sink


@pytest.fixture
def sink() -> Iterator[Sink]:
    with running_sink() as running:
        yield running


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sink: Sink) -> Cli:
    """A store in which the digests of Anna, Ben and Cleo are due."""
    monkeypatch.chdir(tmp_path)
    made = Cli(tmp_path, GROUNDSWELL_SMTP_URL=sink.url)
    assert made("import", file_of(tmp_path, "anna", "ben", "cleo")).status == 0
    return made


def on_a_terminal(cli: Cli, answer: str, *arguments: str) -> Ran:
    """Run a command where somebody sits who answers."""
    ours, its = os.openpty()
    process = cli.start(*arguments, stdin=its)
    os.close(its)
    os.write(ours, f"{answer}\n".encode())
    out, err = process.communicate(timeout=60)
    os.close(ours)
    return Ran(process.returncode, out, err)


# --- who would be mailed ---


def test_a_dry_run_counts_and_changes_nothing(cli: Cli, sink: Sink) -> None:
    before = cli("history").out
    assert cli("digest", "run", "--dry-run", "--json").json == {
        "audience": 3, "due": 3, "by_frequency": {"daily": 3}, "waiting": 0,
        "domains": {"example.org": 3}, "elsewhere": 0,
    }  # fmt: skip
    said = "Now 3 digests (3 daily) would go out; nothing was sent.\nBy domain: 3 to example.org.\n"
    assert cli("digest", "run", "--dry-run").out == said
    assert cli("history").out == before
    assert cli("digest", "status").out.splitlines()[-1] == "No mail has been sent yet."
    assert sink.raw == []


def test_on_a_terminal_it_asks_with_the_size_of_the_audience(cli: Cli, sink: Sink) -> None:
    no = on_a_terminal(cli, "n", "digest", "run")
    assert no.status == 2
    assert "By domain: 3 to example.org.\nSend 3 digests (3 daily) now? [y/N]" in no.err.replace("\r", "")
    assert "[arguments.not_confirmed]" in no.err
    assert sink.raw == []
    assert on_a_terminal(cli, "y", "digest", "run").status == 0
    assert len(sink.raw) == 3
    again = on_a_terminal(cli, "n", "digest", "run")
    assert (again.status, again.err) == (0, "")  # nobody is mailed, so nobody is asked


def test_yes_does_not_go_beyond_the_cap_unless_the_audience_is_named(cli: Cli, sink: Sink) -> None:
    cli.environment["GROUNDSWELL_MAIL_CAPS"] = "cli=2"
    ran = cli("digest", "run", "--yes")
    assert (ran.status, ran.code) == (2, "mail.beyond_cap")
    assert "3 digests (3 daily) would go out, more than the 2 that the command line may send unasked" in ran.err
    assert "--audience 3" in ran.err
    assert cli("digest", "run", "--yes", "--audience", "2").code == "mail.beyond_cap"
    assert sink.raw == []
    assert cli("digest", "run", "--yes", "--audience", "3", "--json").json["accepted"] == 3
    assert len(sink.raw) == 3


def test_a_named_audience_holds_below_the_cap_too(cli: Cli) -> None:
    ran = cli("digest", "run", "--yes", "--audience", "1")
    assert ran.code == "mail.beyond_cap"
    assert "more than the 1 you named" in ran.err


@pytest.mark.parametrize("caps", ["cli", "cli=many", "advocate=5", "cli=-1", "cli=1e3", "cli=99999999999"])
def test_caps_that_make_no_sense_are_refused(cli: Cli, caps: str) -> None:
    cli.environment["GROUNDSWELL_MAIL_CAPS"] = caps
    ran = cli("digest", "status")
    assert (ran.status, ran.code) == (2, "settings.mail_caps")


def test_an_empty_cap_is_none(cli: Cli) -> None:
    cli.environment["GROUNDSWELL_MAIL_CAPS"] = "cli=, work=10"
    assert cli("digest", "run", "--yes").status == 0


# --- the switch ---


def test_halted_mails_stay_and_the_status_says_by_whom_and_why(cli: Cli, sink: Sink) -> None:
    assert cli("digest", "halt").code == "arguments.invalid"
    assert cli("digest", "halt", "--reason", "The links are wrong.").status == 0
    ran = cli("digest", "run", "--yes")
    assert (ran.status, ran.code) == (2, "mail.halted")
    assert "by system:cli: The links are wrong." in ran.err
    assert sink.raw == []
    said = cli("digest", "status").out
    assert "Mails are halted since" in said
    assert "by system:cli: The links are wrong." in said
    halt = cli("digest", "status", "--json").json["halt"]
    assert (halt["by"], halt["reason"]) == ("system:cli", "The links are wrong.")
    assert cli("digest", "halt", "--reason", "Again.").code == "mail_switch.already_halted"
    assert cli("digest", "resume").status == 0
    assert cli("digest", "resume").code == "mail_switch.not_halted"
    assert cli("digest", "run", "--yes").status == 0
    assert len(sink.raw) == 3


def test_a_run_that_is_halted_from_elsewhere_ends_with_what_is_in_flight(cli: Cli, sink: Sink) -> None:
    more = [f"guest{number}" for number in range(IN_FLIGHT)]
    assert cli("import", file_of(cli.folder, *more)).status == 1  # for the campaign is there
    halts: list[Ran] = []

    def halt(_: bytes) -> None:
        if not halts:
            halts.append(cli.apart("digest", "halt", "--reason", "Stop."))

    sink.at_message = halt
    ran = cli("digest", "run", "--yes", "--json")
    assert [halt.status for halt in halts] == [0]
    assert (ran.status, ran.code) == (1, "mail.halted")
    sent = ran.json["accepted"]
    assert ran.json == {"planned": 3 + IN_FLIGHT, "accepted": sent}
    assert 1 <= sent <= IN_FLIGHT, "the rest of a group is asked about again after a second"
    assert len(sink.raw) == sent
    assert cli("digest", "resume").status == 0
    assert cli("digest", "run", "--yes", "--json").json == {"planned": 0, "accepted": 3 + IN_FLIGHT - sent}
    assert len(set(sink.recipients)) == 3 + IN_FLIGHT


def test_a_run_that_leaves_something_says_so(cli: Cli, sink: Sink) -> None:
    sink.at_rcpt = ["450 later"]
    assert cli("digest", "run", "--yes").status == 1
    again = cli("digest", "run", "--yes")
    assert (again.status, again.code) == (1, "mail.waits")
    assert "1 mail waits for another attempt" in again.err


# --- what became of them ---


def test_the_status_counts_outcomes_over_a_day_a_week_and_ever(cli: Cli, sink: Sink) -> None:
    sink.at_rcpt = ["550 no", "450 later"]
    ran = cli("digest", "run", "--yes", "--json")
    assert (ran.status, ran.json) == (1, {"planned": 3, "accepted": 1, "deferred": 1, "refused": 1})
    found = cli("digest", "status", "--json").json
    assert (found["outcomes"]["day"]["accepted"], found["outcomes"]["all"]["refused"]) == (1, 1)
    assert (found["waiting"]["waiting"], found["waiting"]["deferred"]) == (1, 1)
    assert found["runs"][0]["counts"] == {"accepted": 1, "deferred": 1, "refused": 1}
    said = cli("digest", "status").out
    assert "Waiting: 1 mail, of which 1 for another attempt" in said
    assert [part.split() for part in said.splitlines() if part.startswith("sent")] == [["sent", "1", "1", "1"]]


def test_a_store_that_was_restored_says_that_mails_went_out_before(cli: Cli, tmp_path: Path) -> None:
    archive = tmp_path / "movement.tar"
    assert cli("export", archive).status == 0
    assert cli("digest", "run", "--yes").status == 0
    later = tmp_path / "later.tar"
    assert cli("export", later).status == 0
    for name, from_archive, said in (
        ("before", archive, "No mail has been sent yet."),
        ("after", later, "The history tells of digests that went out before this store was restored."),
    ):
        folder = tmp_path / name
        folder.mkdir()
        other = Cli(folder)
        assert other("restore", from_archive).status == 0
        status = other("digest", "status")
        assert (status.status, status.out.splitlines()[-1].endswith(said)) == (0, True), status.out
        assert other("digest", "status", "--json").json["outcomes"]["all"]["accepted"] == 0


def test_where_the_mail_server_is_away_the_status_says_so(cli: Cli) -> None:
    cli.environment["GROUNDSWELL_SMTP_URL"] = "smtp://127.0.0.1:1"
    ran = cli("digest", "run", "--yes", "--json")
    assert (ran.status, ran.code, ran.json["planned"]) == (1, "mail.waits", 3)
    said = cli("digest", "status").out
    trouble = "The mail server 127.0.0.1:1 cannot be used: nothing answers at 127.0.0.1:1."
    assert f"Trouble in the last run: {trouble}" in said
    assert "Waiting: 3 mails" in said
    assert cli("digest", "status", "--json").json["trouble"] == trouble
    assert "Errno" not in ran.err + said


@pytest.fixture
def unsettled(cli: Cli, sink: Sink) -> Callable[[], list[str]]:
    """Three mails of unknown fate; a function that lists which there still are."""
    sink.at_data = ["cut"] * 3
    cli("digest", "run", "--yes")
    return lambda: [one["id"] for one in cli("digest", "unknown", "list", "--json").json]


def test_the_unknown_is_listed_and_settled_one_by_one_or_all(
    cli: Cli, sink: Sink, unsettled: Callable[[], list[str]]
) -> None:
    first, second, third = unsettled()
    listed = cli("digest", "unknown", "list")
    assert listed.status == 1
    assert first in listed.out
    assert "3 mails of which nobody knows" in cli("digest", "status").out
    assert cli("digest", "unknown", "accept", first, "--json").json == {"settled": 1, "refused": {}}
    assert unsettled() == [second, third]
    again = cli("digest", "unknown", "accept", first, second, "--json")
    assert (again.status, again.json) == (1, {"settled": 1, "refused": {first: "mail.not_unknown"}})
    assert cli("digest", "unknown", "resend", "--all").code == "arguments.not_confirmed"
    assert cli("digest", "unknown", "resend", "--all", "--yes").status == 0
    assert unsettled() == []
    assert cli("digest", "run", "--yes").status == 0
    assert len(sink.raw) == 1
    settled = cli("digest", "unknown", "list")
    assert (settled.status, settled.out) == (0, "Of every mail it is known what became of it.\n")


@pytest.mark.parametrize("arguments", [[], ["not-an-id"], ["--all", "00000000-0000-4000-8000-000000000000"]])
def test_which_mails_are_meant_must_be_said(cli: Cli, arguments: list[str]) -> None:
    ran = cli("digest", "unknown", "accept", *arguments)
    assert (ran.status, ran.code) == (2, "arguments.invalid")


def test_no_such_mail_is_said_in_one_line(cli: Cli) -> None:
    ran = cli("digest", "unknown", "accept", "00000000-0000-4000-8000-000000000000")
    assert (ran.status, ran.code) == (1, "mail.no_such")
