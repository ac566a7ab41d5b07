"""The timeline: how the movement evolved, with charts drawn on the server and the milestones."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse

from api.common import MaybeCaller, Point, Stale, Store, views
from api.pages.charts import chart, period
from api.pages.past import past
from api.pages.rendering import page
from projections.timeline import Bucket, By, Timeline, bucket_start

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

STEPS: Final = (("day", "By day"), ("week", "By week"), ("month", "By month"))
COLUMNS: Final = (
    ("supporters", "New supporters"),
    ("pledges_made", "Pledges made"),
    ("check_ins", "Check-ins"),
    ("pledges_kept", "Kept"),
    ("pledges_lapsed", "Lapsed"),
    ("pledges_withdrawn", "Withdrawn"),
    ("actions_logged", "Actions"),
    ("recognitions_awarded", "Recognitions"),
)
CHARTS: Final = (
    ("supporters", "New supporters"),
    ("pledges_made", "Pledges made"),
    ("check_ins", "Check-ins"),
    ("actions_logged", "Actions logged"),
    ("recognitions_awarded", "Recognitions given"),
)
MOST_BARS: Final = 60
"""How many buckets a chart has room for on a phone; the page shows so many at a time."""
DAYS: Final = {By.DAY: 1, By.WEEK: 7, By.MONTH: 31}


@router.get("/timeline")
def timeline(
    store: Store,
    response: Response,
    stale: Stale,
    caller: MaybeCaller,
    as_of: Point,
    by: By = By.WEEK,
    until: Annotated[date | None, Query(alias="to")] = None,
) -> HTMLResponse:
    """Show the movement over time: as many days, weeks or months up to a day as there is room for."""
    with views(store, response, stale, [Timeline], as_of) as opened:
        model, connection = opened[Timeline], opened.connection
        span = model.span(connection)
        buckets = [] if span is None else model.buckets(connection, by, *shown(by, *span, until))
        milestones = model.milestones_of(connection, buckets)
        position = opened.position
    point = past(store, as_of, position, "/timeline", by=by.value)
    charts = [
        chart(buckets, key, title, by, milestones)
        for key, title in CHARTS
        if any(bucket.counts[key] for bucket in buckets)
    ]
    return page(
        "timeline.html",
        caller,
        past=point,
        by=by.value,
        steps=[(point.link(by=code), name, code == by.value) for code, name in STEPS],
        columns=COLUMNS,
        empty=span is None,
        rows=[(period(bucket, by), bucket.counts) for bucket in reversed(lively(buckets))],
        charts=charts,
        milestones=list(reversed(milestones)),
        earlier=point.link(to=str(buckets[0].start - timedelta(days=1))) if before(span, buckets) else None,
        later=point.link(to=str(forward(by, buckets[-1].end))) if after(span, buckets) else None,
        csv="/api/v1/timeline?" + urlencode({"by": by.value, "format": "csv"} | point.point),
        data="/api/v1/timeline?" + urlencode({"by": by.value} | point.point),
        position=position,
        stale=stale,
    )


def shown(by: By, first: date, last: date, until: date | None) -> tuple[date, date]:
    """Return the first and the last day to be shown of those on which anything happened."""
    end = min(max(until or last, first), last)
    begin = bucket_start(by, end)
    for _ in range(MOST_BARS - 1):
        if begin <= first:
            break
        begin = bucket_start(by, begin - timedelta(days=1))
    return max(begin, first), end


def lively(buckets: Sequence[Bucket]) -> list[Bucket]:
    """Return those in which anything happened that the table shows."""
    return [bucket for bucket in buckets if any(bucket.counts[key] for key, _ in COLUMNS)]


def before(span: tuple[date, date] | None, buckets: Sequence[Bucket]) -> bool:
    """Whether anything happened before the buckets."""
    return span is not None and bool(buckets) and span[0] < buckets[0].start


def after(span: tuple[date, date] | None, buckets: Sequence[Bucket]) -> bool:
    """Whether anything happened after the buckets."""
    return span is not None and bool(buckets) and span[1] > buckets[-1].end


def forward(by: By, day: date) -> date:
    """Return the day up to which the next page goes; where there is no such day, the last one the calendar has."""
    try:
        return day + timedelta(days=MOST_BARS * DAYS[by])
    except OverflowError:
        return date.max
