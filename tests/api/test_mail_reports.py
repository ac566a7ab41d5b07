"""Reports over HTTP and on the command line."""

import json
import mailbox
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from httpx2 import Response

from api.accounts import Role
from api.bootstrap import Groundswell
from domain.kernel import identify, now
from notifications.recipients import load
from notifications.reports import LARGEST
from notifications.tables import outbox
from tests.api.conftest import Api
from tests.support.cli import Cli
from tests.support.returned import bounce, complaint, holiday, path

MESSAGE = {"Content-Type": "message/rfc822"}
ANNA = identify("supporter", "anna")


def sent(groundswell: Groundswell) -> UUID:
    """Put a digest into the outbox that went out to Anna."""
    person = load(groundswell.engine.log, ANNA)
    assert person is not None
    key, moment = uuid4(), now()
    values = {"kind": "digest", "supporter": ANNA, "period": str(key), "state": "accepted", "attempts": 1}
    values |= dict.fromkeys(("due_at", "not_before", "planned_at", "changed_at"), moment)
    values |= {"id": key, "subject_version": person.email_version, "message_id": f"<{key.hex}@groundswell.example.org>"}
    with groundswell.engine.database.write() as connection:
        connection.execute(outbox.insert().values(values))
    return key


# --- HTTP ---


def post(api: Api, raw: bytes, *, role: Role | None = Role.MANAGER, **more: str) -> Response:
    headers = (
        (api.token(role) if role else {}) | MESSAGE | {name.replace("_", "-"): value for name, value in more.items()}
    )
    return api.client.post("/api/v1/mail/reports", content=raw, headers=headers)


@pytest.fixture
def mail(api: Api) -> UUID:
    api.run("supporters.register", supporter="anna", email="anna@example.org")
    return sent(api.groundswell)


def test_a_report_over_http(api: Api, mail: UUID) -> None:
    expected = {"verdict": "bounced", "mail": str(mail), "cause": "5.1.1", "suppressed": True}
    for _ in range(2):
        answer = post(api, bounce(mail))
        assert (answer.status_code, answer.json()) == (200, expected)
    (event,) = api.get("/history", {"topic": "supporters.MailSuppressed"}, role=Role.AUDITOR)["events"]
    assert (event["actor"], event["reason"]) == ("api:a manager", "5.1.1")


def test_the_address_it_came_to_may_be_said_beside_it(sqlite_api: Api) -> None:
    sqlite_api.run("supporters.register", supporter="anna", email="anna@example.org")
    mail = sent(sqlite_api.groundswell)
    raw = bounce(uuid4(), to="postmaster@example.org")
    assert post(sqlite_api, raw).json()["verdict"] == "unmatched"
    query = {"recipient": path(mail)}
    headers = sqlite_api.token(Role.MANAGER) | MESSAGE
    answer = sqlite_api.client.post("/api/v1/mail/reports", params=query, content=raw, headers=headers)
    assert answer.json()["mail"] == str(mail)


@pytest.mark.parametrize(
    ("raw", "role", "status", "code"),
    [
        (b"To: a@example.org\r\n\r\n", None, 401, "auth.required"),
        (b"To: a@example.org\r\n\r\n", Role.ADVOCATE, 403, "auth.forbidden"),
        (b"To: a@example.org\r\n\r\n", Role.AUDITOR, 403, "auth.forbidden"),
        (b"", Role.MANAGER, 422, "mail_report.malformed"),
        (b"x" * (LARGEST + 1), Role.MANAGER, 413, "request.too_large"),
    ],
)
def test_what_is_refused(sqlite_api: Api, raw: bytes, role: Role | None, status: int, code: str) -> None:
    answer = post(sqlite_api, raw, role=role)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_only_messages_are_taken(sqlite_api: Api) -> None:
    assert post(sqlite_api, b"{}", Content_Type="application/json").status_code == 415
    assert post(sqlite_api, holiday(uuid4()), Content_Type="message/global").json()["verdict"] == "ignored"


# --- the command line ---


@pytest.fixture
def cli(sqlite_api: Api, tmp_path: Path) -> Cli:
    sqlite_api.run("supporters.register", supporter="anna", email="anna@example.org")
    return Cli(tmp_path, GROUNDSWELL_DATA_DIR=str(sqlite_api.groundswell.settings.data_dir))


def test_an_mbox_on_the_command_line(cli: Cli, sqlite_api: Api, tmp_path: Path) -> None:
    mail = sent(sqlite_api.groundswell)
    box = mailbox.mbox(tmp_path / "mbox")
    for raw in (bounce(mail, "4.4.7"), b"\xff\r\n", complaint(mail), holiday(mail), bounce(uuid4())):
        box.add(raw)
    box.close()
    ran = cli("digest", "bounces", tmp_path / "mbox", "--json")
    counts = {"complained": 1, "ignored": 1, "suppressed": 1, "undelivered": 1, "unmatched": 1, "unreadable": 1}
    assert (ran.status, ran.json, ran.code) == (1, {"read": 5, **counts}, "mail_report.malformed")
    assert "Message 2: " in ran.err
    assert "complained 1, ignored 1," in cli("digest", "bounces", tmp_path / "mbox").out


def test_a_pipe_on_the_command_line(cli: Cli, sqlite_api: Api) -> None:
    mail = sent(sqlite_api.groundswell)
    raw = bounce(uuid4(), to="postmaster@example.org")
    ran = cli("digest", "bounces", "-", "--recipient", path(mail), "--json", stdin=raw)
    assert (ran.status, ran.json) == (0, {"read": 1, "bounced": 1, "suppressed": 1})


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], "arguments.invalid"),
        (["mbox", "--imap"], "arguments.invalid"),
        (["mbox", "--recipient", "a@example.org"], "arguments.invalid"),
        (["nowhere"], "mailbox.unreadable"),
        (["--imap"], "settings.imap_url"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(cli: Cli, arguments: list[str], code: str) -> None:
    ran = cli("digest", "bounces", *arguments)
    assert (ran.status, ran.code) == (2, code)


def test_nothing_came_back(cli: Cli, tmp_path: Path) -> None:
    for folder in ("new", "cur", "tmp"):
        (tmp_path / "mail" / folder).mkdir(parents=True)
    assert cli("digest", "bounces", tmp_path / "mail").out == "Nothing came back.\n"
    assert cli("digest", "bounces", tmp_path / "mail", "--json").json == {"read": 0}


def test_the_record_of_the_dns(tmp_path: Path) -> None:
    secret = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "dkim.pem").write_bytes(secret)
    signing = {"GROUNDSWELL_DKIM_KEY": str(tmp_path / "dkim.pem"), "GROUNDSWELL_DKIM_SELECTOR": "s1"}
    cli = Cli(tmp_path, GROUNDSWELL_BASE_URL="https://example.org", **signing)
    assert cli("digest", "dkim").out.startswith('s1._domainkey.example.org. IN TXT ("v=DKIM1; k=ed25519; p=')
    (record,) = cli("digest", "dkim", "--json").json
    assert (record["name"], record["type"]) == ("s1._domainkey.example.org", "TXT")
    assert cli("digest", "dkim").status == 0
    assert "not signed" in Cli(tmp_path)("digest", "dkim").out


def test_a_key_that_is_no_use_is_said_at_the_start(tmp_path: Path) -> None:
    cli = Cli(tmp_path, GROUNDSWELL_DKIM_KEY=str(tmp_path / "none"), GROUNDSWELL_DKIM_SELECTOR="s1")
    ran = cli("digest", "dkim")
    assert (ran.status, ran.code) == (2, "settings.dkim_domain")  # 127.0.0.1 cannot sign
    named = Cli(tmp_path, **cli.environment, GROUNDSWELL_DKIM_DOMAIN="example.org")
    assert named("digest", "dkim").code == "settings.dkim_key"
    assert json.dumps(str(tmp_path / "none"))[1:-1] in named("digest", "dkim").err
