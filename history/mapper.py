"""Between events and their stored form: plain JSON, strictly typed on the way back, personal fields sealed."""

import dataclasses
import functools
import typing
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID, SafeUUID

import msgspec
from eventsourcing.domain import CanInitAggregate
from eventsourcing.utils import get_topic

from domain.kernel import FINDABLE, PERSONAL, UNSET, Actor, Aggregate, Event, GroundswellError, Sealed, fields_of
from domain.slices import Fact
from history.codec import flat_schema, plain
from history.persons import associated, open_box, seal
from history.tables import read_moment

Keys = Mapping[UUID, bytes]
Raw = Sequence[Any]
RAW: Final = (
    "position", "stream_id", "version", "topic", "data", "occurred_at", "recorded_at",
    "actor_kind", "actor_id", "command_id", "correlation_id", "causation_id",
)  # fmt: skip
"""The columns of the events table that make a fact, in the order of its raw rows."""


class UnknownTopic(GroundswellError):
    """An event of a topic that this release does not know; a newer one wrote it."""

    def __init__(self, topic: str) -> None:
        super().__init__("history.unknown_topic", f"This release does not know events of the topic {topic}.")


class Unreadable(GroundswellError):
    """An event whose stored data does not fit its topic."""

    def __init__(self, topic: str, why: object) -> None:
        super().__init__("history.unreadable", f"An event of the topic {topic} cannot be read: {why}.")


class SealedBox(msgspec.Struct, forbid_unknown_fields=True):
    """The stored form of a personal field."""

    sealed: str


_encoder: Final = msgspec.json.Encoder(enc_hook=plain)


class _Codec:
    """How events of one topic are written and read."""

    def __init__(self, cls: type[Event], aggregate: type[Aggregate]) -> None:
        self.cls = cls
        hints = typing.get_type_hints(cls, include_extras=True)
        declared = {field.name: field for field in dataclasses.fields(cls)}
        self.names = fields_of(cls)
        if "reason" in self.names:
            msg = f"{cls.TOPIC}: a field cannot be called reason, which every event may carry"
            raise TypeError(msg)
        self.personal = frozenset(name for name in self.names if PERSONAL in _marks(hints[name]))
        self.findable = next((name for name in self.names if FINDABLE in _marks(hints[name])), None)
        self.defaults = {name: declared[name].default for name in self.names}
        self.optional = tuple(name for name in self.names if self.defaults[name] is UNSET)
        fields: list[Any] = []
        for name in self.names:
            hint = SealedBox | msgspec.UnsetType | None if name in self.personal else _stored(hints[name])
            default = self.defaults[name]
            if default is UNSET:
                fields.append((name, hint, msgspec.UNSET))
            elif default is dataclasses.MISSING:
                fields.append((name, hint))
            else:
                fields.append((name, hint, default))
        fields += [("reason", str | None, None), ("class_version", int, 1)]
        struct = msgspec.defstruct(cls.__qualname__, fields, kw_only=True, forbid_unknown_fields=True)
        self.struct = struct
        self.decoder = msgspec.json.Decoder(struct)
        self.fixed: dict[str, Any] = {}
        if issubclass(cls, CanInitAggregate):
            self.fixed["originator_topic"] = get_topic(aggregate)

    def upcast(self, data: bytes) -> msgspec.Struct:
        """Read data of an older version of the event."""
        state = msgspec.json.decode(data)
        version = state.pop("class_version", 1)
        while version < self.cls.class_version:
            getattr(self.cls, f"upcast_v{version}_v{version + 1}")(state)
            version += 1
        struct: msgspec.Struct = msgspec.convert(state | {"class_version": version}, self.struct)
        return struct


def _marks(hint: object) -> tuple[object, ...]:
    return getattr(hint, "__metadata__", ())


def _stored(hint: Any) -> Any:  # noqa: ANN401 - annotations are of any type
    """Replace Unset by msgspec's own, in a union."""
    members = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Annotated:
        return typing.Annotated.__class_getitem__((_stored(members[0]), *members[1:]))
    if any(member.__name__ == "Unset" for member in members if isinstance(member, type)):
        kept = [msgspec.UnsetType if getattr(m, "__name__", "") == "Unset" else m for m in members]
        return typing.Union[tuple(kept)]  # noqa: UP007 - the members are only known at run time
    return hint


class Mapper:
    """Writes and reads the events of the given aggregates."""

    def __init__(self, aggregates: Iterable[type[Aggregate]]) -> None:
        self.aggregates: dict[str, type[Aggregate]] = {}
        self._codecs: dict[str, _Codec] = {}
        for aggregate in aggregates:
            for topic, cls in aggregate.events.items():
                self._codecs[topic] = _Codec(cls, aggregate)
                self.aggregates[topic] = aggregate

    @property
    def topics(self) -> dict[str, type[Event]]:
        """All topics with their event classes."""
        return {topic: codec.cls for topic, codec in self._codecs.items()}

    def schema(self, topic: str) -> dict[str, Any]:
        """Return the JSON Schema of a topic's stored data; raise UnknownTopic."""
        if topic not in self._codecs:
            raise UnknownTopic(topic)
        return flat_schema(self._codecs[topic].struct)

    def personal(self, event: Event) -> bool:
        """Tell whether the event carries personal data in the clear, so that a key is needed to write it."""
        state = vars(event)
        return any(isinstance(state[name], str) for name in self._codecs[event.TOPIC].personal)

    def sealed(self, event: Event) -> bool:
        """Tell whether the event carries personal data that is sealed."""
        state = vars(event)
        return any(isinstance(state[name], Sealed) for name in self._codecs[event.TOPIC].personal)

    def findable(self, event: Event) -> tuple[bool, str | None]:
        """Return (whether the event sets the value its person is found by, that value)."""
        name = self._codecs[event.TOPIC].findable
        value = getattr(event, name) if name else UNSET
        return value is not UNSET, value if isinstance(value, str) else None

    def encode(self, event: Event, reason: str | None, keys: Keys) -> bytes:
        """Return the stored JSON of the event; ``keys`` must hold its person's key where it has personal data."""
        codec = self._codecs[event.TOPIC]
        state = vars(event)
        data: dict[str, Any] = {}
        for name in codec.names:
            value = state[name]
            if value is UNSET or (value is None and codec.defaults[name] is None):
                continue
            data[name] = self._seal(event, name, value, keys) if name in codec.personal and value is not None else value
        if reason:
            data["reason"] = reason
        if codec.cls.class_version > 1:
            data["class_version"] = codec.cls.class_version
        return _encoder.encode(data)

    @staticmethod
    def _seal(event: Event, name: str, value: object, keys: Keys) -> SealedBox:
        if event.person is None or not isinstance(value, str):
            msg = f"{event.TOPIC}: {name} can only be sealed as the text of a person, not as {type(value).__name__}"
            raise TypeError(msg)
        bound_to = associated(event.originator_id, event.originator_version, name)
        return SealedBox(seal(keys[event.person], value, bound_to))

    def decode(
        self, topic: str, data: bytes, stream: UUID, version: int, keys: Keys | None = None
    ) -> tuple[Event, str | None]:
        """Return (the event, the reason given with it).

        Without ``keys`` personal fields come as Sealed; with them, opened, or as ERASED where the key is destroyed.
        Raises UnknownTopic, and Unreadable where the data does not fit the topic.
        """
        codec = self._codecs.get(topic)
        if codec is None:
            raise UnknownTopic(topic)
        state = msgspec.structs.asdict(self._read(codec, topic, data))
        reason = state.pop("reason")
        del state["class_version"]
        for name in codec.optional:
            if state[name] is msgspec.UNSET:
                state[name] = UNSET
        state["originator_id"], state["originator_version"] = stream, version
        state |= codec.fixed
        event = object.__new__(codec.cls)
        object.__setattr__(event, "__dict__", state)
        for name in codec.personal:
            value = state[name]
            if isinstance(value, SealedBox):
                person = event.person
                if person is None:
                    raise Unreadable(topic, f"{name} is sealed, and the event names no person")
                sealed = Sealed(person, stream, version, name, value.sealed)
                try:
                    state[name] = sealed if keys is None else open_box(sealed, keys)
                except ValueError as error:
                    raise Unreadable(topic, f"{name} is sealed in a way of its own") from error
        return event, reason

    @staticmethod
    def _read(codec: _Codec, topic: str, data: bytes) -> Any:  # noqa: ANN401 - a Struct of the codec's own
        try:
            struct: Any = codec.decoder.decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            struct = None  # of an older version, or spoilt
        try:
            if struct is None or struct.class_version < codec.cls.class_version:
                struct = codec.upcast(data)
        except (msgspec.MsgspecError, LookupError, AttributeError, TypeError, ValueError, RecursionError) as error:
            raise Unreadable(topic, error) from error
        if struct.class_version > codec.cls.class_version:
            raise Unreadable(topic, f"it is of version {struct.class_version}, which a newer release wrote")
        return struct

    def fact(self, row: Any, keys: Keys | None = None) -> Fact:  # noqa: ANN401 - a row of the events table
        """Return a row of the events table as a fact."""
        event, reason = self.decode(row.topic, row.data, row.stream_id, row.version, keys)
        vars(event)["timestamp"] = row.occurred_at
        return Fact(
            row.position,
            event,
            row.occurred_at,
            row.recorded_at,
            _actor(row.actor_kind, row.actor_id),
            row.command_id,
            row.correlation_id,
            row.causation_id,
            reason,
        )

    def raw_fact(self, row: Raw) -> Fact:
        """Return a row as the driver gives it (see ``RAW``) as a fact; a third of the work."""
        position, stream, version, topic, data, occurred, recorded, kind, name, command, whole, cause = row
        if isinstance(stream, str):  # SQLite
            stream = _uuid(stream)
        event, reason = self.decode(topic, data, stream, version)
        occurred_at = read_moment(occurred)
        vars(event)["timestamp"] = occurred_at
        recorded_at = occurred_at if recorded == occurred else datetime.fromisoformat(recorded)
        actor = _actor(kind, name)
        values = (position, event, occurred_at, recorded_at, actor, command, whole, cause, reason)
        return tuple.__new__(Fact, values)  # its own way to be made takes half as long again


_actor = functools.lru_cache(maxsize=1_024)(Actor)
"""Few act, and often."""


_UNKNOWN: Final = SafeUUID.unknown


def _uuid(hexadecimal: str) -> UUID:
    """Make an id of the digits that we wrote ourselves; to have them checked takes four times as long."""
    made = object.__new__(UUID)
    object.__setattr__(made, "int", int(hexadecimal, 16))
    object.__setattr__(made, "is_safe", _UNKNOWN)
    return made
