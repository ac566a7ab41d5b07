"""What the commands share: the store they work on, tables, JSON, progress bars, and errors in one line."""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from api.bootstrap import Groundswell, open_groundswell
from api.settings import Settings, from_environment
from domain.kernel import Invalid, Unavailable
from history.tables import moment_text

DONE: Final = 0
FOUND_WRONG: Final = 1
COULD_NOT: Final = 2

BUSY_SECONDS: Final = 30.0
WIDE: Final = 200
"""How wide a table is where nobody's terminal says so."""


class _Console(Console):
    """A console whose reader may go away in the middle (``| head``)."""

    def on_broken_pipe(self) -> None:
        """Let ``main`` end quietly."""
        raise BrokenPipeError


def console(*, stderr: bool = False) -> Console:
    """Return the console of standard output or error."""
    found = _Console(stderr=stderr, highlight=False)
    if not found.is_terminal:
        found = _Console(stderr=stderr, highlight=False, width=WIDE)
    return found


# --- the store ---


@contextmanager
def opened(*, create: bool = False, keyless: bool = False, settings: Settings | None = None) -> Iterator[Groundswell]:
    """Give the store of the settings; raise Unavailable where there is none, or it cannot be opened.

    With ``keyless`` it opens without the master key too, for what needs no personal data.
    """
    chosen = settings or from_environment()
    with open_groundswell(chosen, create=create, keyless=keyless, busy_seconds=BUSY_SECONDS) as groundswell:
        yield groundswell


@contextmanager
def opened_or_empty() -> Iterator[Groundswell]:
    """Give the store of the settings, or an empty one that is gone afterwards where there is none."""
    try:
        with opened() as groundswell:
            yield groundswell
            return
    except Unavailable as error:
        if error.code != "store.missing":
            raise
    with tempfile.TemporaryDirectory(prefix="groundswell-") as folder:
        settings = replace(from_environment({}), data_dir=Path(folder), database_url="")
        with opened(create=True, settings=settings) as groundswell:
            yield groundswell


# --- what is printed ---

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def print_json(value: object) -> None:
    """Print a value as one line of JSON."""
    click.echo(json.dumps(value, ensure_ascii=False, default=_as_text))


def print_schema(value: object) -> None:
    """Print a value as JSON that a person can read."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=_as_text))


def _as_text(value: object) -> str:
    """Return what JSON has no form for as the answers over HTTP have it: a moment by RFC 3339."""
    return moment_text(value) if isinstance(value, datetime) else str(value)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> None:
    """Print a table; a column called #… is aligned to the right."""
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.removeprefix("#"), justify="right" if column.startswith("#") else "left")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    console().print(table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def minute(moment: datetime | None) -> str | None:
    """Return a moment as a table shows it, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}" if moment else None


def say(sentence: str) -> None:
    """Print a sentence for a person."""
    click.echo(sentence)


def print_error(code: str, message: str) -> None:
    """Print an error as interfaces.md asks for: one line on standard error."""
    click.echo(f"groundswell: {' '.join(message.split())} [{code}]", err=True)


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal; raise Invalid where nobody can be asked and ``--yes`` was not given, or the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Invalid("arguments.not_confirmed", "Nobody can be asked here; say --yes if you mean it.")
    if not click.confirm(question, err=True):
        raise Invalid("arguments.not_confirmed", "Nothing was done.")


# --- progress ---


class Report(Protocol):
    """Moves the bar of a stage to what is done so far; the ``whole`` where it was not known before."""

    def __call__(self, stage: str, done: int, whole: int | None = None) -> None:
        """Move the bar."""


@contextmanager
def progress(total: int | None, first: str) -> Iterator[Report]:
    """Give a function (stage, done so far) that moves a bar on the terminal of standard error; silent elsewhere."""
    shown = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as bars:
        tasks: dict[str, TaskID] = {first: bars.add_task(first, total=total)}

        def report(stage: str, done: int, whole: int | None = None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=whole)

        yield report


def catch_up(groundswell: Groundswell) -> None:
    """Run reactions and read models to the head of the history, with a progress bar."""
    with progress(groundswell.engine.log.head(), "reactions") as report:
        groundswell.catch_up(report)
