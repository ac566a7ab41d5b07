"""``groundswell digest status`` and ``unknown``: what became of mails, and what a person must decide."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, Final
from uuid import UUID

import click

from api.cli import console
from api.cli.mailing import as_data, described
from api.imports import CLI
from api.mails import nothing_sent
from api.words import counted
from domain.kernel import Actor, Invalid, Refusal
from notifications.desk import Desk, Status
from notifications.standing import Unsettled

SPANS: Final = {"day": "#last 24 hours", "week": "#last 7 days", "all": "#ever"}
OUTCOMES: Final = {
    "accepted": "sent",
    "bounced": "  of these bounced",
    "undelivered": "  of these given up by a server",
    "blocked": "  of these blocked by a server",
    "complained": "  of these complained about",
    "refused": "refused",
    "unknown": "unknown",
    "suppressed": "suppressed",
}
REASONS: Final = {"suppressed": "reasons", "refused": "refusals"}
"""Where the reasons of an outcome are counted."""


@click.command()
@console.as_json_option
def status(*, as_json: bool) -> None:
    """Show what became of mails, what waits, and what needs somebody."""
    with console.opened() as groundswell:
        found = groundswell.notifications.desk.status()
        nothing = None if any(asdict(found.outcomes["all"]).values()) else nothing_sent(groundswell)
    if as_json:
        console.print_json(_data(found))
        return
    for sentence in _sentences(found):
        console.say(sentence)
    if nothing is not None:
        console.say(nothing)
        return
    console.print_table(("mails that ended", *SPANS.values()), list(_rows(found)))
    runs = [(console.minute(run.started_at), run.planned, _became(run.counts), run.trouble) for run in found.runs]
    console.print_table(("run (UTC)", "#planned", "became", "trouble"), runs)


def _sentences(found: Status) -> Sequence[str]:
    said = []
    if found.halt:
        why = f": {found.halt.reason}" if found.halt.reason else ""
        since = console.minute(found.halt.since)
        said.append(f"Mails are halted since {since} UTC by {found.halt.by}{why}")
        said.append("“groundswell digest resume” lets them go again.")
    if found.held:
        said.append(
            f"{counted(found.held, 'digest')} held: due, and more than a worker may send unasked. "
            f"“groundswell digest run --audience {found.audience.size}” sends them."
        )
    elif found.audience.new:
        due = described(replace(found.audience, waiting=0))
        said.append(f"Due and not planned yet: {due}; a running “groundswell up” or “work” does that each minute.")
    if found.next_due:
        said.append(f"The next digest falls due {console.minute(found.next_due)} UTC.")
    if found.waiting.waiting:
        oldest = console.minute(found.waiting.oldest)
        said.append(
            f"Waiting: {counted(found.waiting.waiting, 'mail')}, of which {found.waiting.deferred:,} for another "
            f"attempt; the oldest since {oldest} UTC."
        )
    if found.waiting.under_way:
        said.append(f"Under way: {counted(found.waiting.under_way, 'mail')}.")
    if found.trouble:
        said.append(f"Trouble in the last run: {found.trouble}")
    if found.unknown:
        said.append(
            f"Unknown: {counted(found.unknown, 'mail')} of which nobody knows whether they went out; "
            "“groundswell digest unknown” settles that."
        )
    return said


def _rows(found: Status) -> Iterator[tuple[object, ...]]:
    counts = [asdict(found.outcomes[span]) for span in SPANS]
    for name, label in OUTCOMES.items():
        if not label.startswith(" ") or any(one[name] for one in counts):
            yield label, *(one[name] for one in counts)
        if name in REASONS:
            reasons = [one[REASONS[name]] for one in counts]
            for reason in sorted(set().union(*reasons)):
                yield f"  {reason}", *(one.get(reason, 0) for one in reasons)


def _became(counts: dict[str, int]) -> str:
    return ", ".join(f"{state} {count:,}" for state, count in counts.items())


def _data(found: Status) -> dict[str, Any]:
    data = asdict(found)
    if found.halt:
        data["halt"]["by"] = str(found.halt.by)
    return data | {"audience": as_data(found.audience), "trouble": found.trouble}


@click.group()
def unknown() -> None:
    """See to mails of which nobody knows whether they went out: a connection was cut, or a sender was killed.

    None of them is sent again unless somebody says so here, or GROUNDSWELL_MAIL_UNKNOWN=resend.
    """


@unknown.command("list")
@console.as_json_option
def list_(*, as_json: bool) -> int:
    """List them, the newest first; exit 1 if there are any."""
    with console.opened() as groundswell:
        found = groundswell.notifications.desk.unsettled()
    if as_json:
        console.print_json([asdict(one) for one in found])
    elif not found:
        console.say("Of every mail it is known what became of it.")
    else:
        rows = [_row(one) for one in found]
        console.print_table(("mail", "kind", "period", "supporter", "since (UTC)", "#tried", "again"), rows)
    return console.FOUND_WRONG if found else console.DONE


def _row(one: Unsettled) -> tuple[object, ...]:
    again = "can be sent again" if one.kept else "no longer kept"
    return (one.id, one.kind, one.period, one.supporter, console.minute(one.since), one.attempts, again)


mails_argument = click.argument("mails", nargs=-1, type=click.UUID, metavar="[MAIL…]")
all_option = click.option("--all", "every", is_flag=True, help="All of them.")


@unknown.command()
@mails_argument
@all_option
@console.yes_option
@console.as_json_option
def accept(*, mails: tuple[UUID, ...], every: bool, yes: bool, as_json: bool) -> int:
    """Take it that these went out: they are not sent again, and the next digest goes on where they ended."""
    return _settle(Desk.accept, "Take {} as sent?", mails, every=every, yes=yes, as_json=as_json)


@unknown.command()
@mails_argument
@all_option
@console.yes_option
@console.as_json_option
def resend(*, mails: tuple[UUID, ...], every: bool, yes: bool, as_json: bool) -> int:
    """Send these again, as they were, under the same Message-ID: some may arrive twice."""
    return _settle(Desk.resend, "Send {} again?", mails, every=every, yes=yes, as_json=as_json)


def _settle(
    act: Callable[[Desk, UUID, Actor], None],
    question: str,
    mails: tuple[UUID, ...],
    *,
    every: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Decide about mails one by one; what is refused stops no other, and is said."""
    if bool(mails) == every:
        raise Invalid("arguments.invalid", "Name mails as “digest unknown list” does, or say --all.")
    with console.opened() as groundswell:
        desk = groundswell.notifications.desk
        chosen = [one.id for one in desk.unsettled()] if every else list(dict.fromkeys(mails))
        if every and chosen:
            console.confirm(question.format(counted(len(chosen), "mail")), yes=yes)
        refused = {}
        for mail in chosen:
            try:
                act(desk, mail, CLI)
            except Refusal as refusal:
                refused[mail] = refusal
    for mail, why in refused.items():
        console.print_error(why.code, f"{mail}: {why.message}")
    settled = len(chosen) - len(refused)
    if as_json:
        console.print_json({"settled": settled, "refused": {str(mail): why.code for mail, why in refused.items()}})
    else:
        console.say(f"{counted(settled, 'mail')} settled.")
    return console.FOUND_WRONG if refused else console.DONE


COMMANDS = (status, unknown)
