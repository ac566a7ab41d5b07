"""``groundswell scoring``: the rules by which points are given, and what new ones would change."""

import sys
from pathlib import Path
from typing import Final

import click

from api.cli import console
from api.imports import STDIN
from api.scoring import MOST, SHOWN, board_of, published, read_proposed, weigh
from api.weighing import ScoringPreview, WouldMove
from api.words import kind, signed
from domain.kernel import Invalid
from domain.scoring import Applies

APPLIES: Final = {str(Applies.FROM_NOW): "from now on", str(Applies.TO_ALL_HISTORY): "to all history"}
NONE: Final = "\N{EN DASH}"
REASONS: Final = 4
"""How many kinds of events a line names at most."""


@click.group()
def scoring() -> None:
    """See by which rules points are given, and what new rules would change."""


@scoring.command("rules")
@console.as_json_option
def rules_(*, as_json: bool) -> None:
    """List the published versions of the rules, the one in force first."""
    with console.opened() as groundswell:
        found = published(groundswell)
    if as_json:
        console.print_json([each.model_dump(mode="json") for each in found])
        return
    rows = [
        (
            each.version,
            console.minute(each.published_at) or "until others are published",
            APPLIES[each.applies],
            ", ".join(f"{topic} {points:g}" for topic, points in each.points.items()),
            f"{each.daily_cap:g}" if each.daily_cap is not None else "none",
            ", ".join(rule.award for rule in each.awards),
        )
        for each in found
    ]
    console.print_table(("#version", "published (UTC)", "applies", "points", "daily cap", "awards"), rows)


@scoring.command("preview")
@click.argument("file")
@click.option("--campaign", help="Weigh the rules on the board of this campaign.")
@click.option("--chapter", help="Weigh the rules on the board of this chapter.")
@click.option("--top", type=click.IntRange(1, MOST), default=SHOWN, show_default=True, help="How many to show at most.")
@console.as_json_option
def preview_(*, file: str, campaign: str | None, chapter: str | None, top: int, as_json: bool) -> None:
    """Show who would move, and why, if the rules in FILE were published; nothing is written.

    FILE holds the data of the command scoring.publish as JSON (- for standard input).
    """
    proposed = read_proposed(_read(file), "command.invalid_json")
    with console.opened() as groundswell, console.progress(None, "scoring anew") as report:
        board = board_of(groundswell, campaign, chapter)
        found = weigh(groundswell, proposed, board, top, lambda done, total: report("scoring anew", done, total))
    if as_json:
        console.print_json(found.model_dump(mode="json"))
    else:
        _print(found)


def _read(file: str) -> bytes:
    if file == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except FileNotFoundError:
        raise Invalid("arguments.file_missing", f"There is no file {file}.") from None
    except OSError as error:
        raise Invalid("arguments.file_unreadable", f"{file} cannot be read: {error.strerror or error}.") from None


def _print(found: ScoringPreview) -> None:
    console.say(f"Version {found.version}, applied {APPLIES[found.applies]}, weighed as of position {found.as_of:,}.")
    if found.behind:
        console.say(
            f"{found.behind:,} newer events are not counted yet: a running `groundswell up` or `work` does that."
        )
    if found.applies == Applies.FROM_NOW:
        console.say(
            "These rules count what happens from now on: no points change yet, nobody moves, no award is given."
        )
        return
    console.say(
        f"Of {found.size.before:,} supporters with points, {found.size.after:,} would have some; "
        f"{found.moved.points:,} would have more or fewer, {found.moved.ranks:,} another rank."
    )
    rows = [(each.topic, each.before, each.after, signed(each.after - each.before)) for each in found.topics]
    console.print_table(("points for", "#before", "#after", "#change"), rows)
    if found.awards:
        given = [(each.award, each.title, each.given) for each in found.awards]
        console.print_table(("award", "title", "#given at once"), given)
        console.say("No award is revoked: each is held to the rule by which it was given.")
    if found.top:
        console.say("\nThe head of the board afterwards:")
        _print_movers(found.top)
    if found.movers:
        console.say("\nThose whose rank changes most:")
        _print_movers(found.movers)


def _print_movers(movers: list[WouldMove]) -> None:
    rows = [
        (
            each.name or f"not named ({str(each.id)[:8]})",
            f"{each.rank.before or NONE} → {each.rank.after or NONE}",
            f"{each.points.before:g} → {each.points.after:g}",
            why(each),
        )
        for each in movers
    ]
    console.print_table(("who", "#rank", "#points", "why"), rows)


def why(each: WouldMove) -> str:
    """Say in a few words what changes somebody's points."""
    changed = [topic for topic in each.topics if topic.after != topic.before]
    said = [f"{kind(topic.topic)} {signed(topic.after - topic.before)}" for topic in changed[:REASONS]]
    said += ["…"] if len(changed) > REASONS else []
    said += [f"the cap keeps back {each.capped:g}"] if each.capped else []
    said += [f"award {award}" for award in each.awards]
    return ", ".join(said) or "the points of others"


COMMANDS = {"scoring": scoring}
