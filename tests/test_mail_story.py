"""Runs every command of docs/mail.md, as it stands there, on a store in which one person's digest is due."""

import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from notifications.caps import CAPS
from notifications.messages import KEPT
from notifications.outbox import CLAIM, FIRST_WAIT, LONGEST_WAIT, TOO_OLD
from notifications.tokens import LASTS, Purpose
from notifications.transmitting import IN_FLIGHT
from tests.support.cli import ROOT, Cli
from tests.support.due import file_of
from tests.support.sink import running_sink

MANUAL = (ROOT / "docs" / "mail.md").read_text()
MARK = "<<<step>>>"
REPORT = (
    "From: mailer-daemon@mx.example.org\nTo: bounces@example.org\nSubject: Undelivered\nMIME-Version: 1.0\n"
    'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n--b\n'
    "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.org\n\n"
    "Final-Recipient: rfc822; somebody@example.org\nAction: failed\nStatus: 5.1.1\n\n--b--\n"
)


def commands() -> list[str]:
    return [command for block in re.findall(r"```sh\n(.*?)```", MANUAL, re.DOTALL) for command in block.splitlines()]


def spare_openssl(folder: Path) -> Path:
    """A folder with what makes a key as openssl does, to be found where the machine has none."""
    key = generate_private_key(65537, 2048)
    (folder / "spare.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "bin").mkdir()
    openssl = folder / "bin" / "openssl"
    openssl.write_text(f'#!/bin/sh\ncp "{folder / "spare.pem"}" dkim.pem\n')
    openssl.chmod(0o755)
    return openssl.parent


@pytest.mark.timeout(180)
def test_every_command_of_the_manual_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report.eml").write_text(REPORT)
    (tmp_path / "bounces.mbox").write_text(f"From mailer-daemon Mon Mar  9 09:00:00 2026\n{REPORT}\n")
    cli = Cli(tmp_path)
    assert cli("import", file_of(tmp_path, "anna")).status == 0
    given = {k: v for k, v in os.environ.items() if not k.startswith("GROUNDSWELL_")}
    path = f"{Path(sys.executable).parent}:{given['PATH']}:{spare_openssl(tmp_path)}"
    assert shutil.which("openssl", path=path)
    asked = commands()
    with running_sink() as sink:
        ran = subprocess.run(
            ["/bin/bash", "-c", "set -eu\n" + "".join(f"echo '{MARK}'\n{command}\n" for command in asked)],
            env=given | cli.environment | {"PATH": path, "GROUNDSWELL_SMTP_URL": sink.url},
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    said = dict(zip(asked, ran.stdout.split(MARK)[1:], strict=True))

    def of(beginning: str) -> str:
        (found,) = [out for command, out in said.items() if beginning in command]
        return found

    assert "gs1._domainkey.example.org. IN TXT" in of("digest dkim")
    assert "Hold a circle" in of("digest preview")
    assert "1 digest (1 daily) would go out" in of("--dry-run")
    assert "accepted 1" in of("--audience 1")
    assert sink.recipients == ["anna@example.org"]
    assert "halted since" in said["groundswell digest status"]
    assert "unmatched 1" in of("digest bounces -")
    assert "unmatched 1" in of("bounces.mbox")
    assert '"halt": null' in of("status --json")


def test_the_manual_names_every_setting_of_mail_and_the_caps_that_hold() -> None:
    settings = (ROOT / "api" / "settings.py").read_text()
    named = set(re.findall(r'"((?:MAIL|DKIM|BOUNCE|IMAP|SMTP)_[A-Z]+)"', settings)) - {"DKIM_SELECTOR", "DKIM_DOMAIN"}
    assert named >= {"MAIL_CAPS", "DKIM_KEY"}
    assert not [name for name in named if f"GROUNDSWELL_{name}" not in MANUAL]
    assert ",".join(f"{role}={'' if size is None else size}" for role, size in CAPS.items()) in MANUAL


def test_the_numbers_of_the_manual_are_those_of_the_program() -> None:
    text = " ".join(MANUAL.split())
    minutes, hours, days = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
    for said in (
        f"at most {IN_FLIGHT} mails in flight",
        f"each group of {IN_FLIGHT} mails",
        f"by another {CLAIM // minutes} minutes later",
        f"after {FIRST_WAIT // minutes} minutes, then twice as long each time up to {LONGEST_WAIT // hours} hours",
        f"planned {TOO_OLD // days} days ago",
        f"kept for {KEPT // days} days",
        f"links work for {LASTS[Purpose.MAIL] // days} days",
    ):
        assert said in text


def test_the_manual_names_metrics_that_there_are() -> None:
    source = (ROOT / "api" / "operations.py").read_text()
    for name in re.findall(r"groundswell_mails_(\w+)", MANUAL):
        assert name in source or f'"{name}"' in source, name
