"""The pledges behind the counts of campaigns and partnerships; anyone may see which they are, staff also whose.

A pledge is shown by its id, under which the public history has its events. Whose it is, the history tells by a
pseudonym; here it is named for staff only, so that nobody is listed by what they pledged.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from api.campaigns import CampaignPath
from api.common import (
    PAGE_SIZE,
    Cursor,
    Limit,
    MaybeCaller,
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
from api.openapi import answers
from api.partnerships import PartnershipPath
from domain.kernel import Unknown, identify
from domain.pledges import PledgeState
from projections.campaigns import Campaigns
from projections.evidence import behind_campaign, behind_partnership
from projections.partnerships import Partnerships
from projections.pledges import Pledges

router = APIRouter()


StateQuery = Annotated[
    list[PledgeState], Query(description="Only pledges in these states; made are all of them.", examples=[["kept"]])
]


class PledgeBehind(BaseModel):
    """A pledge in the state it is counted in, which it came into by the event at ``position``.

    ``history`` is the address of all its events; ``supporter`` is told to staff only.
    """

    pledge: UUID
    campaign: UUID
    ask: str
    state: str
    position: int
    history: str
    supporter: UUID | None


class PledgesBehind(BaseModel):
    """A page of pledges; ``next`` is the cursor of the page after it."""

    pledges: list[PledgeBehind]
    next: str | None
    position: int


EXAMPLE: Final[dict[str, Any]] = {
    "pledges": [
        {
            "pledge": "3d5f9a35-9f2c-5f2e-9f0c-8f3d8d3c6b11",
            "campaign": "0d2b8a4e-3c5e-5a43-9d3e-6a1f0c7f8a11",
            "ask": "ten-minutes",
            "state": "kept",
            "position": 790,
            "history": "/api/v1/history?stream=3d5f9a35-9f2c-5f2e-9f0c-8f3d8d3c6b11",
            "supporter": None,
        }
    ],
    "next": None,
    "position": 812,
}


@router.get(
    "/campaigns/{campaign}/pledges",
    summary="List the pledges behind the counts of a campaign",
    tags=["campaigns"],
    responses=answers(EXAMPLE, "campaign.unknown", "as_of.in_future"),
)
def campaign_pledges(
    store: Store,
    response: Response,
    stale: Stale,
    as_of: Point,
    caller: MaybeCaller,
    campaign: CampaignPath,
    ask: Annotated[str | None, Query(description="Only pledges to this ask.", examples=["ten-minutes"])] = None,
    state: StateQuery = [],  # noqa: B006 - FastAPI copies it
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
) -> PledgesBehind:
    """The pledges that are counted, each with the event by which it came into its state."""
    key, after = identify("campaign", campaign), _after(cursor)
    with views(store, response, stale, [Campaigns, Pledges], as_of) as opened:
        row = opened[Campaigns].find(opened.connection, key)
        if row is None or row.state is None:
            raise Unknown("campaign.unknown", f"There is no campaign “{campaign}”.")
        rows = behind_campaign(
            opened.connection, opened[Pledges], key, ask=ask, states=state, after=after, limit=limit + 1
        )
        return PledgesBehind(
            pledges=_pledges(rows[:limit], staff=caller is not None and caller.is_staff),
            next=encode_cursor(rows[limit - 1].ask, rows[limit - 1].id) if len(rows) > limit else None,
            position=opened.position,
        )


@router.get(
    "/partnerships/{partnership}/pledges",
    summary="List the pledges attributed to a partnership",
    tags=["partnerships"],
    responses=answers(EXAMPLE, "partnership.unknown", "as_of.in_future"),
)
def partnership_pledges(
    store: Store,
    response: Response,
    stale: Stale,
    as_of: Point,
    caller: MaybeCaller,
    partnership: PartnershipPath,
    state: StateQuery = [],  # noqa: B006 - FastAPI copies it
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
) -> PledgesBehind:
    """The pledges that came by its referral code, each with the event by which it came into its state."""
    key, after = identify("partnership", partnership), cursor_id(cursor)
    with views(store, response, stale, [Partnerships, Pledges], as_of) as opened:
        model, connection = opened[Partnerships], opened.connection
        row = model.find(connection, key)
        if row is None or row.name is None:
            raise Unknown("partnership.unknown", f"There is no partnership “{partnership}”.")
        rows = behind_partnership(connection, model, opened[Pledges], key, states=state, after=after, limit=limit + 1)
        return PledgesBehind(
            pledges=_pledges(rows[:limit], staff=caller is not None and caller.is_staff),
            next=next_cursor(rows, limit),
            position=opened.position,
        )


def _after(cursor: str | None) -> tuple[str, UUID] | None:
    found = decode_cursor(cursor, 2)
    try:
        return (found[0], UUID(found[1])) if found else None
    except ValueError:
        raise malformed_cursor() from None


def _pledges(rows: Sequence[Any], *, staff: bool) -> list[PledgeBehind]:
    return [
        PledgeBehind(
            pledge=row.id,
            campaign=row.campaign,
            ask=row.ask,
            state=row.state,
            position=row.position,
            history=f"/api/v1/history?stream={row.id}",
            supporter=row.supporter if staff else None,
        )
        for row in rows
    ]
