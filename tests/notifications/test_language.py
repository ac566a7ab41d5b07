"""Languages: that nothing is left in English, that plurals and numbers are right, that directions do not mix."""

import gettext
import re
from datetime import date

import pytest
from babel import Locale
from babel.messages.catalog import Message
from babel.messages.plurals import get_plural

from notifications import extracting
from notifications.language import FSI, LOCALES, LRI, PDI, SOURCE, Language, languages

TRANSLATED = [code for code in languages() if code != SOURCE]
CATEGORIES = ("zero", "one", "two", "few", "many", "other")
PLACEHOLDER = re.compile(r"%\(\w+\)s")


def forms(message: Message) -> tuple[str, ...]:
    return tuple(map(str, message.string)) if isinstance(message.string, tuple) else (str(message.string or ""),)


def test_there_are_these_languages() -> None:
    assert languages() == ("en", "ar", "es", "pt")


@pytest.mark.parametrize("code", TRANSLATED)
def test_the_catalogue_is_up_to_date_with_the_source(code: str) -> None:
    said = {str(message.id) for message in extracting.messages()}
    assert len(said) > 80
    assert {str(message.id) for message in extracting.known(code)} == said, "run python -m notifications.extracting"


@pytest.mark.parametrize("code", TRANSLATED)
def test_every_message_is_translated_in_every_form_with_the_same_values(code: str) -> None:
    plurals = get_plural(code).num_plurals
    for message in extracting.known(code):
        if not message.id:
            continue
        translated = forms(message)
        assert all(translated), message.id
        assert not message.fuzzy
        if isinstance(message.id, str):
            assert sorted(PLACEHOLDER.findall(translated[0])) == sorted(PLACEHOLDER.findall(message.id))
            continue
        assert len(translated) == plurals
        values = set(PLACEHOLDER.findall(message.id[1]))
        assert values | {"%(count)s"} == values
        for form in translated:  # one day, two days: there the number may be a word
            assert values - set(PLACEHOLDER.findall(form)) <= {"%(count)s"}
            assert set(PLACEHOLDER.findall(form)) <= values
        assert "%(count)s" in translated[-1]


def test_what_is_collected_names_everything_that_is_said() -> None:
    said = {message.id for message in extracting.messages()}
    assert "This is my address" in said  # in a template
    assert "Yes, stop them" in said  # in a template of the pages
    assert "The digests have stopped" in said  # in a page
    assert "Campaigns you pledged to" in said  # marked, and said by its variable
    assert ("Your streak is %(count)s day.", "Your streak is %(count)s days.") in said


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_catalogue_is_written_as_it_is_read(code: str) -> None:
    path = LOCALES / code / "LC_MESSAGES" / "messages.po"
    assert extracting.written(extracting.updated(code)) == path.read_bytes()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("en", {1: "Your streak is 1 day.", 2: "Your streak is 2 days.", 5: "Your streak is 5 days."}),
        ("es", {1: "Tu racha es de 1 día.", 5: "Tu racha es de 5 días."}),
        ("pt", {1: "Vai em 1 dia seguido.", 5: "Vai em 5 dias seguidos."}),
        (
            "ar",
            {
                0: "لا أيام متتالية لديك.",
                1: "سلسلتك الآن يوم واحد.",
                2: "سلسلتك الآن يومان.",
                3: "سلسلتك الآن 3 أيام.",
                10: "سلسلتك الآن 10 أيام.",
                11: "سلسلتك الآن 11 يومًا.",
                99: "سلسلتك الآن 99 يومًا.",
                100: "سلسلتك الآن 100 يوم.",
                102: "سلسلتك الآن 102 يوم.",
                103: "سلسلتك الآن 103 أيام.",
            },
        ),
    ],
)
def test_plurals(code: str, said: dict[int, str]) -> None:
    language = Language(code)
    one, many = "Your streak is %(count)s day.", "Your streak is %(count)s days."
    assert {count: language.count(one, many, count) for count in said} == said


@pytest.mark.parametrize("code", TRANSLATED)
def test_plural_rules_are_those_of_unicode(code: str) -> None:
    """The forms of a catalogue are in the order of CLDR's categories."""
    categories = CATEGORIES if code == "ar" else ("one", "other")
    form_of = gettext.c2py(extracting.known(code).plural_expr)
    category_of = Locale.parse(code).plural_form
    counts = range(0 if code == "ar" else 2, 1_200)  # of 0 compromisos
    assert [categories[form_of(count)] for count in counts] == [category_of(count) for count in counts]
    assert form_of(1) == categories.index("one")


@pytest.mark.parametrize(
    ("tag", "number", "change", "day"),
    [
        ("en", "1,234,567", "+1,000", "March 5, 2026"),
        ("en-GB", "1,234,567", "+1,000", "5 March 2026"),
        ("es", "1.234.567", "+1.000", "5 de marzo de 2026"),
        ("pt-BR", "1.234.567", "+1.000", "5 de março de 2026"),
        ("ar", "1,234,567", f"{LRI}+1,000{PDI}", "5 مارس 2026"),
    ],
)
def test_numbers_changes_and_days(tag: str, number: str, change: str, day: str) -> None:
    language = Language(tag)
    assert (language.number(1_234_567), language.change(1_000), language.day(date(2026, 3, 5))) == (number, change, day)


def test_what_others_wrote_does_not_turn_what_stands_around_it() -> None:
    english, arabic = Language("en"), Language("ar")
    assert english.isolated("Ten minutes") == "Ten minutes"
    assert english.isolated("عشر دقائق") == f"{FSI}عشر دقائق{PDI}"
    assert arabic.isolated("Ten minutes") == f"{FSI}Ten minutes{PDI}"
    assert arabic.isolated("a\n\nb") == f"{FSI}a{PDI}\n\n{FSI}b{PDI}"


def test_a_language_unknown_here_is_english() -> None:
    assert [Language(tag).tag for tag in (None, "", "de", "zz-YY", "es-XX")] == ["en", "en", "en", "en", "es"]
    assert Language("es-MX").tag == "es-MX"
