"""``groundswell digest run`` and what guards it: the audience is shown, asked about and capped; mails can be halted."""

import sys
from datetime import datetime
from typing import Any

import click

from api.cli import console
from api.imports import CLI
from api.words import counted
from domain.kernel import Conflict, now
from notifications.caps import Audience, MailRole, cap
from notifications.desk import Desk
from notifications.domains import Domains
from notifications.switch import Halted

WRONG = ("deferred", "refused", "unknown")


@click.command()
@console.yes_option
@click.option("--audience", "named", type=click.IntRange(0), metavar="N", help="Send up to so many, whatever the cap.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--wrong-clock", is_flag=True, help="Also mail those whom a clock that was ahead put off.")
@console.as_json_option
def run(*, yes: bool, named: int | None, dry_run: bool, wrong_clock: bool, as_json: bool) -> int:
    """Send what is due now. Asks first on a terminal, with the size of the audience.

    More than the cap of the command line (GROUNDSWELL_MAIL_CAPS) go out only where --audience names at least as many.
    """
    with console.opened() as groundswell:
        mails = groundswell.notifications
        if dry_run:
            groundswell.runner.catch_up()
            _say_audience(mails.audience(astray=wrong_clock), mails.domains(), as_json=as_json)
            return console.DONE
        if standing := mails.desk.halt():
            raise Halted(standing)
        console.catch_up(groundswell)
        found = mails.audience(astray=wrong_clock)
        limit = cap(groundswell.settings.mail_caps, MailRole.CLI) if named is None else named
        _check(found, limit, named)
        asks = not yes and sys.stdin.isatty()
        if found.size and asks:
            click.echo(by_domain(mails.domains()), err=True)
            console.confirm(f"Send {described(found)} now?", yes=False)
        begun, new = now(), None if limit is None else limit - found.waiting
        with console.progress(found.size, "sending") as report:
            counts = mails.run(progress=lambda done: report("sending", done), limit=new, astray=wrong_clock)
        trouble = _trouble(mails.desk, begun)
    if as_json:
        console.print_json(counts)
    else:
        console.say(", ".join(f"{name} {count:,}" for name, count in counts.items()))
    if trouble:
        console.print_error(*trouble)
    return console.FOUND_WRONG if trouble or any(counts.get(name) for name in WRONG) else console.DONE


def _trouble(desk: Desk, begun: datetime) -> tuple[str, str] | None:
    """Return (code, sentence) of why a run that began then left something, if it did."""
    if standing := desk.halt():
        halted = Halted(standing)
        return halted.code, halted.message
    for last in desk.runs(1):
        if last.started_at >= begun and last.trouble:
            return "mail.waits", f"{last.trouble} What waits is tried again by a running “up” or “work”."
    if waiting := desk.status().waiting.waiting:
        waits = "waits" if waiting == 1 else "wait"
        said = f"{counted(waiting, 'mail')} {waits} for another attempt: a running “up” or “work” makes it."
        return "mail.waits", said
    return None


def _check(found: Audience, limit: int | None, named: int | None) -> None:
    """Raise Conflict where more would go out than is allowed, and say what would allow it."""
    if limit is None or found.size <= limit:
        return
    allowed = "you named" if named is not None else "that the command line may send unasked"
    raise Conflict(
        "mail.beyond_cap",
        f"{described(found)} would go out, more than the {limit:,} {allowed}; if you mean it: --audience {found.size}.",
    )


def described(found: Audience) -> str:
    """Say of how many digests an audience is, and why they would go out."""
    parts = [f"{count:,} {frequency}" for frequency, count in found.due.items()]
    parts += [f"{found.waiting:,} that wait"] if found.waiting else []
    return f"{counted(found.size, 'digest')} ({', '.join(parts)})" if parts else "no digest"


def by_domain(found: Domains) -> str:
    """Say how many would go to which domain."""
    parts = [f"{count:,} to {domain}" for domain, count in found.largest.items()]
    return f"By domain: {', '.join([*parts, *([f'{found.others:,} elsewhere'] if found.others else [])])}."


def _say_audience(found: Audience, domains: Domains, *, as_json: bool) -> None:
    if as_json:
        console.print_json(as_data(found) | {"domains": domains.largest, "elsewhere": domains.others})
        return
    console.say(f"Now {described(found)} would go out; nothing was sent.")
    if found.size:
        console.say(by_domain(domains))


def as_data(found: Audience) -> dict[str, Any]:
    """Return an audience as JSON has it."""
    return {"audience": found.size, "due": found.new, "by_frequency": dict(found.due), "waiting": found.waiting}


@click.command()
@click.option("--reason", required=True, help="Why; it is recorded with the event, and shown.")
def halt(*, reason: str) -> None:
    """Let no mail go out, from any process, until “digest resume”. What is just going out still does."""
    with console.opened() as groundswell:
        groundswell.notifications.desk.turn_off(CLI, reason)
    console.say("Mails are halted; what is due waits. “groundswell digest resume” lets them go again.")


@click.command()
def resume() -> None:
    """Let mails go out again after “digest halt”."""
    with console.opened() as groundswell:
        groundswell.notifications.desk.turn_on(CLI)
    console.say("Mails go out again.")


COMMANDS = (run, halt, resume)
