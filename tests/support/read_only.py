"""Programs for which a folder or a file can only be read.

For root, whom no mode of a file stops, by a read-only mount that only this program has; for others by modes.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_MOUNT = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'


@contextmanager
def only_readable(path: Path) -> Iterator[list[str]]:
    """Give what a command line must begin with so that its program can only read the file, or the folder's files."""
    if os.geteuid() == 0:
        yield _own_mount(path)
        return
    paths = [path, *(path.iterdir() if path.is_dir() else ())]
    modes = {each: each.stat().st_mode for each in paths}
    try:
        for each in paths:
            each.chmod(modes[each] & 0o555)
        yield []
    finally:
        for each, mode in modes.items():
            each.chmod(mode)


def _own_mount(path: Path) -> list[str]:
    unshare = shutil.which("unshare")
    prefix = [unshare or "unshare", "--mount", "sh", "-c", _MOUNT, str(path)]
    if unshare is None or subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
        pytest.skip("nothing stops this root from writing")
    return prefix
