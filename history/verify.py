"""Checks a history against its hashes, its tree and its checkpoints, and names the first position that is bad."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.kernel import Unavailable
from history.checkpoints import open_checkpoint, origin_of
from history.database import Database
from history.notes import NoteInvalid, VerifierKey, known_verifiers
from history.recorder import last_position
from history.tables import checkpoints, subtrees
from history.tiles import PAGE, Damaged, Record, own_leaf, records
from history.tree import Growth, Tile

Progress = Callable[[int], object]
Handed = Callable[[Tile, Sequence[bytes], bytes], None]

OWN: Final = "the store"
OUTSIDE: Final = "the auditor"
_CHECKPOINTS: Final = 1_000
_BEFORE_ALL: Final = -(1 << 62)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the examination found: up to where history is sound, and the first bad position with the reason.

    ``first_bad`` is None while ``why`` is set where something is wrong that concerns no single position.
    """

    size: int
    root: bytes
    checkpoints: int
    keys: tuple[str, ...]
    first_bad: int | None = None
    why: str | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return self.why is None


class Commitment(NamedTuple):
    """A size with the root it must have; ``note`` its signed form where it was signed, ``source`` whose it is."""

    size: int
    root: bytes
    note: str | None
    source: str


class Examiner:
    """Takes events in order, and raises Damaged at the first that is not as it was.

    Checked are: dense positions, dense versions of each stream, leaf hashes, and the root and signature of every
    commitment (in order of size). ``handed`` is called with each full tile of the tree.
    """

    def __init__(
        self,
        commitments: Iterable[Commitment],
        known: Sequence[VerifierKey],
        origin: str | None,
        handed: Handed = lambda _tile, _hashes, _top: None,
    ) -> None:
        self.growth = Growth()
        self.checked = 0
        self.origin, self.known = origin, known
        self._commitments = iter(commitments)
        self._next = next(self._commitments, None)
        self.handed = handed
        self._versions: dict[str, int] = {}
        self._proven: dict[str, int] = {}

    @property
    def size(self) -> int:
        """How many events were taken and found right."""
        return self.growth.size

    def take(self, page: Iterable[Record]) -> None:
        """Examine the events that follow; what was right before a bad one counts, and may show an earlier fault."""
        leaves: list[bytes] = []
        try:
            position, versions = self.size, self._versions
            for record in page:
                position += 1
                if record.position != position:
                    raise Damaged(position, _out_of_order(position, record.position))
                version = versions.get(record.stream, 0) + 1
                if record.version != version:
                    why = f"The event at position {position} has version {record.version} of its stream, not {version}."
                    raise Damaged(position, why)
                leaves.append(own_leaf(record))
                versions[record.stream] = version
        finally:
            self._grow(leaves)

    def finish(self) -> None:
        """Say that nothing follows; a commitment to more than there is shows that the end was cut off."""
        self._grow([])
        if self._next is not None:
            signed = self._next.size
            why = f"The end is cut off: history ends at position {self.size}, a checkpoint was made of {signed}."
            raise Damaged(self.size + 1, why)

    def _grow(self, leaves: list[bytes]) -> None:
        taken = 0
        while self._next is not None and self._next.size <= self.size + len(leaves) - taken:
            if self._next.size < self.size:
                raise Damaged(None, f"The checkpoint at {self._next.size} stands behind a larger one.")
            until = taken + self._next.size - self.size
            self._add(leaves[taken:until])
            taken = until
            self._compare(self._next)
            self._next = next(self._commitments, None)
        self._add(leaves[taken:] if taken else leaves)

    def _add(self, leaves: list[bytes]) -> None:
        for tile, hashes, top in self.growth.add(leaves):
            self.handed(tile, hashes, top)

    def _compare(self, stated: Commitment) -> None:
        size, root = stated.size, self.growth.root()
        trouble, signed = None, None
        if stated.note is not None:
            try:
                signed = open_checkpoint(stated.note, self.known, self.origin)
            except NoteInvalid as error:
                trouble = error.message
        first = self._proven.get(stated.source, 0) + 1
        if stated.root != root or (signed is not None and signed.size == size and signed.root != root):
            raise Damaged(min(first, max(size, 1)), _rewritten(first, size))
        if signed is not None and signed.size != size:
            trouble = f"Its note is one of {signed.size} positions."
        if trouble is not None:
            raise Damaged(max(size, 1), f"The checkpoint at position {size} is not valid. {trouble}")
        self._proven[stated.source] = size
        self.checked += 1

    def verdict(self, damage: Damaged | None) -> Verdict:
        """Return the verdict, with the damage that ended the examination."""
        keys = tuple(map(str, self.known))
        first, why = (damage.position, damage.message) if damage else (None, None)
        return Verdict(self.size, self.growth.root(), self.checked, keys, first, why)


def _out_of_order(position: int, found: int) -> str:
    if found > position:
        return f"The event at position {position} is missing; position {found} follows."
    return f"At position {position} stands an event of position {found}."


def _rewritten(first: int, last: int) -> str:
    which = f"The event at position {last}" if first >= last else f"Of the positions {first} to {last} one"
    return f"{which} was rewritten with its hash: the checkpoint at {last} has another root."


# --- a store --------------------------------------------------------------------------------------------------------


def verify_store(
    database: Database,
    data_dir: Path,
    *,
    checkpoint: str | None = None,
    keys: Sequence[VerifierKey] = (),
    progress: Progress = lambda _: None,
) -> Verdict:
    """Examine the whole history of a store.

    ``checkpoint`` is a signed note from outside, which shows a rewritten or shortened history even where the store's
    own checkpoints were rewritten too; ``keys`` are verifier keys to trust instead of those in the data directory.
    Raises NoteInvalid where the outside checkpoint is not one that a trusted key signed.
    """
    with database.read() as connection:
        head = last_position(connection)
        newest = connection.scalar(sa.select(sa.func.max(checkpoints.c.size)))
        origin = origin_of(connection)
    known = list(keys) or known_verifiers(data_dir, origin or "")
    outside = outside_commitments(checkpoint, known, origin)
    own = _own_commitments(database, -1 if newest is None else newest)
    examiner = Examiner(heapq.merge(own, outside, key=lambda one: one.size), known, origin)
    try:
        before, limit = -1, PAGE
        while before < examiner.size < head:
            before = examiner.size
            try:
                with database.read() as connection:
                    examiner.handed = _subtrees_checked(connection, newest or 0)
                    examiner.take(records(connection, before or _BEFORE_ALL, head, limit))
            except Unavailable as error:
                if error.code != "store.damaged" or limit == 1:
                    raise
                before, limit = -1, 1  # one by one, to find the first event that cannot be read
            progress(examiner.size)
        examiner.finish()
        with database.read() as connection:
            _need_no_more_subtrees(connection, last_position(connection))
    except Damaged as damage:
        return examiner.verdict(damage)
    except Unavailable as error:
        if error.code != "store.damaged":
            raise
        why = f"The event at position {examiner.size + 1} cannot be read. {error.message}"
        return examiner.verdict(Damaged(examiner.size + 1, why))
    return examiner.verdict(None)


def outside_commitments(note: str | None, known: Sequence[VerifierKey], origin: str | None) -> list[Commitment]:
    """Return the commitment of a checkpoint that somebody kept outside; raise NoteInvalid."""
    if note is None:
        return []
    found = open_checkpoint(note, known, origin)
    return [Commitment(found.size, found.root, note, OUTSIDE)]


def _own_commitments(database: Database, newest: int) -> Iterator[Commitment]:
    after = -1
    while True:
        query = sa.select(checkpoints.c.size, checkpoints.c.root, checkpoints.c.note).where(
            checkpoints.c.size > after, checkpoints.c.size <= newest
        )
        with database.read() as connection:
            rows = connection.execute(query.order_by(checkpoints.c.size).limit(_CHECKPOINTS)).all()
        if not rows:
            return
        yield from (Commitment(row.size, row.root, row.note, OWN) for row in rows)
        after = rows[-1].size


def _subtrees_checked(connection: Connection, grown: int) -> Handed:
    def check(tile: Tile, _hashes: Sequence[bytes], top: bytes) -> None:
        level = (tile.level or 0) + 1
        stored = connection.scalar(
            sa.select(subtrees.c.hash).where(subtrees.c.level == level, subtrees.c.number == tile.number)
        )
        end = (tile.number + 1) << 8 * level
        if stored == top or (stored is None and grown < end):
            return
        first = (tile.number << 8 * level) + 1
        raise Damaged(first, f"The tree has another hash for the positions {first} to {end} than these events.")

    return check


def _need_no_more_subtrees(connection: Connection, size: int) -> None:
    newest = sa.select(subtrees.c.level, sa.func.max(subtrees.c.number)).group_by(subtrees.c.level)
    for level, number in connection.execute(newest):
        if (number + 1) << 8 * level > size:
            raise Damaged(size + 1, f"The tree has hashes of positions after {size}, where history ends.")
