"""``groundswell digest``: what is mailed."""

import click

from api.cli import delivery, mailing, outcomes, previewing


@click.group()
def digest() -> None:
    """Preview digests, send what is due, see what became of it."""


for command in (*previewing.COMMANDS, *mailing.COMMANDS, *outcomes.COMMANDS, *delivery.COMMANDS):
    digest.add_command(command)

COMMANDS = {"digest": digest}
