import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pytest

from domain.kernel import UNSET, Between, Context, Invalid, Reference, Slug, Stage, Text, TextRule, Title, Unset
from domain.slices import Command
from history.codec import check_reference, fields_given, printed, read_command, schema

Latitude = Annotated[float, Between(-90, 90)]


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, kw_only=True)
class Place:
    city: Title | None = None
    latitude: Latitude | None = None


class Paint(Command, name="test.paint"):
    """Everything a command's field can be."""

    thing: Annotated[str, Reference("thing")]
    title: Title
    summary: Text | Unset | None = UNSET
    colour: Colour = Colour.RED
    on: date | None = None
    count: Annotated[int, Between(1, 1_000_000)] | None = None
    weight: float | None = None
    sure: bool = True
    place: Place | None = None
    words: tuple[Text, ...] = ()
    places: tuple[Place, ...] = ()
    rooms: Mapping[Slug, Annotated[str, TextRule(5)]] | None = None

    def streams(self) -> tuple[()]:
        return ()

    def decide(self, context: Context, stage: Stage) -> None:
        raise NotImplementedError


def read(**data: object) -> Paint:
    command = read_command(Paint, {"thing": "t", "title": "T", **data})
    assert isinstance(command, Paint)
    return command


def test_fields_that_were_not_given_have_their_defaults() -> None:
    assert read() == Paint(thing="t", title="T")
    assert read().summary is UNSET


def test_null_is_told_from_not_given() -> None:
    assert read(summary=None).summary is None


def test_every_kind_of_field_is_read() -> None:
    command = read(
        summary="s",
        colour="blue",
        on="2016-02-29",
        count=7,
        weight=1,
        sure=False,
        place={"city": "Lisboa", "latitude": 38.7},
        words=["a", "b"],
        places=[{"city": "Porto"}],
        rooms={"hall": "red"},
    )
    assert command == Paint(
        thing="t",
        title="T",
        summary="s",
        colour=Colour.BLUE,
        on=date(2016, 2, 29),
        count=7,
        weight=1.0,
        sure=False,
        place=Place(city="Lisboa", latitude=38.7),
        words=("a", "b"),
        places=(Place(city="Porto"),),
        rooms={"hall": "red"},
    )


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        ({"nope": 1}, "command.unknown_field", "data has no field “nope”."),
        ({"place": {"nope": 1}}, "command.unknown_field", "data.place has no field “nope”."),
        ({"places": [{}, {"x": 1}]}, "command.unknown_field", "data.places[1] has no field “x”."),
        ({"n\x1b[31m": 1}, "command.unknown_field", "data has no field “n\\x1b[31m”."),
        ({"a`b": 1}, "command.unknown_field", "data has no field “a`b”."),
        ({"x" * 500: 1}, "command.unknown_field", f"data has no field “{'x' * 80}…”."),
        ({"thing": ""}, "command.wrong_length", "data.thing must not be empty."),
        ({"thing": "x" * 201}, "command.wrong_length", "data.thing must have at most 200 characters."),
        ({"thing": "a\0"}, "reference.control_character", "data.thing must not hold control characters."),
        ({"thing": "a\ud800"}, "reference.control_character", "data.thing must not hold control characters."),
        ({"thing": 5}, "command.wrong_type", "data.thing must be a text, not a whole number."),
        ({"thing": None}, "command.wrong_type", "data.thing must be a text, not null."),
        ({"thing": ["t"]}, "command.wrong_type", "data.thing must be a text, not a list."),
        ({"title": ""}, "command.wrong_length", "data.title must not be empty."),
        ({"title": "x" * 301}, "command.wrong_length", "data.title must have at most 300 characters."),
        ({"summary": "x" * 10_001}, "command.wrong_length", "data.summary must have at most 10000 characters."),
        ({"summary": "x" * 10**6}, "command.wrong_length", "data.summary must have at most 10000 characters."),
        (
            {"title": "a\x85b"},
            "text.control_character",
            "data.title: The text holds the control character U+0085.",
        ),
        (
            {"words": ["fine", "a\x07"]},
            "text.control_character",
            "data.words[1]: The text holds the control character U+0007.",
        ),
        (
            {"places": [{"city": "a\x7f"}]},
            "text.control_character",
            "data.places[0].city: The text holds the control character U+007F.",
        ),
        (
            {"summary": "\udfff"},
            "text.control_character",
            "data.summary: The text holds the control character U+DFFF.",
        ),
        ({"rooms": {"hall": "too long"}}, "command.wrong_length", "data.rooms must have at most 5 characters."),
        (
            {"colour": "green"},
            "command.invalid_value",
            "data.colour cannot be “green”; `groundswell commands` lists what it can be.",
        ),
        ({"colour": 1}, "command.wrong_type", "data.colour must be a text, not a whole number."),
        ({"on": "2016-02-30"}, "command.invalid_date", "data.on is not a date of the calendar (YYYY-MM-DD)."),
        ({"on": "30.2.2016"}, "command.invalid_date", "data.on is not a date of the calendar (YYYY-MM-DD)."),
        ({"on": 1}, "command.wrong_type", "data.on must be a date (YYYY-MM-DD) or null, not a whole number."),
        ({"count": 0}, "command.out_of_range", "data.count must be at least 1."),
        ({"count": 10**30}, "command.out_of_range", "data.count must be at most 1,000,000."),
        ({"count": 1.5}, "command.wrong_type", "data.count must be a whole number or null, not a fraction."),
        ({"count": True}, "command.wrong_type", "data.count must be a whole number or null, not true or false."),
        ({"place": {"latitude": 91}}, "command.out_of_range", "data.place.latitude must be at most 90."),
        (
            {"place": {"latitude": "x"}},
            "command.wrong_type",
            "data.place.latitude must be a number or null, not a text.",
        ),
        ({"place": []}, "command.wrong_type", "data.place must be an object or null, not a list."),
        ({"sure": "yes"}, "command.wrong_type", "data.sure must be true or false, not a text."),
        ({"words": "a"}, "command.wrong_type", "data.words must be a list, not a text."),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_code(data: dict[str, Any], code: str, message: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(**data)
    assert (refused.value.code, refused.value.message) == (code, message)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(Invalid) as refused:
        read_command(Paint, {"thing": "t"})
    assert (refused.value.code, refused.value.message) == ("command.missing_field", "data needs the field “title”.")


def test_texts_are_measured_in_the_form_in_which_they_are_recorded() -> None:
    assert read(title="e\u0301" * 300).title == "é" * 300
    grows_in_nfc = "\U0001d15e"  # a musical symbol that NFC takes apart
    with pytest.raises(Invalid, match="at most 300"):
        read(title=grows_in_nfc * 151)


def test_line_feed_and_tab_are_no_refused_control_characters() -> None:
    assert read(title="a\n\tb").title == "a\n\tb"


def test_all_naughty_strings_come_through_a_text_field(shared_data: Path) -> None:
    folder = shared_data / "import-torture" / "naughty-strings"
    strings = json.loads((folder / "blns.json").read_text(encoding="utf-8"))
    assert len(strings) > 400
    refused = [text for text in strings if outcome(text) == "text.control_character"]
    assert all(any(c < " " or "\x7f" <= c <= "\x9f" for c in text if c not in "\n\t") for text in refused)
    assert len(refused) == 6


def outcome(text: str) -> str:
    try:
        kept = read(summary=text).summary
    except Invalid as error:
        return error.code
    assert isinstance(kept, str)
    assert read(summary=kept).summary == kept
    return "kept"


@pytest.mark.parametrize("text", ["a", "id with spaces", "Ω", "🙂", "\u200d", "a\u0301"])
def test_a_reference_may_be_any_text_and_is_left_as_it_is(text: str) -> None:
    assert check_reference(text) == text
    assert read(thing=text).thing == text


def test_a_reference_that_is_a_uuid_in_upper_case_is_left_as_it_is() -> None:
    assert read(thing="6F9619FF-8B86-D011-B42D-00CF4FC964FF").thing == "6F9619FF-8B86-D011-B42D-00CF4FC964FF"


def test_what_somebody_sent_is_printed_short_and_without_anything_hidden() -> None:
    assert printed("name") == "“name”"
    assert printed("\x1b[31m") == "“\\x1b[31m”"
    assert printed("x" * 81) == f"“{'x' * 80}…”"


def test_fields_given_leaves_out_what_equals_the_default() -> None:
    assert fields_given(read(colour="red", count=3)) == {"thing": "t", "title": "T", "count": 3}
    assert fields_given(read(summary=None)) == {"thing": "t", "title": "T", "summary": None}


def test_the_schema_says_what_a_field_takes() -> None:
    found = schema(Paint)
    assert found["required"] == ["thing", "title"]
    assert found["properties"]["title"] == {"type": "string", "minLength": 1, "maxLength": 300}
    assert found["properties"]["thing"]["maxLength"] == 200
    assert found["additionalProperties"] is False
    assert found["description"] == "Everything a command's field can be."
    assert found["$defs"]["Place"]["properties"]["latitude"]["anyOf"][0] == {
        "type": "number",
        "minimum": -90,
        "maximum": 90,
    }
