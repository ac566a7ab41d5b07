"""A small picture of a campaign's new pledges, day by day or week by week, as PNG with words that say the same.

It has no letters and no ground of its own: the words stand beside it in the reader's language, and its one colour is
told from white as well as from the dark of a mail at night (contrast of at least 3 to 1: WCAG 2.2, 1.4.11).
"""

import functools
import io
from collections import Counter
from collections.abc import Mapping
from datetime import date
from hashlib import sha256
from typing import Final

from PIL import Image as Picture
from PIL import ImageDraw

from notifications.digest import Chart, Image
from notifications.language import Language

WIDTH, HEIGHT = 560, 120
"""Pixels of the picture, which is shown at half that size: sharp on screens of two pixels per point."""
GAP: Final = 0.25
"""How much of its place a bar leaves free."""
LEAST: Final = 4
"""Pixels of the lowest bar that is not nothing, and of the line below all bars."""
MOST_DAYS, MOST_WEEKS = 31, 26
BAR: Final = (63, 143, 118)
BASE: Final = (138, 145, 134)


def chart(title: str, made: Mapping[int, int], language: Language) -> Chart | None:
    """Return the chart of how many pledges were made on which day (its proleptic ordinal); None for less than two bars.

    Days are drawn one by one for up to a month, and in weeks for up to half a year; what came before is left out.
    """
    if not made:
        return None
    last = max(made)
    first = max(min(made), last - 7 * MOST_WEEKS + 1)
    weekly = last - first >= MOST_DAYS
    step = 7 if weekly else 1
    counts = Counter[int]()
    for day, number in made.items():
        if day >= first:
            counts[(last - day) // step] += number
    if len(counts) <= 1:
        return None
    bars = tuple(counts[index] for index in reversed(range((last - first) // step + 1)))
    png = draw(bars, mirrored=language.direction == "rtl")
    values = {"first": language.day(date.fromordinal(first)), "last": language.day(date.fromordinal(last))}
    said = {"campaign": title, "total": language.number(sum(bars)), "most": language.number(max(bars))} | values
    if weekly:
        caption = language.say("New pledges week by week, %(first)s to %(last)s", **values)
        alt = language.say(
            "Chart of new pledges to “%(campaign)s” from %(first)s to %(last)s: %(total)s in all, at most %(most)s in "
            "one week.",
            **said,
        )
    else:
        caption = language.say("New pledges day by day, %(first)s to %(last)s", **values)
        alt = language.say(
            "Chart of new pledges to “%(campaign)s” from %(first)s to %(last)s: %(total)s in all, at most %(most)s on "
            "one day.",
            **said,
        )
    return Chart(_image(png), WIDTH // 2, HEIGHT // 2, caption, alt)


@functools.lru_cache(maxsize=1_024)
def draw(bars: tuple[int, ...], *, mirrored: bool) -> bytes:
    """Return bars as PNG, the oldest first: from the left, or ``mirrored`` from the right. Equal bars, equal bytes."""
    picture = Picture.new("P", (WIDTH, HEIGHT), 0)
    picture.putpalette([255, 255, 255, *BAR, *BASE])
    pen, most, place = ImageDraw.Draw(picture), max(bars), WIDTH / len(bars)
    floor = HEIGHT - LEAST
    for index, bar in enumerate(reversed(bars) if mirrored else bars):
        if bar:
            left, right = round((index + GAP / 2) * place), round((index + 1 - GAP / 2) * place) - 1
            height = max(LEAST, round(floor * bar / most))
            pen.rectangle((left, floor - height, max(left, right), floor - 1), fill=1)
    pen.rectangle((0, floor + LEAST // 2, WIDTH - 1, HEIGHT - 1), fill=2)
    file = io.BytesIO()
    picture.save(file, "PNG", transparency=0, optimize=True, bits=2)
    return file.getvalue()


@functools.lru_cache(maxsize=1_024)
def _image(png: bytes) -> Image:
    return Image(f"{sha256(png).hexdigest()[:24]}@groundswell", png)
