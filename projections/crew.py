"""Folding drafts in several processes at once: one for each core, each with a share of the read models.

Folds of different read models have nothing to do with each other, so each process reads the log for itself. A process
whose parent died stops at its next report.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Final

from domain.kernel import Aggregate
from history.database import Database
from history.mapper import Mapper
from history.reading import SealedLog
from projections.drafts import Draft
from projections.projection import Projection

MANY: Final = 20_000
"""So many events are worth starting processes for, which takes each some half a second."""

Progress = Callable[[int], Any]
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


def fold(log: SealedLog, drafts: Sequence[Draft], until: int, progress: Progress) -> Iterator[tuple[Draft, int]]:
    """Fold all drafts up to a position; yield each when it is done, with the position it has come to.

    Reports the position that all have come to. Raises FoldFailed, or what the fold raises where it is only one.
    """
    if len(drafts) == 1:
        yield drafts[0], drafts[0].fold(log, until, progress)
        return
    with ExitStack() as running:
        waiting = {running.enter_context(_started(log, draft, until)): draft for draft in drafts}
        come = dict.fromkeys(waiting, 0)
        while waiting:
            for pipe in wait(list(waiting)):
                assert isinstance(pipe, Pipe)  # noqa: S101 - nothing else was waited for
                done, said = _receive(pipe)
                if not done:
                    come[pipe] = said
                    progress(min(come.values()))
                else:
                    yield waiting.pop(pipe), said


def _receive(pipe: Pipe) -> tuple[bool, int]:
    try:
        kind, said = pipe.recv()
    except EOFError:
        raise FoldFailed("The process ended before it was done.") from None
    if kind == "failed":
        raise FoldFailed(said)
    return kind == "done", said


@contextmanager
def _started(log: SealedLog, draft: Draft, until: int) -> Iterator[Pipe]:
    """Give the end of a pipe at which a process reports; afterwards it is ended."""
    spawning = multiprocessing.get_context("spawn")  # a fork would take the locks of threads with it
    ours, theirs = spawning.Pipe(duplex=False)
    parts = [(type(model), model.build) for model in draft.models]
    aggregates = list(dict.fromkeys(log.mapper.aggregates.values()))
    arguments = (log.database.url, aggregates, parts, draft.path.parent, until, theirs)
    process = spawning.Process(target=_run, args=arguments, name="groundswell-fold", daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.terminate()
        process.join()


def _run(
    url: str, aggregates: Sequence[type[Aggregate]], parts: Sequence[Part], folder: Path, until: int, pipe: Pipe
) -> None:
    """Fold one draft; the other end of the pipe hears of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is asked to stop, and ends this process
    database = Database(url)
    draft = Draft([kind(build) for kind, build in parts], folder)
    try:
        position = draft.fold(SealedLog(database, Mapper(aggregates)), until, lambda done: pipe.send(("at", done)))
        pipe.send(("done", position))
    except BrokenPipeError:
        return
    except Exception as error:  # noqa: BLE001 - whatever a fold raises is raised in the parent
        pipe.send(("failed", f"{type(error).__name__}: {error}"))
    finally:
        database.close()
