"""Two processes with eight threads each on fifty streams: one order of events explains every answer."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from api.bootstrap import SLICES
from history.engine import open_store
from history.tables import events
from tests.support.contention import THREADS, Told, Try, prepare
from tests.support.linearizability import explain

ROOT = Path(__file__).parents[2]
PROCESSES, TRIES = 2, 150
Log = list[tuple[str, str]]


def test_one_order_explains_what_two_processes_were_told(database_url: str, tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4))
    with closing(open_store(database_url, tmp_path, SLICES)) as engine:
        prepare(engine)
        start = engine.log.head()
        history = contend(database_url, tmp_path, seed)
        query = sa.select(events.c.position, events.c.command_id, events.c.topic).order_by(events.c.position)
        with engine.database.read() as connection:
            rows = connection.execute(query.where(events.c.position > start)).all()
    assert [row.position for row in rows] == list(range(start + 1, start + 1 + len(rows)))
    log = [(row.command_id, row.topic) for row in rows]
    try:
        explain(start, log, history)
    except AssertionError as error:
        error.add_note(f"the seed was {seed}")
        raise

    # It was worth explaining.
    assert len(history) >= PROCESSES * THREADS * TRIES
    statuses = Counter(told.status for told in history)
    assert statuses.keys() == {"accepted", "repeated", "rejected"}
    assert min(statuses.values()) > 50
    assert sum(one[:2] != two[:2] for (one, _), (two, _) in pairwise(log)) > 5


def contend(url: str, folder: Path, seed: int) -> list[Told]:
    """Let processes begin at the same moment, and return all that they were told."""
    program = [sys.executable, "-m", "tests.support.contention", "--url", url, "--folder", str(folder)]
    program += ["--seed", str(seed), "--size", str(TRIES)]
    with ExitStack() as stack:
        processes = []
        for n in range(PROCESSES):
            process = subprocess.Popen(
                [*program, "--name", f"p{n}"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            stack.callback(process.kill)
            processes.append(stack.enter_context(process))
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        with ThreadPoolExecutor(PROCESSES) as pool:
            said = [out for out, _ in pool.map(lambda process: process.communicate(b"begin\n"), processes)]
        assert [process.returncode for process in processes] == [0] * PROCESSES
    return [msgspec.json.decode(line, type=Told) for out in said for line in out.splitlines()]


# --- the judge himself ---


def told(
    name: str, verb: str, asked: int, until: int, status: str = "accepted", position: int = 0, code: str | None = None
) -> Told:
    tried = Try(name, verb, "spring", "sign", "supporter-1")
    return Told(tried, asked, until, status, (position,) if position else (), code)


def sound() -> tuple[Log, list[Told]]:
    """Made, withdrawn and renewed, with refusals in between."""
    log = [("a", "pledges.Made"), ("b", "pledges.Withdrawn"), ("c", "pledges.Renewed")]
    history = [
        told("a", "make", 1, 4, position=11),
        told("b", "withdraw", 5, 9, position=12),
        told("c", "make", 10, 14, position=13),
        told("a", "make", 11, 12, "repeated", 11),
        told("d", "keep", 2, 3, "rejected", code="pledge.unknown"),
        told("e", "keep", 6, 13, "rejected", code="pledge.not_active"),
        told("f", "make", 15, 16, "rejected", code="pledge.already_active"),
    ]
    return log, history


def test_a_sound_history_is_explained() -> None:
    log, history = sound()
    explain(10, log, history)


def _lost(log: Log, _: list[Told]) -> None:
    log.pop()


def _twice(log: Log, _: list[Told]) -> None:
    log.append(log[0])


def _swapped(log: Log, history: list[Told]) -> None:
    log[0], log[1] = log[1], log[0]
    history[0], history[1] = told("a", "make", 1, 4, position=12), told("b", "withdraw", 5, 9, position=11)


def _in_the_past(log: Log, history: list[Told]) -> None:
    """A pledge to another campaign, to which no rule objects, at a position before what was known."""
    other = Told(Try("z", "make", "autumn", "sign", "supporter-1"), 15, 16, "accepted", (11,), None)
    log.insert(0, ("z", "pledges.Made"))
    history[:] = [msgspec.structs.replace(one, positions=(one.positions[0] + 1,)) for one in history[:4]]
    history.append(other)


def _refused_too_late(_: Log, history: list[Told]) -> None:
    history[4] = told("d", "keep", 7, 8, "rejected", code="pledge.unknown")


def _refused_too_early(_: Log, history: list[Told]) -> None:
    history[6] = told("f", "make", 2, 3, "rejected", code="pledge.not_active")


def _refused_after_the_repeat(_: Log, history: list[Told]) -> None:
    history[3] = told("c", "make", 5, 6, "repeated", 13)
    history[5] = told("e", "keep", 7, 8, "rejected", code="pledge.not_active")


def _another_repeat(_: Log, history: list[Told]) -> None:
    history[3] = told("a", "make", 11, 12, "repeated", 12)


FAULTS: list[tuple[Callable[[Log, list[Told]], None], str]] = [
    (_lost, "more was accepted than is in the log"),
    (_twice, "position 14: a was told"),
    (_swapped, "should have been pledge.unknown"),
    (_in_the_past, "which was known when it was asked"),
    (_refused_too_late, "was not so after any position from 11 to 12"),
    (_refused_too_early, "was not so after any position from 10 to 11"),
    (_refused_after_the_repeat, "was not so after any position from 13 to 12"),
    (_another_repeat, "is no repeat"),
]


@pytest.mark.parametrize(("fault", "said"), FAULTS, ids=[fault.__name__.strip("_") for fault, _ in FAULTS])
def test_a_fault_is_found(fault: Callable[[Log, list[Told]], None], said: str) -> None:
    log, history = sound()
    fault(log, history)
    with pytest.raises(AssertionError, match=said):
        explain(10, log, history)
