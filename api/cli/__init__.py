"""The command line: ``main`` finds the command, and says every error in one line."""

import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import click

from api.process import tune
from domain.kernel import GroundswellError

COMMANDS: Final = {
    "up": "serving",
    "serve": "serving",
    "work": "serving",
    "demo": "demo",
    "import": "importing",
    "commands": "catalogue",
    "events": "catalogue",
    "token": "accounts",
    "signin": "accounts",
    "rebuild": "readmodels",
    "parked": "readmodels",
    "history": "records",
    "diff": "differences",
    "erase": "records",
    "verify": "archives",
    "export": "archives",
    "restore": "archives",
    "keys": "archives",
    "digest": "digests",
    "scoring": "scoring",
}
"""Every command with the module here that has it, in the order of ``--help``; loaded when it is asked for."""

COULD_NOT: Final = 2
DEBUG: Final = "GROUNDSWELL_DEBUG"


class Main(click.Group):
    """Finds commands, and turns whatever goes wrong into one line on standard error and an exit status."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Name all commands."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"api.cli.{COMMANDS[cmd_name]}")
        tune()
        found: click.Command = module.COMMANDS[cmd_name]
        return found

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> Any:  # noqa: ANN401 - as in click
        """Run a command and exit with its status: 0 done, 1 something refused or found wrong, 2 could not run."""
        options["standalone_mode"] = False
        arguments = list(sys.argv[1:] if args is None else args)
        with _logging_to_file(debug="--debug" in arguments):
            sys.exit(self._status(arguments, *more, **options))

    def _status(self, arguments: list[str], *more: Any, **options: Any) -> int:  # noqa: ANN401
        try:
            returned = super().main(arguments, *more, **options)
            sys.stdout.flush()
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.ctx.get_help(), err=True)
        except click.UsageError as error:
            help_at = f" See “{error.ctx.command_path} --help”." if error.ctx else ""
            _say("arguments.invalid", error.format_message().rstrip(".") + "." + help_at)
        except click.ClickException as error:
            _say("arguments.invalid", error.format_message())
        except (click.Abort, KeyboardInterrupt):
            _say("interrupted", "Interrupted.")
        except GroundswellError as error:
            logging.getLogger(__name__).debug("Could not run", exc_info=error)
            _say(error.code, error.message)
        except SystemExit:  # so click ends where whoever reads our output (a pager, | head) has gone
            return 0
        except BrokenPipeError:
            # The same, seen only at the end; nothing may be written there any more, not even on exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except Exception as error:
            logging.getLogger(__name__).exception("The command line failed")
            to_file = any(isinstance(handler, _LogFile) for handler in logging.getLogger().handlers)
            where = f"in {_log_file()}" if to_file else "above"
            _say("internal.error", f"Something went wrong on our side ({type(error).__name__}); details are {where}.")
        else:
            return returned if isinstance(returned, int) else 0
        return COULD_NOT


def _say(code: str, message: str) -> None:
    click.echo(f"groundswell: {' '.join(message.split())} [{code}]", err=True)


def _log_file() -> Path:
    folder = Path(os.environ.get("GROUNDSWELL_DATA_DIR", "var"))
    return (
        folder if os.access(folder, os.W_OK) and folder.is_dir() else Path(tempfile.gettempdir())
    ) / "groundswell.log"


class _LogFile(logging.FileHandler):
    """Writes to the log file, which is made with the first line; silent where it cannot be."""

    def __init__(self) -> None:
        super().__init__(_log_file(), encoding="utf-8", delay=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, if the file can be opened."""
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as in logging
        """Keep standard error for what a person must be told."""


@contextmanager
def _logging_to_file(*, debug: bool) -> Iterator[None]:
    """Send what the program logs to a file, or with ``--debug`` to standard error."""
    handler: logging.Handler = logging.StreamHandler() if debug else _LogFile()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.setLevel(logging.DEBUG if debug else logging.WARNING)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


def _print_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's call
    if wanted:
        try:
            found = version("groundswell")
        except PackageNotFoundError:
            found = "(not installed)"
        click.echo(f"groundswell {found}")
        ctx.exit()


@click.group(cls=Main, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Say which.")
@click.option("--debug", is_flag=True, help="Show details of errors.")
def main(*, debug: bool) -> None:
    """Groundswell: an event-sourced campaign engine.

    The store is named by GROUNDSWELL_DATABASE_URL (default: a SQLite file in GROUNDSWELL_DATA_DIR, default var/).
    Exit status: 0 done, 1 done but something was refused or found wrong, 2 could not run.
    """
    logging.getLogger("groundswell").debug("debug=%s", debug)
