"""Delivers messages over SMTP (RFC 5321), on one connection per run.

What became of a message is known by where the conversation stopped: 4xx is deferred, 5xx refused; a connection that is
cut once the message began to flow leaves it unknown, for the server may have taken it.
"""

import re
import smtplib
import ssl
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import unquote, urlsplit

from domain.kernel import Invalid, Unavailable
from notifications.mailer import HARD, NO_MAILBOX, Envelope, Outcome, Session
from notifications.outbox import State
from notifications.wording import worded

TIMEOUT: Final = 30.0
SERVICE_CLOSING: Final = 421
START_INPUT: Final = 354
UNREACHABLE: Final = "connection_lost"
NO_SUCH: Final = (550, 551, 553)
"""Answers to RCPT TO that the mailbox is unavailable, elsewhere, or not allowed (RFC 5321 §4.2.3)."""

Reply = tuple[int, bytes]

_LEADING_DOT: Final = re.compile(rb"(?m)^\.")
_ENHANCED: Final = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}(?!\S)")
_ANY_ENHANCED: Final = re.compile(rb"(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?![\d.])")
_NAMES_NOBODY: Final = re.compile(
    rb"(?i)no such (user|recipient|mailbox|address|account|person)|no (mailbox|user) here|user (is )?unknown|"
    rb"unknown (user|recipient|mailbox|address|account)|"
    rb"(recipient|mailbox|address|account|user) (does not exist|not found|unknown|disabled)|"
    rb"does not have an? .{0,40}(account|mailbox)|invalid (recipient|mailbox)|unrouteable address|"
    rb"(mailbox|recipient) (is )?invalid|no longer (exists|valid)|doesn't exist"
)
_POLICY: Final = re.compile(
    rb"(?i)relay|rcpthosts|spam|block|black|listed|denied|polic|reputation|sender|authenti|https?:"
)


class SmtpMailer:
    """Speaks to the server of ``smtp://user:password@host:port``, or ``smtps://`` for TLS from the first byte.

    It is greeted by ``name``; without one by that of this machine, which only its own network may know.
    """

    def __init__(self, url: str, timeout: float = TIMEOUT, name: str | None = None) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or port == -1:
            raise Invalid("settings.smtp_url", "GROUNDSWELL_SMTP_URL must be smtp://user:password@host:port.")
        self.host, self.tls, self.timeout, self.name = parts.hostname, parts.scheme == "smtps", timeout, name
        self.port = port or (465 if self.tls else 25)
        self.user, self.password = unquote(parts.username or ""), unquote(parts.password or "")
        if bool(self.user) != bool(self.password):
            why = "needs both user and password, or neither: smtp://user:password@host:port."
            raise Invalid("settings.smtp_url", f"GROUNDSWELL_SMTP_URL {why}")
        if not (self.user + self.password).isascii():
            raise Invalid("settings.smtp_url", "GROUNDSWELL_SMTP_URL may have only ASCII in user and password.")

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
            why = f"does not let us in: {_complaint(error, where)}"
            raise Unavailable("mail.unreachable", f"The mail server {where} {why}.") from None
        except (OSError, smtplib.SMTPException) as error:
            why = f"cannot be used: {_complaint(error, where)}"
            raise Unavailable("mail.unreachable", f"The mail server {where} {why}.") from None
        return smtp

    def _greeted(self) -> smtplib.SMTP:
        secure = ssl.create_default_context()
        if self.tls:
            where = self.host, self.port, self.name
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(*where, timeout=self.timeout, context=secure)
        else:
            smtp = smtplib.SMTP(self.host, self.port, self.name, self.timeout)
        try:
            smtp.ehlo_or_helo_if_needed()
            if not self.tls and smtp.has_extn("starttls"):
                smtp.starttls(context=secure)
                smtp.ehlo()
            if self.user:
                _check_secret(smtp)
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
                return _cut(State.DEFERRED, error)
        try:
            return self._send(envelope)
        except (OSError, smtplib.SMTPServerDisconnected) as error:
            self._drop()
            return _cut(State.DEFERRED, error)

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
        if not (envelope.recipient + envelope.sender).isprintable():
            return Outcome(State.REFUSED, "this is no address", "5.1.3")
        if self._smtp is None:
            self._smtp = self._mailer.connect()
        smtp, options = self._smtp, ""
        if not (envelope.recipient.isascii() and envelope.sender.isascii()):
            if not smtp.has_extn("smtputf8"):
                why = "the server takes no internationalised addresses (RFC 6531)"
                return Outcome(State.REFUSED, why, "5.6.7")
            options = " SMTPUTF8 BODY=8BITMIME"
        commands = (
            f"MAIL FROM:<{envelope.sender}>{options}".encode(),
            f"RCPT TO:<{envelope.recipient}>".encode(),
            b"DATA",
        )
        asked = _ask_at_once if smtp.has_extn("pipelining") else _ask_in_turn
        for about, (code, said) in zip(("sender", "recipient", "message"), asked(smtp, commands), strict=False):
            if code // 100 not in {2, 3}:
                return self._turned_down(smtp, code, said, about)
        return self._deliver(smtp, envelope.message)

    def _deliver(self, smtp: smtplib.SMTP, message: bytes) -> Outcome:
        """Send the message itself; from its first byte on nobody knows what became of it until that is answered."""
        try:
            smtp.send(_as_data(message))
            code, said = smtp.getreply()
        except (OSError, smtplib.SMTPServerDisconnected) as error:
            self._drop()
            return _cut(State.UNKNOWN, error)
        if code // 100 == 2:  # noqa: PLR2004 - RFC 5321 §4.2.1
            return Outcome(State.ACCEPTED, _text(code, said))
        return self._turned_down(smtp, code, said, "message")

    def _turned_down(self, smtp: smtplib.SMTP, code: int, said: bytes, about: str) -> Outcome:
        """Return what an answer means; only one about the recipient says anything of that address.

        Who does not take our sender refuses us, and so every mail alike: that is the server's trouble, and may pass.
        """
        closing = code == SERVICE_CLOSING
        if closing:
            self._drop()
        else:
            with suppress(OSError, smtplib.SMTPServerDisconnected):
                smtp.rset()
        refused = code // 100 == 5  # noqa: PLR2004 - RFC 5321 §4.2.1
        reason = _reason(code, said)
        if about == "recipient" and _is_no_mailbox(code, said):
            reason = NO_MAILBOX
        elif about != "recipient" and reason in HARD:
            reason = str(code)
        state = State.REFUSED if refused and about != "sender" else State.DEFERRED
        return Outcome(state, _text(code, said), reason, lost=closing or (refused and about == "sender"))


def _ask_in_turn(smtp: smtplib.SMTP, commands: Sequence[bytes]) -> Iterator[Reply]:
    """Give each command when the one before was answered; yield the answers."""
    for command in commands:
        smtp.send(command + b"\r\n")
        yield smtp.getreply()


def _ask_at_once(smtp: smtplib.SMTP, commands: Sequence[bytes]) -> list[Reply]:
    """Give all commands and return their answers (RFC 2920).

    Where the server would take a message for nobody, it gets an empty one, as RFC 2920 §3.1 asks for.
    """
    smtp.send(b"".join(command + b"\r\n" for command in commands))
    replies: list[Reply] = []
    for _ in commands:
        replies.append(smtp.getreply())
        if replies[-1][0] == SERVICE_CLOSING:
            return replies
    if replies[-1][0] == START_INPUT and any(code // 100 != 2 for code, _ in replies[:-1]):  # noqa: PLR2004
        smtp.send(b".\r\n")
        smtp.getreply()
    return replies


def _as_data(message: bytes) -> bytes:
    """Return a message as it goes over the wire: dots at the beginning of a line doubled (RFC 5321 §4.5.2)."""
    body = _LEADING_DOT.sub(b"..", message) if b"\n." in message or message.startswith(b".") else message
    return body + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\n"


def _cut(state: State, error: Exception) -> Outcome:
    where = "after" if state is State.UNKNOWN else "before"
    return Outcome(state, f"connection lost {where} the message: {worded(error)}", UNREACHABLE, lost=True)


def _reason(code: int, said: bytes) -> str:
    """Return the enhanced status code (RFC 3463) that a reply begins with (RFC 2034 §4), or its three digits."""
    found = _ENHANCED.match(said)
    return found[0].decode() if found else str(code)


def _is_no_mailbox(code: int, said: bytes) -> bool:
    """Tell whether an answer about a recipient says of the address alone that it is none, though without a code.

    The same three digits stand for what a policy refuses (RFC 5321 §4.2.3), so the words must say it, and nothing else.
    """
    if code not in NO_SUCH or _ANY_ENHANCED.search(said) or _POLICY.search(said):
        return False
    return _NAMES_NOBODY.search(said) is not None


def _text(code: int, said: bytes) -> str:
    return f"{code} {said.decode(errors='replace')}"[:500]


def _check_secret(smtp: smtplib.SMTP) -> None:
    """Raise smtplib's error where others could read what is sent."""
    if not isinstance(smtp.sock, ssl.SSLSocket):
        raise smtplib.SMTPNotSupportedError("without TLS the password would go in the clear")


def _complaint(error: Exception, where: str) -> str:
    """Return what a server answered, or what went wrong before it could, as the end of a sentence."""
    if not isinstance(error, smtplib.SMTPResponseException):
        return worded(error, where)
    said = error.smtp_error
    text = _text(error.smtp_code, said if isinstance(said, bytes) else said.encode())
    return " ".join(text.split()).rstrip(".")
