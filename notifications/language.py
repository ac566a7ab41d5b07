"""Saying things in a person's language: catalogues from ``locales``, numbers and dates by Babel.

The catalogues are read as text when first needed; nothing compiled lies in the repository.
"""

import functools
import gettext
import io
import re
from datetime import date, datetime
from pathlib import Path
from typing import Final

import babel.dates
import babel.numbers
from babel import Locale, UnknownLocaleError
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

from domain.kernel import Invalid, zone
from domain.supporters import UTC_NAME

SOURCE: Final = "en"
LOCALES: Final = Path(__file__).parent / "locales"
MINUS: Final = "\N{MINUS SIGN}"

LRI, FSI, PDI = "\N{LEFT-TO-RIGHT ISOLATE}", "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"
"""What keeps a text of unknown direction from turning what stands around it (UAX #9 §2.4)."""
_TO_THE_LEFT: Final = re.compile(
    "[\u0590-\u08ff\u200f\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)


@functools.cache
def languages() -> tuple[str, ...]:
    """Name the languages there are catalogues of, the source language first."""
    return (SOURCE, *sorted(path.parent.parent.name for path in LOCALES.glob("*/LC_MESSAGES/messages.po")))


@functools.cache
def catalogue(code: str) -> gettext.NullTranslations:
    """Return the translations into one language."""
    if code == SOURCE:
        return gettext.NullTranslations()
    with (LOCALES / code / "LC_MESSAGES" / "messages.po").open("rb") as file:
        found = read_po(file, locale=code)
    compiled = io.BytesIO()
    write_mo(compiled, found)
    compiled.seek(0)
    return Translations(compiled)


@functools.lru_cache(maxsize=256)
def chosen(tag: str | None) -> tuple[str, Locale]:
    """Return (the language we have, the locale for its numbers and dates) for a language tag, English for others."""
    code = (tag or SOURCE).replace("_", "-").split("-")[0].lower()
    if code not in languages():
        return SOURCE, Locale.parse(SOURCE)
    try:
        return code, Locale.parse((tag or SOURCE).replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        return code, Locale.parse(code)


@functools.lru_cache(maxsize=16_384)
def _number(value: float, locale: Locale) -> str:
    return babel.numbers.format_decimal(value, locale=locale)


@functools.lru_cache(maxsize=4_096)
def _day(day: date, locale: Locale) -> str:
    return babel.dates.format_date(day, "long", locale=locale)


@functools.lru_cache(maxsize=4_096)
def spoken(tag: str | None, time_zone: str | None = None) -> "Language":
    """Return the language of a tag with a time zone; there are few of them, and many who speak them."""
    return Language(tag, time_zone)


def mark(message: str) -> str:
    """Return the message; says that it is one to be translated where it is said by its variable."""
    return message


class Language:
    """One person's language and time zone."""

    def __init__(self, tag: str | None, time_zone: str | None = None) -> None:
        self.code, self.locale = chosen(tag)
        self.tag = str(self.locale).replace("_", "-")
        """The language tag for ``lang`` and Content-Language (BCP 47)."""
        self.direction = str(self.locale.text_direction)
        """``ltr`` or ``rtl``."""
        self._catalogue = catalogue(self.code)
        try:
            self.zone = zone(time_zone or UTC_NAME)
        except Invalid:
            self.zone = zone(UTC_NAME)

    def say(self, message: str, **values: object) -> str:
        """Return the message in this language, with the values put in."""
        said = self._catalogue.gettext(message)
        return said % values if values else said

    def count(self, one: str, many: str, count: int, **values: object) -> str:
        """Return the message in the form that fits the count, which it may name as ``%(count)s``."""
        return self._catalogue.ngettext(one, many, count) % {"count": self.number(count), **values}

    def isolated(self, text: str) -> str:
        """Return somebody's text so that its direction does not turn the sentence it is put into.

        Each of its lines is a paragraph of its own to the algorithm that orders them (UAX #9 §3.3.1).
        """
        if self.direction == "ltr" and not _TO_THE_LEFT.search(text):
            return text
        return "\n".join(f"{FSI}{line}{PDI}" if line else line for line in text.split("\n"))

    def number(self, value: float) -> str:
        """Return a number with this language's separators."""
        return _number(value, self.locale)

    def change(self, amount: int) -> str:
        """Return a change with its sign, which stands before the number in every language of ours."""
        said = f"{MINUS if amount < 0 else '+'}{self.number(abs(amount))}"
        return said if self.direction == "ltr" else f"{LRI}{said}{PDI}"

    def day(self, day: date) -> str:
        """Return a calendar day in words."""
        return _day(day, self.locale)

    def moment(self, moment: datetime) -> str:
        """Return a moment in the person's own zone, in words."""
        return babel.dates.format_datetime(moment, "long", tzinfo=self.zone, locale=self.locale)

    def today(self, moment: datetime) -> date:
        """Return the person's own calendar day at a moment."""
        return moment.astimezone(self.zone).date()
