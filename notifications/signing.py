"""Signs messages (DKIM, RFC 6376), so that whoever gets them can tell that they are ours and were not altered.

rsa-sha256 or ed25519-sha256 (RFC 8463), as the key is; relaxed/relaxed. The one-click header of RFC 8058 §4 is covered.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from domain.kernel import Invalid

SIGNED: Final = (
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "Content-Language",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Feedback-ID",
    "MIME-Version",
    "Content-Type",
)
"""The headers that are signed where a message has them: RFC 6376 §5.4.1, and what changes how it is read."""
ONCE: Final = ("From", "To", "Subject", "Date")
"""Headers of which nobody may add another one: they are named once more than they are there (RFC 6376 §8.15)."""
SMALLEST: Final = 1024
"""Bits of an RSA key (RFC 8301 §3.2)."""
LINE: Final = 72
STRING: Final = 255
"""Characters in one string of a TXT record (RFC 1035 §3.3)."""

_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Record:
    """What must stand in the DNS for signatures to be checked."""

    name: str
    value: str

    def __str__(self) -> str:
        """Return the record as a line of a zone file (RFC 1035 §5.1)."""
        strings = (f'"{self.value[start : start + STRING]}"' for start in range(0, len(self.value), STRING))
        return f"{self.name}. IN TXT ({' '.join(strings)})"


class Signer:
    """Signs for a domain with one key, which the DNS has under the selector."""

    def __init__(self, domain: str, selector: str, key: RSAPrivateKey | Ed25519PrivateKey) -> None:
        self.domain, self.selector, self._key = domain, selector, key
        self.algorithm = "rsa-sha256" if isinstance(key, RSAPrivateKey) else "ed25519-sha256"

    def sign(self, headers: Sequence[tuple[str, str]], body: bytes, date: datetime) -> bytes:
        """Return the header DKIM-Signature, with its line's end, of a message whose lines end in CRLF."""
        return self.signature(headers, body, int(date.timestamp()))

    def signature(self, headers: Sequence[tuple[str, str]], body: bytes, at: int) -> bytes:
        """Return the header for a moment in seconds since 1970."""
        there = {name.lower(): (name, value) for name, value in headers}
        covered = [there[name.lower()] for name in SIGNED if name.lower() in there]
        names = _folded(":", [*(name for name, _ in covered), *ONCE])
        body_hash = base64.b64encode(hashlib.sha256(relaxed_body(body)).digest()).decode()
        unsigned = (
            f"v=1; a={self.algorithm}; c=relaxed/relaxed; d={self.domain};\r\n"
            f" s={self.selector}; t={at};\r\n h={names};\r\n bh={body_hash};\r\n b="
        )
        lines = [relaxed_header(name, value) for name, value in covered]
        data = b"\r\n".join([*lines, relaxed_header("DKIM-Signature", unsigned)])
        signed = base64.b64encode(self._signed(data)).decode()
        rest = "\r\n  ".join(signed[start : start + LINE] for start in range(0, len(signed), LINE))
        return f"DKIM-Signature: {unsigned}{rest}\r\n".encode()

    def _signed(self, data: bytes) -> bytes:
        if isinstance(self._key, RSAPrivateKey):
            return self._key.sign(data, PKCS1v15(), hashes.SHA256())
        return self._key.sign(hashlib.sha256(data).digest())  # RFC 8463 §3: the hash is what is signed

    @property
    def record(self) -> Record:
        """What the DNS must say of the key (RFC 6376 §3.6.1, RFC 8463 §4)."""
        public = self._key.public_key()
        if isinstance(self._key, RSAPrivateKey):
            kind, data = "rsa", public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        else:
            kind, data = "ed25519", public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        value = f"v=DKIM1; k={kind}; p={base64.b64encode(data).decode()}"
        return Record(f"{self.selector}._domainkey.{self.domain}", value)


def signers(keys: Sequence[Path], selectors: Sequence[str], domain: str) -> tuple[Signer, ...]:
    """Return who signs for a domain with the keys in these files; raise Invalid, which names the setting."""
    if not keys:
        return ()
    domain = _ascii(domain)
    if not all(map(_LABEL.fullmatch, domain.split("."))) or "." not in domain or domain.rpartition(".")[2].isdigit():
        raise Invalid("settings.dkim_domain", "GROUNDSWELL_DKIM_DOMAIN must be the name of a domain.")
    for selector in selectors:
        if not all(map(_LABEL.fullmatch, selector.split("."))):
            raise Invalid("settings.dkim_selector", "GROUNDSWELL_DKIM_SELECTOR must be a name as in the DNS.")
    return tuple(Signer(domain, selector, read(path)) for path, selector in zip(keys, selectors, strict=True))


def read(path: Path) -> RSAPrivateKey | Ed25519PrivateKey:
    """Return the private key in a file (PEM, without a password); raise Invalid (``settings.dkim_key``)."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise _unusable(path, f"it cannot be read: {error.strerror}") from None
    except TypeError:
        raise _unusable(path, "it is locked with a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _unusable(path, "it holds no private key (PEM)") from None
    if isinstance(key, RSAPrivateKey):
        if key.key_size < SMALLEST:
            raise _unusable(path, f"an RSA key needs at least {SMALLEST} bits")
        return key
    if isinstance(key, Ed25519PrivateKey):
        return key
    raise _unusable(path, "it must be an RSA or an Ed25519 key")


def _unusable(path: Path, why: str) -> Invalid:
    return Invalid("settings.dkim_key", f"GROUNDSWELL_DKIM_KEY names {path}, which is no use: {why}.")


def _ascii(domain: str) -> str:
    try:
        return domain.lower().encode("idna").decode()
    except UnicodeError:
        return domain


def _folded(mark: str, parts: Sequence[str]) -> str:
    """Return parts with marks between them, in lines of a header."""
    lines, line = [], ""
    for part in parts:
        if line and len(line) + len(part) > LINE:
            lines.append(line)
            line = ""
        line += f"{part}{mark}"
    return "\r\n  ".join([*lines, line.removesuffix(mark)])


def relaxed_header(name: str, value: str) -> bytes:
    """Return a header in relaxed canonical form, without its line's end (RFC 6376 §3.4.2)."""
    return f"{name.lower()}:".encode() + _spaced(value.replace("\r\n", "").encode()).strip(b" ")


def relaxed_body(body: bytes) -> bytes:
    """Return a body in relaxed canonical form (RFC 6376 §3.4.4)."""
    spaced = _spaced(body).replace(b" \r\n", b"\r\n").rstrip(b"\r\n")
    return spaced + b"\r\n" if spaced else b""


def _spaced(text: bytes) -> bytes:
    """Return the text with one space for all white space in a row; a pattern takes ten times as long."""
    text = text.replace(b"\t", b" ")
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text
