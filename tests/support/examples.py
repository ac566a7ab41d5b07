"""One example of every event, made from its type hints, and the events of all slices."""

import dataclasses
import importlib
import pkgutil
import types
import typing
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from enum import Enum
from typing import Annotated, Any, Final, get_args, get_origin
from uuid import UUID

from eventsourcing.domain import CanInitAggregate
from eventsourcing.utils import get_topic

import domain
from domain.kernel import UNSET, Aggregate, Erased, Event, Sealed, Unset, fields_of
from domain.slices import Slice

STREAM: Final = uuid.uuid5(uuid.NAMESPACE_URL, "groundswell:example")
AT: Final = datetime(2026, 1, 5, 12, 30, 15, 123456, UTC)


def slices() -> tuple[Slice, ...]:
    """Every slice there is in the domain."""
    modules = (importlib.import_module(f"domain.{found.name}") for found in pkgutil.iter_modules(domain.__path__))
    return tuple(module.SLICE for module in modules if hasattr(module, "SLICE"))


def aggregates() -> tuple[type[Aggregate], ...]:
    """Every aggregate of every slice."""
    return tuple(dict.fromkeys(aggregate for one in slices() for aggregate in one.aggregates))


def topics() -> Iterator[tuple[str, type[Aggregate], type[Event]]]:
    """Every topic with its aggregate and event class."""
    for aggregate in aggregates():
        for topic, cls in aggregate.events.items():
            yield topic, aggregate, cls


def build(aggregate: type[Aggregate], cls: type[Event], fields: dict[str, Any], version: int = 1) -> Event:
    """Make an event as the library would, but with these fields."""
    event: Event = object.__new__(cls)
    defaults = {f.name: f.default for f in dataclasses.fields(cls) if f.name in fields_of(cls)}
    vars(event).update(originator_id=STREAM, originator_version=version, **defaults | fields)
    if issubclass(cls, CanInitAggregate):
        vars(event)["originator_topic"] = get_topic(aggregate)
    return event


def example(aggregate: type[Aggregate], cls: type[Event]) -> Event:
    """Make an event whose every field has a value that is not its default."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return build(aggregate, cls, {name: value(hints[name], name) for name in fields_of(cls)})


def value(hint: Any, name: str) -> Any:  # noqa: ANN401, PLR0911 - of any type
    """Return a value of that type, always the same."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return value(inner[0], name)
    if origin in {typing.Union, types.UnionType}:
        return value(next(m for m in inner if m not in {Sealed, Erased, Unset, types.NoneType}), name)
    if origin is tuple:
        return (value(inner[0], name),)
    if origin is dict or (isinstance(origin, type) and issubclass(origin, typing.Mapping)):
        return {"pledges.Made": value(inner[1], name)}
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint, include_extras=True)
        return typing.cast("Any", hint)(**{f.name: value(hints[f.name], f.name) for f in dataclasses.fields(hint)})
    if isinstance(hint, type) and issubclass(hint, Enum):
        return list(hint)[-1]
    made: dict[type, Any] = {
        str: f"{name} „Ä“ 🙂",
        UUID: uuid.uuid5(STREAM, name),
        bool: True,
        int: 7,
        float: 2.5,
        date: date(2026, 2, 28),
        datetime: AT,
    }
    return made[hint]


__all__ = ["AT", "STREAM", "UNSET", "aggregates", "build", "example", "slices", "topics", "value"]
