"""Entries and leaf hashes of the verifiable log: SHA-256 Merkle tree of RFC 6962 §2.1."""

import hashlib
from uuid import UUID

import msgspec

FORMAT = 1


class Entry(msgspec.Struct):
    """What is hashed of an event; the fields stand in sorted order, so its JSON is canonical."""

    actor: str
    causation: str | None
    command: str | None
    correlation: str | None
    data_sha256: str
    event: UUID
    format: int
    occurred_at: str
    position: int
    recorded_at: str
    stream: UUID
    topic: str
    version: int


_encode = msgspec.json.Encoder().encode


def entry_bytes(entry: Entry) -> bytes:
    """Return the exact bytes of an entry: canonical JSON, sorted keys, UTF-8, no white space."""
    return _encode(entry)


def leaf_hash(entry: bytes) -> bytes:
    """Return SHA-256(0x00 ‖ entry), RFC 6962 §2.1."""
    return hashlib.sha256(b"\x00" + entry).digest()
