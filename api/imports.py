"""Importing files of commands: line by line, in batches, with what was refused written beside the file."""

import gzip
import io
import json
import signal
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, BinaryIO, Final, Self, cast

from domain.kernel import Actor, GroundswellError, Invalid, Refusal, Unavailable
from history.answers import Answer
from history.envelope import Catalogue, Request

BATCH: Final = 500
LONGEST_LINE: Final = 1 << 20
STDIN: Final = "-"
CLI: Final = Actor("system", "cli")
_GZIP: Final = b"\x1f\x8b"

Write = Callable[[Sequence[Request]], list[Answer]]
Progress = Callable[[int], Any]


@dataclass
class Summary:
    """How many lines there were and what became of them; the positions are those of the accepted ones."""

    lines: int = 0
    accepted: int = 0
    repeated: int = 0
    rejected: int = 0
    first_position: int | None = None
    last_position: int | None = None

    def take(self, answer: Answer) -> None:
        """Count one line's answer."""
        self.lines += 1
        setattr(self, answer.status, getattr(self, answer.status) + 1)
        if answer.status == "accepted" and answer.positions:
            first = self.first_position
            self.first_position = answer.positions[0] if first is None else min(first, answer.positions[0])
            self.last_position = max(self.last_position or 0, answer.positions[-1])

    def add(self, other: "Summary") -> None:
        """Count what another summary counted."""
        for name in ("lines", "accepted", "repeated", "rejected"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        firsts = [p for p in (self.first_position, other.first_position) if p is not None]
        lasts = [p for p in (self.last_position, other.last_position) if p is not None]
        self.first_position, self.last_position = min(firsts, default=None), max(lasts, default=None)

    def as_json(self) -> dict[str, Any]:
        """Return the summary as interfaces.md gives it."""
        return asdict(self)


# --- being stopped ---


class Interrupted(Exception):
    """The program is asked to stop while it waits for input."""


class Interruption:
    """Takes SIGTERM and SIGINT: stops waiting for input at once, but lets a batch that is being written finish."""

    def __init__(self) -> None:
        self.requested = False
        self.waiting = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._asked)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _asked(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        if self.waiting:
            self.waiting = False
            raise Interrupted


# --- what is read ---


class Source:
    """One file of commands, or the standard input (``-``); gzip is recognised by its first bytes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = None if name == STDIN else Path(name)
        self._raw: BinaryIO | None = None

    @property
    def label(self) -> str:
        """What to call it."""
        return "standard input" if self.path is None else self.path.name

    @property
    def size(self) -> int | None:
        """Its length in bytes where it is known."""
        return self.path.stat().st_size if self.path and self.path.is_file() else None

    @property
    def rejects(self) -> Path:
        """Where its refused lines go."""
        return Path("stdin.rejected.jsonl") if self.path is None else Path(f"{self.path}.rejected.jsonl")

    def check(self) -> None:
        """Raise Invalid where it cannot be read at all."""
        if self.path is None:
            return
        if not self.path.exists():
            raise Invalid("import.missing", f"There is no file {self.path}.")
        if self.path.is_dir():
            raise Invalid("import.directory", f"{self.path} is a directory; name the files in it.")
        try:
            self.path.open("rb").close()
        except OSError as error:
            raise Invalid("import.unreadable", f"{self.path} cannot be read: {error.strerror}.") from None

    def read(self) -> int:
        """Return how many bytes of it were read (before unpacking)."""
        try:
            return self._raw.tell() if self._raw else 0
        except (OSError, ValueError):
            return 0

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Give its unpacked bytes."""
        with ExitStack() as stack:
            raw: BinaryIO = sys.stdin.buffer if self.path is None else stack.enter_context(self.path.open("rb"))
            self._raw = raw
            # Only what stands in for standard input is wrapped: a second buffer would wait until it is full.
            buffered = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", raw))
            packed = buffered.peek(2)[:2] == _GZIP
            if not packed and self.name.endswith(".gz") and buffered.peek(1):
                raise Invalid("import.not_gzip", f"{self.label} is not a gzip file.")
            yield io.BufferedReader(gzip.GzipFile(fileobj=buffered)) if packed else buffered

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield (line number, line without its end) of every line that is not blank.

        Of a line beyond the longest allowed only as much comes as shows that it is. Raises Invalid where the file
        turns out to be damaged.
        """
        with self.open() as stream:
            number = 0
            try:
                while line := stream.readline(LONGEST_LINE + 1):
                    number += 1
                    whole = line.endswith(b"\n") or len(line) <= LONGEST_LINE
                    while not whole:
                        rest = stream.readline(LONGEST_LINE)
                        whole = not rest or rest.endswith(b"\n")
                    line = line.removesuffix(b"\n").removesuffix(b"\r")
                    if line.strip():
                        yield number, line
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                why = "ends too early" if isinstance(error, EOFError) else "is damaged"
                raise Invalid("import.truncated", f"The gzip file {self.label} {why} after line {number}.") from None
            except OSError as error:
                said = error.strerror or type(error).__name__
                raise Invalid(
                    "import.unreadable", f"{self.label} cannot be read after line {number}: {said}."
                ) from None


class Rejects:
    """The file of refused lines: made with the first one, replacing or removing what an earlier run left."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = 0
        self._file: io.TextIOWrapper | None = None

    def write(self, number: int, line: bytes, answer: Answer) -> None:
        """Write one refused line."""
        error = answer.error
        said = {
            "line": number,
            "id": answer.id,
            "code": error.code if error else None,
            "message": error.message if error else None,
            "text": line.decode(errors="replace"),
        }
        if self._file is None:
            self._file = self._open()
        self._file.write(json.dumps(said, ensure_ascii=False) + "\n")
        self.written += 1

    def _open(self) -> io.TextIOWrapper:
        try:
            return self.path.open("w", encoding="utf-8")
        except OSError:
            self.path = Path(self.path.name)  # beside the file nothing may be written: here, then
        try:
            return self.path.open("w", encoding="utf-8")
        except OSError as error:
            raise Invalid("import.rejects", f"The file {self.path} cannot be written: {error.strerror}.") from None

    def close(self) -> None:
        """Finish the file."""
        if self._file is not None:
            self._file.close()
        elif self.path.is_file():
            self.path.unlink(missing_ok=True)


# --- what is done ---


class Import:
    """Runs files of commands through ``write``; ``summary`` holds what was acknowledged, whatever ends the run."""

    def __init__(self, write: Write, catalogue: Catalogue, interruption: Interruption) -> None:
        self._write, self._catalogue, self._interruption = write, catalogue, interruption
        self.summary = Summary()

    @property
    def interrupted(self) -> bool:
        """Whether somebody asked to stop."""
        return self._interruption.requested

    def run(self, source: Source, progress: Progress = lambda _read: None) -> tuple[Summary, Rejects]:
        """Import one file; raise Unavailable where the store, Invalid where the file cannot go on."""
        mine, rejects = Summary(), Rejects(source.rejects)
        lines = source.lines()
        broken: GroundswellError | None = None
        try:
            while not self._interruption.requested and broken is None:
                batch, broken, more = self._batch(lines)
                self._take(batch, mine, rejects)
                progress(source.read())
                if not more:
                    break
        finally:
            rejects.close()
            self.summary.add(mine)
        if broken is not None:
            raise broken
        return mine, rejects

    def _batch(
        self, lines: Iterator[tuple[int, bytes]]
    ) -> tuple[list[tuple[int, bytes, Request | Answer]], GroundswellError | None, bool]:
        """Return (the lines that come next as requests or refusals, what is wrong with the file, if more may come)."""
        batch: list[tuple[int, bytes, Request | Answer]] = []
        self._interruption.waiting = True
        try:
            for number, line in lines:
                batch.append((number, line, self.read(line)))
                if len(batch) == BATCH:
                    return batch, None, True
        except Interrupted:
            return batch, None, False
        except Refusal as error:
            return batch, error, False
        finally:
            self._interruption.waiting = False
        return batch, None, False

    def read(self, line: bytes) -> Request | Answer:
        """Return a line's request, or the answer that refuses it."""
        identity = None
        try:
            if len(line) > LONGEST_LINE:
                raise Invalid("command.too_large", f"The line is longer than {LONGEST_LINE:,} bytes.")
            envelope = self._catalogue.open(line)
            identity = envelope.id
            request = self._catalogue.request(envelope, CLI)
        except Refusal as refusal:
            return Answer(identity or _claimed_id(line), "rejected", error=refusal)
        request.refusal_stays = True
        return request

    def _take(self, batch: list[tuple[int, bytes, Request | Answer]], mine: Summary, rejects: Rejects) -> None:
        answers = iter(self._write([one for _, _, one in batch if isinstance(one, Request)]))
        for number, line, one in batch:
            answer = next(answers) if isinstance(one, Request) else one
            mine.take(answer)
            if answer.status == "rejected":
                rejects.write(number, line, answer)


def _claimed_id(line: bytes) -> str | None:
    """Return the id of a line that is no good envelope, if it has one."""
    try:
        found = json.loads(line[:LONGEST_LINE])
    except (ValueError, RecursionError):
        return None
    claimed = found.get("id") if isinstance(found, dict) else None
    return claimed if isinstance(claimed, str) else None


def can_be_run_again(error: Unavailable, summary: Summary) -> Unavailable:
    """Say with an error what was acknowledged before it, and that nothing is lost."""
    done = summary.accepted + summary.repeated
    hint = f"The {done:,} lines before are recorded and stay; run the same import again to go on." if done else ""
    return Unavailable(error.code, f"{error.message} {hint}".strip())
