"""Reports are found where mail servers leave them, each once, and whatever lies beside them."""

import io
import mailbox
from pathlib import Path
from uuid import uuid4

import pytest

from domain.kernel import Invalid, Unavailable
from notifications.mailboxes import ImapMailbox, in_file, in_pipe
from notifications.reports import LARGEST
from tests.support.certificates import Certificate
from tests.support.imap import USER, ImapServer, running_imap
from tests.support.mails import service
from tests.support.returned import bounce
from tests.support.store import Store

ONE, TWO = bounce(uuid4()), bounce(uuid4(), "4.2.2")


def lines(raw: bytes) -> bytes:
    return raw.replace(b"\r\n", b"\n")


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    box = mailbox.Maildir(tmp_path / "mail")
    for raw in (ONE, TWO):
        box.add(raw)
    box.close()
    return tmp_path / "mail"


# --- files ---


def test_an_mbox_is_read_whole_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mbox"
    box = mailbox.mbox(path)
    for raw in (ONE, TWO):
        box.add(raw)
    box.close()
    before = path.read_bytes()
    assert [lines(raw).strip() for raw in in_file(path)] == [lines(ONE).strip(), lines(TWO).strip()]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_of_a_maildir_what_is_new_is_read_once(maildir: Path) -> None:
    assert {lines(raw) for raw in in_file(maildir)} == {lines(ONE), lines(TWO)}
    assert list(in_file(maildir)) == []
    assert all(message.get_flags() == "S" for message in mailbox.Maildir(maildir))


def test_what_was_not_dealt_with_stays_new(maildir: Path) -> None:
    first = next(iter(in_file(maildir)))
    assert first in list(in_file(maildir))


def test_one_message_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "one.eml").write_bytes(ONE)
    assert list(in_file(tmp_path / "one.eml")) == [ONE]
    (tmp_path / "none").write_bytes(b"")
    assert list(in_file(tmp_path / "none")) == [b""]


def test_no_more_than_the_largest_is_read(tmp_path: Path, maildir: Path) -> None:
    large = b"To: a@example.org\n\n" + b"x" * 2 * LARGEST
    (tmp_path / "large").write_bytes(large)
    (tmp_path / "mbox").write_bytes(b"From a Mon Mar  9 09:00:00 2026\n" + large)
    (maildir / "new" / "0").write_bytes(large)
    found = [next(iter(in_file(path))) for path in (tmp_path / "large", tmp_path / "mbox", maildir)]
    assert [len(raw) for raw in found] == [LARGEST + 1] * 3


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(Unavailable) as refused:
            list(in_file(path))
        assert refused.value.code == "mailbox.unreadable"


# --- a pipe ---


@pytest.mark.parametrize("before", [b"", b"From MAILER-DAEMON Mon Mar  9 09:00:00 2026\n"])
def test_a_pipe_brings_one_message(before: bytes) -> None:
    assert list(in_pipe(io.BytesIO(before + ONE))) == [ONE]


def test_a_pipe_is_read_to_its_end() -> None:
    stream = io.BytesIO(b"x" * 3 * LARGEST)
    assert [len(raw) for raw in in_pipe(stream)] == [LARGEST + 1]
    assert stream.read() == b""


# --- IMAP ---


def imap(server: ImapServer, certificate: Certificate, *, password: str = USER[1], folder: str = "") -> ImapMailbox:
    secret = password.replace("%", "%25").replace(" ", "%20")
    scheme = "imaps" if server.tls else "imap"
    return ImapMailbox(f"{scheme}://bounces:{secret}@localhost:{server.port}{folder}", certificate.trusting())


@pytest.mark.parametrize("tls", [True, False])
def test_unseen_messages_are_read_once(certificate: Certificate, *, tls: bool) -> None:
    with running_imap([ONE, TWO], certificate, tls=tls) as server:
        assert list(imap(server, certificate).messages()) == [ONE, TWO]
        assert list(imap(server, certificate).messages()) == []
        assert server.selected == ["INBOX", "INBOX"]
        assert server.logins == [("bounces", "pass word%")] * 2
        assert server.plain_logins == 0


def test_another_folder(certificate: Certificate) -> None:
    with running_imap([], certificate, tls=True) as server:
        assert list(imap(server, certificate, folder="/Reports%20%22x%22").messages()) == []
        assert server.selected == ['Reports "x"']


def test_what_was_fetched_and_not_dealt_with_stays_unseen(certificate: Certificate) -> None:
    with running_imap([ONE, TWO], certificate, tls=True) as server:
        reading = imap(server, certificate).messages()
        assert [next(reading), next(reading)] == [ONE, TWO]
        reading.close()  # type: ignore[attr-defined]
        assert list(imap(server, certificate).messages()) == [TWO]


def refusal(box: ImapMailbox) -> str:
    with pytest.raises(Unavailable) as refused:
        list(box.messages())
    assert refused.value.code == "mailbox.unreadable"
    return refused.value.message


def test_what_goes_wrong_is_said(certificate: Certificate) -> None:
    with running_imap([ONE], certificate, tls=True) as server:
        where = f"The mailbox on localhost:{server.port} cannot be read: "
        assert refusal(imap(server, certificate, password="x")) == f"{where}no such user or password."
        assert refusal(imap(server, certificate, folder="/None")) == f"{where}no such folder."
        assert "certificate verify failed" in refusal(ImapMailbox(f"imaps://bounces:x@localhost:{server.port}"))
        assert server.logins == [USER]  # for the folder that is not there
    assert "nothing answers at localhost" in refusal(imap(server, certificate))


def test_no_password_is_sent_in_the_clear(certificate: Certificate) -> None:
    with running_imap([ONE], certificate, tls=False, starttls=False) as server:
        assert "TLS not supported by server" in refusal(imap(server, certificate))
        assert server.logins == []


@pytest.mark.parametrize(
    "url",
    [
        "http://a:b@host",
        "imaps://host",
        "imaps://a:b@host:port",
        "imaps://a:b@",
        "imaps://a%0A:b@host",
        "imaps://ä:b@host",
    ],
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        ImapMailbox(url)
    assert refused.value.code == "settings.imap_url"


# --- the worker ---


def test_the_worker_reads_the_mailbox_of_the_settings(
    store: Store, tmp_path: Path, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    with running_imap([ONE, b"\xff", TWO], certificate, tls=True) as server:
        url = f"imaps://bounces:pass%20word%25@localhost:{server.port}"
        mails = service(store, tmp_path, imap_url=url)
        assert mails.read_mailbox() == {"unmatched": 2, "unreadable": 1}
        assert mails.read_mailbox() == {}
    assert mails.read_mailbox() == {}  # where it is away it is asked again the next time
    assert service(store, tmp_path).read_mailbox() == {}
    with pytest.raises(Invalid):
        service(store, tmp_path, imap_url="http://localhost")


def test_the_worker_asks_while_it_works(store: Store, tmp_path: Path, certificate: Certificate) -> None:
    with running_imap([], certificate, tls=True) as server:
        mails = service(store, tmp_path, imap_url=f"imaps://bounces:x@localhost:{server.port}")
        mails.start()
        assert mails._reading._scheduler is not None  # noqa: SLF001
        mails.stop()
        assert mails._reading._scheduler is None  # noqa: SLF001
