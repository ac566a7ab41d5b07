"""Where reports lie: an mbox, a Maildir, one message by a pipe, a mailbox by IMAP.

Each yields messages of at most a bounded size, and is told of each that it was dealt with: what lies in a Maildir or by
IMAP is then marked as seen, and not read again. An mbox stays as it is; reading it again does nothing again.
"""

import imaplib
import mailbox
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit

from domain.kernel import Invalid, Unavailable
from notifications.reports import LARGEST
from notifications.wording import worded

TIMEOUT: Final = 10.0
FROM: Final = b"From "
"""With this begins every message of an mbox (RFC 4155)."""
SEEN: Final = ":2,S"
"""What the name of a message ends in that was seen (Maildir)."""


def in_file(path: Path) -> Iterator[bytes]:
    """Yield the messages of an mbox, of a Maildir those not yet seen, or the one in a file; raise Unavailable."""
    try:
        if path.is_dir():
            yield from _in_maildir(path)
            return
        with path.open("rb") as file:
            if file.read(len(FROM)) != FROM:
                file.seek(0)
                yield file.read(LARGEST + 1)
                return
        yield from _in_mbox(path)
    except OSError as error:
        raise Unavailable("mailbox.unreadable", f"{path} cannot be read: {error.strerror}.") from None


def in_pipe(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the one message that a mail server hands over; the line that some put before it is no part of it."""
    raw = stream.read(LARGEST + 1)
    while stream.read(1 << 16):  # to its end: who writes must not be cut off
        pass
    yield raw.partition(b"\n")[2] if raw.startswith(FROM) else raw


def _in_mbox(path: Path) -> Iterator[bytes]:
    box = mailbox.mbox(path, create=False)
    try:
        for key in box.iterkeys():
            yield box.get_file(key).read(LARGEST + 1)
    finally:
        box.close()


def _in_maildir(path: Path) -> Iterator[bytes]:
    new, seen = path / "new", path / "cur"
    if not (new.is_dir() and seen.is_dir()):
        raise Unavailable("mailbox.unreadable", f"{path} is no Maildir: it needs the folders new and cur.")
    for message in sorted(new.iterdir()):
        with message.open("rb") as file:
            yield file.read(LARGEST + 1)
        message.rename(seen / f"{message.name}{SEEN}")


# --- IMAP ---


class ImapMailbox:
    """The mailbox of ``imaps://user:password@host:port/FOLDER``, or ``imap://``, which STARTTLS must secure (RFC 9051).

    ``context`` says whose certificates are good; without it, those of this machine.
    """

    def __init__(self, url: str, context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        try:
            self._port = parts.port or (993 if parts.scheme == "imaps" else 143)
        except ValueError:
            self._port = 0
        if parts.scheme not in {"imap", "imaps"} or not (parts.hostname and parts.username and self._port):
            raise Invalid("settings.imap_url", "GROUNDSWELL_IMAP_URL must be imaps://user:password@host:port/FOLDER.")
        self._host, self._tls = parts.hostname, parts.scheme == "imaps"
        self._user, self._password = unquote(parts.username), unquote(parts.password or "")
        self._folder = unquote(parts.path.strip("/")) or "INBOX"
        said = f"{self._user}{self._password}{self._folder}"
        if not (said.isascii() and said.isprintable()):
            raise Invalid("settings.imap_url", "GROUNDSWELL_IMAP_URL may hold printable ASCII only.")
        self._context = context

    def messages(self) -> Iterator[bytes]:
        """Yield the messages not yet seen; raise Unavailable where they cannot be had."""
        where = f"{self._host}:{self._port}"
        try:
            with self._signed_in() as server:
                for number in _answer(server.uid("SEARCH", "UNSEEN")).split():
                    yield _fetched(server, number.decode())
                    _answer(server.uid("STORE", number.decode(), "+FLAGS.SILENT", r"(\Seen)"))
        except (imaplib.IMAP4.error, OSError) as error:
            said = worded(error, where)
            raise Unavailable("mailbox.unreadable", f"The mailbox on {where} cannot be read: {said}.") from None

    @contextmanager
    def _signed_in(self) -> Iterator[imaplib.IMAP4]:
        context = self._context or ssl.create_default_context()
        if self._tls:
            server: imaplib.IMAP4 = imaplib.IMAP4_SSL(self._host, self._port, ssl_context=context, timeout=TIMEOUT)
        else:
            server = imaplib.IMAP4(self._host, self._port, timeout=TIMEOUT)
        try:
            if not self._tls:
                server.starttls(context)
            server.login(self._user, self._password)
            _answer(server.select(f'"{_quoted(self._folder)}"'))
            yield server
        finally:
            with suppress(imaplib.IMAP4.error, OSError):
                server.logout()


def _answer(answered: tuple[str, list[Any]]) -> bytes:
    """Return the first thing a server said; raise imaplib's error where it was not OK."""
    status, data = answered
    first = data[0] if data and isinstance(data[0], bytes) else b""
    if status != "OK":
        raise imaplib.IMAP4.error(first.decode(errors="replace") or status)
    return first


def _fetched(server: imaplib.IMAP4, number: str) -> bytes:
    """Return a message, cut off behind the largest that is read."""
    status, data = server.uid("FETCH", number, f"(BODY.PEEK[]<0.{LARGEST + 1}>)")
    if status != "OK":
        raise imaplib.IMAP4.error(f"message {number} cannot be fetched")
    return next((part[1] for part in data if isinstance(part, tuple)), b"")


def _quoted(folder: str) -> str:
    return folder.replace("\\", r"\\").replace('"', r"\"")
