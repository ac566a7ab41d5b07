"""``groundswell import``: runs files of commands."""

from contextlib import ExitStack, suppress

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from api.bootstrap import Groundswell
from api.cli import console
from api.imports import STDIN, Import, Interrupted, Interruption, Rejects, Source, Summary, can_be_run_again
from domain.kernel import GroundswellError, Invalid, Unavailable


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--dry-run", is_flag=True, help="Decide every line, but record nothing. Others' writes wait meanwhile.")
def import_(*, files: tuple[str, ...], dry_run: bool) -> int:
    """Run files of commands, one JSON envelope per line (.gz too, - for standard input).

    A refused line stops nothing: it goes to FILE.rejected.jsonl with its line number, code and message. A line whose
    id was executed before is only counted, so an import can be run again at any time. The last line printed is a
    summary in JSON.
    """
    sources = [Source(name) for name in files]
    if [source.name for source in sources].count(STDIN) > 1:
        raise Invalid("arguments.invalid", "Standard input can be read only once.")
    for source in sources:
        source.check()
    with console.opened_or_empty() if dry_run else console.opened(create=True) as groundswell:
        return _run(groundswell, sources, dry_run=dry_run)


def _run(groundswell: Groundswell, sources: list[Source], *, dry_run: bool) -> int:
    engine = groundswell.engine
    done: list[tuple[Source, Summary, Rejects]] = []
    error: GroundswellError | None = None
    with ExitStack() as stack:
        interruption = stack.enter_context(Interruption())
        write = stack.enter_context(engine.rehearse()).write if dry_run else engine.write
        job = Import(write, engine.catalogue, interruption)
        try:
            _import_all(job, sources, done)
        except (Unavailable, Invalid) as stopped:
            error = can_be_run_again(stopped, job.summary) if isinstance(stopped, Unavailable) else stopped
        if not dry_run and not interruption.requested and not isinstance(error, Unavailable):
            _follow(groundswell, interruption)
        interrupted = interruption.requested
    _report(done)
    summary = job.summary.as_json()
    if dry_run:
        summary["dry_run"] = True
    if interrupted or error:
        summary["interrupted"] = True
    if error:
        console.print_error(error.code, error.message)
    elif interrupted:
        console.print_error("interrupted", "Interrupted; what was accepted stays, run the same import again to go on.")
    console.print_json(summary)
    if interrupted or error:
        return console.COULD_NOT
    return console.FOUND_WRONG if job.summary.rejected else console.DONE


def _follow(groundswell: Groundswell, interruption: Interruption) -> None:
    """Bring the read models to the head; a signal leaves the rest to whoever runs them next, and loses no summary."""
    with suppress(Interrupted):
        interruption.waiting = True
        console.catch_up(groundswell)
    interruption.waiting = False


def _import_all(job: Import, sources: list[Source], done: list[tuple[Source, Summary, Rejects]]) -> None:
    shown = console.console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as bars:
        for source in sources:
            task = bars.add_task(source.label, total=source.size)
            summary, rejects = job.run(source, lambda read, task=task: bars.update(task, completed=read))  # type: ignore[misc]
            done.append((source, summary, rejects))
            if job.interrupted:
                return


def _report(done: list[tuple[Source, Summary, Rejects]]) -> None:
    """Show what became of each file: a table on a terminal; where refused lines went, in any case."""
    if console.console().is_terminal and done:
        rows = [(source.label, s.lines, s.accepted, s.repeated, s.rejected) for source, s, _ in done]
        console.print_table(("file", "#lines", "#accepted", "#repeated", "#rejected"), rows)
    for source, _, rejects in done:
        if rejects.written:
            click.echo(f"{source.label}: {rejects.written:,} refused lines are in {rejects.path}", err=True)


COMMANDS = {"import": import_}
