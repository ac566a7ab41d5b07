import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain import campaigns, chapters, scoring, supporters
from domain.kernel import Actor, Context, Refusal, identify, now
from domain.pledges import CheckIn
from domain.supporters import Register, SupporterCommand
from history.envelope import Catalogue, Request, new_id, own_request

CATALOGUE = Catalogue([chapters.SLICE, campaigns.SLICE, supporters.SLICE, scoring.SLICE])
CLI = Actor("system", "cli")
REGISTER = {"id": "1", "command": "supporters.register", "data": {"supporter": "anna"}}


def read(**envelope: object) -> Request:
    return CATALOGUE.read(json.dumps(REGISTER | envelope).encode(), CLI)[1]


def refusal(line: bytes | dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(Refusal) as refused:
        CATALOGUE.read(line if isinstance(line, bytes) else json.dumps(line).encode(), CLI)
    return refused.value.code, refused.value.message


def test_an_envelope_becomes_a_command_and_its_circumstances() -> None:
    line = (
        b'{"id": "petition-7:sig-19", "command": "supporters.register", "at": "2016-12-13T19:00:00+01:00", '
        b'"actor": "import:petition-7", "reason": "paper list", "data": {"supporter": "anna", "name": "Anna"}}'
    )
    command_id, request = CATALOGUE.read(line, CLI)
    assert command_id == "petition-7:sig-19"
    assert request.command == Register(supporter="anna", name="Anna")
    assert request.context == Context(
        actor=Actor("import", "petition-7"),
        at=datetime(2016, 12, 13, 18, tzinfo=UTC),
        command_id="petition-7:sig-19",
        correlation_id="petition-7:sig-19",
        reason="paper list",
    )


def test_what_is_not_given_is_now_by_the_default_actor_without_reason() -> None:
    context = read().context
    assert (context.actor, context.reason, context.causation_id) == (CLI, None, None)
    assert now() - context.at < timedelta(seconds=60)


DEEP = b'{"id": "1", "command": "supporters.register", "data": {"supporter": ' + b"[" * 50_000 + b"]" * 50_000 + b"}}"
TRAILING = "The line is not a JSON object: trailing characters (byte 29)."
HUGE = b'{"id": "1", "command": "supporters.register", "data": {"supporter": ' + b"9" * 5_000 + b"}}"


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (b"nope", "command.invalid_json", "The line is not a JSON object: invalid character (byte 4)."),
        (b'{"id": "1",', "command.invalid_json", "The line is not a JSON object: it ends too early."),
        (b"", "command.invalid_json", "The line is not a JSON object: it ends too early."),
        (b'{"id": "1", "command": "x"} {}', "command.invalid_json", TRAILING),
        (b'{"id": "1\x00"}', "command.invalid_json", "The line is not a JSON object: invalid character (byte 9)."),
        (b'{"id": NaN}', "command.invalid_json", "The line is not a JSON object: invalid character (byte 7)."),
        (b'{"id": "\xff"}', "command.invalid_utf8", "Byte 9 of the line is not UTF-8."),
        (b'{"id": "\xed\xa0\x80"}', "command.invalid_utf8", "Byte 9 of the line is not UTF-8."),
        (
            b'{"id": "1", "command": "\\ud800 lone"}',
            "command.invalid_json",
            "The line is not a JSON object: unexpected end of escaped utf-16 surrogate pair (byte 30).",
        ),
        (DEEP, "command.invalid_json", "The line is nested too deeply."),
        (HUGE, "command.out_of_range", "data holds a number that is too large."),
        (b"[]", "command.wrong_type", "The command must be an object, not a list."),
        (b'"x"', "command.wrong_type", "The command must be an object, not a text."),
        (b"null", "command.wrong_type", "The command must be an object, not null."),
        (b"[" * 100_000, "command.wrong_type", "The command must be an object, not a list."),
        (b'{"id": "1", "id": "2", "command": "x"}', "command.duplicate_field", "The field “id” is given twice."),
        (
            b'{"id": "1", "command": "x", "data": {"a": 1, "b": 2, "b": 2}}',
            "command.duplicate_field",
            "The field “b” is given twice.",
        ),
    ],
)
def test_a_line_that_is_not_an_envelope_is_refused(line: bytes, code: str, message: str) -> None:
    assert refusal(line) == (code, message)


@pytest.mark.parametrize(
    ("part", "code", "message"),
    [
        ({"extra": 1}, "command.unknown_field", "The command has no field “extra”."),
        ({"id": 1}, "command.wrong_type", "id must be a text, not a whole number."),
        ({"id": ""}, "command.wrong_length", "id must not be empty."),
        ({"id": "x" * 201}, "command.wrong_length", "id must have at most 200 characters."),
        ({"id": "a\0"}, "reference.control_character", "id must not hold control characters."),
        ({"command": None}, "command.wrong_type", "command must be a text, not null."),
        ({"command": "supporters.vanish"}, "command.unknown", "There is no command “supporters.vanish”."),
        ({"command": "\x1b[2J"}, "command.unknown", "There is no command “\\x1b[2J”."),
        ({"data": []}, "command.wrong_type", "data must be an object, not a list."),
        ({"data": None}, "command.wrong_type", "data must be an object, not null."),
        ({"data": {}}, "command.missing_field", "data needs the field “supporter”."),
        ({"at": 5}, "command.wrong_type", "at must be a text or null, not a whole number."),
        ({"at": "yesterday"}, "command.invalid_date", "at is not a time such as 2016-12-13T18:00:00+01:00."),
        ({"at": "2016-02-30T12:00:00Z"}, "command.invalid_date", "at is not a time such as 2016-12-13T18:00:00+01:00."),
        ({"at": "2016-12-13"}, "command.invalid_date", "at is not a time such as 2016-12-13T18:00:00+01:00."),
        (
            {"at": "2016-12-13T18:00:00"},
            "command.time_without_offset",
            "at needs its offset from UTC, as in 2016-12-13T18:00:00Z or 2016-12-13T18:00:00+01:00.",
        ),
        ({"at": "0001-01-01T00:00:00+14:00"}, "command.invalid_date", "at must be between the years 2 and 9998."),
        ({"at": "0001-06-01T00:00:00Z"}, "command.invalid_date", "at must be between the years 2 and 9998."),
        ({"at": "9999-12-31T23:59:59-14:00"}, "command.invalid_date", "at must be between the years 2 and 9998."),
        ({"reason": "\0"}, "text.control_character", "reason: The text holds the control character U+0000."),
        ({"reason": "x" * 10_001}, "command.wrong_length", "reason must have at most 10000 characters."),
        ({"reason": 1}, "command.wrong_type", "reason must be a text or null, not a whole number."),
    ],
)
def test_what_is_wrong_with_an_envelope_is_said(part: dict[str, Any], code: str, message: str) -> None:
    assert refusal(REGISTER | part) == (code, message)


@pytest.mark.parametrize("actor", ["anna", "nobody:anna", "staff:", "staff:\0", f"staff:{'x' * 201}", ":", ""])
def test_an_actor_is_a_kind_and_a_name(actor: str) -> None:
    code, message = refusal(REGISTER | {"actor": actor})
    assert code == "actor.malformed"
    assert message.endswith("is not kind:name with a kind of staff, supporter, system, import, api.")


def test_an_id_and_a_command_are_needed() -> None:
    assert refusal({"command": "x"}) == ("command.missing_field", "The command needs the field “id”.")
    assert refusal({"id": "x"}) == ("command.missing_field", "The command needs the field “command”.")


def test_a_byte_order_mark_is_no_part_of_the_line() -> None:
    line = b"\xef\xbb\xbf" + json.dumps(REGISTER).encode()
    assert CATALOGUE.read(line, CLI)[1].command == Register(supporter="anna")


def test_a_reason_is_normalised_to_nfc() -> None:
    assert read(reason="cafe\u0301").context.reason == "café"


def test_times_come_in_utc_to_the_microsecond() -> None:
    assert read(at="2016-12-13T00:00:00.123456+05:45").context.at == datetime(2016, 12, 12, 18, 15, 0, 123456, UTC)
    assert read(at="0002-01-01T00:00:00Z").context.at.year == 2


def test_the_same_content_has_the_same_hash_in_any_order_of_fields() -> None:
    one = b'{"id": "1", "command": "supporters.register", "data": {"supporter": "a", "name": "b"}}'
    two = b'{"data": {"name": "b", "supporter": "a"}, "command": "supporters.register", "id": "1", "at": null}'
    assert CATALOGUE.read(one, CLI)[1].digest == CATALOGUE.read(two, CLI)[1].digest


@pytest.mark.parametrize(
    "part", [{"at": "2016-12-13T18:00:00Z"}, {"actor": "staff:x"}, {"reason": "x"}, {"data": {"supporter": "b"}}]
)
def test_another_content_has_another_hash(part: dict[str, Any]) -> None:
    assert read(**part).digest != read().digest


def test_a_whole_number_of_more_than_64_bits_has_a_hash_too() -> None:
    found = {"id": "1", "command": "chapters.found", "data": {"chapter": "c", "name": "n"}}
    lines = [found | {"data": found["data"] | {"place": {"latitude": 10**n}}} for n in (30, 31)]  # type: ignore[operator]
    one, two = (CATALOGUE.read(json.dumps(line).encode(), CLI)[1] for line in lines)
    assert one.digest != two.digest


def test_own_requests_are_hashed_by_what_was_given() -> None:
    context = Context(actor=CLI, at=now(), command_id="1", correlation_id="1")
    bare = own_request(Register(supporter="anna"), context)
    assert own_request(Register(supporter="anna", name=None), context).digest == bare.digest
    assert own_request(Register(supporter="anna", name="Anna"), context).digest != bare.digest
    assert own_request(SupporterCommand(supporter="anna"), context).digest != bare.digest
    check_ins = [CheckIn(campaign="c", ask="a", supporter="s", on=date(2026, 1, day)) for day in (1, 2, 2)]
    assert [own_request(c, context).digest == own_request(check_ins[1], context).digest for c in check_ins] == [
        False,
        True,
        True,
    ]


def test_fresh_ids_differ() -> None:
    assert new_id() != new_id()


def test_a_uuid_in_either_case_names_the_same_thing() -> None:
    text = "6F9619FF-8B86-D011-B42D-00CF4FC964FF"
    assert identify("supporter", text) == identify("supporter", text.lower()) == UUID(text)


@pytest.mark.parametrize(
    "text",
    [
        "6f9619ff8b86d011b42d00cf4fc964ff",
        "{6f9619ff-8b86-d011-b42d-00cf4fc964ff}",
        "urn:uuid:6f9619ff-8b86-d011-b42d-00cf4fc964ff",
    ],
)
def test_another_form_of_a_uuid_is_a_reference_like_any_other(text: str) -> None:
    assert identify("supporter", text) != UUID("6f9619ff-8b86-d011-b42d-00cf4fc964ff")
    assert identify("supporter", text).version == 5


def test_references_of_different_kinds_are_different_things() -> None:
    assert identify("supporter", "anna") != identify("campaign", "anna")
