"""What changed between two points of history, over HTTP."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from api.bootstrap import Groundswell
from api.common import LONGEST_POINT, Stale, Store, read_point
from api.names import names_on
from api.openapi import answers
from api.standings import board_at, path_of
from domain.kernel import MAX_REFERENCE, Invalid
from projections.boards import Board
from projections.history_diff import diff

router = APIRouter(prefix="/history", tags=["history"])

NAMES: Final = 500
"""How many names are looked up at a time."""
LONGEST_BOARD: Final = len("campaigns/") + MAX_REFERENCE


class PointShown(BaseModel):
    """A point of history."""

    position: int
    occurred_by: datetime | None


class Supporters(BaseModel):
    """How many supporters came, and how many were erased."""

    new: int
    erased: int


class Change(BaseModel):
    """A thing that changed: each column from what to what, how many events did it, and where the first of them are."""

    id: UUID
    ask: str | None = None
    name: str | None = None
    changes: dict[str, dict[str, Any]]
    events: int
    positions: list[int]


class Difference(BaseModel):
    """What changed from one point to another."""

    since: PointShown = Field(alias="from")
    until: PointShown = Field(alias="to")
    events: int
    supporters: Supporters
    campaigns: list[Change]
    asks: list[Change]
    chapters: list[Change]
    policies: list[Change]
    partnerships: list[Change]
    recognitions: list[Change]
    board_of: str
    board: list[Change]


CHANGE: Final[dict[str, Any]] = {
    "id": "0d2b8a4e-3c5e-5a43-9d3e-6a1f0c7f8a11",
    "ask": None,
    "name": "Thirty days of listening",
    "changes": {"active": {"from": 28, "to": 30}, "made": {"from": 39, "to": 41}},
    "events": 2,
    "positions": [790, 811],
}


def _point(alias: str, description: str, example: str) -> Any:  # noqa: ANN401 - as FastAPI has it
    return Query(alias=alias, description=description, examples=[example], max_length=LONGEST_POINT)


FromPoint = Annotated[
    str | None, _point("from", "The first point: a position, or an RFC 3339 time of recording.", "780")
]
ToPoint = Annotated[str | None, _point("to", "The later point, likewise; by default the present.", "812")]
FromOccurred = Annotated[
    str | None,
    _point("from_occurred", "RFC 3339: as of the first point, only what had happened by then.", "2026-05-01T00:00:00Z"),
]
ToOccurred = Annotated[
    str | None,
    _point("to_occurred", "RFC 3339: as of the later point, only what had happened by then.", "2026-06-01T00:00:00Z"),
]
WhichBoard = Annotated[
    str,
    Query(
        description="The board whose ranks are compared: movement, chapters, partnerships, campaigns/… or chapters/….",
        examples=["campaigns/spring"],
        max_length=LONGEST_BOARD,
    ),
]

DIFFERENCE: Final[dict[str, Any]] = {
    "from": {"position": 780, "occurred_by": None},
    "to": {"position": 812, "occurred_by": None},
    "events": 32,
    "supporters": {"new": 2, "erased": 0},
    "campaigns": [CHANGE],
    "asks": [CHANGE | {"ask": "ten-minutes", "name": "I will listen for ten minutes a day."}],
    "chapters": [],
    "policies": [],
    "partnerships": [],
    "recognitions": [],
    "board_of": "movement",
    "board": [],
}


@router.get(
    "/diff",
    summary="Compare two points of history",
    responses=answers(DIFFERENCE, "as_of.in_future", "history.no_point"),
)
def read_diff(
    store: Store,
    stale: Stale,
    response: Response,
    since: FromPoint = None,
    until: ToPoint = None,
    since_occurred: FromOccurred = None,
    until_occurred: ToOccurred = None,
    board: WhichBoard = "movement",
) -> Difference:
    """What changed from one point to a later one (by default the present), and which events did it."""
    ranked = board_at(store, board)
    found = Difference.model_validate(difference(store, ranked, since, until, since_occurred, until_occurred))
    response.headers["X-Position"] = str(found.until.position)
    if stale:
        response.headers["X-Position-Stale"] = "true"
    return found


def difference(
    store: Groundswell,
    board: Board,
    since: str | None,
    until: str | None = None,
    since_occurred: str | None = None,
    until_occurred: str | None = None,
) -> dict[str, Any]:
    """Return what changed between two points as they are asked for, and ``board_of``; see ``diff``. Raises Invalid."""
    if not since and not since_occurred:
        raise Invalid("history.no_point", "Say since when: with from, a position or a time, or with from_occurred.")
    first = read_point(store, since, since_occurred, ("from", "from_occurred"))
    last = read_point(store, until, until_occurred, ("to", "to_occurred"))
    return {**diff(store.reader, first, last, board), "board_of": path_of(board)}


def board_names(store: Groundswell, board: Board, things: Sequence[Mapping[str, Any]]) -> dict[str, str | None]:
    """Return by id the names, of whoever changed on a board, that may be shown now."""
    found: dict[str, str | None] = {}
    with store.reader.open() as present:
        for start in range(0, len(things), NAMES):
            keys = [UUID(each["id"]) for each in things[start : start + NAMES]]
            found |= {str(key): name for key, name in names_on(present, board.scope, keys).items()}
    return found
