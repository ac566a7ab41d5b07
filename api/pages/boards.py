"""Boards: who has how many points, by the published rules; names only of those who chose to be named."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Response
from fastapi.responses import HTMLResponse

from api.common import MaybeCaller, Stale, Store, views
from api.names import names_on
from api.pages.rendering import day, page, urlpath
from domain.kernel import Unknown, identify, now
from projections.boards import Board, Scope, Window
from projections.campaigns import Campaigns
from projections.chapters import Chapters
from projections.leaderboards import Leaderboards
from projections.views import Views

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

SHOWN: Final = 50
BOARDS: Final = (
    ("/boards/chapters", "Chapters as teams"),
    ("/boards/partnerships", "Partnerships"),
    ("/boards/movement", "Everybody"),
)
WINDOWS: Final = (("all", "All time"), ("month", "This month"), ("week", "This week"))
HEADINGS: Final = {
    Scope.MOVEMENT: "Board of the movement",
    Scope.CHAPTERS: "Chapters as teams",
    Scope.PARTNERSHIPS: "Board of the partnerships",
}


@router.get("/boards/{scope}")
def whole(
    store: Store,
    response: Response,
    stale: Stale,
    caller: MaybeCaller,
    scope: Annotated[str, Path(pattern="^(movement|chapters|partnerships)$")],
    window: Window = Window.ALL,
) -> HTMLResponse:
    """A board of which there is only one."""
    board = Board(Scope(scope), None, window, now().date())
    with views(store, response, stale) as opened:
        return board_page(opened, board, caller, HEADINGS[board.scope], f"/boards/{scope}", stale=stale)


@router.get("/boards/campaigns/{campaign}")
def of_campaign(
    store: Store, response: Response, stale: Stale, caller: MaybeCaller, campaign: str, window: Window = Window.ALL
) -> HTMLResponse:
    """The board of one campaign."""
    key = identify("campaign", campaign)
    with views(store, response, stale) as opened:
        row = opened[Campaigns].find(opened.connection, key)
        if row is None:
            raise Unknown("campaign.unknown", f"There is no campaign “{campaign}”.")
        board = Board(Scope.CAMPAIGN, key, window, now().date())
        return board_page(opened, board, caller, row.title, f"/boards/campaigns/{urlpath(campaign)}", stale=stale)


@router.get("/boards/chapters/{chapter}")
def of_chapter(
    store: Store, response: Response, stale: Stale, caller: MaybeCaller, chapter: str, window: Window = Window.ALL
) -> HTMLResponse:
    """The board of one chapter."""
    key = identify("chapter", chapter)
    with views(store, response, stale) as opened:
        row = opened[Chapters].find(opened.connection, key)
        if row is None:
            raise Unknown("chapter.unknown", f"There is no chapter “{chapter}”.")
        board = Board(Scope.CHAPTER, key, window, now().date())
        return board_page(opened, board, caller, row.name, f"/boards/chapters/{urlpath(chapter)}", stale=stale)


def board_page(
    opened: Views, board: Board, caller: MaybeCaller, heading: str, here: str, *, stale: bool
) -> HTMLResponse:
    """Render one board."""
    model = opened[Leaderboards]
    standings = model.top(opened.connection, board, limit=SHOWN)
    names = names_on(opened, board.scope, [standing.id for standing in standings])
    entries: list[dict[str, Any]] = [
        {"rank": s.rank, "id": s.id, "points": s.points, "name": names.get(s.id)} for s in standings
    ]
    period = "All time" if board.window is Window.ALL else f"{day(board.start)} to {day(board.end)}"
    return page(
        "board.html",
        caller,
        heading=heading,
        here=here,
        boards=BOARDS,
        windows=WINDOWS,
        window=board.window.value,
        period=period,
        entries=entries,
        rules_version=model.rules_in_force(opened.connection).version,
        data="/api/v1/leaderboards/" + here.removeprefix("/boards/"),
        position=opened.position,
        stale=stale,
    )
