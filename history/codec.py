"""Typed JSON: strict decoders made from the annotations of commands and events, and errors people can act on."""

import dataclasses
import functools
import re
import types
import typing
import unicodedata
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from domain.kernel import MAX_REFERENCE, UNSET, Between, Invalid, Reference, TextRule, Unset, clean_text
from domain.slices import Command

Builder = Callable[[Any], Any]

MAX_SHOWN: Final = 80
LONGEST_DECOMPOSITION: Final = 4
"""No character of Unicode decomposes into more than four, so a longer text cannot become short enough in NFC."""


class Shape:
    """How one dataclass is read from JSON: a strict Struct for its form, and builders that clean and make it."""

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls
        self.builders: dict[str, Builder] = {}
        fields: list[Any] = []
        hints = typing.get_type_hints(cls, include_extras=True)
        for field in dataclasses.fields(cls):
            hint, builder = reading(hints[field.name])
            if builder:
                self.builders[field.name] = builder
            if field.default is UNSET:
                fields.append((field.name, hint, msgspec.UNSET))
            elif field.default is not dataclasses.MISSING:
                fields.append((field.name, hint, field.default))
            else:
                fields.append((field.name, hint))
        self.struct: type[msgspec.Struct] = msgspec.defstruct(
            cls.__name__, fields, kw_only=True, forbid_unknown_fields=True, module=cls.__module__
        )
        if cls.__doc__:
            self.struct.__doc__ = cls.__doc__
        # The first to read by a Struct finds out how, and msgspec lets other threads see that half done, which ends
        # the process; so it is done here, before any other thread can know the Struct.
        msgspec.json.Decoder(self.struct)
        self.names = self.struct.__struct_fields__

    def build(self, struct: msgspec.Struct) -> Any:  # noqa: ANN401 - an instance of cls
        """Make the dataclass of its Struct, with texts cleaned."""
        values = {}
        for name in self.names:
            value = getattr(struct, name)
            if value is msgspec.UNSET:
                value = UNSET
            elif value is not None and name in self.builders:
                try:
                    value = self.builders[name](value)
                except Invalid as error:
                    raise _Within(name, error) from None
            values[name] = value
        return self.cls(**values)


class _Within(Invalid):
    """A value that a builder refused, with the path to it."""

    path: str

    def __init__(self, name: str, error: Invalid) -> None:
        super().__init__(error.code, error.message)
        self.path = f"{name}.{error.path}" if isinstance(error, _Within) else name


_shapes: dict[type[Any], Shape] = {}


def shape(cls: type[Any]) -> Shape:
    """Return the shape of a dataclass."""
    found = _shapes.get(cls)
    if found is None:
        found = _shapes[cls] = Shape(cls)
    return found


def printed(text: str) -> str:
    """Return what somebody sent so that it can stand in a message: in quotation marks, short, nothing hidden."""
    shown = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
    return f"“{shown}”" if shown.isprintable() else f"“{shown.encode('unicode_escape').decode()}”"


def text_of(longest: int, shortest: int = 0) -> Builder:
    """Return what cleans a text and measures it: in NFC, as it is recorded, not as it came."""

    def clean(text: str) -> str:
        if len(text) <= longest * LONGEST_DECOMPOSITION:
            text = clean_text(text)
        if len(text) > longest:
            raise Invalid("command.wrong_length", f"must have at most {longest} characters.")
        if len(text) < shortest:
            raise Invalid("command.wrong_length", _too_short(shortest))
        return text

    return clean


def _too_short(shortest: int) -> str:
    return "must not be empty." if shortest == 1 else f"must have at least {shortest} characters."


def check_reference(text: str) -> str:
    """Return the reference; raise Invalid where it holds a control character."""
    if not text.isprintable() and any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        raise Invalid("reference.control_character", "must not hold control characters.")
    return text


def reading(hint: Any) -> tuple[Any, Builder | None]:  # noqa: ANN401 - annotations are of any type
    """Return the annotation that msgspec reads for ours, and what is to be done with the value read."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _annotated(*get_args(hint))
    if origin in {typing.Union, types.UnionType}:
        return _union(get_args(hint))
    if origin is tuple:
        inner, builder = reading(get_args(hint)[0])
        return tuple.__class_getitem__((inner, ...)), _each(builder) if builder else None
    if origin in {dict, Mapping} or origin is getattr(typing, "Mapping", None):
        key, value = get_args(hint)
        inner, builder = reading(value)
        read_as = dict.__class_getitem__((key, inner))
        return read_as, (lambda items: {k: builder(v) for k, v in items.items()}) if builder else None
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        nested = shape(hint)
        return nested.struct, nested.build
    return hint, None


def _each(builder: Builder) -> Builder:
    def build(items: tuple[Any, ...]) -> tuple[Any, ...]:
        built = []
        for index, item in enumerate(items):
            try:
                built.append(builder(item))
            except Invalid as error:
                raise _Within(f"[{index}]", error) from None
        return tuple(built)

    return build


def _annotated(base: Any, *marks: object) -> tuple[Any, Builder | None]:  # noqa: ANN401
    hint, builder = reading(base)
    for mark in marks:
        match mark:
            case Reference(kind):
                meta = msgspec.Meta(
                    min_length=1, max_length=MAX_REFERENCE, description=f"A {kind}: its UUID or a reference."
                )
                return Annotated[str, meta], check_reference
            case TextRule(longest, shortest):
                lengths = {"minLength": shortest, "maxLength": longest}
                return Annotated[str, msgspec.Meta(extra_json_schema=lengths)], text_of(longest, shortest)
            case Between(least, most):
                hint = Annotated[hint, msgspec.Meta(ge=least, le=most)]
            case _:
                pass
    return hint, builder


def _union(members: tuple[Any, ...]) -> tuple[Any, Builder | None]:
    hints: list[Any] = []
    builders: list[Builder] = []
    for member in members:
        if member is Unset:
            hints.append(msgspec.UnsetType)
            continue
        hint, builder = reading(member)
        hints.append(hint)
        if builder:
            builders.append(builder)
    return functools.reduce(lambda a, b: a | b, hints), builders[0] if builders else None


_KINDS: Final = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "object": "an object",
    "array": "a list",
    "date": "a date (YYYY-MM-DD)",
    "datetime": "a time (RFC 3339)",
}


def _wrong_type(found: re.Match[str]) -> str:
    *most, last = [_KINDS.get(kind, kind) for kind in found["wanted"].split(" | ")]
    wanted = f"{', '.join(most)} or {last}" if most else last
    got = "a fraction" if found["got"] == "float" else _KINDS.get(found["got"], found["got"])
    return f"must be {wanted}, not {got}."


def _out_of_range(found: re.Match[str]) -> str:
    return f"must be at {'least' if found['sign'] == '>=' else 'most'} {float(found['bound']):,.10g}."


def _wrong_length(found: re.Match[str]) -> str:
    return f"must have at most {found['n']} characters." if found["sign"] == "<=" else _too_short(int(found["n"]))


_RULES: Final[tuple[tuple[re.Pattern[str], str, Callable[[re.Match[str]], str]], ...]] = tuple(
    (re.compile(pattern, re.DOTALL), code, say)
    for pattern, code, say in (
        (
            "contains unknown field `(?P<field>.*?)`?$",
            "command.unknown_field",
            lambda found: f"has no field {printed(found['field'])}.",
        ),
        (
            "missing required field `(?P<field>.*?)`?$",
            "command.missing_field",
            lambda found: f"needs the field {printed(found['field'])}.",
        ),
        ("of length (?P<sign><=|>=) (?P<n>[0-9]+)", "command.wrong_length", _wrong_length),
        (
            "Invalid enum value '?(?P<value>.*?)'?$",
            "command.invalid_value",
            lambda found: f"cannot be {printed(found['value'])}; `groundswell commands` lists what it can be.",
        ),
        ("encoded datetime", "command.invalid_date", lambda _: "is not a time such as 2016-12-13T18:00:00+01:00."),
        ("encoded date", "command.invalid_date", lambda _: "is not a date of the calendar (YYYY-MM-DD)."),
        (
            "with a timezone component",
            "command.time_without_offset",
            lambda _: "needs its offset from UTC, as in 2016-12-13T18:00:00Z or 2016-12-13T18:00:00+01:00.",
        ),
        ("Expected `(int|float)` (?P<sign><=|>=) (?P<bound>[-+.e0-9]+)", "command.out_of_range", _out_of_range),
        ("out of range", "command.out_of_range", lambda _: "holds a number that is too large."),
        ("Expected `(?P<wanted>.*)`, got `(?P<got>.*)`", "command.wrong_type", _wrong_type),
    )
)


_PATH: Final = re.compile(r" - at `\$(?P<path>[\w.\[\]]*)`$")


def refusal(error: msgspec.ValidationError, where: str) -> Invalid:
    """Say what is wrong with a value, where it stands (``data.place.latitude``), and with which code."""
    said, path = str(error), ""
    if found := _PATH.search(said):
        said, path = said[: found.start()], found["path"].replace("[...]", "")
    path = (where + path).removeprefix(".") or "The command"
    for pattern, code, say in _RULES:
        if found := pattern.search(said):
            return Invalid(code, f"{path} {say(found)}")
    return Invalid("command.invalid_value", f"{path} cannot be read: {said}.")


def placed(error: Invalid, where: str) -> Invalid:
    """Say where a value stands that was refused for what it holds."""
    path = f"{where}.{error.path}".replace(".[", "[") if isinstance(error, _Within) else where
    return Invalid(error.code, f"{path}{' ' if error.message[0].islower() else ': '}{error.message}")


def read_command(cls: type[Command], data: object) -> Command:
    """Read the data of a command; raise Invalid, saying which field is wrong."""
    try:
        struct = msgspec.convert(data, shape(cls).struct)
        command: Command = shape(cls).build(struct)
    except msgspec.ValidationError as error:
        raise refusal(error, "data") from None
    except Invalid as error:
        raise placed(error, "data") from None
    return command


def fields_given(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    """Return the fields of a dataclass that differ from their defaults."""
    fields = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
    return {field.name: found for field, found in fields if found is not field.default and found != field.default}


def plain(value: object) -> object:
    """Encode what msgspec does not know by itself (used as ``enc_hook``)."""
    if isinstance(value, StrEnum):
        return str(value)
    raise NotImplementedError(type(value))


def schema(cls: type[Any]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a command's data."""
    return flat_schema(shape(cls).struct)


def flat_schema(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a Struct, itself at the top and what it refers to under ``$defs``."""
    found: dict[str, Any] = msgspec.json.schema(struct)
    definitions = found.pop("$defs", {})
    main: dict[str, Any] = definitions.pop(found.pop("$ref").removeprefix("#/$defs/"))
    return main | ({"$defs": definitions} if definitions else {})
