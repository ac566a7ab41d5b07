"""Reads an archive and examines it."""

import heapq
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import IO, Final, Self, TypeVar

import msgspec

from domain.kernel import Unavailable
from history.archive import (
    CHECKPOINT,
    CHECKPOINTS,
    DATA,
    EVENTS,
    FORMAT,
    KEYS,
    MANIFEST,
    SUMS,
    CheckpointLine,
    Manifest,
)
from history.notes import VerifierKey
from history.tiles import PAGE, Damaged, Record
from history.tree import FORMAT as ENTRY_FORMAT
from history.tree import TILE, Entry, Tile, entry_bytes
from history.verify import Commitment, Examiner, Progress, Verdict, outside_commitments

_CHUNK: Final = 1 << 20
_HASH: Final = 32
T = TypeVar("T")
ENTRIES: Final = msgspec.json.Decoder(Entry[str])


def unreadable(why: object) -> Unavailable:
    """Say that a file is not an archive of ours, or not a whole one."""
    return Unavailable("archive.unreadable", f"This is not a readable archive: {why}.")


class Archive(AbstractContextManager["Archive"]):
    """An archive that is open for reading.

    Raises Unavailable (``archive.missing``, ``archive.unreadable``) where there is none, later Damaged.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._tar = tarfile.open(path, "r:")  # noqa: SIM115 - closed in __exit__
            members = self._tar.getmembers()
        except FileNotFoundError:
            raise Unavailable("archive.missing", f"There is no archive at {path}.") from None
        except (tarfile.TarError, OSError, ValueError, EOFError) as error:
            raise unreadable(error) from None
        try:
            self._members = {member.name: member for member in members if member.isreg()}
            self.manifest = self._manifest(len(members))
        except BaseException:
            self._tar.close()
            raise

    def _manifest(self, members: int) -> Manifest:
        if len(self._members) != members:
            raise unreadable("it holds a file twice, or something that is no file")
        if MANIFEST not in self._members:
            raise unreadable(f"it has no {MANIFEST}")
        try:
            manifest = msgspec.json.decode(self.content(MANIFEST), type=Manifest)
        except msgspec.MsgspecError as error:
            raise unreadable(error) from None
        if manifest.format != FORMAT:
            raise unreadable(f"this release does not know its format {manifest.format}")
        return manifest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()

    def file(self, name: str) -> IO[bytes]:
        """Open a file of the archive; raise Damaged where it has none of that name."""
        member = self._members.get(name)
        found = self._tar.extractfile(member) if member else None
        if found is None:
            raise Damaged(None, f"{name} is missing from the archive.")
        return found

    def content(self, name: str) -> bytes:
        """Return a small file of the archive."""
        return self.file(name).read()

    def lines(self, name: str, kind: type[T]) -> Iterator[T]:
        """Yield the typed lines of a file."""
        decoder = msgspec.json.Decoder(kind)
        try:
            for line in self.file(name):
                yield decoder.decode(line)
        except (msgspec.MsgspecError, tarfile.TarError) as error:
            raise Damaged(None, f"{name} of the archive cannot be read: {error}.") from None

    def keys(self) -> list[VerifierKey]:
        """Return the verifier keys that the archive brings along."""
        return [VerifierKey.parse(line) for line in self.content(KEYS).decode(errors="replace").splitlines()]

    def commitments(self) -> Iterator[Commitment]:
        """Yield its checkpoints; the last must be the one it was made for."""
        last = None
        for last in self.lines(CHECKPOINTS, CheckpointLine):
            yield Commitment(last.size, unhex(last.root), last.note, "archive")
        same = last is not None and last.note.encode() == self.content(CHECKPOINT)
        if last is None or not same or (last.size, last.root) != (self.manifest.size, self.manifest.root):
            raise Damaged(None, "The newest checkpoint of the archive is not the one its manifest names.")

    def records(self) -> Iterator[Record]:
        """Yield its events, each with the leaf hash of its tile; raise Damaged at a malformed line."""
        leaves = self._leaves()
        for position, line in enumerate(self.file(EVENTS), start=1):
            yield _record(position, line, next(leaves, None))

    def _leaves(self) -> Iterator[bytes]:
        size = self.manifest.size
        for number in range((size + TILE - 1) // TILE):
            tile = Tile(0, number, min(TILE, size - number * TILE))
            hashes = self.content(tile.path)
            yield from (hashes[i : i + _HASH] for i in range(0, len(hashes), _HASH))

    def examiner(
        self,
        known: Sequence[VerifierKey],
        outside: Iterable[Commitment] = (),
        handed: Callable[[Tile, bytes], object] = lambda _tile, _top: None,
    ) -> Examiner:
        """Return the examiner of its events, which compares each full tile and then hands it on with its root."""

        def compare(tile: Tile, hashes: Sequence[bytes], top: bytes) -> None:
            self._need_tile(tile, hashes)
            handed(tile, top)

        commitments = heapq.merge(self.commitments(), outside, key=lambda one: one.size)
        return Examiner(commitments, known, self.manifest.origin, compare)

    def finish(self, examiner: Examiner) -> None:
        """Say that all events were taken; raise Damaged where anything is missing, or a file was changed."""
        examiner.finish()
        for level, hashes in enumerate(examiner.growth.partial):
            if hashes:
                self._need_tile(Tile(level, (examiner.size >> 8 * level) // TILE, len(hashes)), hashes)
        self._check_sums()

    def _need_tile(self, tile: Tile, hashes: Sequence[bytes]) -> None:
        if self.content(tile.path) != b"".join(hashes):
            first = (tile.number * TILE << 8 * (tile.level or 0)) + 1
            raise Damaged(first, f"{tile.path} of the archive does not fit the events from position {first} on.")

    def _check_sums(self) -> None:
        stated = {}
        for line in self.content(SUMS).decode(errors="replace").splitlines():
            digest, _, name = line.partition("  ")
            stated[name] = digest
        if stated.keys() | {SUMS} != self._members.keys():
            odd = sorted((stated.keys() | {SUMS}) ^ self._members.keys())
            raise Damaged(None, f"{odd[0]} is missing from the archive or from its sums.")
        for name, digest in stated.items():
            with self.file(name) as file:
                found = sha256()
                while chunk := file.read(_CHUNK):
                    found.update(chunk)
            if found.hexdigest() != digest:
                raise Damaged(None, f"{name} of the archive was changed: it does not have its sum.")


def unhex(text: str) -> bytes:
    """Read hexadecimal digits; raise Damaged where they are none."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Damaged(None, "A hash in the archive is not hexadecimal.") from None


def _record(position: int, line: bytes, leaf: bytes | None) -> Record:
    left, found, right = line.partition(DATA)
    entry, data = left + b"}", right[:-2]
    if leaf is None:
        raise Damaged(position, f"The tiles of the archive end before position {position}.")
    try:
        read = ENTRIES.decode(entry)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        read = None
    if read is None or not found or not right.endswith(b"}\n") or entry_bytes(read) != entry:
        raise Damaged(position, f"Line {position} of the archive's events is not an entry with its data.")
    if sha256(data).hexdigest() != read.data_sha256 or read.format != ENTRY_FORMAT:
        raise Damaged(position, f"The event at position {position} was changed: its data does not have its hash.")
    return Record(read.position, read.stream, read.version, read.topic, entry, data, leaf)


def verify_archive(
    path: Path,
    *,
    checkpoint: str | None = None,
    keys: Sequence[VerifierKey] = (),
    progress: Progress = lambda _: None,
) -> Verdict:
    """Examine an archive; without ``keys`` those that it brings along are believed, so compare them (``Verdict.keys``).

    ``checkpoint`` is a signed note from outside. Raises Unavailable where the file is no archive, NoteInvalid where the
    outside checkpoint is not one that a trusted key signed.
    """
    with Archive(path) as archive:
        known = list(keys) or archive.keys()
        outside = outside_commitments(checkpoint, known, archive.manifest.origin)
        examiner = archive.examiner(known, outside)
        try:
            events, before = archive.records(), -1
            while examiner.size > before:
                before = examiner.size
                examiner.take(islice(events, PAGE))
                progress(examiner.size)
            archive.finish(examiner)
        except Damaged as damage:
            return examiner.verdict(damage)
        return examiner.verdict(None)
