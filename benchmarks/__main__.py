"""`make bench`: measures side by side with named peers and writes benchmarks/RESULTS.md."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import (
    append,
    boards,
    digests,
    freshness,
    importing,
    lone,
    memory,
    past,
    rebuilding,
    snapshots,
    stampede,
    verifying,
    web,
)
from benchmarks.measure import HEAD, RUNS, Result, machine

BENCHMARKS = {
    "append": append.run,
    "lone": lone.run,
    "web": web.run,
    "import": importing.run,
    "verify": verifying.run,
    "memory": memory.run,
    "snapshots": snapshots.run,
    "rebuild": rebuilding.run,
    "boards": boards.run,
    "past": past.run,
    "freshness": freshness.run,
    "stampede": stampede.run,
    "digests": digests.run,
}
ONLY_IF_NAMED = {
    "memory-postgresql": memory.run_postgresql,
    "rebuild-longest": rebuilding.run_longest,
    "digests-memory": digests.run_longest,
}
"""What takes too long to be run every time."""


def main(names: list[str]) -> None:
    """Run the named benchmarks; where none is named all, and write the results down."""
    known = BENCHMARKS | ONLY_IF_NAMED
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"There is no benchmark {unknown[0]}; there are {', '.join(known)}.")
    results: list[Result] = []
    for name in names or BENCHMARKS:
        print(f"{name} …", flush=True)
        for result in known[name]():
            print(result.row(), flush=True)
            results.append(result)
    missed = [result.what for result in results if result.missed]
    print(f"Aims not met: {'; '.join(missed) or 'none'}.")
    if names:
        return
    rows = "\n".join(result.row() for result in results)
    Path(__file__).with_name("RESULTS.md").write_text(
        f"# Results\n\n`make bench`, {datetime.now(UTC):%Y-%m-%d}; median (lowest-highest) of {RUNS} runs in turn, "
        f"one machine, one run. The ratio is ours / peer of each pair.\n\n{machine()}\n\n{HEAD}\n{rows}\n"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
