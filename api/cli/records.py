"""``groundswell history``, ``erase``: what is recorded, and what must no longer be readable."""

import time
from typing import Final
from uuid import UUID

import click

from api.bootstrap import Groundswell
from api.cli import console
from api.erasures import BEYOND, Erasure, Traces, erasure, forgotten, traces
from api.imports import CLI
from domain.kernel import Context, Invalid, Unknown, identify, now
from domain.supporters import Erase
from history.envelope import new_id, own_request

PAGE: Final = 1_000
PATIENCE: Final = 5.0
"""Seconds that the purging of an erased person may wait for others who read."""

DESTROYED: Final = {
    "keys": "key of the person",
    "index_entries": "entries by which the address was found",
    "mail_bodies": "messages in the outbox",
    "mails_stopped": "mails that waited",
    "mail_links": "links in mails",
    "mail_files": "mails in files",
}


@click.command()
@click.option("--stream", help="Only this stream: its id, or kind:reference (campaign:spring).")
@click.option("--topic", help="Only this topic (pledges.Made).")
@click.option("--actor", help="Only by this actor (import:petition-7).")
@click.option("--correlation", help="Only what belongs to this command.")
@click.option("--from", "since", help="From this position, or this RFC 3339 time of recording.")
@click.option("--to", "until", help="Up to this position, or this RFC 3339 time of recording.")
@click.option("--personal", is_flag=True, help="Show personal data in the clear.")
def history(
    *,
    stream: str | None,
    topic: str | None,
    actor: str | None,
    correlation: str | None,
    since: str | None,
    until: str | None,
    personal: bool,
) -> None:
    """Print events as JSON lines, in order of position."""
    from api.history import selection, shown_events  # noqa: PLC0415 - brings FastAPI with it, which takes its time

    where = selection(topic=topic, stream=stream, actor=actor, correlation=correlation, since=since, until=until)
    with console.opened() as groundswell:
        after = 0
        while True:
            with groundswell.engine.database.read() as connection:
                rows = groundswell.engine.log.rows(connection, after, PAGE, *where)
                found = shown_events(groundswell, connection, rows, personal=personal)
            for event in found:
                click.echo(event.model_dump_json())
            if len(rows) < PAGE:
                return
            after = rows[-1].position


@click.command()
@click.argument("supporter")
@click.option("--reason", help="Why; it is recorded with the event, in clear and for good.")
@click.option("--receipt", "only_receipt", is_flag=True, help="Only print the receipt of one who was erased before.")
@console.yes_option
@console.as_json_option
def erase(*, supporter: str, reason: str | None, only_receipt: bool, yes: bool, as_json: bool) -> int:
    """Destroy a person's key: what they gave can no longer be read, by anybody, ever.

    SUPPORTER is a reference, an id, or the person's e-mail address. Counts and proofs stay valid. Ends with a receipt:
    what was destroyed, what survives, and what is beyond the reach of this command.
    """
    with console.opened() as groundswell:
        person = _find(groundswell, supporter)
        if not only_receipt:
            if not reason:
                raise Invalid("arguments.reason", "Say why with --reason; it is recorded with the event.")
            if forgotten(groundswell, person) is None:  # nobody is asked for what will be refused
                if not as_json:
                    _announce(person, traces(groundswell, person))
                console.confirm("Erase this person?", yes=yes)
            command_id = new_id()
            context = Context(actor=CLI, at=now(), command_id=command_id, correlation_id=command_id, reason=reason)
            (answer,) = groundswell.engine.write([own_request(Erase(supporter=str(person)), context)])
            if answer.error is not None:
                raise answer.error
        _purge(groundswell)
        found = erasure(groundswell, person)
    if as_json:
        console.print_json(found.as_json())
    else:
        _print(found)
    return console.DONE


def _purge(groundswell: Groundswell) -> None:
    """Let everything follow from the erasure; who still reads the old state is waited for a while."""
    groundswell.catch_up()
    deadline = time.monotonic() + PATIENCE
    while groundswell.notifications.purge() and time.monotonic() < deadline:
        time.sleep(0.1)


def _announce(person: UUID, found: Traces) -> None:
    console.say(
        f"Supporter {person}: {len(found.positions):,} events, {found.sealed_fields:,} personal fields in them."
    )
    console.say("What survives, under a pseudonym and without name, address or notes:")
    console.print_table(("event", "#count"), sorted(found.events.items()))
    if found.open_texts:
        console.say(f"{found.open_texts:,} reasons and other words of others in them stay readable.")
    console.say("What is lost for good: name, e-mail address, display name, every note.")


def _print(found: Erasure) -> None:
    console.say(f"Erased at position {found.position:,}; {found.receipt} proves it.")
    gone = {DESTROYED.get(kind, kind): count for kind, count in found.destroyed.items() if count}
    gone["personal fields that nobody can open any more"] = found.survives.sealed_fields
    console.print_table(("destroyed", "#count"), list(gone.items()))
    stays = {"events that name the person by id": len(found.survives.positions)}
    stays |= {"reasons and other words of others in them": found.survives.open_texts, "mails sent": found.mails_sent}
    console.print_table(("survives", "#count"), list(stays.items()))
    console.say("Totals, ranks and proofs are what they were. Beyond the reach of this command:")
    for sentence in BEYOND:
        console.say(f"- {sentence}")
    if found.purged_at is None:
        console.say(
            "Not finished: somebody still reads the store as it was. A running `groundswell up` or `work` ends it,"
        )
        console.say("or this command with --receipt.")


def _find(groundswell: Groundswell, supporter: str) -> UUID:
    """Return the id of the supporter that a reference or an address names; raise Unknown."""
    log, key = groundswell.engine.log, identify("supporter", supporter)
    if log.version(key):
        return key
    if "@" in supporter:
        with groundswell.engine.database.read() as connection:
            found = groundswell.engine.persons.find(connection, supporter)
        if len(found) == 1:
            return found[0]
        if found:
            named = ", ".join(map(str, found))
            raise Unknown("supporter.ambiguous", f"Several supporters gave this address: {named}. Name one by its id.")
    raise Unknown("supporter.unknown", "There is no such supporter.")


COMMANDS = {"history": history, "erase": erase}
