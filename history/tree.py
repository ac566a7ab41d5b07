"""Merkle tree of the verifiable log, RFC 6962 §2.1 over SHA-256: entries, roots, proofs, and C2SP tlog-tiles.

Nothing here reads a store. Proofs and roots are computed from a reader of hashes, ``read(level, start, count)``, which
returns the hashes of complete subtrees of 256^level leaves; level 0 are leaf hashes. One call never crosses a tile.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, Final, Generic, NamedTuple, TypeVar
from uuid import UUID

import msgspec

FORMAT: Final = 1
TILE: Final = 256
"""Hashes in a full tile: 2^8, the height that tlog-tiles prescribes."""
EMPTY_ROOT: Final = sha256(b"").digest()
MAX_LEVEL: Final = 63

Read = Callable[[int, int, int], Sequence[bytes]]
Span = tuple[int, int]


Id = TypeVar("Id", UUID, str)


class Entry(msgspec.Struct, Generic[Id], forbid_unknown_fields=True):
    """What is hashed of an event; the fields stand in sorted order, so its JSON is canonical.

    Ids are a UUID or its text with hyphens; both are written alike.
    """

    actor: str
    causation: str | None
    command: str | None
    correlation: str | None
    data_sha256: str
    event: Id
    format: int
    occurred_at: str
    position: int
    recorded_at: str
    stream: Id
    topic: str
    version: int


_encode = msgspec.json.Encoder().encode


def entry_bytes(entry: Entry[Any]) -> bytes:
    """Return the exact bytes of an entry: canonical JSON, sorted keys, UTF-8, no white space."""
    return _encode(entry)


# --- hashes and roots -----------------------------------------------------------------------------------------------


def leaf_hash(entry: bytes) -> bytes:
    """Return SHA-256(0x00 ‖ entry), RFC 6962 §2.1."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 ‖ left ‖ right), RFC 6962 §2.1."""
    return sha256(b"\x01" + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes, or over the hashes of equal complete subtrees.

    Pairing neighbours and carrying an odd last one upwards gives the tree of RFC 6962, which splits at powers of two.
    """
    if not hashes:
        return EMPTY_ROOT
    while len(hashes) > 1:
        paired = [sha256(b"\x01" + hashes[i] + hashes[i + 1]).digest() for i in range(0, len(hashes) - 1, 2)]
        if len(hashes) % 2:
            paired.append(hashes[-1])
        hashes = paired
    return hashes[0]


def tree_root(read: Read, size: int) -> bytes:
    """Return the root of the first ``size`` leaves, with reads in proportion to the logarithm of the size."""
    return _span_hash(read, 0, size) if size else EMPTY_ROOT


def _span_hash(read: Read, start: int, end: int) -> bytes:
    width = end - start
    if width & (width - 1) == 0:
        level, rest = divmod(width.bit_length() - 1, 8)
        return root(read(level, start >> 8 * level, 1 << rest))
    middle = start + _split(width)
    return node_hash(_span_hash(read, start, middle), _span_hash(read, middle, end))


def _split(width: int) -> int:
    """Return the largest power of two below the width."""
    return 1 << ((width - 1).bit_length() - 1)


# --- proofs ---------------------------------------------------------------------------------------------------------


def inclusion_proof(read: Read, index: int, size: int) -> list[bytes]:
    """Return the audit path of a leaf (from 0) in the tree of that size, from its sibling upwards (RFC 6962 §2.1.1)."""
    if not 0 <= index < size:
        msg = f"leaf {index} is not in a tree of {size}"
        raise ValueError(msg)
    return [_span_hash(read, *span) for span in _path(index, 0, size)]


def _path(index: int, start: int, end: int) -> list[Span]:
    if end - start == 1:
        return []
    middle = start + _split(end - start)
    if index < middle:
        return [*_path(index, start, middle), (middle, end)]
    return [*_path(index, middle, end), (start, middle)]


def consistency_proof(read: Read, old: int, new: int) -> list[bytes]:
    """Return the proof that the tree of ``new`` leaves begins with that of ``old`` (RFC 6962 §2.1.2)."""
    if not 0 <= old <= new:
        msg = f"a tree of {new} cannot begin with one of {old}"
        raise ValueError(msg)
    return [_span_hash(read, *span) for span in _subproof(old, 0, new, known=True)] if old else []


def _subproof(old: int, start: int, end: int, *, known: bool) -> list[Span]:
    if old == end:
        return [] if known else [(start, end)]
    middle = start + _split(end - start)
    if old <= middle:
        return [*_subproof(old, start, middle, known=known), (middle, end)]
    return [*_subproof(old, middle, end, known=False), (start, middle)]


def includes(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> bool:
    """Tell whether the proof shows the leaf at the index of the tree with the expected root (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and found == expected


def extends(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether the proof shows that the new tree begins with the old one (RFC 9162 §2.1.4.2)."""
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    if not 0 < old < new or not proof:
        return False
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    found_old = found_new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            found_old, found_new = node_hash(sibling, found_old), node_hash(sibling, found_new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found_new = node_hash(found_new, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and found_old == old_root and found_new == new_root


# --- tiles ----------------------------------------------------------------------------------------------------------


class Tile(NamedTuple):
    """A tile by its place; ``level`` is None for a bundle of entries, ``width`` 1 to 256."""

    level: int | None
    number: int
    width: int

    @property
    def path(self) -> str:
        """Its path in C2SP tlog-tiles: ``tile/0/x001/x234/067``, partial ones with ``.p/`` and the width."""
        groups = [f"{self.number % 1000:03d}"]
        rest = self.number // 1000
        while rest:
            groups.insert(0, f"x{rest % 1000:03d}")
            rest //= 1000
        kind = "entries" if self.level is None else str(self.level)
        partial = "" if self.width == TILE else f".p/{self.width}"
        return f"tile/{kind}/{'/'.join(groups)}{partial}"

    @classmethod
    def parse(cls, path: str) -> "Tile | None":
        """Read such a path; None where it is not of that form, to the letter."""
        found = _TILE_PATH.fullmatch(path)
        if not found:
            return None
        kind, groups, width = found.groups()
        number = int(groups.replace("x", "").replace("/", ""))
        tile = cls(None if kind == "entries" else int(kind), number, int(width) if width else TILE)
        possible = 0 < tile.width <= TILE and (tile.level or 0) <= MAX_LEVEL
        return tile if possible and tile.path == path else None


_TILE_PATH: Final = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([0-9]{1,3}))?")


def tiles_of(size: int) -> Iterator[Tile]:
    """Yield all tiles of hashes of a tree of that size, level by level, partial ones last."""
    level, hashes = 0, size
    while hashes:
        full, partial = divmod(hashes, TILE)
        yield from (Tile(level, number, TILE) for number in range(full))
        if partial:
            yield Tile(level, full, partial)
        level, hashes = level + 1, full


class Growth:
    """A tree that grows from its first leaf; it keeps one partial tile of hashes per level and hands out full ones."""

    def __init__(self) -> None:
        self.size = 0
        self.partial: list[list[bytes]] = [[]]

    def add(self, leaves: Iterable[bytes]) -> Iterator[tuple[Tile, Sequence[bytes], bytes]]:
        """Take leaf hashes, and yield each tile that becomes full, with its hashes and its root, lower levels first."""
        edge = self.partial[0]
        for leaf in leaves:
            edge.append(leaf)
            self.size += 1
            if len(edge) == TILE:
                yield from self._close(0)
                edge = self.partial[0]

    def _close(self, level: int) -> Iterator[tuple[Tile, Sequence[bytes], bytes]]:
        hashes = self.partial[level]
        top = root(hashes)
        self.partial[level] = []
        if level + 1 == len(self.partial):
            self.partial.append([])
        yield Tile(level, (self.size >> 8 * (level + 1)) - 1, TILE), hashes, top
        self.partial[level + 1].append(top)
        if len(self.partial[level + 1]) == TILE:
            yield from self._close(level + 1)

    def root(self) -> bytes:
        """Return the root of what was taken so far."""
        found: bytes | None = None
        for hashes in self.partial:
            edge = [*hashes, found] if found is not None else hashes
            found = root(edge) if edge else None
        return EMPTY_ROOT if found is None else found
