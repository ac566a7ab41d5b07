"""The command line in tests: in this process, or as a program of its own where signals matter."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from click.testing import CliRunner

from api.cli import main

ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ran:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - any JSON
        """The last line of standard output as JSON."""
        return json.loads(self.out.splitlines()[-1])

    @property
    def code(self) -> str:
        """The code of the one line of error."""
        (line,) = [each for each in self.err.splitlines() if each.startswith("groundswell: ")]
        return line.rpartition("[")[2].rstrip("]")


class Cli:
    """Runs commands on one store in a folder of its own."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = {"GROUNDSWELL_DATA_DIR": str(folder / "var"), **environment}

    def __call__(self, *arguments: str | Path, stdin: bytes | None = None) -> Ran:
        """Run a command in this process."""
        result = CliRunner(env=self.environment).invoke(main, [str(each) for each in arguments], input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.stderr
        return Ran(result.exit_code, result.stdout, result.stderr)

    def apart(self, *arguments: str | Path, prefix: Sequence[str] = ()) -> Ran:
        """Run a command as a program of its own."""
        process = self.start(*arguments, prefix=prefix)
        out, err = process.communicate(timeout=60)
        return Ran(process.returncode, out, err)

    def start(
        self, *arguments: str | Path, prefix: Sequence[str] = (), stdin: int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """Start a command as a program of its own; ``prefix`` is what its command line begins with."""
        return subprocess.Popen(
            [*prefix, sys.executable, "-m", "api.cli", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **self.environment},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def line(number: int, **changed: Any) -> str:  # noqa: ANN401 - any JSON
    """Return an envelope that registers supporter ``number``, with some of its members changed."""
    envelope = {
        "id": f"register-{number}",
        "command": "supporters.register",
        "at": "2026-03-01T12:00:00Z",
        "actor": "import:test",
        "data": {"supporter": f"person-{number}", "name": f"Person {number}", "locale": "pt"},
    }
    return json.dumps(envelope | changed, ensure_ascii=False)


def write_lines(path: Path, lines: Sequence[str]) -> Path:
    """Write a file of commands."""
    path.write_text("".join(f"{each}\n" for each in lines), encoding="utf-8")
    return path
