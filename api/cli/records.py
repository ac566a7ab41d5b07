"""``groundswell history``, ``erase``: what is recorded, and what must no longer be readable."""

from collections import Counter
from uuid import UUID

import click
import sqlalchemy as sa

from api.bootstrap import Groundswell
from api.cli import console
from api.imports import CLI
from domain.kernel import Context, Sealed, Unknown, fields_of, identify, now
from domain.slices import Fact
from domain.supporters import Erase
from history.envelope import new_id, own_request
from history.tables import events

PAGE = 1_000


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
@click.option("--reason", required=True, help="Why; it is recorded with the event.")
@console.yes_option
@console.as_json_option
def erase(*, supporter: str, reason: str, yes: bool, as_json: bool) -> int:
    """Destroy a person's key: what they gave can no longer be read, by anybody, ever.

    SUPPORTER is a reference, an id, or the person's e-mail address. Counts and proofs stay valid.
    """
    with console.opened() as groundswell:
        person = _find(groundswell, supporter)
        facts = _facts_about(groundswell, person)
        topics = Counter(fact.topic for fact in facts)
        sealed = sum(_sealed_fields(fact) for fact in facts)
        if not as_json:
            console.say(f"Supporter {person}: {len(facts):,} events, {sealed:,} personal fields in them.")
            console.say("What survives, under a pseudonym and without name, address or notes:")
            console.print_table(("event", "#count"), sorted(topics.items()))
            console.say("What is lost for good: name, e-mail address, display name, every note. Backups keep them")
            console.say("until they are deleted, too.")
        console.confirm("Erase this person?", yes=yes)
        command_id = new_id()
        context = Context(actor=CLI, at=now(), command_id=command_id, correlation_id=command_id, reason=reason)
        (answer,) = groundswell.engine.write([own_request(Erase(supporter=str(person)), context)])
        if answer.error is not None:
            raise answer.error
        groundswell.catch_up()
    position = answer.positions[-1]
    if as_json:
        console.print_json(
            {"supporter": str(person), "position": position, "survives": dict(topics), "personal_fields_erased": sealed}
        )
    else:
        console.say(f"Done at position {position:,}: the key is destroyed, {sealed:,} personal fields are unreadable,")
        console.say("the person can no longer be found by their address, and gets no more mail.")
    return console.DONE


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


def _facts_about(groundswell: Groundswell, person: UUID) -> list[Fact]:
    """Return every event that concerns the person; found by their id in the stored bytes, not by decoding them all."""
    named = str(person).encode()
    sought = "instr(data, :named) > 0" if groundswell.engine.database.is_sqlite else "position(:named in data) > 0"
    holds = sa.text(sought).bindparams(named=named)
    where = sa.or_(events.c.stream_id == person, holds)
    return [fact for fact in groundswell.engine.log.follow(where) if person in {fact.event.person, fact.stream}]


def _sealed_fields(fact: Fact) -> int:
    return sum(isinstance(getattr(fact.event, name), Sealed) for name in fields_of(type(fact.event)))


COMMANDS = {"history": history, "erase": erase}
