"""Boards: who has how many points, by the published rules, and why; names only of those who chose to be named.

A row opens to what is behind it, the same for everybody: rank, points by kind of event, the difference to the places
above and below, and the score entries, each with its event. Of whoever is not named nothing is shown by which they
could be told but the pseudonym under which the history has them.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse, RedirectResponse

from api.boards import Explained, Neighbour
from api.bootstrap import Groundswell
from api.campaigns import CampaignPath
from api.chapters import ChapterPath
from api.common import MaybeCaller
from api.leaderboards import EntryPath
from api.pages.past import past
from api.pages.rendering import SECURITY, day, number, page, urlpath
from api.scoring import published
from api.standings import Asked, Question, SortQuery, explain, path_of, read_board, read_teams
from api.words import kind, signed
from domain.kernel import Unknown, identify, now
from projections.boards import Board, Scope, Window
from projections.campaigns import Campaigns
from projections.chapters import Chapters
from projections.pledges import Pledges
from projections.supporters import Supporters
from projections.teams import Sort

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

SHOWN: Final = 50
ENTRIES: Final = 50
BOARDS: Final = (
    ("/boards/chapters", "Chapters as teams"),
    ("/boards/partnerships", "Partnerships"),
    ("/boards/movement", "Everybody"),
)
WINDOWS: Final = (("all", "All time"), ("month", "This month"), ("week", "This week"))
PAST_WINDOWS: Final = (("all", "All time"), ("month", "That month"), ("week", "That week"))
SORTS: Final = (("points", "By points"), ("mean", "By mean per active member"))
HEADINGS: Final = {
    Scope.MOVEMENT: "Board of the movement",
    Scope.CHAPTERS: "Chapters as teams",
    Scope.PARTNERSHIPS: "Board of the partnerships",
}
WhichBoard = Annotated[str, Path(max_length=40)]
Query = Mapping[str, str]


@router.get("/boards")
def first() -> RedirectResponse:
    """Lead to the board that comes first: of teams, before anybody is ranked alone."""
    return RedirectResponse(BOARDS[0][0], HTTPStatus.SEE_OTHER, SECURITY)


@router.get("/boards/{scope}")
def whole(asked: Question, caller: MaybeCaller, scope: WhichBoard, sort: SortQuery = Sort.POINTS) -> HTMLResponse:
    """A board of which there is only one."""
    board = _whole(asked, scope)
    return board_page(asked, board, caller, HEADINGS[board.scope], f"/boards/{scope}", sort)


@router.get("/boards/{scope}/entries/{entry}")
def whole_entry(asked: Question, caller: MaybeCaller, scope: WhichBoard, entry: EntryPath) -> HTMLResponse:
    """Why somebody stands where they do on it."""
    board = _whole(asked, scope)
    return entry_page(asked, board, caller, entry, HEADINGS[board.scope], f"/boards/{scope}")


@router.get("/boards/campaigns/{campaign}")
def of_campaign(asked: Question, caller: MaybeCaller, campaign: CampaignPath) -> HTMLResponse:
    """The board of one campaign."""
    board = asked.board(Scope.CAMPAIGN, identify("campaign", campaign))
    here = f"/campaigns/{urlpath(campaign)}"
    return board_page(asked, board, caller, heading_of(asked.store, board, campaign), f"/boards{here}", about=here)


@router.get("/boards/campaigns/{campaign}/entries/{entry}")
def campaign_entry(asked: Question, caller: MaybeCaller, campaign: CampaignPath, entry: EntryPath) -> HTMLResponse:
    """Why somebody stands where they do on it."""
    board = asked.board(Scope.CAMPAIGN, identify("campaign", campaign))
    heading = heading_of(asked.store, board, campaign)
    return entry_page(asked, board, caller, entry, heading, f"/boards/campaigns/{urlpath(campaign)}")


@router.get("/boards/chapters/{chapter}")
def of_chapter(asked: Question, caller: MaybeCaller, chapter: ChapterPath) -> HTMLResponse:
    """The board of one chapter."""
    board = asked.board(Scope.CHAPTER, identify("chapter", chapter))
    heading = heading_of(asked.store, board, chapter)
    return board_page(asked, board, caller, heading, f"/boards/chapters/{urlpath(chapter)}")


@router.get("/boards/chapters/{chapter}/entries/{entry}")
def chapter_entry(asked: Question, caller: MaybeCaller, chapter: ChapterPath, entry: EntryPath) -> HTMLResponse:
    """Why somebody stands where they do on it."""
    board = asked.board(Scope.CHAPTER, identify("chapter", chapter))
    heading = heading_of(asked.store, board, chapter)
    return entry_page(asked, board, caller, entry, heading, f"/boards/chapters/{urlpath(chapter)}")


def _whole(asked: Asked, scope: str) -> Board:
    if scope not in HEADINGS:
        raise Unknown("board.unknown", f"There is no board “{scope}”.")
    return asked.board(Scope(scope))


def heading_of(store: Groundswell, board: Board, reference: str) -> str:
    """Return what a board is called; raise Unknown where there is no such campaign or chapter now."""
    if board.scope in HEADINGS or board.scope_id is None:
        return HEADINGS[board.scope]
    with store.reader.open() as present:
        if board.scope is Scope.CAMPAIGN:
            campaign = present[Campaigns].find(present.connection, board.scope_id)
            noun, name = "campaign", campaign and campaign.title
        else:
            chapter = present[Chapters].find(present.connection, board.scope_id)
            noun, name = "chapter", chapter and chapter.name
    if name is None:
        raise Unknown(f"{noun}.unknown", f"There is no {noun} “{reference}”.")
    return f"Board of “{name}”"


def board_page(
    asked: Asked,
    board: Board,
    caller: MaybeCaller,
    heading: str,
    here: str,
    sort: Sort = Sort.POINTS,
    about: str | None = None,
) -> HTMLResponse:
    """Render one board; ``about`` is the page of what it is the board of, if there is one."""
    teams = board.scope is Scope.CHAPTERS
    found = read_teams(asked, board, sort, SHOWN) if teams else read_board(asked, board, SHOWN)
    kept = _kept(asked, board) | ({"sort": sort.value} if teams and sort is not Sort.POINTS else {})
    shown = past(asked.store, asked.as_of, found.as_of, here, **kept)
    return page(
        "board.html",
        caller,
        heading=heading,
        boards=[(path + shown.keep, name, path == here) for path, name in BOARDS],
        windows=[
            (_link(here, kept | _window(asked, code) | shown.point), name, code == board.window.value)
            for code, name in (WINDOWS if asked.today else PAST_WINDOWS)
        ],
        beside=[(_link(here, kept | around | shown.point), name) for around, name in _beside_window(board)],
        about=about + shown.keep if about else None,
        today=asked.today,
        sorts=[(shown.link(sort=code), name, code == sort.value) for code, name in SORTS] if teams else [],
        entries=[
            {**each.model_dump(), "link": _link(f"{here}/entries/{each.id}", _kept(asked, board) | shown.point)}
            for each in found.entries
        ],
        more=shown.link(cursor=found.next) if found.next else None,
        changed=_link("/history/diff", {"board": path_of(board)}),
        rules_version=found.rules_version,
        excluded=found.evidence.excluded,
        data=_link("/api/v1/leaderboards/" + here.removeprefix("/boards/"), kept | shown.point),
        period=_period(board),
        past=shown,
        position=found.as_of,
        stale=asked.stale,
    )


def entry_page(asked: Asked, board: Board, caller: MaybeCaller, entry: str, heading: str, here: str) -> HTMLResponse:
    """Render why somebody stands where they do on a board."""
    found = explain(asked, board, entry, ENTRIES)
    path = f"{here}/entries/{found.id}"
    shown = past(asked.store, asked.as_of, found.as_of, path, **_kept(asked, board))
    query = _kept(asked, board) | shown.point
    erased, pledged = _of_supporter(asked, board, found)
    rules = published(asked.store, asked.as_of)
    versions = {found.rules_version, *(each.rules_version for each in found.entries)}
    return page(
        "board_entry.html",
        caller,
        heading=heading,
        board=_link(here, query),
        period=_period(board),
        who=found.name or _who(board, None).capitalize(),
        found=found,
        erased=erased,
        team=_link(f"/boards/chapters/{found.id}", query) if board.scope is Scope.CHAPTERS else None,
        topics=[{"kind": kind(each.topic, each.events).capitalize(), **each.model_dump()} for each in found.topics],
        above=_beside(board, found.above, here, query),
        below=_beside(board, found.below, here, query),
        entries=[
            {"kind": kind(each.topic, 1).capitalize(), "campaign": pledged.get(each.stream), **each.model_dump()}
            for each in found.entries
        ],
        first=asked.cursor is None,
        more=shown.link(cursor=found.next) if found.next else None,
        differs=len(versions) > 1 or any(each.daily_cap is not None for each in rules if each.version in versions),
        rules=[
            {
                "version": each.version,
                "points": [(kind(topic, 1), value) for topic, value in each.points.items()],
                "daily_cap": each.daily_cap,
                "position": each.position,
            }
            for each in rules
            if each.version in versions
        ],
        data=_link("/api/v1/leaderboards/" + path.removeprefix("/boards/"), query),
        past=shown,
        position=found.as_of,
        stale=asked.stale,
    )


# --- what pages say ---


def _beside(board: Board, found: Neighbour | None, here: str, query: Query) -> dict[str, Any] | None:
    """Return how somebody is ahead or behind, in words."""
    if found is None:
        return None
    apart = abs(found.difference)
    return {
        "who": _who(board, found.name),
        "rank": found.rank,
        "apart": f"{number(apart)} {'point' if apart == 1 else 'points'}",
        "reasons": [
            _reason(each.topic, each.their_events - each.my_events, each.difference)
            for each in found.topics
            if each.difference or each.their_events != each.my_events
        ],
        "link": _link(f"{here}/entries/{found.id}", query),
    }


def _reason(topic: str, events: int, points: float) -> str:
    """Say in a few words what somebody else has of one kind of event: 2 more check-ins (+4)."""
    if events == 0:
        return f"as many {kind(topic)}, worth {'more' if points > 0 else 'less'} ({signed(points)})"
    more = "more" if events > 0 else "fewer"
    return f"{number(abs(events))} {more} {kind(topic, abs(events))} ({signed(points)})"


def _who(board: Board, name: str | None) -> str:
    """Return a name, or in the middle of a sentence what is said in its place."""
    if name:
        return name
    return {Scope.CHAPTERS: "a chapter", Scope.PARTNERSHIPS: "a partnership"}.get(
        board.scope, "a supporter who is not named"
    )


def _beside_window(board: Board) -> list[tuple[dict[str, str], str]]:
    """Return the windows before and after that of a board, as far as there are any."""
    if board.window is Window.ALL:
        return []
    days = {}
    if board.start > date.min:
        days["Earlier"] = board.start - timedelta(days=1)
    if board.end < now().date():
        days["Later"] = board.end + timedelta(days=1)
    return [({"window": board.window.value, "on": on.isoformat()}, name) for name, on in days.items()]


def _of_supporter(asked: Asked, board: Board, found: Explained) -> tuple[bool, dict[UUID, str | None]]:
    """Return whether a supporter was erased, and by pledge the title of its campaign where a board has several."""
    if board.of_teams:
        return False, {}
    with asked.store.reader.open() as present:
        connection = present.connection
        row = present[Supporters].find(connection, found.id)
        erased = row is not None and row.erased_at is not None
        if board.scope is Scope.CAMPAIGN:
            return erased, {}
        pledges = present[Pledges].of_supporter(connection, found.id)
        campaigns = {key: present[Campaigns].find(connection, key) for key in {each.campaign for each in pledges}}
    titles = {key: campaign.title for key, campaign in campaigns.items() if campaign is not None}
    return erased, {each.id: titles.get(each.campaign) for each in pledges}


def _period(board: Board) -> str:
    return "All time" if board.window is Window.ALL else f"{day(board.start)} to {day(board.end)}"


def _kept(asked: Asked, board: Board) -> dict[str, str]:
    """Return what links keep of the window; what is as it is anyway is left out."""
    return {} if board.window is Window.ALL else _window(asked, board.window.value)


def _window(asked: Asked, code: str) -> dict[str, str]:
    """Return the query of a window: that of today, or that of the day looked at."""
    return {"window": code} | ({} if asked.today else {"on": asked.on.isoformat()})


def _link(path: str, query: Query) -> str:
    return f"{path}?{urlencode(query)}" if query else path
