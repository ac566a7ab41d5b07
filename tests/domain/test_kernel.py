import uuid

import pytest
from hypothesis import given as for_all
from hypothesis import strategies

from domain.kernel import ACTOR_KINDS, Actor, Invalid, check_locale, clean_text, identify, readable, zone

ANNA = uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, "groundswell:supporter"), "anna")


@pytest.mark.parametrize(
    ("reference", "expected", "chosen"),
    [
        ("anna", ANNA, "anna"),
        (str(ANNA), ANNA, None),
        (str(ANNA).upper(), ANNA, None),
        (ANNA.hex, uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, "groundswell:supporter"), ANNA.hex), ANNA.hex),
        ("x" * 36, uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, "groundswell:supporter"), "x" * 36), "x" * 36),
    ],
)
def test_a_reference_stands_for_an_id(reference: str, expected: uuid.UUID, chosen: str | None) -> None:
    assert identify("supporter", reference) == expected
    assert readable(reference) == chosen


def test_references_of_other_kinds_stand_for_other_things() -> None:
    assert identify("campaign", "anna") != identify("supporter", "anna")


def test_no_more_references_are_remembered_of_many_mails_than_of_10_000() -> None:
    remembered = []
    for start in (0, 10_000):
        for number in range(start, start + 10_000):
            identify("mail", str(uuid.UUID(int=number)))
            identify("supporter", str(uuid.UUID(int=number)))
        remembered.append(identify.cache_info().currsize)
    assert remembered[0] == remembered[1]


@for_all(strategies.text(alphabet=strategies.characters(exclude_categories=("Cc", "Cs"))))
def test_any_text_stays_readable_and_is_cleaned_once(text: str) -> None:
    assert clean_text(clean_text(text)) == clean_text(text)


@pytest.mark.parametrize(("text", "cleaned"), [("e\u0301", "é"), ("a\n\tb", "a\n\tb"), ("👩‍👩‍👧", "👩‍👩‍👧")])
def test_clean_text(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


@pytest.mark.parametrize("text", ["\x00", "a\x1b", "a\r\n", "\x7f", "\x85", "\ud800"])
def test_control_characters_are_refused(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        clean_text(text)
    assert refusal.value.code == "text.control_character"


@pytest.mark.parametrize("name", ["Mars/Base", "", "../etc/passwd", "Europe", "Europe/Lisbon\x00"])
def test_zones_that_are_none(name: str) -> None:
    with pytest.raises(Invalid) as refusal:
        zone(name)
    assert refusal.value.code == "time_zone.unknown"


@pytest.mark.parametrize("tag", ["en", "pt-BR", "pt_BR", "zh-Hant-TW", "yue"])
def test_locales(tag: str) -> None:
    check_locale(tag)


@pytest.mark.parametrize("tag", ["", "e", "english", "pt-", "pt BR", "en\n"])
def test_locales_that_are_none(tag: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check_locale(tag)
    assert refusal.value.code == "locale.malformed"


@pytest.mark.parametrize("kind", ACTOR_KINDS)
def test_actors(kind: str) -> None:
    assert str(Actor.parse(f"{kind}:a:b")) == f"{kind}:a:b"
    assert Actor.parse(f"{kind}:a:b") == Actor(kind, "a:b")


@pytest.mark.parametrize("text", ["", "staff", "staff:", "robot:x", ":x", "staff:a\n", "staff:" + "x" * 201])
def test_actors_that_are_none(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        Actor.parse(text)
    assert refusal.value.code == "actor.malformed"
