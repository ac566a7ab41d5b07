"""Personal data: sealed under a key per person, which the master key wraps.

AES-256-GCM; associated data of a sealed value is ``stream|version|field``, of a wrapped key the person's id.
Destroying the wrapped key erases the person: what is sealed can then be opened by nobody.
"""

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NoReturn, Self
from uuid import UUID

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection

from domain.kernel import ERASED, Erased, Sealed, Unavailable
from history import masterkey
from history.database import Database
from history.masterkey import MasterKey, random_bytes
from history.statements import Shape, delete_among, insert_rows, run, select_among, upsert, uuid_of
from history.tables import erasures, person_index, person_keys, store

NONCE: Final = 12
PAGE: Final = 500
MASTER_CHECK: Final = "master-key"
BLIND, CONTENT = "blind index", "command content"
SECRETS: Final = (BLIND, CONTENT)
_BOUND_TO: Final = f"SELECT value FROM store WHERE name = '{MASTER_CHECK}'"  # noqa: S608 - a name
_KEYS: Final = "SELECT person_id, wrapped_key FROM person_keys"


class Persons:
    """The keys of persons, what is sealed under them, and the blind index by which a person is found.

    The keys of the index and of commands' contents are secrets of the store, wrapped like those of persons; so
    another master key changes neither.
    """

    def __init__(self, folder: Path, master: MasterKey, blind_key: bytes, content_key: bytes) -> None:
        self._folder, self._masters = folder, [master]
        # Prepared, because hmac.digest lets other threads in each time, who are slow to come out again.
        self._blind, self._content = (hmac.new(key, digestmod=hashlib.sha256) for key in (blind_key, content_key))

    @classmethod
    def claim(cls, connection: Connection, folder: Path) -> Self:
        """Open the persons of a store with the master key in the folder; a new store is bound to it.

        To be called under the append lock. Raises Unavailable (``keys.…``) where the store's key is not there.
        """
        known = bound_to(connection)
        if known is None:
            master = masterkey.make(folder)
            connection.execute(store.insert().values(name=MASTER_CHECK, value=master.fingerprint))
            for name in SECRETS:
                _keep(connection, master, name, os.urandom(masterkey.KEY))
        else:
            master = masterkey.find(folder, known)
            masterkey.settle(folder, known)
        blind, content = (_secret(connection, master, name) for name in SECRETS)
        return cls(folder, master, blind, content)

    @classmethod
    def without_keys(cls, folder: Path) -> "Persons":
        """Return the persons of a store whose master key is lost: whatever would take a key raises Unavailable."""
        return _Lost(folder, MasterKey(bytes(masterkey.KEY)), b"", b"")

    @property
    def fingerprint(self) -> str:
        """Tells the master key that was in use last from others."""
        return self._masters[0].fingerprint

    # --- keys ---

    def make(self, connection: Connection, persons: Iterable[UUID]) -> dict[UUID, bytes]:
        """Make and record a key for each of the persons; to be called under the append lock."""
        keys = {person: random_bytes(masterkey.KEY) for person in sorted(persons)}
        self.adopt(connection, keys)
        return keys

    def adopt(self, connection: Connection, keys: Mapping[UUID, bytes]) -> None:
        """Record the keys of persons who have none; to be called under the append lock."""
        if keys:
            master = self._current(connection)
            rows = [{"person_id": one, "wrapped_key": master.wrap(key, one.bytes)} for one, key in keys.items()]
            insert_rows(connection, person_keys, rows)

    def _current(self, connection: Connection) -> MasterKey:
        """Return the store's master key: another process may have replaced the one that was in use here."""
        known = bound_to(connection)
        if known is not None and known != self._masters[0].fingerprint:
            self._masters = [masterkey.find(self._folder, known), *self._masters[:1]]
        return self._masters[0]

    def keys(self, connection: Connection, persons: Iterable[UUID]) -> dict[UUID, bytes]:
        """Return the keys of those of the persons who have one."""
        if not (wanted := set(persons)):
            return {}
        rows = select_among(connection, _KEYS, person_keys.c.person_id, wanted)
        found = ((uuid_of(person), bytes(wrapped)) for person, wrapped in rows)
        return {person: self._unwrap(connection, person, wrapped) for person, wrapped in found}

    def _unwrap(self, connection: Connection, person: UUID, wrapped: bytes) -> bytes:
        """Open a person's key; one that was read while the master key was replaced may still be under the last one."""
        for master in self._masters:
            if (key := master.unwrap(wrapped, person.bytes)) is not None:
                return key
        if (key := self._current(connection).unwrap(wrapped, person.bytes)) is not None:
            return key
        raise Unavailable("keys.wrong", "The master key does not open the keys of this store.")

    def rotate(self, database: Database, progress: Callable[[int], object] = lambda _: None) -> int:
        """Wrap everything under a fresh master key, in one transaction; return how many persons have a key.

        The old key is needed no longer, except to read copies of the store that were made before.
        """
        with database.append() as connection:
            old = self._current(connection)
            masterkey.settle(self._folder, old.fingerprint)
            new = masterkey.offer(self._folder)
            for name in SECRETS:
                _keep(connection, new, name, _secret(connection, old, name))
            count = 0
            for part in _pages(connection):
                keys = self.keys(connection, part)
                rows = [(one, new.wrap(key, one.bytes)) for one, key in keys.items()]
                upsert(person_keys, Shape(sets=("wrapped_key",)), connection.dialect).execute(connection, rows)
                count += len(rows)
                progress(count)
            connection.execute(store.update().where(store.c.name == MASTER_CHECK).values(value=new.fingerprint))
        with database.append() as connection:
            masterkey.settle(self._folder, self._current(connection).fingerprint)
        database.scrub((person_keys.name, store.name))
        return count

    # --- what is sealed ---

    def open(self, connection: Connection, sealed: Iterable[Sealed | None]) -> list[str | Erased | None]:
        """Open sealed values in one query; a value whose key is destroyed comes as ERASED."""
        boxes = list(sealed)
        keys = self.keys(connection, (box.person for box in boxes if box is not None))
        return [None if box is None else open_box(box, keys) for box in boxes]

    def keyed(self, digest: bytes) -> bytes:
        """Return the HMAC of a digest, so that it does not give away what was digested."""
        mac = self._content.copy()
        mac.update(digest)
        return mac.digest()

    def blind(self, value: str) -> bytes:
        """Return the blind index entry of a findable value."""
        mac = self._blind.copy()
        mac.update(value.casefold().encode())
        return mac.digest()

    def find(self, connection: Connection, value: str) -> list[UUID]:
        """Return the persons who gave exactly this findable value (an e-mail address)."""
        query = sa.select(person_index.c.person_id).where(person_index.c.blind == self.blind(value))
        return list(connection.scalars(query.order_by(person_index.c.person_id)))

    def whose(self, connection: Connection, values: Iterable[str]) -> dict[str, set[UUID]]:
        """Return for each of the findable values that somebody gave all persons who did."""
        blinds = {self.blind(value): value for value in values}
        rows = select_among(connection, "SELECT blind, person_id FROM person_index", person_index.c.blind, blinds)
        persons: dict[str, set[UUID]] = {}
        for blind, person in rows:
            persons.setdefault(blinds[bytes(blind)], set()).add(uuid_of(person))
        return persons

    def index(self, connection: Connection, values: Mapping[UUID, str | None], new: Container[UUID] = ()) -> None:
        """Make each person findable by the value, and by no earlier one, which those who are new do not have."""
        if known := [person for person in values if person not in new]:
            delete_among(connection, person_index, person_index.c.person_id, known)
        rows = [{"blind": self.blind(value), "person_id": person} for person, value in values.items() if value]
        if rows:
            insert_rows(connection, person_index, rows)

    def forget(self, connection: Connection, persons: Mapping[UUID, int]) -> None:
        """Destroy the keys of persons and what makes them findable; the numbers are the positions of their erasures."""
        rows = []
        for person, position in sorted(persons.items()):
            keys = connection.execute(person_keys.delete().where(person_keys.c.person_id == person)).rowcount
            entries = connection.execute(person_index.delete().where(person_index.c.person_id == person)).rowcount
            destroyed = json.dumps({"keys": keys, "index_entries": entries})
            rows.append({"person_id": person, "position": position, "destroyed": destroyed})
        connection.execute(erasures.insert(), rows)


class _Lost(Persons):
    """Persons whom nobody can read any more."""

    def _need(self, *_: object) -> NoReturn:
        raise masterkey.missing(self._folder)

    make = adopt = keys = rotate = keyed = blind = _need  # type: ignore[assignment] # it takes anything and returns nothing


def bound_to(connection: Connection) -> str | None:
    """Return the fingerprint of the master key that the store is bound to, None for a new store."""
    row = run(connection, _BOUND_TO).fetchone()
    return row[0] if row else None


def _secret(connection: Connection, master: MasterKey, name: str) -> bytes:
    """Return a secret of the store; raise Unavailable where it does not open.

    A store from before they were kept has those that its first master key gives.
    """
    kept = connection.scalar(sa.select(store.c.value).where(store.c.name == name))
    if kept is None:
        _keep(connection, master, name, master.derived(name))
        return master.derived(name)
    opened = master.unwrap(base64.b64decode(kept), name.encode())
    if opened is None:
        raise Unavailable("keys.wrong", f"The master key does not open the {name} of this store.")
    return opened


def _keep(connection: Connection, master: MasterKey, name: str, secret: bytes) -> None:
    wrapped = base64.b64encode(master.wrap(secret, name.encode())).decode()
    upsert(store, Shape(sets=("value",)), connection.dialect).execute(connection, [(name, wrapped)])


def _pages(connection: Connection) -> Iterator[list[UUID]]:
    """Yield all persons who have a key, page by page in order of id."""
    query = sa.select(person_keys.c.person_id).order_by(person_keys.c.person_id).limit(PAGE)
    page = list(connection.scalars(query))
    while page:
        yield page
        page = list(connection.scalars(query.where(person_keys.c.person_id > page[-1])))


def associated(stream: UUID, version: int, field: str) -> bytes:
    """Return the data that a sealed value is bound to."""
    return f"{stream}|{version}|{field}".encode()


def seal(key: bytes, text: str, bound_to: bytes) -> str:
    """Return base64(nonce ‖ AES-256-GCM ciphertext and tag)."""
    nonce = random_bytes(NONCE)
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
