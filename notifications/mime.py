"""Makes messages: HTML with a text alternative and pictures, under headers that nothing anybody wrote can break out of.

Parts are put together by hand, because the standard library takes several times as long to do the same. What is sent
is ASCII (but for an address that is not) in lines that end in CRLF (RFC 5322 §2.1, RFC 2045 §2.7).
"""

import base64
import binascii
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from functools import cached_property
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from domain.kernel import Invalid
from notifications.digest import SUBJECT_LENGTH, Image, one_line
from notifications.signing import Signer

SENDER_NAME: Final = "Groundswell"
SENDER_ID: Final = "groundswell"
"""What Feedback-ID ends in: the same in all mails, 5 to 15 characters (Gmail's Feedback Loop)."""
BOUNCES: Final = "bounces"
CRLF: Final = "\r\n"
ENCODED: Final = 39
"""Bytes in one encoded word, so that a line of a header has at most 76 characters (RFC 2047 §2)."""
LINE: Final = 76
"""Characters in a line of an encoded part (RFC 2045 §6.7, §6.8)."""
LONGEST: Final = 998
"""Characters in any line (RFC 5322 §2.1.1)."""
ALTERNATIVE: Final = "=_alternative"
RELATED: Final = "=_related"
"""What stands between parts: ``=_`` occurs neither in quoted-printable nor in base64 (RFC 2045 §6.7, note)."""

_ASCII: Final = bytes(range(128))
Header = tuple[str, str]


@dataclass(frozen=True)
class Sender:
    """Who sends, from the address under which the world reaches the application."""

    base_url: str
    given: str | None = None
    bounces: str | None = None
    """Where reports of what could not be delivered come back, if the settings say so."""
    signers: tuple[Signer, ...] = ()
    """Who signs each message."""

    @cached_property
    def host(self) -> str:
        """The host of the base URL, as it stands in Message-ID and List-Id: words with dots between them."""
        if self._number is not None and self._number.version == 6:  # noqa: PLR2004
            return self._number.exploded.replace(":", "-")
        host = urlsplit(self.base_url).hostname or "localhost"
        return host if host.isascii() else host.encode("idna").decode()

    @cached_property
    def name(self) -> str:
        """What mail servers are greeted by: the host, an address literal where that is an IP (RFC 5321 §4.1.3)."""
        if self._number is None:
            return self.host
        return f"[{'IPv6:' if self._number.version == 6 else ''}{self._number}]"  # noqa: PLR2004

    @cached_property
    def address(self) -> str:
        """The address in From: the one given, or ``groundswell@`` the host."""
        return mailable(self.given) if self.given else f"groundswell@{self.name}"

    @cached_property
    def _number(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The host of the base URL where it is an IP address."""
        try:
            return ipaddress.ip_address(urlsplit(self.base_url).hostname or "")
        except ValueError:
            return None

    def return_path(self, row: UUID) -> str:
        """Return the address to which reports about one mail come back (VERP): nobody can guess it, and it names none.

        That is ``bounces+`` 32 hex digits, or a subaddress of the address that is given. Where only that in From is,
        it is that itself, which surely takes mail; its reports are known by the Message-ID.
        """
        if self.bounces is None and self.given:
            return self.address
        user, _, domain = mailable(self.bounces or self.address).rpartition("@")
        return f"{user if self.bounces else BOUNCES}+{row.hex}@{domain}"


@dataclass(frozen=True)
class Letter:
    """What a message says."""

    subject: str
    html: str
    text: str
    language: str
    unsubscribe_url: str | None = None
    """Where one click ends the subscription (RFC 8058); only for what one is subscribed to."""
    kind: str = "digest"
    period: str = ""
    """What the message is, and of when: by this whoever runs a mail server tells us what people complain about."""
    images: tuple[Image, ...] = ()


def build(sender: Sender, to: str, letter: Letter, message_id: str, date: datetime) -> bytes:
    """Return the message as it goes over the wire, signed where there are keys to sign with.

    Raises Invalid (``mail.header``) where an address or a URL cannot stand in a header.
    """
    content, body = _body(letter)
    headers = [*_headers(sender, to, letter, message_id, date), ("MIME-Version", "1.0"), ("Content-Type", content)]
    for name, value in headers:
        check(name, value)
    signatures = [signer.sign(headers, body, date) for signer in sender.signers]
    return b"".join((*signatures, *(f"{name}: {value}{CRLF}".encode() for name, value in headers), b"\r\n", body))


def mailable(address: str) -> str:
    """Return an address with its domain in ASCII (RFC 5890), which every mail server takes, if the rest is too."""
    user, _, domain = address.rpartition("@")
    if not user.isascii() or domain.isascii():
        return address
    try:
        return f"{user}@{domain.encode('idna').decode()}"
    except UnicodeError:
        return address


# --- headers ---


def _headers(sender: Sender, to: str, letter: Letter, message_id: str, date: datetime) -> list[Header]:
    headers = [
        ("From", f"{SENDER_NAME} <{sender.address}>"),
        ("To", mailable(to)),
        ("Subject", unstructured(one_line(letter.subject, SUBJECT_LENGTH).strip())),
        ("Date", format_datetime(date)),
        ("Message-ID", message_id),
        ("Auto-Submitted", "auto-generated"),
        ("Content-Language", letter.language),
    ]
    if letter.unsubscribe_url:
        headers += [
            ("Precedence", "bulk"),
            ("List-Id", f"Groundswell digest <digest.{sender.host}>"),
            ("List-Unsubscribe", f"<{letter.unsubscribe_url}>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("Feedback-ID", _feedback_id(letter)),
        ]
    return headers


def _feedback_id(letter: Letter) -> str:
    """Return at most four fields, the last one the sender's, by which complaints are counted; nobody is named."""
    frequency, _, period = letter.period.partition(":")
    return f"{period}:{frequency}:{letter.kind}:{SENDER_ID}"


def check(name: str, value: str) -> None:
    """Raise Invalid where a header would end before its value does; encoded words are folded, and nothing else is."""
    for line in value.split(f"{CRLF} "):
        if not line.isprintable() or len(name) + len(line) + len(": ") > LONGEST:
            raise Invalid("mail.header", f"The header {name} cannot hold its value.")


def unstructured(text: str) -> str:
    """Return a text as the value of a header: as it is, or as encoded words where it would be read as something else.

    The text is one line of printable characters.
    """
    return text if text.isascii() and "=?" not in text else encoded_words(text)


def encoded_words(text: str) -> str:
    """Return the text as encoded words (RFC 2047 §2), none of which cuts a character."""
    words, word = [], b""
    for character in text:
        more = character.encode()
        if len(word) + len(more) > ENCODED:
            words.append(word)
            word = b""
        word += more
    words.append(word)
    return f"{CRLF} ".join(f"=?utf-8?b?{base64.b64encode(one).decode()}?=" for one in words)


# --- parts ---


def _body(letter: Letter) -> tuple[str, bytes]:
    """Return (the content type, the body) of a message."""
    html = _text_part("html", letter.html)
    if letter.images:
        pictures = [_picture(image) for image in letter.images]
        html = _part([("Content-Type", _multipart("related", RELATED))], _joined(RELATED, [html, *pictures]))
    return _multipart("alternative", ALTERNATIVE), _joined(ALTERNATIVE, [_text_part("plain", letter.text), html])


def _multipart(subtype: str, boundary: str) -> str:
    root = '; type="text/html"' if subtype == "related" else ""
    return f'multipart/{subtype}{root}; boundary="{boundary}"'


def _joined(boundary: str, parts: Iterable[bytes]) -> bytes:
    """Return parts as the body of a multipart (RFC 2046 §5.1.1)."""
    return (
        b"".join(f"--{boundary}{CRLF}".encode() + part + b"\r\n" for part in parts) + f"--{boundary}--{CRLF}".encode()
    )


def _part(headers: Iterable[Header], body: bytes) -> bytes:
    return "".join(f"{name}: {value}{CRLF}" for name, value in headers).encode() + b"\r\n" + body


def _text_part(subtype: str, text: str) -> bytes:
    """Return a text as quoted-printable, or as base64 where much of it is not ASCII, and so shorter."""
    data = text.replace(CRLF, "\n").replace("\r", "\n").encode(errors="replace")
    foreign = len(data.translate(None, _ASCII))
    if 6 * foreign > len(data):
        encoding, body = "base64", _base64(data.replace(b"\n", b"\r\n"))
    else:
        encoding, body = "quoted-printable", binascii.b2a_qp(data).replace(b"\n", b"\r\n")
    return _part(
        [("Content-Type", f'text/{subtype}; charset="utf-8"'), ("Content-Transfer-Encoding", encoding)],
        body,
    )


def _picture(image: Image) -> bytes:
    headers = [
        ("Content-Type", "image/png"),
        ("Content-Transfer-Encoding", "base64"),
        ("Content-Disposition", "inline"),
        ("Content-ID", f"<{image.cid}>"),
    ]
    for name, value in headers:
        check(name, value)
    return _part(headers, _base64(image.png))


def _base64(data: bytes) -> bytes:
    encoded = binascii.b2a_base64(data, newline=False)
    return b"\r\n".join(encoded[start : start + LINE] for start in range(0, len(encoded), LINE))
