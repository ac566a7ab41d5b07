"""Typed JSON: strict decoders made from the annotations of commands and events, and errors people can act on."""

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Any, get_args, get_origin

import msgspec

from domain.kernel import (
    MAX_REFERENCE,
    UNSET,
    Between,
    Command,
    Invalid,
    Reference,
    TextRule,
    Unset,
    clean_text,
)

Builder = Callable[[Any], Any]


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
        self.names = self.struct.__struct_fields__

    def build(self, struct: msgspec.Struct) -> Any:  # noqa: ANN401 - an instance of cls
        """Make the dataclass of its Struct, with texts cleaned."""
        values = {}
        for name in self.names:
            value = getattr(struct, name)
            if value is msgspec.UNSET:
                value = UNSET
            elif value is not None and name in self.builders:
                value = self.builders[name](value)
            values[name] = value
        return self.cls(**values)


@functools.cache
def shape(cls: type[Any]) -> Shape:
    """Return the shape of a dataclass."""
    return Shape(cls)


def check_reference(text: str) -> str:
    """Return the reference; raise Invalid where it holds a control character."""
    if not text.isprintable() and any(
        ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in text
    ):
        raise Invalid("reference.control_character", "A reference must not hold control characters.")
    return text


def reading(hint: Any) -> tuple[Any, Builder | None]:  # noqa: ANN401, PLR0911 - annotations are of any type
    """Return the annotation that msgspec reads for ours, and what is to be done with the value read."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _annotated(*get_args(hint))
    if origin in {typing.Union, types.UnionType}:
        return _union(get_args(hint))
    if origin is tuple:
        inner, builder = reading(get_args(hint)[0])
        return tuple[inner, ...], (lambda items: tuple(map(builder, items))) if builder else None
    if origin in {dict, Mapping} or origin is getattr(typing, "Mapping", None):
        key, value = get_args(hint)
        inner, builder = reading(value)
        if builder:
            return dict[key, inner], lambda items: {k: builder(v) for k, v in items.items()}
        return dict[key, inner], None
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        nested = shape(hint)
        return nested.struct, nested.build
    return hint, None


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
                return Annotated[str, msgspec.Meta(min_length=shortest, max_length=longest)], clean_text
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


_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"contains unknown field `(?P<field>.*?)`"), "command.unknown_field"),
    (re.compile(r"missing required field `(?P<field>.*?)`"), "command.missing_field"),
    (re.compile(r"of length"), "command.wrong_length"),
    (re.compile(r"Invalid enum value"), "command.invalid_value"),
    (re.compile(r"encoded date|encoded datetime"), "command.invalid_date"),
    (re.compile(r"with a timezone component"), "command.time_without_offset"),
    (re.compile(r"Expected `(int|float)` (<=|>=)"), "command.out_of_range"),
    (re.compile(r"Expected"), "command.wrong_type"),
)


def refusal(error: msgspec.ValidationError, where: str) -> Invalid:
    """Say what is wrong with a value, where it stands, and with which code."""
    said, _, path = str(error).partition(" - at `")
    path = where + path.rstrip("`").removeprefix("$")
    for pattern, code in _RULES:
        if found := pattern.search(said):
            field = found.groupdict().get("field")
            if field is not None:
                said = f"{'unknown' if code.endswith('unknown_field') else 'missing'} field “{field}”"
            return Invalid(code, f"{path}: {said}.")
    return Invalid("command.invalid_value", f"{path}: {said}.")


def read_command(cls: type[Command], data: object) -> Command:
    """Read the data of a command; raise Invalid, saying which field is wrong."""
    try:
        struct = msgspec.convert(data, shape(cls).struct)
    except msgspec.ValidationError as error:
        raise refusal(error, "data") from None
    command: Command = shape(cls).build(struct)
    return command


def plain(value: object) -> object:
    """Encode what msgspec does not know by itself (used as ``enc_hook``)."""
    if isinstance(value, StrEnum):
        return str(value)
    raise NotImplementedError(type(value))


def schema(cls: type[Any]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a command's data."""
    found: dict[str, Any] = msgspec.json.schema(shape(cls).struct)
    definitions = found.get("$defs", {})
    if "$ref" in found and len(definitions) >= 1:
        main = definitions.pop(found.pop("$ref").removeprefix("#/$defs/"))
        found.update(main)
    if not definitions:
        found.pop("$defs", None)
    return found
