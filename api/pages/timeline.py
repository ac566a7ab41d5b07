"""The timeline: how the movement evolved, with charts drawn on the server and the milestones."""

from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from api.common import MaybeCaller, Stale, Store, views
from api.pages.rendering import day, number, page
from projections.timeline import Bucket, By, Timeline

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
CHARTS: Final = (("pledges_made", "Pledges made"), ("check_ins", "Check-ins"), ("actions_logged", "Actions logged"))
MOST_BARS: Final = 120
MOST_ROWS: Final = 60
WIDTH, HEIGHT, GAP = 720.0, 96.0, 2.0


@router.get("/timeline")
def timeline(store: Store, response: Response, stale: Stale, caller: MaybeCaller, by: By = By.WEEK) -> HTMLResponse:
    """Show the movement over time."""
    with views(store, response, stale, [Timeline]) as opened:
        model = opened[Timeline]
        buckets = model.buckets(opened.connection, by)
        milestones = list(reversed(model.milestones(opened.connection)))
        position = opened.position
    recent = buckets[-MOST_BARS:]
    lively = [b for b in buckets if any(b.counts[key] for key, _ in COLUMNS)]
    return page(
        "timeline.html",
        caller,
        by=by.value,
        steps=STEPS,
        columns=COLUMNS,
        buckets=[{"start": b.start, **b.counts} for b in reversed(lively)][:MOST_ROWS],
        charts=[chart(recent, key, title, by) for key, title in CHARTS if any(b.counts[key] for b in recent)],
        milestones=milestones,
        position=position,
        stale=stale,
    )


def chart(buckets: Sequence[Bucket], key: str, title: str, by: By) -> dict[str, Any]:
    """Return what the template needs to draw one bar per bucket; the label says what the bars show."""
    values = [bucket.counts[key] for bucket in buckets]
    most = max(values, default=0)
    step = WIDTH / max(1, len(values))
    bars = []
    for index, (bucket, value) in enumerate(zip(buckets, values, strict=True)):
        height = HEIGHT * value / most if most else 0.0
        bars.append(
            {
                "x": round(index * step, 2),
                "y": round(HEIGHT - height, 2),
                "width": round(max(0.5, step - GAP), 2),
                "height": round(height, 2),
                "title": f"{day(bucket.start)}: {number(value)}",
            }
        )
    first, last = (buckets[0].start, buckets[-1].start) if buckets else (None, None)
    return {
        "title": title,
        "label": f"{title} by {by.value}: {number(sum(values))} in all, at most {number(most)} in one {by.value}.",
        "width": int(WIDTH),
        "height": int(HEIGHT),
        "bars": bars,
        "first": day(first) if first else "",
        "last": day(last) if last else "",
        "most": f"at most {number(most)}",
    }
