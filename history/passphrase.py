"""Secrets under a passphrase: scrypt (RFC 7914) makes the key, AES-256-GCM seals one line after the other.

The first line is JSON with the parameters. Each further line is base64 of one sealed JSON value; its nonce is its
number, its associated data the first line and whether it is the last: no line can be changed, moved or left out.
"""

import base64
import binascii
import os
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from domain.kernel import Unavailable

_COST: Final = 2**17
_MOST_COST: Final = 2**20


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    kdf: str
    n: int
    p: int
    r: int
    salt: str


def seal_lines(passphrase: str, values: Iterable[object]) -> Iterator[bytes]:
    """Yield the lines of a sealed file; raise Unavailable (``archive.no_passphrase``) where the passphrase is empty."""
    if not passphrase:
        raise Unavailable("archive.no_passphrase", "Give a passphrase that is not empty.")
    header = _Header(1, "scrypt", _COST, 1, 8, os.urandom(16).hex())
    first = msgspec.json.encode(header) + b"\n"
    cipher = _cipher(passphrase, header)
    yield first
    number, waiting, some = 0, None, False
    for value in values:
        if some:
            yield _seal(cipher, number, waiting, first, last=False)
            number += 1
        waiting, some = value, True
    yield _seal(cipher, number, waiting, first, last=True)


def open_lines(passphrase: str, lines: Iterable[bytes]) -> Iterator[Any]:
    """Yield the values of a sealed file.

    Raises Unavailable: ``archive.wrong_passphrase``, also where the file was changed; ``archive.unreadable``.
    """
    source = iter(lines)
    first = next(source, b"")
    try:
        header = msgspec.json.decode(first, type=_Header)
        cipher = _cipher(passphrase, header)
        line, number = next(source, b""), 0
        while line:
            following = next(source, b"")
            box = base64.b64decode(line.removesuffix(b"\n"), validate=True)
            opened = cipher.decrypt(number.to_bytes(12), box, _bound(first, last=not following))
            yield msgspec.json.decode(opened)
            line, number = following, number + 1
    except InvalidTag:
        raise Unavailable(
            "archive.wrong_passphrase", "The passphrase does not open the keys of this archive, or they were changed."
        ) from None
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        raise Unavailable("archive.unreadable", "The sealed keys of this archive are not of their form.") from None
    if number == 0:
        raise Unavailable("archive.unreadable", "The sealed keys of this archive are not of their form.")


def _cipher(passphrase: str, header: _Header) -> AESGCM:
    if header.kdf != "scrypt" or not 1 < header.n <= _MOST_COST or (header.r, header.p) != (8, 1):
        raise ValueError(header.kdf)
    kdf = Scrypt(salt=bytes.fromhex(header.salt), length=32, n=header.n, r=header.r, p=header.p)
    return AESGCM(kdf.derive(passphrase.encode()))


def _bound(first: bytes, *, last: bool) -> bytes:
    return first + (b"last" if last else b"more")


def _seal(cipher: AESGCM, number: int, value: object, first: bytes, *, last: bool) -> bytes:
    box = cipher.encrypt(number.to_bytes(12), msgspec.json.encode(value), _bound(first, last=last))
    return base64.b64encode(box) + b"\n"
