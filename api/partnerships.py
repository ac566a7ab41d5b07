"""Partnerships over HTTP."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel

from api.campaigns import Counts
from api.common import (
    PAGE_SIZE,
    Cursor,
    Limit,
    MaybeCaller,
    Named,
    Point,
    Stale,
    Store,
    cursor_id,
    etag,
    next_cursor,
    views,
)
from api.openapi import answers
from domain.kernel import Unknown, identify
from domain.partnerships import PartnershipState
from projections.counts import counts
from projections.partnerships import Partnerships
from projections.views import Views

router = APIRouter(tags=["partnerships"])

PartnershipPath = Annotated[str, Named, Path(description="The partnership's id or reference.", examples=["luna"])]


class Deliverable(BaseModel):
    """What was promised, by when, and what became of it."""

    deliverable: str
    title: str
    due_on: date | None
    state: str
    url: str | None
    submitted_on: date | None
    decided_on: date | None


class Partnership(BaseModel):
    """A partnership with the pledges that came by its referral code, and their address; terms are for staff only."""

    id: UUID
    reference: str | None
    name: str
    kind: str
    channel: str | None
    handle: str | None
    audience: int | None
    state: str
    disclosure: str | None
    terms: str | None
    referral: str | None
    proposed_at: datetime
    activated_at: datetime | None
    ended_at: datetime | None
    deliverables: list[Deliverable]
    attributed: Counts
    pledges: str


class PartnershipList(BaseModel):
    """A page of partnerships; ``next`` is the cursor of the page after it."""

    partnerships: list[Partnership]
    next: str | None
    position: int


EXAMPLE: Final[dict[str, Any]] = {
    "id": "e0a3c2b0-0c2f-5b1a-9d2e-3c8f4b7a6d66",
    "reference": "luna",
    "name": "Radio Luna",
    "kind": "media",
    "channel": "radio",
    "handle": "@luna",
    "audience": 12000,
    "state": "active",
    "disclosure": "Two tickets to the gathering were given in return.",
    "terms": None,
    "referral": "LUNA",
    "proposed_at": "2026-02-01T10:00:00Z",
    "activated_at": "2026-02-20T10:00:00Z",
    "ended_at": None,
    "deliverables": [
        {
            "deliverable": "interview",
            "title": "An interview about listening",
            "due_on": "2026-03-15",
            "state": "accepted",
            "url": "https://example.org/luna/interview",
            "submitted_on": "2026-03-14",
            "decided_on": "2026-03-16",
        }
    ],
    "attributed": {"made": 18, "active": 12, "kept": 4, "lapsed": 1, "withdrawn": 1},
    "pledges": "/api/v1/partnerships/e0a3c2b0-0c2f-5b1a-9d2e-3c8f4b7a6d66/pledges",
}


def as_partnerships(opened: Views, rows: Sequence[Any], *, terms: bool) -> list[Partnership]:
    """Return rows of the read model as answers."""
    promised: defaultdict[UUID, list[Deliverable]] = defaultdict(list)
    for each in opened[Partnerships].deliverables_of(opened.connection, [row.id for row in rows]):
        promised[each.partnership].append(Deliverable.model_validate(each, from_attributes=True))
    plain = Partnership.model_fields.keys() - {"deliverables", "attributed", "pledges", "terms"}
    return [
        Partnership(
            **{name: getattr(row, name) for name in plain},
            terms=row.terms if terms else None,
            deliverables=promised[row.id],
            attributed=Counts(**counts(row)),
            pledges=f"/api/v1/partnerships/{row.id}/pledges",
        )
        for row in rows
    ]


@router.get(
    "/partnerships",
    summary="List partnerships",
    responses=answers({"partnerships": [EXAMPLE], "next": None, "position": 812}, "as_of.in_future"),
)
def list_partnerships(
    store: Store,
    response: Response,
    stale: Stale,
    as_of: Point,
    caller: MaybeCaller,
    state: Annotated[
        list[PartnershipState], Query(description="Only partnerships in these states.", examples=[["active"]])
    ] = [],  # noqa: B006 - FastAPI copies it
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
) -> PartnershipList:
    """All partnerships with their deliverables and attributed pledges, page by page."""
    after = cursor_id(cursor)
    with views(store, response, stale, [Partnerships], as_of) as opened:
        rows = opened[Partnerships].all(opened.connection, states=state, after=after, limit=limit + 1)
        return PartnershipList(
            partnerships=as_partnerships(opened, rows[:limit], terms=caller is not None and caller.is_staff),
            next=next_cursor(rows, limit),
            position=opened.position,
        )


@router.get(
    "/partnerships/{partnership}",
    summary="Read one partnership",
    responses=answers(EXAMPLE, "partnership.unknown", "as_of.in_future"),
)
def read_partnership(
    store: Store, response: Response, stale: Stale, as_of: Point, caller: MaybeCaller, partnership: PartnershipPath
) -> Partnership:
    """One partnership with its deliverables and the pledges that came by its referral code."""
    key = identify("partnership", partnership)
    with views(store, response, stale, [Partnerships], as_of) as opened:
        row = opened[Partnerships].find(opened.connection, key)
        if row is None or row.name is None:
            raise Unknown("partnership.unknown", f"There is no partnership “{partnership}”.")
        etag(store, response, key, as_of)
        (found,) = as_partnerships(opened, [row], terms=caller is not None and caller.is_staff)
        return found
