"""Makes messages: HTML with a text alternative, and headers that nothing anybody wrote can break out of."""

import base64
import ipaddress
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from notifications.digest import SUBJECT_LENGTH, one_line

SENDER_NAME: Final = "Groundswell"
CRLF: Final = "\r\n"
BOUNCES: Final = "bounces"
ENCODED: Final = 42
"""Bytes in one encoded word, so that a line stays below 76 characters (RFC 2047 §2)."""


class WirePolicy(EmailPolicy):
    """Writes headers on lines of their own, whole.

    The standard library's folding turns a long URL in List-Unsubscribe into encoded words, which no program that looks
    for the URL reads, and drops spaces between encoded and plain parts of a subject (CPython 3.11).
    """

    def fold(self, name: str, value: str) -> str:
        """Return the header as it is sent; only what is not ASCII is folded, as encoded words (RFC 2047 §2)."""
        if name.lower() in {"subject", "list-id", "list-unsubscribe", "message-id"}:
            text = str(value)
            plain = text.isascii() and "=?" not in text
            return f"{name}: {text if plain else encoded_words(text)}{CRLF}"
        return str(super().fold(name, value))

    def fold_binary(self, name: str, value: str) -> bytes:
        """Return the same as bytes."""
        return self.fold(name, value).encode("utf-8" if self.utf8 else "ascii")


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


def as_said(text: str) -> str:
    """Return a header's value such that EmailMessage, which decodes what it is given, holds just this text."""
    return encoded_words(text).replace(CRLF, "") if "=?" in text else text


WIRE: Final = WirePolicy(linesep=CRLF, cte_type="7bit")
WIRE_UTF8: Final = WirePolicy(linesep=CRLF, cte_type="7bit", utf8=True)


@dataclass(frozen=True)
class Sender:
    """Who sends, from the address under which the world reaches the application."""

    base_url: str
    given: str | None = None
    bounces: str | None = None
    """Where reports of what could not be delivered come back, if the settings say so."""

    @property
    def host(self) -> str:
        """The host of the base URL, as it stands in Message-ID and List-Id."""
        host = urlsplit(self.base_url).hostname or "localhost"
        return host.encode("idna").decode() if not host.isascii() else host.replace(":", ".")

    @property
    def address(self) -> str:
        """The address in From: the one given, or ``groundswell@`` the host (an address literal where that is an IP)."""
        if self.given:
            return self.given
        host = urlsplit(self.base_url).hostname or "localhost"
        try:
            number = ipaddress.ip_address(host)
        except ValueError:
            return f"groundswell@{self.host}"
        return f"groundswell@[{'IPv6:' if number.version == 6 else ''}{host}]"  # noqa: PLR2004

    def return_path(self, row: UUID) -> str:
        """Return the address to which reports about one mail come back (VERP): nobody can guess it, and it names none.

        That is ``bounces+`` 32 hex digits, or a subaddress of the address that is given. Where only that in From is,
        it is that itself, which surely takes mail; its reports are known by the Message-ID.
        """
        if self.bounces is None and self.given:
            return self.given
        user, _, domain = (self.bounces or self.address).rpartition("@")
        return f"{user if self.bounces else BOUNCES}+{row.hex}@{domain}"


@dataclass(frozen=True)
class Image:
    """A picture in a message, shown where the HTML says ``cid:`` its name."""

    cid: str
    png: bytes


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
    """What the message is, and of when: what a mail server's operator is told complaints are about."""
    images: tuple[Image, ...] = ()


def build(sender: Sender, to: str, letter: Letter, message_id: str, date: datetime) -> bytes:
    """Return the message as it goes over the wire: lines end in CRLF, all is ASCII but an address that is not."""
    message = EmailMessage(policy=WIRE if to.isascii() else WIRE_UTF8)
    user, _, domain = sender.address.rpartition("@")
    message["From"] = Address(SENDER_NAME, user, domain)
    message["To"] = to
    message["Subject"] = as_said(one_line(letter.subject, SUBJECT_LENGTH))
    message["Date"] = date
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"
    if letter.unsubscribe_url:
        message["List-Id"] = f"Groundswell digest <digest.{sender.host}>"
        message["List-Unsubscribe"] = f"<{letter.unsubscribe_url}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(letter.text, cte="quoted-printable")
    message.add_alternative(letter.html, subtype="html", cte="quoted-printable")
    message["Content-Language"] = letter.language  # earlier, add_alternative would move it into a part
    return message.as_bytes()
