"""The movement over time, over HTTP: as JSON, and as CSV for spreadsheets."""

import csv
import io
from collections.abc import Iterator
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel

from api.common import Point, Stale, Store, views
from api.milestones import sentence
from api.openapi import answers
from projections import milestones as marks
from projections import timeline
from projections.timeline import COUNTS, TOTALS, By, Timeline

router = APIRouter(tags=["timeline"])


class Bucket(BaseModel):
    """What happened from one day to another, both included, and what stood at the end of it."""

    start: date
    end: date
    counts: dict[str, int]
    totals: dict[str, int]


class Milestone(BaseModel):
    """Something to remember; ``detail`` is the outcome of a policy, or the round number that was reached."""

    position: int
    occurred_at: datetime
    kind: str
    subject: UUID
    title: str | None
    detail: str | None
    setback: bool


class Format(StrEnum):
    """What the answer is written in."""

    JSON = "json"
    CSV = "csv"


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
            "setback": False,
        }
    ],
    "position": 812,
}


CSV: Final = "text/csv"
HEADER: Final = ("start", "end", *COUNTS, *(f"total_{name}" for name in TOTALS), "milestones")
RESPONSES: Final = answers(EXAMPLE, "as_of.in_future")
RESPONSES[200]["content"][CSV] = {
    "schema": {"type": "string"},
    "example": "start,end,supporters,total_supporters,milestones\r\n2026-03-02,2026-03-08,14,40,\r\n",
}


@router.get("/timeline", summary="See the movement over time", response_model=Evolution, responses=RESPONSES)
def read_timeline(
    store: Store,
    response: Response,
    stale: Stale,
    as_of: Point,
    by: Annotated[By, Query(description="The width of a bucket.", examples=["week"])] = By.WEEK,
    since: Annotated[date | None, Query(alias="from", description="The first day.", examples=["2026-03-01"])] = None,
    until: Annotated[date | None, Query(alias="to", description="The last day.", examples=["2026-03-31"])] = None,
    written: Annotated[
        Format | None, Query(alias="format", description="`csv` for spreadsheets (RFC 4180).", examples=["csv"])
    ] = None,
    accept: Annotated[str, Header(description="`text/csv` does what `format=csv` does.", examples=["text/csv"])] = "",
) -> Evolution | Response:
    """What happened per day, week or month, what stood at the end of each, and the milestones.

    Days are those of UTC, of when things happened; weeks begin on Monday.
    """
    response.headers["Vary"] = "Accept"
    with views(store, response, stale, [Timeline], as_of) as opened:
        buckets = opened[Timeline].buckets(opened.connection, by, since, until)
        milestones = opened[Timeline].milestones_of(opened.connection, buckets)
        position = opened.position
    if written is Format.CSV or (written is None and prefers_csv(accept)):
        name = f"groundswell-timeline-by-{by}-as-of-{position}.csv"
        headers = dict(response.headers) | {"Content-Disposition": f'attachment; filename="{name}"'}
        headers.pop("content-length", None)
        return Response(as_csv(buckets, milestones), headers=headers, media_type=f"{CSV}; header=present")
    return Evolution(
        by=by,
        buckets=[
            Bucket(start=one.start, end=one.end, counts=dict(one.counts), totals=dict(one.totals)) for one in buckets
        ],
        milestones=[Milestone.model_validate(one, from_attributes=True) for one in milestones],
        position=position,
    )


def as_csv(buckets: list[timeline.Bucket], milestones: list[marks.Milestone]) -> str:
    """Return buckets as CSV (RFC 4180) with a header row: counts, then what stood, then the milestones in words."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADER)
    rest = iter(milestones)
    mark = next(rest, None)
    for bucket in buckets:
        said: list[str] = []
        while mark is not None and mark.occurred_at.date() <= bucket.end:
            said.append(sentence(mark))
            mark = next(rest, None)
        counts, totals = (bucket.counts[name] for name in COUNTS), (bucket.totals[name] for name in TOTALS)
        writer.writerow([bucket.start, bucket.end, *counts, *totals, " ".join(said)])
    return text.getvalue()


def prefers_csv(accept: str) -> bool:
    """Whether a client would rather have CSV than JSON (RFC 9110, section 12.5.1)."""
    weights = dict(_weights(accept))
    return weights.get(CSV, 0.0) > max(weights.get(kind, 0.0) for kind in ("application/json", "application/*", "*/*"))


def _weights(accept: str) -> Iterator[tuple[str, float]]:
    for part in accept.lower().split(","):
        kind, *parameters = (each.strip() for each in part.split(";"))
        given = [each[2:] for each in parameters if each.startswith("q=")]
        try:
            yield kind, float(given[0]) if given else 1.0
        except ValueError:
            yield kind, 0.0
