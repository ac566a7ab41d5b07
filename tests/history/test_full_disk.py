"""Disks that are full for real: it is said, nothing acknowledged is lost, and room is enough to go on."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.full_disk import CANNOT_MOUNT

ROOT = Path(__file__).parents[2]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the user of the tests' PostgreSQL can enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.mark.parametrize(
    ("disk", "code"),
    [
        ("sqlite_limited", "store.disk_error"),
        ("sqlite_mounted", "store.full"),
        ("postgresql_mounted", "store.full"),
    ],
)
def test_a_disk_that_is_full(open_folder: Path, disk: str, code: str) -> None:
    program = [sys.executable, "-m", "tests.support.full_disk", disk, str(open_folder)]
    if disk.endswith("_mounted"):
        program = [*own_mounts(needs_root=disk.startswith("postgresql")), *program]
    ran = subprocess.run(program, check=False, cwd=ROOT, capture_output=True, text=True)
    if ran.returncode == CANNOT_MOUNT:
        pytest.skip("this user may not mount a file system")
    assert ran.returncode == 0, ran.stderr
    happened = json.loads(ran.stdout)
    assert happened["code"] == code
    assert happened["events"] > 100


def own_mounts(*, needs_root: bool) -> list[str]:
    """Begin a command line with what gives it mounts of its own, as another root where this user is not."""
    unshare = shutil.which("unshare")
    if unshare is None or (needs_root and os.geteuid() != 0):
        pytest.skip("this user may not mount a file system for PostgreSQL")
    prefix = [unshare, "--mount"] if os.geteuid() == 0 else [unshare, "--map-root-user", "--mount"]
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user may have no mounts of its own")
    return prefix
