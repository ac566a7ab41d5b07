"""``groundswell digest bounces`` and ``dkim``: what comes back of mails, and what the DNS must say of them."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from api.bootstrap import Groundswell
from api.cli import console
from api.imports import CLI
from api.settings import from_environment
from domain.kernel import Invalid
from notifications.mailboxes import in_file, in_pipe
from notifications.returns import SUPPRESSED, UNREADABLE
from notifications.service import sender_of

PIPE: Final = "-"


@click.command()
@click.argument("source", required=False)
@click.option("--imap", is_flag=True, help="Read what is unseen in the mailbox of GROUNDSWELL_IMAP_URL.")
@click.option("--recipient", metavar="ADDRESS", help="With “-”: to which address the message came.")
@console.as_json_option
def bounces(*, source: str | None, imap: bool, recipient: str | None, as_json: bool) -> int:
    """Read reports of mails that did not arrive, or were complained about, from SOURCE.

    SOURCE is an mbox, a Maildir (of which what is new is read, and marked as seen), a file with one message, or “-”
    for one message on standard input, to which a mail server can pipe it. Addresses that take no mail, or whose owners
    complained, get no more. The same report again changes nothing.
    """
    if (source is None) is not imap:
        raise Invalid("arguments.invalid", "Say where to read: FILE, “-” or --imap.")
    if recipient is not None and source != PIPE:
        raise Invalid("arguments.invalid", "--recipient goes with “-”, which brings one message.")
    with console.opened() as groundswell:
        messages = _messages(groundswell, source)
        counts = groundswell.notifications.returns.take_all(messages, CLI, recipient, _say_unreadable)
    if as_json:
        console.print_json({"read": counts.total() - counts[SUPPRESSED], **dict(sorted(counts.items()))})
    else:
        console.say(", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())) or "Nothing came back.")
    return console.FOUND_WRONG if counts[UNREADABLE] else console.DONE


def _messages(groundswell: Groundswell, source: str | None) -> Iterator[bytes]:
    if source is None:
        mailbox = groundswell.notifications.mailbox
        if mailbox is None:
            raise Invalid(
                "settings.imap_url", "GROUNDSWELL_IMAP_URL must say which: imaps://user:password@host/FOLDER."
            )
        return mailbox.messages()
    return in_pipe(sys.stdin.buffer) if source == PIPE else in_file(Path(source))


def _say_unreadable(number: int, error: Invalid) -> None:
    console.print_error(error.code, f"Message {number}: {error.message}")


@click.command()
@console.as_json_option
def dkim(*, as_json: bool) -> None:
    """Show what the DNS must say for signatures to be checked: a line of a zone file for each key."""
    records = [signer.record for signer in sender_of(from_environment()).signers]
    if as_json:
        console.print_json([{"name": one.name, "type": "TXT", "value": one.value} for one in records])
        return
    for one in records:
        console.say(str(one))
    if not records:
        console.say("Mails are not signed; GROUNDSWELL_DKIM_KEY and GROUNDSWELL_DKIM_SELECTOR name keys to sign with.")


COMMANDS = (bounces, dkim)
