"""``groundswell token``, ``signin``: who may come in."""

import click

from api.accounts import Role, roles
from api.cli import console
from api.settings import Settings

role_option = click.option("--role", type=click.Choice(roles()), required=True, help="What the bearer may do.")


def link_url(settings: Settings, secret: str) -> str:
    """Return the address of a one-time sign-in link; its page asks for a click, so that scanners do not use it up."""
    return f"{settings.base_url}/signin/{secret}"


@click.command()
@click.option("--email", required=True, help="Who signs in; shown as the actor of what they do.")
@role_option
@console.as_json_option
def signin(*, email: str, role: str, as_json: bool) -> None:
    """Print a one-time sign-in link for the web pages, good for half an hour."""
    with console.opened() as groundswell:
        url = link_url(groundswell.settings, groundswell.accounts.create_link(email, Role(role)))
    if as_json:
        console.print_json({"url": url, "email": email, "role": role})
    else:
        console.say(url)


@click.group()
def token() -> None:
    """Make, list and revoke API tokens."""


@token.command()
@role_option
@click.option("--name", required=True, help="Which program uses it; recorded as the actor api:NAME.")
@console.as_json_option
def create(*, role: str, name: str, as_json: bool) -> None:
    """Print a new token. It is shown this once: only its hash is stored."""
    with console.opened() as groundswell:
        made, secret = groundswell.accounts.create_token(name, Role(role))
    if as_json:
        console.print_json({"id": made.id, "name": made.name, "role": made.role, "token": secret})
    else:
        console.say(secret)


@token.command("list")
@console.as_json_option
def list_(*, as_json: bool) -> None:
    """List all tokens, revoked ones included; never their secrets."""
    with console.opened() as groundswell:
        found = groundswell.accounts.tokens()
    if as_json:
        console.print_json(
            [
                {
                    "id": one.id,
                    "name": one.name,
                    "role": one.role,
                    "created_at": one.created_at.isoformat(),
                    "revoked_at": one.revoked_at.isoformat() if one.revoked_at else None,
                }
                for one in found
            ]
        )
        return
    rows = [
        (
            one.id,
            one.name,
            one.role,
            f"{one.created_at:%Y-%m-%d %H:%M}",
            one.revoked_at and f"{one.revoked_at:%Y-%m-%d %H:%M}",
        )
        for one in found
    ]
    console.print_table(("id", "name", "role", "created (UTC)", "revoked (UTC)"), rows)


@token.command()
@click.argument("token_id", metavar="ID")
def revoke(*, token_id: str) -> None:
    """End a token; the id is that of “token list”."""
    with console.opened() as groundswell:
        groundswell.accounts.revoke_token(token_id)
    console.say(f"Token {token_id} is revoked.")


COMMANDS = {"token": token, "signin": signin}
