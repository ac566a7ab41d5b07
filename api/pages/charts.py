"""Charts as the server draws them: bars per day, week or month, and the milestones above them.

Widths are percentages and heights are pixels: text is as large on a phone as on a desk, and nothing is stretched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from api.milestones import sentence
from api.pages.rendering import day, number
from projections.milestones import Milestone
from projections.timeline import Bucket, By

TOP, BARS, BOTTOM = 22.0, 104.0, 20.0
"""Pixels for the milestones, the bars and the days below them."""
HEIGHT: Final = int(TOP + BARS + BOTTOM)
FILLED: Final = 0.8
"""How much of its place a bar takes."""
LEAST: Final = 1.5
"""Pixels of the lowest bar that is not nothing."""


@dataclass(frozen=True)
class Bar:
    """One bucket: x and width in percent, y and height in pixels."""

    x: float
    width: float
    y: float
    height: float
    title: str


@dataclass(frozen=True)
class Mark:
    """The milestones of one bucket that went well, or its setbacks."""

    x: float
    title: str
    setback: bool


@dataclass(frozen=True)
class Chart:
    """What the template draws; ``label`` says what is to be seen, for those who do not see it."""

    key: str
    title: str
    label: str
    bars: Sequence[Bar]
    marks: Sequence[Mark]
    most: int
    first: date
    last: date


def chart(buckets: Sequence[Bucket], key: str, title: str, by: By, milestones: Sequence[Milestone]) -> Chart:
    """Return a chart of one count; there must be a bucket."""
    values = [bucket.counts[key] for bucket in buckets]
    most, step = max(values), 100 / len(values)
    bars = [
        Bar(
            x=round((index + (1 - FILLED) / 2) * step, 3),
            width=round(FILLED * step, 3),
            y=round(TOP + BARS - height, 2),
            height=round(height, 2),
            title=f"{period(bucket, by)}: {number(value)}",
        )
        for index, (bucket, value) in enumerate(zip(buckets, values, strict=True))
        for height in [max(LEAST, BARS * value / most) if value else 0.0]
    ]
    said = f" Milestones: {number(len(milestones))}, listed below." if milestones else ""
    label = f"{title} by {by.value}: {number(sum(values))} in all, at most {number(most)} in one {by.value}.{said}"
    return Chart(key, title, label, bars, marks(buckets, by, milestones), most, buckets[0].start, buckets[-1].end)


def marks(buckets: Sequence[Bucket], by: By, milestones: Sequence[Milestone]) -> list[Mark]:
    """Return a mark above each bucket in which there were milestones, and one for its setbacks."""
    step = 100 / len(buckets)
    found: dict[int, list[Milestone]] = {index: [] for index in range(len(buckets))}
    index = 0
    for milestone in milestones:
        while index < len(buckets) - 1 and milestone.occurred_at.date() > buckets[index].end:
            index += 1
        found[index].append(milestone)
    return [
        Mark(
            x=round((index + 0.5) * step, 3),
            title=f"{period(buckets[index], by)}: {' '.join(said)}",
            setback=setback,
        )
        for index, of_bucket in found.items()
        for setback in (False, True)
        if (said := [sentence(each) for each in of_bucket if each.setback is setback])
    ]


def period(bucket: Bucket, by: By) -> str:
    """Say which days a bucket has: a day, a week from its first day, a month."""
    match by:
        case By.DAY:
            return day(bucket.start)
        case By.WEEK:
            return f"Week from {day(bucket.start)}"
        case By.MONTH:
            return f"{bucket.start:%B %Y}"
