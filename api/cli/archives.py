"""``groundswell verify``, ``export``, ``restore``, ``keys``: what makes the history trustworthy."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from api.cli import console
from api.settings import from_environment
from domain.kernel import Conflict, Invalid, Unavailable
from history.archive import export as export_archive
from history.checkpoints import open_receipt
from history.masterkey import NAME, old_keys
from history.notes import VERIFIERS, NoteInvalid, VerifierKey, read_verifiers
from history.restore import restore as restore_archive
from history.unpacking import Archive, verify_archive
from history.verify import Verdict, verify_store

PASSPHRASE = "GROUNDSWELL_PASSPHRASE"  # noqa: S105 - where it is looked for, not what it is

keys_option = click.option("--key", "trusted", multiple=True, help="A verifier key to trust (name+id+key); repeatable.")
archive_argument = click.argument("archive", type=click.Path(path_type=Path))
with_keys_option = click.option(
    "--with-keys",
    is_flag=True,
    help=f"The full backup: also the keys of persons and log, under a passphrase (asked, or {PASSPHRASE}).",
)


@click.command()
@click.argument("archive", type=click.Path(path_type=Path), required=False)
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A signed checkpoint that was kept outside.",
)
@click.option(
    "--receipt",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Check only this receipt, with the keys given or those in the data directory; needs no store.",
)
@keys_option
@console.as_json_option
def verify(
    *, archive: Path | None, checkpoint: Path | None, receipt: Path | None, trusted: tuple[str, ...], as_json: bool
) -> int:
    """Check the whole history, or an exported archive, against its hashes and checkpoints.

    Names the first bad position and exits with 1 where something is wrong.
    """
    note = checkpoint.read_bytes().decode(errors="replace") if checkpoint else None
    known = [VerifierKey.parse(text) for text in trusted]
    if receipt is not None:
        if archive is not None or checkpoint is not None:
            raise Invalid("arguments.receipt", "A receipt is checked alone, without an archive or a checkpoint.")
        return _verify_receipt(receipt, known, as_json=as_json)
    if archive is not None:
        with console.progress(None, "verifying") as report:
            found = verify_archive(
                archive, checkpoint=note, keys=known, progress=lambda done: report("verifying", done)
            )
    else:
        with (
            console.opened(keyless=True) as groundswell,
            console.progress(groundswell.engine.log.head(), "verifying") as report,
        ):
            found = verify_store(
                groundswell.engine.database,
                groundswell.settings.data_dir,
                checkpoint=note,
                keys=known,
                progress=lambda done: report("verifying", done),
            )
    _print_verdict(found, as_json=as_json)
    return console.DONE if found.sound else console.FOUND_WRONG


def _verify_receipt(path: Path, trusted: list[VerifierKey], *, as_json: bool) -> int:
    known = trusted or read_verifiers(from_environment().data_dir / VERIFIERS)
    if not known:
        raise Invalid("arguments.key", "Say with --key by whose key the receipt is to be believed.")
    try:
        found = open_receipt(path.read_bytes().decode(errors="replace"), known)
    except NoteInvalid as error:
        if as_json:
            console.print_json({"sound": False, "why": error.message})
        else:
            console.say(f"Not sound. {error.message}")
        return console.FOUND_WRONG
    entry, log = json.loads(found.entry), found.checkpoint
    if as_json:
        console.print_json({"sound": True, "log": log.origin, "size": log.size, "entry": entry})
    else:
        console.say(f"Sound: position {found.position:,} of the log {log.origin} ({log.size:,} events).")
        console.say(found.entry.decode())
    return console.DONE


def _print_verdict(found: Verdict, *, as_json: bool) -> None:
    if as_json:
        console.print_json(
            {
                "sound": found.sound,
                "size": found.size,
                "root": found.root.hex(),
                "checkpoints": found.checkpoints,
                "keys": found.keys,
                "first_bad": found.first_bad,
                "why": found.why,
            }
        )
    elif found.sound:
        console.say(f"Sound: {found.size:,} events, {found.checkpoints:,} checkpoints, root {found.root.hex()}.")
        for key in found.keys:
            console.say(f"Believed: {key}")
    else:
        where = f"First bad position: {found.first_bad:,}. " if found.first_bad is not None else ""
        console.say(f"Not sound. {where}{found.why}")


@click.command("export")
@archive_argument
@with_keys_option
@click.option("--size", type=int, help="Only up to the checkpoint of this size; default: up to now.")
@console.as_json_option
def export_(*, archive: Path, with_keys: bool, size: int | None, as_json: bool) -> int:
    """Write the whole history into a new archive that explains itself and can be verified without this program."""
    passphrase = _passphrase(again=True) if with_keys else None
    with (
        console.opened(keyless=True) as groundswell,
        console.progress(groundswell.engine.log.head(), "exporting") as report,
    ):
        try:
            made = export_archive(
                groundswell.engine,
                groundswell.checkpoints,
                archive,
                size=size,
                passphrase=passphrase,
                progress=lambda done: report("exporting", done),
            )
        except OSError as error:
            raise Invalid("archive.unwritable", f"{archive} cannot be written: {error.strerror}.") from None
    if as_json:
        numbers = {"size": made.size, "root": made.root.hex(), "commands": made.commands, "persons": made.persons}
        console.print_json({"archive": str(made.path), **numbers})
        return console.DONE
    console.say(f"{made.path}: {made.size:,} events, {made.commands:,} commands, root {made.root.hex()}.")
    if with_keys:
        console.say(f"With the keys of {made.persons:,} persons: whoever has it and the passphrase can read them.")
    else:
        console.say("Without keys: personal data in it stays sealed.")
    return console.DONE


@click.command("restore")
@archive_argument
@with_keys_option
@keys_option
def restore_(*, archive: Path, with_keys: bool, trusted: tuple[str, ...]) -> int:
    """Make an empty store from an archive: same positions, ids and hashes; then builds the read models."""
    passphrase = _passphrase(again=False) if with_keys else None
    known = [VerifierKey.parse(text) for text in trusted]
    with Archive(archive):
        pass  # raises where there is none, before a store is made for it
    with console.opened(create=True) as groundswell:
        head = groundswell.engine.log.head()
        if head:
            raise Conflict("store.not_empty", f"The store is not empty ({head:,} events); restore into an empty one.")
        with console.progress(None, "restoring") as report:
            made = restore_archive(
                groundswell.engine,
                groundswell.settings.data_dir,
                archive,
                passphrase=passphrase,
                keys=known,
                progress=lambda done: report("restoring", done),
            )
        console.catch_up(groundswell)
    console.say(f"Restored {made.size:,} events, {made.commands:,} commands, root {made.root.hex()}.")
    console.say(f"{made.persons:,} persons can be read again; everybody else is as if erased.")
    return console.DONE


def _passphrase(*, again: bool) -> str:
    if given := os.environ.get(PASSPHRASE):
        return given
    if not sys.stdin.isatty():
        raise Invalid("arguments.passphrase", f"Nobody can be asked here; give the passphrase as {PASSPHRASE}.")
    asked: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=again, err=True)
    return asked


@click.group("keys", invoke_without_command=True)
@click.pass_context
@console.as_json_option
def keys(ctx: click.Context, *, as_json: bool) -> None:
    """Print the verifier keys of the log (name+id+key), oldest first; sub-commands change keys.

    What persons gave is sealed under keys of theirs, which the master key in the data directory wraps. Keep a backup of
    it apart from those of the store: losing the master key is final, nobody's personal data can be read again.
    """
    if ctx.invoked_subcommand is not None:
        return
    with console.opened() as groundswell:
        groundswell.checkpoints.make()  # the first one makes the first key
        found = [str(key) for key in groundswell.checkpoints.keys().verifiers]
    if as_json:
        console.print_json(found)
    else:
        for key in found:
            console.say(key)


@keys.command()
def rotate() -> None:
    """Make a new signing key and print its verifier key; the ones before sign along until they are retired."""
    with console.opened() as groundswell:
        with _writing(groundswell.settings.data_dir):
            fresh = groundswell.checkpoints.keys().rotate()
        console.say(str(fresh))
        groundswell.checkpoints.make()


@keys.command("rotate-master")
@console.yes_option
def rotate_master(*, yes: bool) -> None:
    """Put a new master key in the place of the present one; no event changes, and nobody's data is lost.

    Processes on this data directory go on; those on other hosts need the new file. What backups, and rows deleted from
    the database, hold of persons' keys can be opened by nobody once the old key is deleted.
    """
    with console.opened() as groundswell:
        console.confirm("Wrap the keys of all persons under a new master key?", yes=yes)
        folder, persons = groundswell.settings.data_dir, groundswell.engine.persons
        before = set(old_keys(folder))
        with console.progress(None, "wrapping") as report:
            count = persons.rotate(groundswell.engine.database, lambda done: report("wrapping", done))
        console.say(
            f"The keys of {count:,} persons are wrapped under a new master key, {folder / NAME}: back it up now."
        )
        for old in sorted(set(old_keys(folder)) - before):
            console.say(f"The old one is {old}; backups from before need it. Delete it, and they open for nobody.")


@keys.command()
@click.argument("key_id", metavar="ID")
@console.yes_option
def retire(*, key_id: str, yes: bool) -> None:
    """Destroy a signing key, named by its id in hex; what it signed stays verifiable."""
    with console.opened() as groundswell:
        console.confirm(f"Destroy the signing key {key_id}? It cannot be brought back.", yes=yes)
        with _writing(groundswell.settings.data_dir):
            gone = groundswell.checkpoints.keys().retire(key_id)
        console.say(f"Retired: {gone}")


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Say in one sentence that the keys in a folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise Unavailable("keys.unwritable", f"The keys in {folder} cannot be written: {error.strerror}.") from None


COMMANDS = {"verify": verify, "export": export_, "restore": restore_, "keys": keys}
