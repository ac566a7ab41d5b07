"""``groundswell diff``: what changed between two points of history."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from api.cli import console
from api.words import counted

SECTIONS: Final = ("campaigns", "asks", "chapters", "policies", "partnerships", "recognitions", "board")
NAMED: Final = 5
"""How many positions a line names."""


@click.command()
@click.argument("since", metavar="FROM")
@click.argument("until", metavar="[TO]", required=False)
@click.option("--from-occurred", help="As of FROM, only what had happened by this RFC 3339 time.")
@click.option("--to-occurred", help="As of TO, only what had happened by this RFC 3339 time.")
@click.option(
    "--board",
    default="movement",
    show_default=True,
    help="The board whose ranks are compared: movement, chapters, partnerships, campaigns/… or chapters/….",
)
@console.as_json_option
def diff(
    *, since: str, until: str | None, from_occurred: str | None, to_occurred: str | None, board: str, as_json: bool
) -> None:
    """Show what changed from one point of history to a later one, and which events did it.

    FROM and TO are positions, RFC 3339 times of recording, or days (2026-05-01: the end of it, in UTC); without TO it
    is compared with the present.
    """
    from api.history_diff import board_names, difference  # noqa: PLC0415 - brings FastAPI with it, which takes its time
    from api.standings import board_at  # noqa: PLC0415 - likewise

    with console.opened() as groundswell:
        console.catch_up(groundswell)
        ranked = board_at(groundswell, board)
        found = difference(groundswell, ranked, since, until, from_occurred, to_occurred)
        names = {} if as_json else board_names(groundswell, ranked, found["board"])
    if as_json:
        console.print_json(found)
        return
    console.say(f"From {_point(found['from'])} to {_point(found['to'])}: {counted(found['events'], 'event')}.")
    new, erased = found["supporters"]["new"], found["supporters"]["erased"]
    console.say(f"Supporters: {new:,} new, {erased:,} erased.")
    rows = [row for section in SECTIONS for each in found[section] for row in _rows(section, each, names)]
    if rows:
        console.print_table(("what", "name", "changed", "from", "to", "#events", "positions"), rows)
    else:
        console.say("No count, rank, stage or name differs.")


def _point(point: Mapping[str, Any]) -> str:
    by = point["occurred_by"]
    return f"position {point['position']:,}" + (f" (what had happened by {by})" if by else "")


def _rows(section: str, each: Mapping[str, Any], names: Mapping[str, str | None]) -> Iterator[tuple[Any, ...]]:
    unnamed = f"not named ({each['id'][:8]})" if section == "board" else each["id"]
    name = each.get("name") or names.get(each["id"]) or unnamed
    positions = ", ".join(map(str, each["positions"][:NAMED])) + (" …" if each["events"] > NAMED else "")
    for column, change in each["changes"].items():
        yield (
            section,
            name,
            column,
            _value(change["from"]),
            _value(change["to"]),
            each["events"],
            positions,
        )


def _value(value: object) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


COMMANDS = {"diff": diff}
