"""Leaderboards over HTTP: five scopes, three windows, and the events behind every number of points."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel

from api.campaigns import CampaignPath
from api.chapters import ChapterPath
from api.common import (
    LARGEST_PAGE,
    PAGE_SIZE,
    Cursor,
    Limit,
    Named,
    Point,
    Stale,
    Store,
    cursor_id,
    decode_cursor,
    encode_cursor,
    malformed_cursor,
    next_cursor,
    views,
)
from api.names import names_on
from api.openapi import answers
from domain.campaigns import Campaign
from domain.chapters import Chapter
from domain.kernel import Aggregate, Unknown, identify, now
from history.tables import events
from projections.boards import Board, Scope, Window
from projections.leaderboards import Leaderboards, ScoreEntry
from projections.views import AsOf, Views

router = APIRouter(prefix="/leaderboards", tags=["leaderboards"])

EntryPath = Annotated[
    str, Named, Path(description="Who stands on the board: a supporter, chapter or partnership.", examples=["anna"])
]
WindowQuery = Annotated[
    Window, Query(description="All days, or the calendar month or ISO week that `on` lies in.", examples=["month"])
]
OnQuery = Annotated[
    date | None,
    Query(
        description="A day in the window; by default that of the point asked for, else today (UTC).",
        examples=["2026-03-15"],
    ),
]


class Standing(BaseModel):
    """Who stands where; the name of a supporter only where they chose to be shown."""

    rank: int
    id: UUID
    name: str | None
    points: int | float


class Leaderboard(BaseModel):
    """A board as of a position; equal points share a rank (1, 2, 2, 4). ``size`` counts all who stand on it."""

    as_of: int
    rules_version: int
    scope: str
    window: str
    since: date | None
    until: date | None
    size: int
    entries: list[Standing]
    next: str | None


class Score(BaseModel):
    """Points that an event gave; negative where it took back what the event at the position ``of`` had given."""

    position: int
    topic: str
    points: int | float
    rules_version: int
    occurred_at: datetime
    day: date
    supporter: UUID
    of: int | None


class Explained(BaseModel):
    """A standing with the score entries behind it, which add up to its points; no rank without points."""

    as_of: int
    rules_version: int
    rank: int | None
    id: UUID
    name: str | None
    points: int | float
    entries: list[Score]
    next: str | None


BOARD: Final[dict[str, Any]] = {
    "as_of": 812,
    "rules_version": 1,
    "scope": "movement",
    "window": "month",
    "since": "2026-03-01",
    "until": "2026-03-31",
    "size": 214,
    "entries": [
        {"rank": 1, "id": "7c3c2f43-0b6f-4f5b-8a7e-5e6f2f9c1d22", "name": "Anna", "points": 53},
        {"rank": 2, "id": "1f0c7a50-65c4-4b0a-8f25-0f4a9e2b8c88", "name": None, "points": 41},
    ],
    "next": "WyIxZjBjN2E1MC02NWM0LTRiMGEtOGYyNS0wZjRhOWUyYjhjODgiXQ",
}
EXPLAINED: Final[dict[str, Any]] = {
    "as_of": 812,
    "rules_version": 1,
    "rank": 1,
    "id": "7c3c2f43-0b6f-4f5b-8a7e-5e6f2f9c1d22",
    "name": "Anna",
    "points": 3,
    "entries": [
        {
            "position": 17,
            "topic": "pledges.Made",
            "points": 1,
            "rules_version": 1,
            "occurred_at": "2026-03-02T18:00:00Z",
            "day": "2026-03-02",
            "supporter": "7c3c2f43-0b6f-4f5b-8a7e-5e6f2f9c1d22",
            "of": None,
        },
        {
            "position": 21,
            "topic": "pledges.CheckedIn",
            "points": 2,
            "rules_version": 1,
            "occurred_at": "2026-03-03T20:00:00Z",
            "day": "2026-03-03",
            "supporter": "7c3c2f43-0b6f-4f5b-8a7e-5e6f2f9c1d22",
            "of": None,
        },
    ],
    "next": None,
}
KINDS: Final = {Scope.CHAPTERS: "chapter", Scope.PARTNERSHIPS: "partnership"}


class Asked:
    """What all boards are asked for: as of when, in which window, which page."""

    def __init__(
        self,
        store: Store,
        response: Response,
        stale: Stale,
        as_of: Point,
        window: WindowQuery = Window.ALL,
        on: OnQuery = None,
        cursor: Cursor = None,
    ) -> None:
        self.store, self.response, self.stale, self.as_of = store, response, stale, as_of
        self.window, self.cursor = window, cursor
        self.on = on or _day(store, as_of)

    def board(self, scope: Scope, key: UUID | None = None) -> Board:
        """Return the board in the window asked for."""
        return Board(scope, key, self.window, None if self.window is Window.ALL else self.on)

    @contextmanager
    def opened(self) -> Iterator[tuple[Leaderboards, Views]]:
        """Open the boards as of the point asked for."""
        with views(self.store, self.response, self.stale, [Leaderboards], self.as_of) as found:
            yield found[Leaderboards], found

    def need(self, kind: type[Aggregate], key: UUID, reference: str) -> None:
        """Raise Unknown where the campaign or chapter that a board is of was never there."""
        opening = sa.select(events.c.topic).where(events.c.stream_id == key, events.c.version == 1)
        with self.store.engine.database.read() as connection:
            if connection.scalar(opening) not in kind.events:
                raise Unknown(f"{kind.noun}.unknown", f"There is no {kind.noun} “{reference}”.")

    def name(self, scope: Scope, keys: list[UUID]) -> dict[UUID, str | None]:
        """Return the names that may be shown now, whatever the past showed."""
        with self.store.reader.open() as present:
            return names_on(present, scope, keys)


def _day(store: Store, as_of: AsOf) -> date:
    moment = as_of.occurred_by or as_of.recorded_by
    if moment is not None:
        return moment.astimezone(UTC).date()
    if as_of.position is not None:
        with store.engine.database.read() as connection:
            recorded: datetime | None = connection.scalar(
                sa.select(events.c.recorded_at).where(events.c.position == as_of.position)
            )
        if recorded is not None:
            return recorded.date()
    return now().date()


Question = Annotated[Asked, Depends(Asked)]


def _board(asked: Asked, board: Board, limit: int) -> Leaderboard:
    after = cursor_id(asked.cursor)
    with asked.opened() as (model, opened):
        rows = model.top(opened.connection, board, limit=limit + 1, after=after)
        size = model.size(opened.connection, board)
        rules = model.rules_in_force(opened.connection)
        position = opened.position
    page = rows[:limit]
    names = asked.name(board.scope, [row.id for row in page])
    timeless = board.window is Window.ALL
    return Leaderboard(
        as_of=position,
        rules_version=rules.version,
        scope=board.scope,
        window=board.window,
        since=None if timeless else board.start,
        until=None if timeless else board.end,
        size=size,
        entries=[Standing(rank=row.rank, id=row.id, name=names.get(row.id), points=row.points) for row in page],
        next=next_cursor(rows, limit),
    )


def _entry(asked: Asked, board: Board, reference: str, limit: int) -> Explained:
    key = identify(KINDS.get(board.scope, "supporter"), reference)
    after = _last_entry(asked.cursor)
    with asked.opened() as (model, opened):
        rows = model.entries_of(opened.connection, board, key, after=after, limit=limit + 1)
        standing = model.standing(opened.connection, board, key)
        if not rows and standing is None and after is None:
            raise Unknown("entry.unknown", f"Nothing was ever scored there for “{reference}”.")
        points = standing.points if standing else _without_rank(model, opened, board, key)
        rules = model.rules_in_force(opened.connection)
        position = opened.position
    page = rows[:limit]
    return Explained(
        as_of=position,
        rules_version=rules.version,
        rank=standing.rank if standing else None,
        id=key,
        name=asked.name(board.scope, [key]).get(key),
        points=points,
        entries=[Score.model_validate(row, from_attributes=True) for row in page],
        next=encode_cursor(page[-1].position, page[-1].of or 0) if len(rows) > limit else None,
    )


def _without_rank(model: Leaderboards, opened: Views, board: Board, key: UUID) -> float:
    found = model.entry(opened.connection, board, key)
    return found.points if found else 0


def _last_entry(cursor: str | None) -> ScoreEntry | None:
    """Return as much of the entry that a cursor names as tells what comes after it."""
    found = decode_cursor(cursor, 2)
    if found is None:
        return None
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in found):  # noqa: PLR2004 - 64 bits
        raise malformed_cursor()
    position, of = int(found[0]), int(found[1])
    nothing = UUID(int=0)
    return ScoreEntry(position, "", 0, 0, datetime.min.replace(tzinfo=UTC), date.min, nothing, nothing, of or None, 0)


PROBLEMS: Final = ("as_of.in_future",)


@router.get("/movement", summary="Rank supporters", responses=answers(BOARD, *PROBLEMS))
def movement(asked: Question, limit: Limit = PAGE_SIZE) -> Leaderboard:
    """All supporters by their points, most first."""
    return _board(asked, asked.board(Scope.MOVEMENT), limit)


@router.get(
    "/movement/entries/{entry}",
    summary="Explain a supporter's points",
    responses=answers(EXPLAINED, "entry.unknown", *PROBLEMS),
)
def movement_entry(asked: Question, entry: EntryPath, limit: Limit = LARGEST_PAGE) -> Explained:
    """One supporter's rank and points, with the score entries behind them."""
    return _entry(asked, asked.board(Scope.MOVEMENT), entry, limit)


@router.get(
    "/campaigns/{campaign}",
    summary="Rank supporters in a campaign",
    responses=answers(BOARD | {"scope": "campaign"}, "campaign.unknown", *PROBLEMS),
)
def campaign_board(asked: Question, campaign: CampaignPath, limit: Limit = PAGE_SIZE) -> Leaderboard:
    """Supporters by the points they have by one campaign."""
    key = identify("campaign", campaign)
    asked.need(Campaign, key, campaign)
    return _board(asked, asked.board(Scope.CAMPAIGN, key), limit)


@router.get(
    "/campaigns/{campaign}/entries/{entry}",
    summary="Explain a supporter's points in a campaign",
    responses=answers(EXPLAINED, "entry.unknown", *PROBLEMS),
)
def campaign_entry(asked: Question, campaign: CampaignPath, entry: EntryPath, limit: Limit = LARGEST_PAGE) -> Explained:
    """One supporter's rank and points in a campaign, with the score entries behind them."""
    key = identify("campaign", campaign)
    asked.need(Campaign, key, campaign)
    return _entry(asked, asked.board(Scope.CAMPAIGN, key), entry, limit)


@router.get(
    "/chapters/{chapter}",
    summary="Rank supporters in a chapter",
    responses=answers(BOARD | {"scope": "chapter"}, "chapter.unknown", *PROBLEMS),
)
def chapter_board(asked: Question, chapter: ChapterPath, limit: Limit = PAGE_SIZE) -> Leaderboard:
    """Supporters by the points they have as members of one chapter."""
    key = identify("chapter", chapter)
    asked.need(Chapter, key, chapter)
    return _board(asked, asked.board(Scope.CHAPTER, key), limit)


@router.get(
    "/chapters/{chapter}/entries/{entry}",
    summary="Explain a supporter's points in a chapter",
    responses=answers(EXPLAINED, "entry.unknown", *PROBLEMS),
)
def chapter_entry(asked: Question, chapter: ChapterPath, entry: EntryPath, limit: Limit = LARGEST_PAGE) -> Explained:
    """One supporter's rank and points in a chapter, with the score entries behind them."""
    key = identify("chapter", chapter)
    asked.need(Chapter, key, chapter)
    return _entry(asked, asked.board(Scope.CHAPTER, key), entry, limit)


@router.get(
    "/chapters",
    summary="Rank chapters as teams",
    responses=answers(BOARD | {"scope": "chapters"}, *PROBLEMS),
)
def chapters_board(asked: Question, limit: Limit = PAGE_SIZE) -> Leaderboard:
    """Chapters by the points of their members, counted while they were members."""
    return _board(asked, asked.board(Scope.CHAPTERS), limit)


@router.get(
    "/chapters/entries/{entry}",
    summary="Explain a chapter's points",
    responses=answers(EXPLAINED, "entry.unknown", *PROBLEMS),
)
def chapters_entry(asked: Question, entry: EntryPath, limit: Limit = LARGEST_PAGE) -> Explained:
    """One chapter's rank and points as a team, with the score entries behind them."""
    return _entry(asked, asked.board(Scope.CHAPTERS), entry, limit)


@router.get(
    "/partnerships",
    summary="Rank partnerships",
    responses=answers(BOARD | {"scope": "partnerships"}, *PROBLEMS),
)
def partnerships_board(asked: Question, limit: Limit = PAGE_SIZE) -> Leaderboard:
    """Partnerships by the points of the pledges that came by their referral codes."""
    return _board(asked, asked.board(Scope.PARTNERSHIPS), limit)


@router.get(
    "/partnerships/entries/{entry}",
    summary="Explain a partnership's points",
    responses=answers(EXPLAINED, "entry.unknown", *PROBLEMS),
)
def partnerships_entry(asked: Question, entry: EntryPath, limit: Limit = LARGEST_PAGE) -> Explained:
    """One partnership's rank and points, with the score entries behind them."""
    return _entry(asked, asked.board(Scope.PARTNERSHIPS), entry, limit)
