"""What changed between two days: every count, rank, stage and name that differs, with the events that did it."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from api.common import LONGEST_POINT, MaybeCaller, Stale, Store
from api.history_diff import LONGEST_BOARD, board_names, difference
from api.pages.boards import HEADINGS, heading_of
from api.pages.rendering import moment, number, page
from api.problems import status_of
from api.standings import board_at, path_of, recorded_at
from domain.kernel import Invalid
from projections.boards import Board, Scope

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

SECTIONS: Final = (
    ("campaigns", "Campaigns"),
    ("asks", "Asks"),
    ("policies", "Policies"),
    ("chapters", "Chapters"),
    ("partnerships", "Partnerships"),
    ("recognitions", "Recognitions"),
)
PLACES: Final = {
    "campaigns": "/campaigns/{}",
    "asks": "/campaigns/{}",
    "policies": "/api/v1/policies/{}",
    "chapters": "/boards/chapters/{}",
    "partnerships": "/api/v1/partnerships/{}",
}
"""Where a thing of each kind is shown."""
SHOWN: Final = 100
"""How many things of a kind the page shows; the data has all."""
NAMED: Final = 8
"""How many events of a change the page links to."""
HIDDEN: Final = ("parent",)
"""Columns that only say something to programs."""

Text = Annotated[str, Query(max_length=LONGEST_POINT)]


@router.get("/history/diff")
def history_diff(
    store: Store,
    stale: Stale,
    caller: MaybeCaller,
    since: Annotated[Text, Query(alias="from")] = "",
    until: Annotated[Text, Query(alias="to")] = "",
    since_occurred: Annotated[Text, Query(alias="from_occurred")] = "",
    until_occurred: Annotated[Text, Query(alias="to_occurred")] = "",
    board: Annotated[str, Query(max_length=LONGEST_BOARD)] = Scope.MOVEMENT.value,
) -> HTMLResponse:
    """Show a form that asks for two points, and what changed between them."""
    asked = {"from": since, "to": until, "from_occurred": since_occurred, "to_occurred": until_occurred, "board": board}
    ranked = board_at(store, board)
    heading = heading_of(store, ranked, board)
    found, problem, status = None, None, HTTPStatus.OK
    if since or since_occurred:
        try:
            found = difference(store, ranked, since, until, since_occurred, until_occurred)
        except Invalid as refused:
            problem, status = refused.message, status_of(refused)
    elif until or until_occurred:
        problem, status = "Choose the day from which to compare.", HTTPStatus.UNPROCESSABLE_ENTITY
    answer = page(
        "history_diff.html",
        caller,
        asked=asked,
        problem=problem,
        found=found,
        points=[said(found[end], store) for end in ("from", "to")] if found else [],
        ranked=path_of(ranked),
        boards={scope.value: name for scope, name in HEADINGS.items()} | {path_of(ranked): heading},
        sections=list(sections(store, found, ranked, heading)) if found else [],
        data="/api/v1/history/diff?" + urlencode({key: value for key, value in asked.items() if value}),
        stale=stale,
        **({"position": found["to"]["position"]} if found else {}),
    )
    answer.status_code = status
    return answer


def said(point: Mapping[str, Any], store: Store) -> str:
    """Say which point it is."""
    recorded = recorded_at(store, point["position"])
    known = f"position {number(point['position'])}" + (f" (recorded {moment(recorded)})" if recorded else "")
    if point["position"] == 0:
        known = "the beginning, before anything was recorded"
    by = point["occurred_by"]
    return f"what had happened by {moment(datetime.fromisoformat(by))}, as known at {known}" if by else known


def sections(store: Store, found: Mapping[str, Any], board: Board, heading: str) -> Iterator[dict[str, Any]]:
    """Yield what changed of each kind, where anything did, on the board at the end."""
    then = {"as_of": found["to"]["position"]}
    if found["to"]["occurred_by"]:
        then["occurred_by"] = found["to"]["occurred_by"]
    places = PLACES | {"board": f"/boards/{path_of(board)}/entries/{{}}"}
    for key, title in (*SECTIONS, ("board", heading)):
        things = found[key]
        if things:
            shown = things[:SHOWN]
            names = board_names(store, board, shown) if key == "board" else {}
            rows = [
                row | {"link": link(places.get(key), each["id"], then)}
                for each in shown
                if (row := as_row(each, each.get("name") or names.get(each["id"])))
            ]
            yield {"key": key, "title": title, "rows": rows, "more": len(things) - len(shown)}


def link(place: str | None, key: str, then: Mapping[str, Any]) -> str | None:
    """Return where something that changed is shown as of the later point, if it has a place of its own."""
    return f"{place.format(key)}?{urlencode(then)}" if place else None


def as_row(thing: Mapping[str, Any], name: str | None) -> dict[str, Any] | None:
    """Return what the template shows of a thing that changed."""
    changes = [
        {"what": column.replace("_", " "), "old": value(change["from"]), "new": value(change["to"])}
        for column, change in thing["changes"].items()
        if column not in HIDDEN
    ]
    if not changes:
        return None
    positions = thing["positions"][:NAMED]
    return {"name": name, "changes": changes, "positions": positions, "more": thing["events"] - len(positions)}


def value(found: object) -> str:
    """Return a value as people read it; nothing was there where it is None."""
    if found is None:
        return "—"
    return number(found) if isinstance(found, int | float) else str(found)
