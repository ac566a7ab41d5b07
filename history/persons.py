"""Personal data: sealed under a key per person, which a master key outside the database wraps.

AES-256-GCM; associated data of a sealed value is ``stream|version|field``, of a wrapped key the person's id.
Destroying the wrapped key erases the person: what is sealed can then be opened by nobody.
"""

import base64
import contextlib
import hashlib
import hmac
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from uuid import UUID

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection

from domain.kernel import ERASED, Erased, Sealed, Unavailable
from history.tables import person_index, person_keys, store

NONCE = 12
KEY = 32
IDS_PER_QUERY = 500
MASTER_CHECK = "master-key"


def read_master_key(folder: Path, *, create: bool) -> bytes:
    """Return the master key in ``master.key`` of the data directory, made there if it may be created.

    Raises Unavailable: ``keys.missing`` where there is none, ``keys.malformed`` where it is not 32 bytes in hex,
    ``keys.unreadable`` where the file or the directory cannot be used.
    """
    path = folder / "master.key"
    try:
        if create and not path.exists():
            _make_master_key(path)
        key = bytes.fromhex(path.read_text().strip())
    except FileNotFoundError:
        raise Unavailable(
            "keys.missing",
            f"The master key of this store is not at {path}. Without it nobody's personal data can be read; "
            "bring the file back from its backup.",
        ) from None
    except OSError as error:
        raise Unavailable("keys.unreadable", f"The master key {path} cannot be used: {error.strerror}.") from None
    except ValueError:
        key = b""
    if len(key) != KEY:
        raise Unavailable("keys.malformed", f"{path} does not hold a master key (64 hexadecimal digits).")
    return key


def _make_master_key(path: Path) -> None:
    """Make the file at once with its content: of two processes that start together, one makes it and both read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(os.urandom(KEY).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()


class Persons:
    """The keys of persons, what is sealed under them, and the blind index by which a person is found."""

    def __init__(self, master_key: bytes) -> None:
        self._master = AESGCM(master_key)
        self._content_key = hmac.digest(master_key, b"groundswell command content", "sha256")
        self._blind_key = hmac.digest(master_key, b"groundswell blind index", "sha256")
        self.fingerprint = hashlib.sha256(b"groundswell master key" + master_key).hexdigest()

    @staticmethod
    def claimed(connection: Connection) -> bool:
        """Tell whether the store is bound to a master key."""
        return connection.scalar(sa.select(store.c.value).where(store.c.name == MASTER_CHECK)) is not None

    def claim(self, connection: Connection) -> None:
        """Bind the store to this master key, or raise Unavailable (``keys.wrong``) where it has another one."""
        known = connection.scalar(sa.select(store.c.value).where(store.c.name == MASTER_CHECK))
        if known is None:
            connection.execute(store.insert().values(name=MASTER_CHECK, value=self.fingerprint))
        elif known != self.fingerprint:
            raise Unavailable("keys.wrong", "The master key in the data directory is not the one of this store.")

    def new_key(self, person: UUID) -> tuple[bytes, bytes]:
        """Return (a fresh key for the person, the same wrapped under the master key)."""
        key = os.urandom(KEY)
        return key, self.wrap(person, key)

    def wrap(self, person: UUID, key: bytes) -> bytes:
        """Return the person's key wrapped under the master key."""
        nonce = os.urandom(NONCE)
        return nonce + self._master.encrypt(nonce, key, person.bytes)

    def keys(self, connection: Connection, persons: Iterable[UUID]) -> dict[UUID, bytes]:
        """Return the keys of those of the persons who have one."""
        found: dict[UUID, bytes] = {}
        for part in _parts(sorted(set(persons))):
            query = sa.select(person_keys).where(person_keys.c.person_id.in_(part))
            for person, wrapped in connection.execute(query):
                found[person] = self._unwrap(person, wrapped)
        return found

    def _unwrap(self, person: UUID, wrapped: bytes) -> bytes:
        try:
            return self._master.decrypt(wrapped[:NONCE], wrapped[NONCE:], person.bytes)
        except InvalidTag:
            raise Unavailable("keys.wrong", "The master key does not open the keys of this store.") from None

    def open(self, connection: Connection, sealed: Iterable[Sealed | None]) -> list[str | Erased | None]:
        """Open sealed values in one query; a value whose key is destroyed comes as ERASED."""
        boxes = list(sealed)
        keys = self.keys(connection, (box.person for box in boxes if box is not None))
        return [None if box is None else open_box(box, keys) for box in boxes]

    def keyed(self, digest: bytes) -> bytes:
        """Return the HMAC of a digest, so that it does not give away what was digested."""
        return hmac.digest(self._content_key, digest, "sha256")

    def blind(self, value: str) -> bytes:
        """Return the blind index entry of a findable value."""
        return hmac.digest(self._blind_key, value.casefold().encode(), "sha256")

    def find(self, connection: Connection, value: str) -> list[UUID]:
        """Return the persons who gave exactly this findable value (an e-mail address)."""
        query = sa.select(person_index.c.person_id).where(person_index.c.blind == self.blind(value))
        return list(connection.scalars(query.order_by(person_index.c.person_id)))

    def index(self, connection: Connection, values: Mapping[UUID, str | None]) -> None:
        """Make each person findable by the value, and by no earlier one."""
        if not values:
            return
        for part in _parts(sorted(values)):
            connection.execute(person_index.delete().where(person_index.c.person_id.in_(part)))
        rows = [{"blind": self.blind(value), "person_id": person} for person, value in values.items() if value]
        if rows:
            connection.execute(person_index.insert(), rows)

    def forget(self, connection: Connection, persons: Iterable[UUID]) -> None:
        """Destroy the keys of the persons and what makes them findable."""
        for part in _parts(sorted(persons)):
            connection.execute(person_keys.delete().where(person_keys.c.person_id.in_(part)))
            connection.execute(person_index.delete().where(person_index.c.person_id.in_(part)))


def _parts(persons: list[UUID]) -> Iterator[list[UUID]]:
    for start in range(0, len(persons), IDS_PER_QUERY):
        yield persons[start : start + IDS_PER_QUERY]


def associated(stream: UUID, version: int, field: str) -> bytes:
    """Return the data that a sealed value is bound to."""
    return f"{stream}|{version}|{field}".encode()


def seal(key: bytes, text: str, bound_to: bytes) -> str:
    """Return base64(nonce ‖ AES-256-GCM ciphertext and tag)."""
    nonce = os.urandom(NONCE)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, text.encode(), bound_to)).decode()


def open_box(sealed: Sealed, keys: Mapping[UUID, bytes]) -> str | Erased:
    """Return the text, or ERASED where the person's key is not among the keys."""
    key = keys.get(sealed.person)
    if key is None:
        return ERASED
    box = base64.b64decode(sealed.box)
    try:
        return (
            AESGCM(key)
            .decrypt(box[:NONCE], box[NONCE:], associated(sealed.stream, sealed.version, sealed.field))
            .decode()
        )
    except InvalidTag:
        return ERASED
