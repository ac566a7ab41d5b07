"""Building read models in several processes at once: one for each core, each with a share of them.

Folds of different read models have nothing to do with each other, so each process reads the log for itself. A process
whose parent died ends at once.
"""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Final

from domain.kernel import Aggregate, Unavailable
from history.database import Database
from history.mapper import Mapper
from history.reading import SealedLog
from projections.drafts import Draft
from projections.loading import load
from projections.projection import Projection

MANY: Final = 20_000
"""So many events are worth starting processes for, which takes each some half a second."""

NICE: Final = 5
"""The parent has the heaviest read model, and most to do at the end: the others leave it the processor."""

FOLDING: Final = "rebuilding"
WRITING: Final = "writing"
DONE: Final = "done"
FAILED: Final = "failed"

Progress = Callable[[str, int], Any]
Part = tuple[type[Projection], int]


class FoldFailed(Exception):
    """A fold failed in another process; what it raised there stands in the message."""


def shares(models: Sequence[Projection], events: int) -> list[list[Projection]]:
    """Share read models out, to as many processes as there are cores where there is much to fold, by their weight."""
    count = min(os.cpu_count() or 1, len(models)) if events >= MANY else 1
    parts: list[list[Projection]] = [[] for _ in range(count)]
    for model in sorted(models, key=lambda model: (-model.weight, model.name)):
        min(parts, key=lambda part: sum(each.weight for each in part)).append(model)
    return parts


def build(log: SealedLog, drafts: Sequence[Draft], until: int, progress: Progress) -> None:
    """Fold all drafts up to a position and load them into the store: the first here, each other in a process.

    Reports the stage, FOLDING or WRITING, and the position that all have come to in it. Raises what a fold raises here,
    and FoldFailed where it fails elsewhere.
    """
    here, *elsewhere = drafts
    with ExitStack() as running:
        watch = _Watch([running.enter_context(_started(log, draft, until)) for draft in elsewhere], progress)
        build_one(log, here, until, watch.report)
        watch.wait()


def build_one(log: SealedLog, draft: Draft, until: int, progress: Progress) -> None:
    """Fold one draft up to a position, and load it."""
    position = draft.fold(log, until, lambda done: progress(FOLDING, done))
    load(log.database, draft, position, lambda done: progress(WRITING, done))
    draft.delete()


class _Watch:
    """Hears how far everybody is, and reports how far all are."""

    def __init__(self, pipes: Sequence[Pipe], progress: Progress) -> None:
        self._waiting, self._progress = list(pipes), progress
        self._come: dict[str, dict[Pipe | None, int]] = {
            stage: dict.fromkeys([None, *pipes], 0) for stage in (FOLDING, WRITING)
        }

    def report(self, stage: str, done: int, whose: Pipe | None = None) -> None:
        """Take in how far one is, by default the one here, and how far others say they are."""
        self._come[stage][whose] = done
        self._progress(stage, min(self._come[stage].values()))
        if whose is None and self._waiting:
            self._hear(0)

    def wait(self) -> None:
        """Wait until the others are done."""
        while self._waiting:
            self._hear(None)

    def _hear(self, seconds: float | None) -> None:
        for pipe in wait(self._waiting, seconds):
            assert isinstance(pipe, Pipe)  # noqa: S101 - nothing else was waited for
            try:
                kind, said = pipe.recv()
            except EOFError:
                raise FoldFailed("The process ended before it was done.") from None
            if kind == FAILED:
                raise _failure(*said)
            if kind == DONE:
                self._waiting.remove(pipe)
            else:
                self.report(kind, said, pipe)


def _failure(unavailable: bool, code: str, said: str) -> Exception:  # noqa: FBT001 - as it comes through a pipe
    """Return what failed in another process as it would be raised here, as far as that can be told."""
    return Unavailable(code, said) if unavailable else FoldFailed(said)


@contextmanager
def _started(log: SealedLog, draft: Draft, until: int) -> Iterator[Pipe]:
    """Give the end of a pipe at which a process reports; afterwards it is ended.

    A fork would take the locks of threads with it; and multiprocessing's own way to start a process afresh loads the
    whole program there, which takes longer than to fold 10,000 events.
    """
    ours, theirs = multiprocessing.Pipe()
    command = [sys.executable, "-c", _BEGIN, repr(sys.path), str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()])  # noqa: S603 - a program of our own
    theirs.close()
    parts = [(type(model), model.build) for model in draft.models]
    aggregates = list(dict.fromkeys(log.mapper.aggregates.values()))
    try:
        ours.send(Task(log.database.url, aggregates, parts, draft.path.parent, until))
        yield ours
    finally:
        ours.close()
        process.terminate()
        process.wait()


_BEGIN: Final = (
    "import ast, gc, sys; gc.disable(); sys.path[:] = ast.literal_eval(sys.argv[1]); "
    "from projections.crew import work; work(sys.argv[2])"
)
"""Nobody looks for garbage there but the fold, between batches: loading the program takes a seventh longer with it."""


@dataclass(frozen=True)
class Task:
    """What another process is asked to do: to fold these parts up to a position, in a folder for drafts."""

    url: str
    aggregates: Sequence[type[Aggregate]]
    parts: Sequence[Part]
    folder: Path
    until: int


def work(descriptor: str) -> None:
    """Fold one draft in this process; the other end of the pipe says which, and hears of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is asked to stop, and ends this process
    pipe: Pipe = Pipe(int(descriptor))
    task: Task = pipe.recv()
    threading.Thread(target=_end_with_parent, args=[pipe], daemon=True).start()
    gc.freeze()
    os.nice(NICE)
    database = Database(task.url)
    draft = Draft([kind(build) for kind, build in task.parts], task.folder)
    try:
        log = SealedLog(database, Mapper(task.aggregates))
        build_one(log, draft, task.until, lambda *said: pipe.send(said))
        pipe.send((DONE, task.until))
    except BrokenPipeError:
        return
    except Unavailable as error:
        pipe.send((FAILED, (True, error.code, error.message)))
    except Exception as error:  # noqa: BLE001 - whatever a fold raises is raised in the parent
        pipe.send((FAILED, (False, "", f"{type(error).__name__}: {error}")))
    finally:
        database.close()


def _end_with_parent(pipe: Pipe) -> None:
    """End this process at once when the parent dies: whoever rebuilds next must not meet it."""
    wait([pipe])  # the parent sends nothing more
    os._exit(1)
