"""The chart of a digest: bars that say the truth, in both directions, told from light and from dark."""

import io
from collections import Counter
from datetime import date

import pytest
from PIL import Image as Picture

from notifications.charts import BAR, HEIGHT, WIDTH, chart, draw
from notifications.language import Language

MONDAY = date(2026, 3, 2).toordinal()
PAPER, CARD, NIGHT = (255, 255, 255), (242, 240, 234), (33, 38, 34)


def columns(png: bytes) -> list[int]:
    """Return how high the bar is at each pixel from left to right."""
    with Picture.open(io.BytesIO(png)) as picture:
        assert picture.size == (WIDTH, HEIGHT)
        pixels = picture.convert("RGBA")
        found = [
            sum(pixels.crop((x, y, x + 1, y + 1)).tobytes() == bytes((*BAR, 255)) for y in range(HEIGHT))
            for x in range(0, WIDTH, 4)
        ]
        assert pixels.crop((0, 0, 1, 1)).tobytes()[3] == 0  # there is no ground
    return found


def test_bars_are_as_high_as_their_numbers() -> None:
    heights = columns(draw((1, 0, 2, 4), mirrored=False))
    quarter = len(heights) // 4
    bars = [max(heights[part * quarter : (part + 1) * quarter]) for part in range(4)]
    assert bars[1] == 0
    assert bars[0] * 4 == bars[2] * 2 == bars[3] == HEIGHT - 4


def test_right_to_left_is_the_mirror_image() -> None:
    one_way, other_way = draw((1, 0, 2, 4), mirrored=False), draw((1, 0, 2, 4), mirrored=True)
    assert one_way != other_way
    assert other_way == draw((4, 2, 0, 1), mirrored=False)


def test_equal_numbers_are_equal_bytes_and_few() -> None:
    first = draw((3, 1, 4, 1, 5), mirrored=False)
    draw.cache_clear()
    assert draw((3, 1, 4, 1, 5), mirrored=False) == first
    assert len(draw(tuple(range(31)), mirrored=False)) < 1_000


def luminance(color: tuple[int, ...]) -> float:
    """Return the relative luminance of a color (WCAG 2.2)."""
    parts = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


@pytest.mark.parametrize("ground", [PAPER, CARD, NIGHT])
def test_its_color_is_told_from_every_ground(ground: tuple[int, ...]) -> None:
    lighter, darker = sorted((luminance(BAR), luminance(ground)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 3


def test_days_up_to_a_month_and_then_weeks() -> None:
    english = Language("en")
    month = chart("X", Counter({MONDAY: 2, MONDAY + 30: 3}), english)
    weeks = chart("X", Counter({MONDAY: 2, MONDAY + 31: 3}), english)
    assert month is not None
    assert weeks is not None
    assert month.caption == "New pledges day by day, March 2, 2026 to April 1, 2026"
    assert weeks.caption == "New pledges week by week, March 2, 2026 to April 2, 2026"
    assert month.image == chart("Y", Counter({MONDAY: 2, MONDAY + 30: 3}), english).image  # type: ignore[union-attr]
    assert "5 in all, at most 3 on one day" in month.alt


def test_what_is_very_long_ago_is_left_out_and_said_to_be() -> None:
    found = chart("X", Counter({MONDAY - 3_650: 9, MONDAY: 2, MONDAY + 60: 3}), Language("en"))
    assert found is not None
    assert "5 in all" in found.alt
    assert "2016" not in found.alt


@pytest.mark.parametrize("made", [{}, {MONDAY: 7}])
def test_less_than_two_bars_are_no_chart(made: dict[int, int]) -> None:
    assert chart("X", made, Language("en")) is None
