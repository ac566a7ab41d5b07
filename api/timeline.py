"""The movement over time, over HTTP."""

from datetime import date, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from api.common import Point, Stale, Store, views
from api.openapi import answers
from projections.timeline import By, Timeline

router = APIRouter(tags=["timeline"])


class Bucket(BaseModel):
    """What happened from one day to another, both included, and what stood at the end of it."""

    start: date
    end: date
    counts: dict[str, int]
    totals: dict[str, int]


class Milestone(BaseModel):
    """Something to remember."""

    position: int
    occurred_at: datetime
    kind: str
    subject: UUID
    title: str | None
    detail: str | None


class Evolution(BaseModel):
    """The movement over time; days are those of UTC."""

    by: By
    buckets: list[Bucket]
    milestones: list[Milestone]
    position: int


EXAMPLE: Final[dict[str, Any]] = {
    "by": "week",
    "buckets": [
        {
            "start": "2026-03-02",
            "end": "2026-03-08",
            "counts": {
                "supporters": 14,
                "pledges_made": 19,
                "check_ins": 61,
                "pledges_kept": 2,
                "actions_logged": 3,
                "recognitions_awarded": 1,
            },
            "totals": {
                "supporters": 40,
                "pledges_made": 41,
                "pledges_active": 37,
                "pledges_kept": 2,
                "pledges_lapsed": 1,
                "pledges_withdrawn": 1,
            },
        }
    ],
    "milestones": [
        {
            "position": 12,
            "occurred_at": "2026-03-02T09:00:00Z",
            "kind": "campaign_launched",
            "subject": "0d2b8a4e-3c5e-5a43-9d3e-6a1f0c7f8a11",
            "title": "Thirty days of listening",
            "detail": None,
        }
    ],
    "position": 812,
}


@router.get("/timeline", summary="See the movement over time", responses=answers(EXAMPLE, "as_of.in_future"))
def read_timeline(
    store: Store,
    response: Response,
    stale: Stale,
    as_of: Point,
    by: Annotated[By, Query(description="The width of a bucket.", examples=["week"])] = By.WEEK,
    since: Annotated[date | None, Query(alias="from", description="The first day.", examples=["2026-03-01"])] = None,
    until: Annotated[date | None, Query(alias="to", description="The last day.", examples=["2026-03-31"])] = None,
) -> Evolution:
    """What happened per day, week or month, what stood at the end of each, and the milestones."""
    with views(store, response, stale, [Timeline], as_of) as opened:
        model, connection = opened[Timeline], opened.connection
        return Evolution(
            by=by,
            buckets=[
                Bucket(start=one.start, end=one.end, counts=dict(one.counts), totals=dict(one.totals))
                for one in model.buckets(connection, by, since, until)
            ],
            milestones=[
                Milestone.model_validate(one, from_attributes=True)
                for one in model.milestones(connection, since, until)
            ],
            position=opened.position,
        )
