"""``groundswell demo``: a movement to look at."""

import click

from api.accounts import Role
from api.bootstrap import Groundswell
from api.cli import console
from api.cli.accounts import link_url
from api.cli.serving import host_option, listen, port_option, reached_at, run_http
from api.demo import FEWEST, SEED, SUPPORTERS, fill
from api.settings import from_environment
from domain.kernel import Conflict

MANAGER = "ines.duarte@example.org"
PAGES = (
    ("a campaign", "/campaigns/twenty-one-days"),
    ("the board", "/boards/movement"),
    ("the timeline", "/timeline"),
    ("the API", "/docs"),
)


@click.command()
@click.option("--supporters", type=click.IntRange(min=FEWEST), default=SUPPORTERS, show_default=True, help="How many.")
@click.option("--seed", type=int, default=SEED, show_default=True, help="Same seed, same history.")
@click.option("--serve", is_flag=True, help="Fill the store only if it is empty, then serve it.")
@host_option
@port_option
def demo(*, supporters: int, seed: int, serve: bool, host: str, port: int) -> int:
    """Fill an empty store with half a year of a plausible movement, in three languages."""
    if not serve:
        with console.opened(create=True) as groundswell:
            _fill(groundswell, supporters, seed)
        return console.DONE
    listener = listen(host, port)  # a port in use is said before anything is filled
    settings = reached_at(from_environment(), listener)
    with console.opened(create=True, settings=settings) as groundswell:
        if groundswell.engine.log.head() == 0:
            _fill(groundswell, supporters, seed)
        secret = groundswell.accounts.create_link(MANAGER, Role.MANAGER)
    lines = [
        f"Groundswell is at {settings.base_url} (Ctrl+C stops).",
        f"Sign in as a campaign manager (once, within half an hour): {link_url(settings, secret)}",
        "Another link: groundswell signin --email you@example.org --role manager",
        "Worth opening:",
        *(f"  {what:13} {settings.base_url}{path}" for what, path in PAGES),
    ]
    return run_http(listener, settings, work=True, greeting="\n".join(lines))


def _fill(groundswell: Groundswell, supporters: int, seed: int) -> None:
    head = groundswell.engine.log.head()
    if head:
        message = f"The store is not empty ({head:,} events); the demonstration only fills an empty one."
        raise Conflict("store.not_empty", message)
    with console.progress(None, "telling the story") as report:
        count = fill(groundswell.engine, supporters, seed, lambda done, _all: report("telling the story", done))
    console.catch_up(groundswell)
    events = groundswell.engine.log.head()
    console.say(f"{supporters:,} supporters, {count:,} commands, {events:,} events: half a year of Ear to Ear.")


COMMANDS = {"demo": demo}
