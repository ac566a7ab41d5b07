"""Campaigns over HTTP."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel

from api.common import PAGE_SIZE, Cursor, Limit, Named, Point, Stale, Store, cursor_id, etag, next_cursor, views
from api.evidence import EVIDENCE, Evidence, evidence
from api.openapi import answers
from domain.campaigns import CampaignState
from domain.kernel import Unknown, identify
from projections.campaigns import Campaigns
from projections.counts import counts
from projections.views import AsOf

router = APIRouter(tags=["campaigns"])

CampaignPath = Annotated[str, Named, Path(description="The campaign's id or reference.", examples=["listening-2026"])]


class Counts(BaseModel):
    """Pledges by what became of them; made is the sum of the rest."""

    made: int
    active: int
    kept: int
    lapsed: int
    withdrawn: int


class Ask(BaseModel):
    """One thing that people can pledge; ``pledges`` is the address of those that are counted."""

    ask: str
    statement: str
    kind: str
    days: int | None
    prompts: list[str]
    backdating_days: int
    rest_days: int
    counts: Counts
    pledges: str


class Framing(BaseModel):
    """The campaign's words in one language."""

    locale: str
    title: str
    summary: str | None


class Campaign(BaseModel):
    """A campaign with its counts, and its asks with theirs; ``pledges`` is the address of those that are counted."""

    id: UUID
    reference: str | None
    title: str
    summary: str | None
    hashtag: str | None
    goal: dict[str, Any] | None
    opens_on: date | None
    closes_on: date | None
    time_zone: str | None
    chapter: UUID | None
    state: str
    launched_at: datetime | None
    counts: Counts
    pledges: str
    asks: list[Ask]
    framings: list[Framing]
    evidence: Evidence


class CampaignList(BaseModel):
    """A page of campaigns; ``next`` is the cursor of the page after it."""

    campaigns: list[Campaign]
    next: str | None
    position: int


EXAMPLE: dict[str, Any] = {
    "id": "0d2b8a4e-3c5e-5a43-9d3e-6a1f0c7f8a11",
    "reference": "listening-2026",
    "title": "Thirty days of listening",
    "summary": "Ten minutes a day, phone away.",
    "hashtag": "#listen",
    "goal": {"count": 500, "unit": "pledges"},
    "opens_on": "2026-03-01",
    "closes_on": "2026-06-30",
    "time_zone": "Europe/Lisbon",
    "chapter": None,
    "state": "launched",
    "launched_at": "2026-03-01T09:00:00Z",
    "counts": {"made": 41, "active": 30, "kept": 8, "lapsed": 1, "withdrawn": 2},
    "pledges": "/api/v1/campaigns/0d2b8a4e-3c5e-5a43-9d3e-6a1f0c7f8a11/pledges",
    "asks": [
        {
            "ask": "ten-minutes",
            "statement": "I will listen for ten minutes a day.",
            "kind": "challenge",
            "days": 21,
            "prompts": ["Listen to somebody you disagree with."],
            "backdating_days": 2,
            "rest_days": 0,
            "counts": {"made": 41, "active": 30, "kept": 8, "lapsed": 1, "withdrawn": 2},
            "pledges": "/api/v1/campaigns/0d2b8a4e-3c5e-5a43-9d3e-6a1f0c7f8a11/pledges?ask=ten-minutes",
        }
    ],
    "framings": [{"locale": "es", "title": "Treinta días de escucha", "summary": None}],
    "evidence": EVIDENCE
    | {
        "query": "/api/v1/campaigns/0d2b8a4e-3c5e-5a43-9d3e-6a1f0c7f8a11?as_of=812",
        "rules": None,
        "rules_version": None,
    },
}

NOT_COUNTED: Final = {
    "again": "A pledge that was made again counts once, in the state it is in.",
    "check_ins": "Check-ins: a challenge counts once, however often it was checked in.",
}


def as_campaign(
    row: Any,  # noqa: ANN401 - a row
    asks: Sequence[Any],
    framings: Sequence[Any],
    position: int,
    as_of: AsOf,
) -> Campaign:
    """Return a row of the read model, as of a point of history, as an answer."""
    plain = Campaign.model_fields.keys() - {"counts", "pledges", "asks", "framings", "evidence"}
    path = f"/campaigns/{row.id}"
    return Campaign(
        **{name: getattr(row, name) for name in plain},
        counts=Counts(**counts(row)),
        pledges=f"/api/v1{path}/pledges",
        asks=[
            Ask(
                **{name: getattr(ask, name) for name in Ask.model_fields.keys() - {"counts", "prompts", "pledges"}},
                prompts=ask.prompts or [],
                counts=Counts(**counts(ask)),
                pledges=f"/api/v1{path}/pledges?{urlencode({'ask': ask.ask})}",
            )
            for ask in asks
        ],
        framings=[Framing(locale=f.locale, title=f.title, summary=f.summary) for f in framings],
        evidence=evidence(path, position, as_of.occurred_by, NOT_COUNTED),
    )


@router.get(
    "/campaigns",
    summary="List campaigns",
    responses=answers({"campaigns": [EXAMPLE], "next": None, "position": 812}, "as_of.in_future"),
)
def list_campaigns(
    store: Store,
    response: Response,
    stale: Stale,
    as_of: Point,
    state: Annotated[
        list[CampaignState], Query(description="Only campaigns in these states.", examples=[["launched"]])
    ] = [],  # noqa: B006 - FastAPI copies it
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
) -> CampaignList:
    """All campaigns, with the five counts of their pledges, page by page."""
    after = cursor_id(cursor)
    with views(store, response, stale, [Campaigns], as_of) as opened:
        model = opened[Campaigns]
        rows = model.all(opened.connection, states=state, after=after, limit=limit + 1)
        page = rows[:limit]
        asks: defaultdict[UUID, list[Any]] = defaultdict(list)
        framings: defaultdict[UUID, list[Any]] = defaultdict(list)
        ids = [row.id for row in page]
        for ask in model.asks_of(opened.connection, ids):
            asks[ask.campaign].append(ask)
        for framing in model.framings_of(opened.connection, ids):
            framings[framing.campaign].append(framing)
        return CampaignList(
            campaigns=[as_campaign(row, asks[row.id], framings[row.id], opened.position, as_of) for row in page],
            next=next_cursor(rows, limit),
            position=opened.position,
        )


@router.get(
    "/campaigns/{campaign}",
    summary="Read one campaign",
    responses=answers(EXAMPLE, "campaign.unknown", "as_of.in_future"),
)
def read_campaign(store: Store, response: Response, stale: Stale, as_of: Point, campaign: CampaignPath) -> Campaign:
    """One campaign with its asks, their counts, and its words in each language."""
    key = identify("campaign", campaign)
    with views(store, response, stale, [Campaigns], as_of) as opened:
        model = opened[Campaigns]
        row = model.find(opened.connection, key)
        if row is None or row.state is None:
            raise Unknown("campaign.unknown", f"There is no campaign “{campaign}”.")
        etag(store, response, key, as_of)
        asks, framings = (each(opened.connection, [key]) for each in (model.asks_of, model.framings_of))
        return as_campaign(row, asks, framings, opened.position, as_of)
