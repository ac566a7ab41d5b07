"""Chapters over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel

from api.common import PAGE_SIZE, Cursor, Limit, Named, Point, Stale, Store, cursor_id, etag, next_cursor, views
from api.openapi import answers
from domain.kernel import Unknown, identify
from projections.chapters import Chapters

router = APIRouter(tags=["chapters"])

ChapterPath = Annotated[str, Named, Path(description="The chapter's id or reference.", examples=["lisbon"])]


class Place(BaseModel):
    """Where a chapter meets; degrees of latitude and longitude (WGS 84)."""

    city: str | None = None
    country: str | None = None
    latitude: float | None = None
    longitude: float | None = None


class Chapter(BaseModel):
    """A chapter with the number of its members."""

    id: UUID
    reference: str | None
    name: str
    parent: UUID | None
    place: Place | None
    locale: str | None
    time_zone: str | None
    website: str | None
    state: str
    founded_at: datetime
    closed_at: datetime | None
    members: int


class Relative(BaseModel):
    """A chapter above or below another one."""

    id: UUID
    reference: str | None
    name: str
    state: str
    members: int


class ChapterInTree(Chapter):
    """A chapter with those above it, the nearest first, and those right below it."""

    above: list[Relative]
    below: list[Relative]


class ChapterList(BaseModel):
    """A page of chapters; ``next`` is the cursor of the page after it."""

    chapters: list[Chapter]
    next: str | None
    position: int


EXAMPLE: Final[dict[str, Any]] = {
    "id": "5b1c0c5e-6a0d-5f0e-9f3e-0a8a6c0b7d22",
    "reference": "lisbon",
    "name": "Lisboa",
    "parent": "b7b5a5de-7d1e-5d51-8f0e-7a2f3f6f8c33",
    "place": {"city": "Lisboa", "country": "PT", "latitude": 38.7223, "longitude": -9.1393},
    "locale": "pt",
    "time_zone": "Europe/Lisbon",
    "website": "https://lisboa.example.org",
    "state": "open",
    "founded_at": "2026-01-15T19:00:00Z",
    "closed_at": None,
    "members": 37,
}
RELATIVE: Final[dict[str, Any]] = {
    "id": "b7b5a5de-7d1e-5d51-8f0e-7a2f3f6f8c33",
    "reference": "iberia",
    "name": "Iberia",
    "state": "open",
    "members": 4,
}


def as_relative(row: Any) -> Relative:  # noqa: ANN401 - a row
    """Return a row of the read model as somebody's relative."""
    return Relative.model_validate(row, from_attributes=True)


@router.get(
    "/chapters",
    summary="List chapters",
    responses=answers({"chapters": [EXAMPLE], "next": None, "position": 812}, "as_of.in_future"),
)
def list_chapters(
    store: Store,
    response: Response,
    stale: Stale,
    as_of: Point,
    state: Annotated[
        Literal["open", "closed", "all"], Query(description="Which chapters.", examples=["open"])
    ] = "open",
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
) -> ChapterList:
    """All chapters in one state, with the number of their members, page by page."""
    after = cursor_id(cursor)
    with views(store, response, stale, [Chapters], as_of) as opened:
        rows = opened[Chapters].all(opened.connection, state=state, after=after, limit=limit + 1)
        return ChapterList(
            chapters=[Chapter.model_validate(row, from_attributes=True) for row in rows[:limit]],
            next=next_cursor(rows, limit),
            position=opened.position,
        )


@router.get(
    "/chapters/{chapter}",
    summary="Read one chapter",
    responses=answers(EXAMPLE | {"above": [RELATIVE], "below": []}, "chapter.unknown", "as_of.in_future"),
)
def read_chapter(store: Store, response: Response, stale: Stale, as_of: Point, chapter: ChapterPath) -> ChapterInTree:
    """One chapter with its place in the tree."""
    key = identify("chapter", chapter)
    with views(store, response, stale, [Chapters], as_of) as opened:
        model, connection = opened[Chapters], opened.connection
        row = model.find(connection, key)
        if row is None or row.state is None:
            raise Unknown("chapter.unknown", f"There is no chapter “{chapter}”.")
        etag(store, response, key, as_of)
        return ChapterInTree(
            **Chapter.model_validate(row, from_attributes=True).model_dump(),
            above=[as_relative(one) for one in model.ancestors(connection, key)],
            below=[as_relative(one) for one in model.children(connection, key)],
        )
