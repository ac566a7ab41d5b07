"""Signed notes (C2SP signed-note) with Ed25519, and the keys of a log in the data directory.

``signing.key`` (mode 0600) holds the keys that sign, one seed of 32 bytes in hex per line, the newest first; every line
signs. ``verifier.keys`` lists all keys the log ever signed with as ``name+hex8(key id)+base64(0x01 ‖ public key)``, so
that notes of retired keys and of a log restored from an archive can still be checked.
"""

import base64
import binascii
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from domain.kernel import GroundswellError, Unavailable, Unknown

ED25519: Final = b"\x01"
SIGNING: Final = "signing.key"
VERIFIERS: Final = "verifier.keys"
_KEY_ID, _SIGNATURE, _SEED = 4, 64, 32


class NoteInvalid(GroundswellError):
    """A note, a key or a receipt that is not what it should be."""

    def __init__(self, message: str) -> None:
        super().__init__("note.invalid", message)


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name it signs under; its text is the verifier key that people pass on."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """The key id: the first 4 bytes of SHA-256(name ‖ LF ‖ 0x01 ‖ public key)."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:_KEY_ID]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``name+id+key``; raise NoteInvalid where it is not of that form or its id does not fit."""
        name, _, rest = text.strip().partition("+")
        _, _, encoded = rest.partition("+")
        try:
            blob = _unbase64(encoded)
        except NoteInvalid:
            blob = b""
        found = cls(name, blob[1:])
        if len(blob) != 1 + _SEED or str(found) != text.strip() or not is_key_name(name):
            raise NoteInvalid(f"“{text.strip()[:120]}” is not a verifier key (name+id+key).")
        return found

    def verifies(self, signature: bytes, text: str) -> bool:
        """Tell whether the signature over the text was made with this key."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


class SigningKey:
    """A private key with the name it signs under."""

    def __init__(self, name: str, seed: bytes) -> None:
        self.seed = seed
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = VerifierKey(name, self._private.public_key().public_bytes_raw())

    def line(self, text: str) -> str:
        """Return the signature line ``— name base64(key id ‖ signature)`` over the text."""
        signature = self._private.sign(text.encode())
        return f"— {self.verifier.name} {base64.b64encode(self.verifier.id + signature).decode()}\n"


def is_key_name(name: str) -> bool:
    """Tell whether a key may have this name: not empty, no space, no plus, nothing unprintable."""
    return bool(name) and name.isprintable() and "+" not in name and not any(c.isspace() for c in name)


def sign(text: str, keys: Iterable[SigningKey]) -> str:
    """Return the note: the text, a blank line, and a signature line of each key."""
    return text + "\n" + "".join(key.line(text) for key in keys)


def signers(note: str) -> set[bytes]:
    """Return the ids of the keys that claim to have signed; nothing is checked."""
    _, _, lines = note.rpartition("\n\n")
    return {_unbase64(line.rpartition(" ")[2])[:_KEY_ID] for line in lines.splitlines()}


def open_note(note: str, known: Iterable[VerifierKey]) -> str:
    """Return the text of a note that a known key signed.

    Raises NoteInvalid where the note is malformed, no known key signed it, or the signature of a known key is wrong.
    """
    text, blank, lines = note.rpartition("\n\n")
    if not blank or not lines.endswith("\n") or any(ord(c) < 0x20 and c != "\n" for c in note):  # noqa: PLR2004
        raise NoteInvalid("This is not a signed note: a text, a blank line and signature lines.")
    text += "\n"
    keys = {(key.name, key.id): key for key in known}
    signed = False
    for line in lines.removesuffix("\n").split("\n"):
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "—" or not is_key_name(parts[1]):  # noqa: PLR2004 - dash, name, signature
            raise NoteInvalid("A signature line of the note is not of the form “— name signature”.")
        blob = _unbase64(parts[2])
        key = keys.get((parts[1], blob[:_KEY_ID]))
        if key is None:
            continue
        if len(blob) != _KEY_ID + _SIGNATURE or not key.verifies(blob[_KEY_ID:], text):
            raise NoteInvalid(f"The signature of the key {key.name}+{key.id.hex()} is wrong.")
        signed = True
    if not signed:
        raise NoteInvalid("None of the known keys signed this note.")
    return text


def _unbase64(text: str) -> bytes:
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        blob = b""
    if not blob or base64.b64encode(blob).decode() != text:
        raise NoteInvalid(f"“{text[:120]}” is not base64.")
    return blob


# --- the keys of a log ----------------------------------------------------------------------------------------------


class LogKeys:
    """The keys of one log, read from its data directory: ``signing``, newest first, and ``verifiers``, oldest first."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.signing = [SigningKey(name, seed) for seed in _read_seeds(folder / SIGNING)]
        self.verifiers = read_verifiers(folder / VERIFIERS)
        self._remember(key.verifier for key in self.signing)

    def need_signing(self, *, create: bool) -> Sequence[SigningKey]:
        """Return the keys that sign; where there is none make one, or raise Unavailable (``keys.missing``)."""
        if not self.signing:
            if not create:
                raise Unavailable(
                    "keys.missing",
                    f"The signing key of this log is not at {self.folder / SIGNING}. Bring the file back from its "
                    "backup, or go on with a new key by `groundswell keys rotate`.",
                )
            self.rotate()
        return self.signing

    def rotate(self) -> VerifierKey:
        """Make a new key; it and the ones before sign from now on. Returns its verifier key, to be passed on."""
        fresh = SigningKey(self.name, os.urandom(_SEED))
        self._remember([fresh.verifier])
        self._keep([fresh, *self.signing])
        return fresh.verifier

    def retire(self, key_id: str) -> VerifierKey:
        """Destroy a key that signs, named by its id in hex; raise Unknown, or Unavailable if it is the only one."""
        gone = next((key for key in self.signing if key.verifier.id.hex() == key_id.lower()), None)
        if gone is None:
            raise Unknown("keys.unknown", f"No key with the id “{key_id[:80]}” signs for this log.")
        if len(self.signing) == 1:
            raise Unavailable("keys.only_one", "This is the only key that signs; rotate first, then retire it.")
        self._keep([key for key in self.signing if key is not gone])
        return gone.verifier

    def adopt(self, verifiers: Iterable[VerifierKey], seeds: Iterable[bytes] = ()) -> None:
        """Take over the keys of a log that was restored from an archive."""
        self._remember(verifiers)
        known = {key.seed for key in self.signing}
        fresh = [SigningKey(self.name, seed) for seed in seeds if seed not in known]
        if fresh:
            self._remember(key.verifier for key in fresh)
            self._keep([*fresh, *self.signing])

    def _keep(self, signing: list[SigningKey]) -> None:
        _replace(self.folder / SIGNING, "".join(f"{key.seed.hex()}\n" for key in signing), 0o600)
        self.signing = signing

    def _remember(self, verifiers: Iterable[VerifierKey]) -> None:
        fresh = [key for key in dict.fromkeys(verifiers) if key not in self.verifiers]
        if fresh:
            self.verifiers += fresh
            _replace(self.folder / VERIFIERS, "".join(f"{key}\n" for key in self.verifiers), 0o644)


def read_verifiers(path: Path) -> list[VerifierKey]:
    """Read verifier keys, one per line; none where there is no such file. Raises NoteInvalid."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [VerifierKey.parse(line) for line in lines if line.strip()]


def known_verifiers(folder: Path, name: str) -> list[VerifierKey]:
    """Return the verifier keys that a data directory tells of: those listed, and those of the keys that sign there."""
    signing = [SigningKey(name, seed).verifier for seed in _read_seeds(folder / SIGNING)]
    return list(dict.fromkeys([*read_verifiers(folder / VERIFIERS), *signing]))


def _read_seeds(path: Path) -> list[bytes]:
    try:
        seeds = [bytes.fromhex(line) for line in path.read_text(encoding="utf-8").split()]
    except FileNotFoundError:
        return []
    except ValueError:
        seeds = [b""]
    if not seeds or any(len(seed) != _SEED for seed in seeds):
        raise Unavailable("keys.malformed", f"{path} does not hold signing keys (64 hexadecimal digits per line).")
    return seeds


def _replace(path: Path, text: str, mode: int) -> None:
    """Write the file so that after a crash it holds either the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
