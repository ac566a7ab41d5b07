"""Delivers messages: over SMTP (RFC 5321) on one connection per run, or into files.

What became of a message is known by where the conversation stopped: 4xx is deferred, 5xx refused; a connection that is
cut once the message began to flow leaves it unknown, for the server may have taken it.
"""

import os
import re
import smtplib
import ssl
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from domain.kernel import Invalid, Unavailable
from notifications.outbox import State

TIMEOUT: Final = 30.0
SERVICE_CLOSING: Final = 421
START_INPUT: Final = 354
_LEADING_DOT: Final = re.compile(rb"(?m)^\.")


@dataclass(frozen=True)
class Envelope:
    """One message on its way; ``name`` is unique and the same on every attempt."""

    name: str
    sender: str
    recipient: str
    message: bytes


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt: accepted, deferred, refused or unknown, and what the other side said."""

    state: State
    said: str = ""


class Session(Protocol):
    """One run's way out."""

    def send(self, envelope: Envelope) -> Outcome:
        """Send one message; raise Unavailable (``mail.unreachable``) where none can be sent now."""


class Mailer(Protocol):
    """Where messages go."""

    def session(self) -> AbstractContextManager[Session]:
        """Open one run's way out."""

    def forget(self, names: Collection[str]) -> list[str]:
        """Destroy what is kept here of these messages; return the names of those there were."""


def mailer_of(smtp_url: str | None, data_dir: Path) -> Mailer:
    """Return the mailer of the settings; raise Invalid where the URL is none that mail can be sent by."""
    return SmtpMailer(smtp_url) if smtp_url else FileMailer(data_dir / "mail")


# --- files ---


class FileMailer:
    """Writes each message into a file of its own; the same message again replaces it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Make the folder."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable("mail.unreachable", f"{self.folder} cannot be made: {error.strerror}.") from None
        yield self

    def send(self, envelope: Envelope) -> Outcome:
        """Write ``NAME.eml``, whole or not at all."""
        path = self.folder / f"{envelope.name}.eml"
        draft = path.with_suffix(f".{os.getpid()}.part")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(envelope.message)
            draft.replace(path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            raise Unavailable("mail.unreachable", f"{path} cannot be written: {error.strerror}.") from None
        return Outcome(State.ACCEPTED, str(path))

    def forget(self, names: Collection[str]) -> list[str]:
        """Delete the files of these messages, and drafts of them that a killed sender left."""
        found = []
        try:
            for path in self.folder.iterdir() if names else ():
                name, _, kind = path.name.partition(".")
                if name in names:
                    path.unlink(missing_ok=True)
                    found += [name] if kind == "eml" else []
        except FileNotFoundError:
            return []  # no mail was ever written here
        except OSError as error:
            raise Unavailable("mail.undeletable", f"{self.folder} keeps mails of the erased: {error}.") from None
        return found


# --- SMTP ---


class SmtpMailer:
    """Speaks to the server of ``smtp://user:password@host:port``, or ``smtps://`` for TLS from the first byte."""

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or port == -1:
            raise Invalid("settings.smtp_url", "GROUNDSWELL_SMTP_URL must be smtp://user:password@host:port.")
        self.host, self.tls, self.timeout = parts.hostname, parts.scheme == "smtps", timeout
        self.port = port or (465 if self.tls else 25)
        self.user, self.password = unquote(parts.username or ""), unquote(parts.password or "")

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Give a session that connects when first used."""
        session = SmtpSession(self)
        try:
            yield session
        finally:
            session.close()

    def forget(self, _names: Collection[str]) -> list[str]:
        """Nothing: what was sent lies with those who got it."""
        return []

    def connect(self) -> smtplib.SMTP:
        """Connect, secure the connection where that is offered, and sign in; raise Unavailable."""
        where = f"{self.host}:{self.port}"
        try:
            smtp = self._greeted()
        except smtplib.SMTPAuthenticationError as error:
            raise Unavailable("mail.unreachable", f"The mail server {where} does not let us in: {error}.") from None
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable("mail.unreachable", f"The mail server {where} cannot be used: {error}.") from None
        return smtp

    def _greeted(self) -> smtplib.SMTP:
        secure = ssl.create_default_context()
        if self.tls:
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=self.timeout, context=secure)
        else:
            smtp = smtplib.SMTP(self.host, self.port, timeout=self.timeout)
        try:
            smtp.ehlo_or_helo_if_needed()
            if not self.tls and smtp.has_extn("starttls"):
                smtp.starttls(context=secure)
                smtp.ehlo()
            if self.user:
                smtp.login(self.user, self.password)
        except BaseException:
            smtp.close()
            raise
        return smtp


class SmtpSession:
    """One connection, opened again where it was lost between messages."""

    def __init__(self, mailer: SmtpMailer) -> None:
        self._mailer = mailer
        self._smtp: smtplib.SMTP | None = None

    def send(self, envelope: Envelope) -> Outcome:
        """Send one message, on a fresh connection if the old one turns out to be dead before it begins."""
        fresh = self._smtp is None
        try:
            return self._send(envelope)
        except (OSError, smtplib.SMTPServerDisconnected) as error:
            self._drop()
            if fresh:
                return Outcome(State.DEFERRED, f"connection lost before the message: {error}")
        try:
            return self._send(envelope)
        except (OSError, smtplib.SMTPServerDisconnected) as error:
            self._drop()
            return Outcome(State.DEFERRED, f"connection lost before the message: {error}")

    def close(self) -> None:
        """Say goodbye."""
        if self._smtp is not None:
            with suppress(OSError, smtplib.SMTPException):
                self._smtp.quit()
            self._drop()

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None

    def _send(self, envelope: Envelope) -> Outcome:
        if self._smtp is None:
            self._smtp = self._mailer.connect()
        smtp, options = self._smtp, []
        if not (envelope.recipient.isascii() and envelope.sender.isascii()):
            if not smtp.has_extn("smtputf8"):
                return Outcome(State.REFUSED, "the server takes no internationalised addresses (RFC 6531)")
            options = ["SMTPUTF8", "BODY=8BITMIME"]
            smtp.command_encoding = "utf-8"
        for code, said in self._open(smtp, envelope, options):
            if not 200 <= code < 300 and code != START_INPUT:  # noqa: PLR2004 - RFC 5321 §4.2.1
                return self._turned_down(smtp, code, said)
        try:
            body = _LEADING_DOT.sub(b"..", envelope.message)
            smtp.send(body + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\n")
            code, said = smtp.getreply()
        except (OSError, smtplib.SMTPServerDisconnected) as error:
            self._drop()
            return Outcome(State.UNKNOWN, f"connection lost after the message: {error}")
        if code // 100 == 2:  # noqa: PLR2004
            return Outcome(State.ACCEPTED, _text(code, said))
        return self._turned_down(smtp, code, said)

    @staticmethod
    def _open(smtp: smtplib.SMTP, envelope: Envelope, options: list[str]) -> Iterator[tuple[int, bytes]]:
        """Yield the answers to the commands before the message, each given only when the one before was taken."""
        yield smtp.mail(envelope.sender, options)
        yield smtp.rcpt(envelope.recipient)
        yield smtp.docmd("DATA")

    def _turned_down(self, smtp: smtplib.SMTP, code: int, said: bytes) -> Outcome:
        if code == SERVICE_CLOSING:
            self._drop()
        else:
            with suppress(OSError, smtplib.SMTPServerDisconnected):
                smtp.rset()
        return Outcome(State.REFUSED if code // 100 == 5 else State.DEFERRED, _text(code, said))  # noqa: PLR2004


def _text(code: int, said: bytes) -> str:
    return f"{code} {said.decode(errors='replace')}"[:500]
