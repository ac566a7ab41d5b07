"""Officials over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel

from api.common import PAGE_SIZE, Cursor, Limit, Named, Point, Stale, Store, cursor_id, etag, next_cursor, views
from api.openapi import answers
from domain.kernel import Unknown, identify
from projections.officials import Officials
from projections.policies import Policies

router = APIRouter(tags=["policies"])

OfficialPath = Annotated[str, Named, Path(description="The official's id or reference.", examples=["C000127"])]


class Official(BaseModel):
    """A person who decides on policies."""

    id: UUID
    reference: str | None
    name: str
    office: str | None
    jurisdiction: str | None
    party: str | None
    phone: str | None
    address: str | None
    url: str | None
    state: str
    registered_at: datetime
    retired_at: datetime | None


class Part(BaseModel):
    """What an official has to do with a policy: whose decision is sought there, or who is known to stand somewhere."""

    policy: UUID
    title: str | None
    target: bool
    stance: str | None
    evidence: str | None


class OfficialWithPart(Official):
    """An official with the policies in which they have a part."""

    policies: list[Part]


class OfficialList(BaseModel):
    """A page of officials, how many there are in all, and the cursor of the page after it."""

    officials: list[Official]
    total: int
    next: str | None
    position: int


EXAMPLE: Final[dict[str, Any]] = {
    "id": "2c1f1f0e-4f53-5d7c-8f3e-1b9d1a5c7e44",
    "reference": "C000127",
    "name": "Maria Cantwell",
    "office": "Senator, WA",
    "jurisdiction": "us",
    "party": "Democrat",
    "phone": "202-224-3441",
    "address": "511 Hart Senate Office Building",
    "url": "https://www.cantwell.senate.gov",
    "state": "in_office",
    "registered_at": "2025-02-02T00:00:00Z",
    "retired_at": None,
}
PART: Final[dict[str, Any]] = {
    "policy": "8d9b9f4f-0d56-5c6f-9a6e-2f6a0d9d1e55",
    "title": "Empathy in the curriculum",
    "target": True,
    "stance": "leans_support",
    "evidence": "Said so in the hearing of 3 March.",
}


@router.get(
    "/officials",
    summary="List officials",
    responses=answers({"officials": [EXAMPLE], "total": 1, "next": None, "position": 812}, "as_of.in_future"),
)
def list_officials(
    store: Store,
    response: Response,
    stale: Stale,
    as_of: Point,
    state: Annotated[
        Literal["in_office", "retired", "all"], Query(description="Which officials.", examples=["in_office"])
    ] = "in_office",
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
) -> OfficialList:
    """All officials in office, or retired, page by page."""
    after = cursor_id(cursor)
    with views(store, response, stale, [Officials], as_of) as opened:
        model = opened[Officials]
        rows = model.all(opened.connection, state=state, after=after, limit=limit + 1)
        return OfficialList(
            officials=[Official.model_validate(row, from_attributes=True) for row in rows[:limit]],
            total=model.count(opened.connection, state=state),
            next=next_cursor(rows, limit),
            position=opened.position,
        )


@router.get(
    "/officials/{official}",
    summary="Read one official",
    responses=answers(EXAMPLE | {"policies": [PART]}, "official.unknown", "as_of.in_future"),
)
def read_official(
    store: Store, response: Response, stale: Stale, as_of: Point, official: OfficialPath
) -> OfficialWithPart:
    """One official with the policies that they decide on, and where they stand."""
    key = identify("official", official)
    with views(store, response, stale, [Officials, Policies], as_of) as opened:
        row = opened[Officials].find(opened.connection, key)
        if row is None or row.state is None:
            raise Unknown("official.unknown", f"There is no official “{official}”.")
        etag(store, response, key, as_of)
        parts = opened[Policies].of_official(opened.connection, key)
        known = opened[Policies].several(opened.connection, [part.policy for part in parts])
        return OfficialWithPart(
            **Official.model_validate(row, from_attributes=True).model_dump(),
            policies=[
                Part(
                    policy=part.policy,
                    title=known[part.policy].title if part.policy in known else None,
                    target=part.target,
                    stance=part.stance,
                    evidence=part.evidence,
                )
                for part in parts
            ],
        )
