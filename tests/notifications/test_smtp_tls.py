"""Mail goes to a real server over TLS, signed in; a password goes nowhere else."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from domain.kernel import Invalid, Unavailable
from notifications.mailer import Envelope
from notifications.outbox import State
from notifications.smtp import SmtpMailer
from tests.support.certificates import Certificate
from tests.support.sink import Sink

MAIL = Envelope("digest-1", "groundswell@example.org", "anna@example.org", b"Subject: x\r\n\r\n.Text.\r\n")
PASSWORD = "pass:w@rd/%"
QUOTED = "pass%3Aw%40rd%2F%25"


class Door:
    """Whom the server lets in."""

    def __init__(self) -> None:
        self.let_in = 0

    def __call__(self, _server: object, _session: object, _envelope: object, _how: str, given: Any) -> AuthResult:  # noqa: ANN401 - what aiosmtpd's mechanisms make of it
        assert isinstance(given, LoginPassword)
        good = (given.login, given.password) == (b"postmaster@example.org", PASSWORD.encode())
        self.let_in += good
        return AuthResult(success=good, handled=good)


@contextmanager
def server(sink: Sink, **options: Any) -> Iterator[int]:  # noqa: ANN401 - aiosmtpd's own
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    controller = Controller(sink, hostname="127.0.0.1", port=port, server_hostname="localhost", **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def trusted(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Certificate:
    """A certificate that the machine trusts, as OpenSSL is told by its own setting."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    return certificate


def send(url: str) -> State:
    with SmtpMailer(url).session() as session:
        return session.send(MAIL).state


def trouble(url: str) -> str:
    with pytest.raises(Unavailable) as refused:
        send(url)
    assert refused.value.code == "mail.unreachable"
    assert len(refused.value.message.splitlines()) == 1
    return refused.value.message


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_starttls_with_a_login(trusted: Certificate, door: Door, host: str) -> None:
    sink = Sink()
    with server(
        sink, tls_context=trusted.serving(), require_starttls=True, authenticator=door, auth_required=True
    ) as port:
        assert send(f"smtp://postmaster%40example.org:{QUOTED}@{host}:{port}") is State.ACCEPTED
    assert (sink.raw, door.let_in) == ([MAIL.message], 1)


def test_tls_from_the_first_byte_with_a_login(trusted: Certificate, door: Door) -> None:
    sink = Sink()
    options = {"authenticator": door, "auth_require_tls": False}  # it does not know of the TLS around it
    with server(sink, ssl_context=trusted.serving(), **options) as port:
        assert send(f"smtps://postmaster%40example.org:{QUOTED}@localhost:{port}") is State.ACCEPTED
    assert (sink.raw, door.let_in) == ([MAIL.message], 1)


def test_several_mails_go_over_one_connection(trusted: Certificate) -> None:
    sink = Sink()
    with (
        server(sink, tls_context=trusted.serving()) as port,
        SmtpMailer(f"smtp://localhost:{port}").session() as session,
    ):
        assert [session.send(MAIL).state for _ in range(3)] == [State.ACCEPTED] * 3
    assert sink.connections == 2  # greeted before and after STARTTLS


def test_a_wrong_password(trusted: Certificate, door: Door) -> None:
    sink = Sink()
    with server(sink, tls_context=trusted.serving(), authenticator=door, auth_required=True) as port:
        said = trouble(f"smtp://postmaster%40example.org:wrong@localhost:{port}")
    assert said == (
        f"The mail server localhost:{port} does not let us in: 535 5.7.8 Authentication credentials invalid."
    )
    assert sink.raw == []


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_certificate_that_nobody_vouches_for(certificate: Certificate, door: Door, scheme: str) -> None:
    sink, context = Sink(), certificate.serving()
    options = {"tls_context": context} if scheme == "smtp" else {"ssl_context": context}
    with server(sink, authenticator=door, auth_require_tls=False, **options) as port:
        assert "certificate verify failed" in trouble(f"{scheme}://a:b@localhost:{port}")
    assert (sink.raw, door.let_in) == ([], 0)


def test_a_certificate_of_another_host(trusted: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *more, **options: look_up("127.0.0.1", *more, **options))
    with server(Sink(), ssl_context=trusted.serving()) as port:
        assert "Hostname mismatch" in trouble(f"smtps://mail.example.org:{port}")


def test_no_password_is_sent_in_the_clear(door: Door) -> None:
    sink = Sink()
    with server(sink, authenticator=door, auth_require_tls=False) as port:
        said = trouble(f"smtp://postmaster%40example.org:{QUOTED}@localhost:{port}")
    assert said.endswith(f"localhost:{port} cannot be used: without TLS the password would go in the clear.")
    assert (sink.raw, door.let_in) == ([], 0)


def test_a_server_that_asks_for_no_login(trusted: Certificate) -> None:
    with server(Sink(), tls_context=trusted.serving(), auth_exclude_mechanism=["LOGIN", "PLAIN"]) as port:
        said = trouble(f"smtp://a:b@localhost:{port}")
    assert said == f"The mail server localhost:{port} cannot be used: No suitable authentication method found."


@pytest.mark.parametrize("user", ["ä:b", "a:%C3%A4"])
def test_users_and_passwords_beyond_ascii_are_refused(user: str) -> None:
    with pytest.raises(Invalid) as refused:
        SmtpMailer(f"smtps://{user}@localhost")
    assert refused.value.message == "GROUNDSWELL_SMTP_URL may have only ASCII in user and password."
