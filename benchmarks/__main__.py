"""`make bench`: measures side by side with named peers and writes benchmarks/RESULTS.md."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import append, importing, verifying, web
from benchmarks.measure import HEAD, RUNS, Result, machine

BENCHMARKS = {"append": append.run, "web": web.run, "import": importing.run, "verify": verifying.run}


def main(names: list[str]) -> None:
    """Run the named benchmarks, all by default."""
    results: list[Result] = []
    for name in names or BENCHMARKS:
        print(f"{name} …", flush=True)
        for result in BENCHMARKS[name]():
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
