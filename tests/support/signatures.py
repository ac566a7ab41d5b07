"""Checks signatures as others do, with dkimpy: the DNS is what it is given."""

import base64
from types import SimpleNamespace
from typing import Final

import dkim
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from notifications.signing import Record


class _VerifyKey:
    """What dkimpy needs of PyNaCl to check Ed25519, which is not among our dependencies."""

    def __init__(self, text: bytes, encoder: object) -> None:
        del encoder
        self._key = Ed25519PublicKey.from_public_bytes(base64.b64decode(text))

    def verify(self, message: bytes, signature: bytes) -> None:
        self._key.verify(signature, message)


_NACL: Final = SimpleNamespace(
    signing=SimpleNamespace(VerifyKey=_VerifyKey),
    encoding=SimpleNamespace(Base64Encoder=None),
    exceptions=SimpleNamespace(BadSignatureError=InvalidSignature, ValueError=ValueError),
)


def verified(message: bytes, *records: Record) -> list[bool]:
    """Tell of each signature of a message, from the top, whether it is good."""
    if not hasattr(dkim, "nacl"):
        dkim.nacl = _NACL
    known = {f"{record.name}.".encode(): record.value.encode() for record in records}
    count = sum(
        line.lower().startswith(b"dkim-signature:") for line in message.partition(b"\r\n\r\n")[0].split(b"\r\n")
    )

    def look_up(name: bytes, timeout: int = 5) -> bytes | None:
        del timeout
        return known.get(name)

    def good(number: int) -> bool:
        try:
            return bool(dkim.DKIM(message).verify(idx=number, dnsfunc=look_up))
        except dkim.ValidationError:  # so it says that the body was changed
            return False

    return [good(number) for number in range(count)]
