"""Reading by each kind of command, or by a campaign's snapshot, in many threads that are all the first.

Run as a program, because what may go wrong ends the process: msgspec lets a thread see what another is still finding
out about a type. Each round forgets what was found out, as in a process that has just begun.
"""

import contextlib
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from api.bootstrap import SLICES
from domain.campaigns import Ask, AskKind, Campaign
from domain.kernel import Invalid
from domain.slices import Command
from history import codec, snapshots

THREADS: Final = 8
REMEMBERED: Final = "__msgspec_cache__"


def commands(pool: ThreadPoolExecutor, barrier: threading.Barrier) -> None:
    """Read each kind of command for the first time in all threads at once."""

    def read(kind: type[Command]) -> None:
        barrier.wait()
        with contextlib.suppress(Invalid):
            codec.read_command(kind, dict.fromkeys(codec.shape(kind).names))

    for _ in range(10):
        codec._shapes.clear()  # noqa: SLF001 - as in a process that has just begun
        for kind in (command for one in SLICES for command in one.commands):
            list(pool.map(read, [kind] * THREADS))


def aggregates(pool: ThreadPoolExecutor, barrier: threading.Barrier) -> None:
    """Read a campaign's snapshot for the first time in all threads at once."""
    moment = "2016-12-13T18:00:00Z"
    held: dict[str, object] = {"created_on": moment, "modified_on": moment, "state": "drafted", "title": "Listening"}
    held |= {"framings": {}, "asks": {"listen": {"kind": "once"}}}
    state = msgspec.json.encode(dict.fromkeys(snapshots.codec(Campaign).names) | held)

    def read(_: int) -> Ask:
        barrier.wait()
        ask: Ask = snapshots.codec(Campaign).decoder.decode(state).asks["listen"]
        return ask

    for _ in range(300):
        snapshots.codec.cache_clear()
        for cls in (Ask, AskKind):
            if REMEMBERED in vars(cls):
                delattr(cls, REMEMBERED)
        assert set(pool.map(read, range(THREADS))) == {Ask(kind=AskKind.ONCE)}


if __name__ == "__main__":
    sys.setswitchinterval(1e-6)
    work: Callable[[ThreadPoolExecutor, threading.Barrier], None] = globals()[sys.argv[1]]
    with ThreadPoolExecutor(THREADS) as threads:
        work(threads, threading.Barrier(THREADS))
