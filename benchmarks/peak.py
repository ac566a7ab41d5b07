"""Runs a `groundswell` command in this process, and says last on standard error how much memory it held at its peak.

What the system says of a child that has ended would count its parent too: on Linux a new program inherits the peak of
the process that started it.
"""

import resource
import sys
from pathlib import Path

from api.cli import main


def peak() -> int:
    """The largest resident set of this process so far, in KiB."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # macOS counts in bytes


if __name__ == "__main__":
    try:
        main()
    finally:
        sys.stderr.write(f"{peak()}\n")
