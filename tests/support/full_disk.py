"""Fills the disk under a store, frees some of it, and goes on; prints what happened as JSON.

A program of its own, because a limit on the size of files is for a whole process, and a small disk is mounted in a
namespace of its own: ``unshare --mount python -m tests.support.full_disk sqlite mounted FOLDER``.
"""

import argparse
import json
import os
import resource
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg

from domain.kernel import Unavailable
from history.engine import Engine
from history.envelope import Request
from history.verify import verify_store
from tests.support.postgres import running_server
from tests.support.rooms import Enter, ask, engine_at, enter, outcomes, positions

CANNOT_MOUNT: Final = 77
MIB: Final = 1 << 20
Free = Callable[[], None]


@contextmanager
def mounted(folder: Path, mebibytes: int) -> Iterator[Free]:
    """A file system of that size at the folder, with a file in it that can be deleted to have room again."""
    folder.mkdir()
    command = ["/bin/mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0755", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        sys.exit(CANNOT_MOUNT)
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(MIB))
    yield ballast.unlink  # it is gone with the namespace


@contextmanager
def limited(size: int) -> Iterator[Free]:
    """Let no file of this process grow beyond a size, until it is freed."""
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    def free() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))

    try:
        yield free
    finally:
        free()


def sqlite_mounted(folder: Path) -> dict[str, object]:
    """The whole store on a small disk."""
    with mounted(folder / "small", 4) as free:
        return fill(f"sqlite:///{folder / 'small' / 'groundswell.sqlite3'}", folder, free)


def sqlite_limited(folder: Path) -> dict[str, object]:
    """A write-ahead log that cannot grow, as with a quota."""
    with limited(2 * MIB) as free:
        return fill(f"sqlite:///{folder / 'groundswell.sqlite3'}", folder, free)


def postgresql_mounted(folder: Path) -> dict[str, object]:
    """The tables on a small disk, and the server's own write-ahead log where there is room."""
    with running_server() as server, mounted(folder / "small", 16) as free:
        place = folder / "small" / "tables"
        place.mkdir()
        shutil.chown(place, server.directory.owner())
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
            connection.execute("CREATE DATABASE small TABLESPACE small")
        return fill(server.url("small"), folder, free)


def fill(url: str, folder: Path, free: Free) -> dict[str, object]:
    """Append until it is refused, see that all is there and can be read, free the disk, and go on."""
    with engine_at(url, folder) as engine:
        accepted, refused, code = until_full(engine)
        assert positions(engine) == accepted
        assert outcomes_or_code(engine, refused) == code
        free()
        assert set(outcomes(engine, *refused)) == {"accepted"}
        assert positions(engine) == list(range(1, len(accepted) + 2 * len(refused) + 1))
        verdict = verify_store(engine.database, folder)
        assert verdict.sound, verdict
    return {"code": code, "events": len(accepted)}


def until_full(engine: Engine) -> tuple[list[int], list[Request], str]:
    """Return the positions of what was accepted, and what was then refused, with the code."""
    accepted: list[int] = []
    assert outcomes(engine, enter("first")) == ["accepted"]
    accepted += [1, 2]
    while True:
        batch = [
            ask(Enter(room=room, who=secrets.token_hex(2_000))) for room in (secrets.token_hex(4) for _ in range(10))
        ]
        try:
            answers = engine.write(batch)
        except Unavailable as error:
            return accepted, batch, error.code
        accepted += [position for answer in answers for position in answer.positions]


def outcomes_or_code(engine: Engine, batch: list[Request]) -> str:
    """Return the code with which a batch is refused."""
    try:
        return str(outcomes(engine, *batch))
    except Unavailable as error:
        return error.code


DISKS: Final = {each.__name__: each for each in (sqlite_mounted, sqlite_limited, postgresql_mounted)}


def main() -> None:
    """Fill one of the disks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("disk", choices=DISKS)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    os.umask(0o022)
    sys.stdout.write(json.dumps(DISKS[given.disk](given.folder)))


if __name__ == "__main__":
    main()
