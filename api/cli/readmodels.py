"""``groundswell rebuild``, ``parked``: the read models."""

from functools import partial
from typing import Any

import click

from api.bootstrap import kinds
from api.cli import console
from api.words import counted
from projections.parked import discard, parked, retry
from projections.rebuild import DRAFTS, Difference, compare, rebuild


@click.command("rebuild")
@click.argument("projections", nargs=-1, metavar="[PROJECTION…]")
@click.option("--compare", "only_compare", is_flag=True, help="Only prove that fresh ones are equal; exit 1 if not.")
@console.as_json_option
def rebuild_(*, projections: tuple[str, ...], only_compare: bool, as_json: bool) -> int:
    """Build read models anew from the history beside the live ones, and swap them in. All, if none is named.

    Readers see the old ones until the swap; an interrupted rebuild goes on where it ended.
    """
    chosen = kinds(projections)
    names = ", ".join(kind.name for kind in chosen)
    with console.opened() as groundswell:
        head = groundswell.engine.log.head()
        if only_compare:
            with console.progress(head, "comparing") as report:
                differences = compare(groundswell.runner, chosen, lambda done: report("comparing", done))
            return _compared(differences, len(chosen), head, as_json=as_json)
        with console.progress(head, "rebuilding") as report:
            rebuild(groundswell.runner, chosen, report, groundswell.settings.data_dir / DRAFTS)
    if as_json:
        console.print_json({"rebuilt": [kind.name for kind in chosen], "position": head})
    else:
        console.say(f"Rebuilt from {counted(head, 'event')}: {names}.")
    return console.DONE


def _compared(differences: list[Difference], count: int, head: int, *, as_json: bool) -> int:
    if as_json:
        found = [{"projection": d.projection, "table": d.table, "live": d.live, "fresh": d.fresh} for d in differences]
        console.print_json({"equal": not differences, "position": head, "differences": found})
    elif not differences:
        models, facts = counted(count, "read model"), counted(head, "event")
        console.say(f"Equal: {models}, live and built anew from {facts}.")
    else:
        for one in differences:
            console.say(f"{one.table} ({one.projection}) differs, first in this row:")
            for column, live, fresh in _columns(one):
                console.say(f"  {column}: live {live!r}, fresh {fresh!r}")
    return console.FOUND_WRONG if differences else console.DONE


def _columns(one: Difference) -> list[tuple[str, Any, Any]]:
    """Return the columns that differ, with those that say which row it is: the whole row where one is missing."""
    live, fresh = one.live or {}, one.fresh or {}
    names = list(live or fresh)
    shown = [name for name in names if live.get(name) != fresh.get(name) or name == names[0]]
    return [(name, live.get(name), fresh.get(name)) for name in shown]


@click.group("parked")
def parked_() -> None:
    """See to events that a read model could not take."""


@parked_.command("list")
@click.argument("projections", nargs=-1, metavar="[PROJECTION…]")
@console.as_json_option
def list_(*, projections: tuple[str, ...], as_json: bool) -> int:
    """List parked events; exit 1 if there are any."""
    names = [kind.name for kind in kinds(projections)]
    with console.opened() as groundswell:
        found = parked(groundswell.runner, names if projections else ())
    if as_json:
        console.print_json([vars(one) for one in found])
    elif not found:
        console.say("No event is parked.")
    else:
        rows = [
            (
                one.projection,
                one.position,
                one.topic,
                console.minute(one.parked_at),
                one.attempts,
                console.minute(one.retry_at),
                one.error,
            )
            for one in found
        ]
        columns = ("projection", "#position", "topic", "parked (UTC)", "#tried", "again (UTC)", "why")
        console.print_table(columns, rows)
    return console.FOUND_WRONG if found else console.DONE


@parked_.command("retry")
@click.argument("projections", nargs=-1, metavar="[PROJECTION…]")
@console.as_json_option
def retry_(*, projections: tuple[str, ...], as_json: bool) -> int:
    """Apply parked events after all, in order; exit 1 if some still cannot be."""
    done = {}
    with console.opened() as groundswell:
        waiting = {one.projection for one in parked(groundswell.runner)}
        for kind in kinds(projections):
            if kind.name in waiting:
                with console.progress(None, kind.name) as report:
                    done[kind.name] = retry(groundswell.runner, kind, partial(report, kind.name))
    if as_json:
        console.print_json({name: vars(one) for name, one in done.items()})
    elif not done:
        console.say("No event is parked." if not projections else f"No event is parked for {', '.join(projections)}.")
    else:
        for name, one in done.items():
            console.say(f"{name}: {one.applied:,} applied, {one.waiting:,} still parked.")
    return console.FOUND_WRONG if any(one.waiting for one in done.values()) else console.DONE


@parked_.command("discard")
@click.argument("projection")
@click.argument("positions", nargs=-1, type=int, metavar="[POSITION…]")
@console.yes_option
@console.as_json_option
def discard_(*, projection: str, positions: tuple[int, ...], yes: bool, as_json: bool) -> int:
    """Give up parked events of one read model: those named, or all. It will not show them until it is rebuilt.

    What waits behind an event that was given up is applied by “parked retry”.
    """
    (kind,) = kinds([projection])
    with console.opened() as groundswell:
        found = [one for one in parked(groundswell.runner, [projection]) if not positions or one.position in positions]
        if found:
            console.confirm(f"Give up {_events(len(found), 'parked ')} of {projection}?", yes=yes)
        count = discard(groundswell.runner, kind, positions)
        left = len(parked(groundswell.runner, [projection]))
    if as_json:
        console.print_json({"projection": projection, "discarded": count, "waiting": left})
        return console.DONE
    if count:
        console.say(f"{_events(count)} given up until a “groundswell rebuild {projection}”.")
    else:
        console.say(f"No event is parked for {projection}.")
    if left:
        console.say(f"{_events(left)} still parked; “groundswell parked retry {projection}” applies what can be.")
    return console.DONE


def _events(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}event{'' if count == 1 else 's'}"


COMMANDS = {"rebuild": rebuild_, "parked": parked_}
