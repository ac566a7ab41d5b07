"""The master key: a file in the data directory, outside the database, that wraps the keys of persons.

``master.key`` holds 32 bytes in hex. Until a new key takes its place it stands beside it as ``master.key.next``, and
afterwards the old one as ``master.key.old-…``. Which of the files is the store's key the store says by a fingerprint,
so a crash at any moment leaves a store that opens. ``make``, ``offer`` and ``settle`` need the append lock.
"""

import contextlib
import hashlib
import hmac
import os
import threading
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.kernel import Unavailable

KEY: Final = 32
NAME: Final = "master.key"
NEXT: Final = "master.key.next"
_NONCE: Final = 12
_FETCHED: Final = 4_096


class _Random:
    """Random bytes of the system, fetched for many uses at once: every fetch lets other threads in."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self.forget()
        os.register_at_fork(after_in_child=self.forget)  # what two processes shared would not be random

    def forget(self) -> None:
        self._bytes, self._used = b"", 0

    def take(self, count: int) -> bytes:
        with self._mutex:
            if self._used + count > len(self._bytes):
                self._bytes, self._used = os.urandom(max(count, _FETCHED)), 0
            self._used += count
            return self._bytes[self._used - count : self._used]


random_bytes: Final = _Random().take
"""Return so many random bytes, fit for keys and nonces."""


class MasterKey:
    """One master key; ``fingerprint`` tells it from others and gives nothing of it away."""

    def __init__(self, key: bytes) -> None:
        self._key, self._cipher = key, AESGCM(key)
        self.fingerprint = hashlib.sha256(b"groundswell master key" + key).hexdigest()

    def derived(self, name: str) -> bytes:
        """Return a secret of that name that follows from the key: HMAC-SHA-256."""
        return hmac.digest(self._key, f"groundswell {name}".encode(), "sha256")

    def wrap(self, secret: bytes, bound_to: bytes) -> bytes:
        """Return nonce ‖ AES-256-GCM ciphertext and tag of a secret."""
        nonce = random_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, secret, bound_to)

    def unwrap(self, wrapped: bytes, bound_to: bytes) -> bytes | None:
        """Return the secret, None where another key wrapped it or it was changed."""
        try:
            return self._cipher.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], bound_to)
        except (InvalidTag, ValueError):
            return None


def find(folder: Path, fingerprint: str) -> MasterKey:
    """Return the key that a store is bound to.

    Raises Unavailable: ``keys.missing`` where there is no key, ``keys.wrong`` where there is only another one,
    ``keys.malformed`` and ``keys.unreadable`` where the file is no key or cannot be read.
    """
    path = folder / NAME
    for candidate in (path, *sorted(folder.glob(f"{NAME}.*")), path):  # again, for the next may have taken its place
        key = read(candidate)
        if key is not None and key.fingerprint == fingerprint:
            return key
    if not path.exists():
        raise missing(folder)
    raise Unavailable(
        "keys.wrong",
        f"The master key at {path} is not the one of this store; where it was replaced by another process, "
        "bring the new file here.",
    )


def missing(folder: Path) -> Unavailable:
    """Say that the master key is lost, and what that means."""
    return Unavailable(
        "keys.missing",
        f"The master key of this store is not at {folder / NAME}. Without it nobody's personal data can ever be read "
        "again; bring the file back from its backup. `groundswell verify` and `export` go without it.",
    )


def read(path: Path) -> MasterKey | None:
    """Return the key in a file, None where there is none; raise Unavailable where the file is no key."""
    try:
        key = bytes.fromhex(path.read_text().strip())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from None
    except ValueError:
        key = b""
    if len(key) != KEY:
        raise Unavailable("keys.malformed", f"{path} does not hold a master key (64 hexadecimal digits).")
    return MasterKey(key)


def make(folder: Path) -> MasterKey:
    """Return the key that lies ready for a new store, made where there is none."""
    path = folder / NAME
    if not path.exists():
        _write(path)
    return _need(path)


def offer(folder: Path) -> MasterKey:
    """Make the key that shall take the place of the present one, and write it beside that."""
    path = folder / NEXT
    try:
        path.unlink(missing_ok=True)  # of a rotation that was cut off
    except OSError as error:
        raise _unreadable(path, error) from None
    _write(path)
    return _need(path)


def settle(folder: Path, fingerprint: str) -> None:
    """Let the key that the store is bound to be ``master.key``; the one before is kept as ``master.key.old-…``.

    A key that was offered and never taken, because the rotation was cut off, is removed.
    """
    path, coming = folder / NAME, folder / NEXT
    try:
        if not coming.exists():
            return
        present = read(path)
        if present is not None and present.fingerprint == fingerprint:
            coming.unlink()
        elif _need(coming).fingerprint == fingerprint:
            if present is not None:
                path.replace(folder / f"{NAME}.old-{present.fingerprint[:8]}")
            coming.replace(path)
        _sync(folder)
    except FileNotFoundError:
        pass  # another process has done it
    except OSError as error:
        raise _unreadable(coming, error) from None


def old_keys(folder: Path) -> list[Path]:
    """Return the files of keys that were replaced."""
    return sorted(folder.glob(f"{NAME}.old-*"))


def _need(path: Path) -> MasterKey:
    key = read(path)
    if key is None:
        raise FileNotFoundError(path)
    return key


def _write(path: Path) -> None:
    """Write a fresh key, whole and on disk; a file that is already there stays as it is."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(os.urandom(KEY).hex() + "\n")
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(draft)
        finally:
            draft.unlink(missing_ok=True)
        _sync(path.parent)
    except OSError as error:
        raise _unreadable(path, error) from None


def _sync(folder: Path) -> None:
    """Have the names in a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unreadable(path: Path, error: OSError) -> Unavailable:
    return Unavailable("keys.unreadable", f"The master key {path} cannot be used: {error.strerror}.")
