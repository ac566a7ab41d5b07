"""``groundswell digest``: what is mailed."""

import click

from api.cli import console, delivery, mailing, outcomes
from domain.kernel import identify
from history.envelope import read_moment


@click.group()
def digest() -> None:
    """Preview digests, send what is due, see what became of it."""


@digest.command()
@click.argument("supporter")
@click.option("--at", help="As if it were this moment (RFC 3339).")
@click.option("--html", is_flag=True, help="Print the HTML part.")
@console.as_json_option
def preview(*, supporter: str, at: str | None, html: bool, as_json: bool) -> None:
    """Show the digest that one person would get now; nothing is sent or recorded."""
    moment = read_moment(at, "--at") if at else None
    with console.opened() as groundswell:
        groundswell.catch_up()
        found = groundswell.notifications.preview(identify("supporter", supporter), moment)
    if as_json:
        console.print_json({"subject": found.subject, "text": found.text, "html": found.html})
    elif html:
        console.say(found.html)
    else:
        console.say(f"Subject: {found.subject}\n\n{found.text}")


for command in (*mailing.COMMANDS, *outcomes.COMMANDS, *delivery.COMMANDS):
    digest.add_command(command)

COMMANDS = {"digest": digest}
