import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

import msgspec
import pytest

from domain.kernel import (
    ERASED,
    PERSONAL,
    UNSET,
    Aggregate,
    Erased,
    Event,
    PersonalText,
    Sealed,
    Unset,
    fields_of,
)
from domain.supporters import Supporter
from history.mapper import Mapper, UnknownTopic, Unreadable
from tests.support.examples import STREAM, aggregates, build, example, topics

GOLDEN: Final = Path(__file__).parent / "golden"
MAPPER: Final = Mapper(aggregates())
TOPICS: Final = sorted(topics(), key=lambda found: found[0])
NAMES: Final = [topic for topic, _, _ in TOPICS]
KEY: Final = bytes(range(32))

each_topic = pytest.mark.parametrize(("topic", "aggregate", "cls"), TOPICS, ids=NAMES)


class _KeyOfAnybody(dict[UUID, bytes]):
    def __missing__(self, person: UUID) -> bytes:
        return KEY

    def get(self, _person: UUID, _default: object = None) -> bytes:
        return KEY


KEYS: Final[Mapping[UUID, bytes]] = _KeyOfAnybody()


def fields(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in fields_of(type(event))}


def personal(event: Event) -> set[str]:
    hints = typing.get_type_hints(type(event), include_extras=True)
    return {n for n in fields_of(type(event)) if PERSONAL in getattr(hints[n], "__metadata__", ())}


@each_topic
def test_an_event_with_every_field_comes_back_as_it_was(
    topic: str, aggregate: type[Aggregate], cls: type[Event]
) -> None:
    event = example(aggregate, cls)
    data = MAPPER.encode(event, "because", KEYS)
    found, reason = MAPPER.decode(topic, data, STREAM, 1, KEYS)
    assert type(found) is cls
    assert vars(found) == vars(event)
    assert reason == "because"
    assert found.person == event.person


@each_topic
def test_an_event_with_no_field_but_the_needed_comes_back_as_it_was(
    topic: str, aggregate: type[Aggregate], cls: type[Event]
) -> None:
    full = fields(example(aggregate, cls))
    bare = fields(build(aggregate, cls, {}))
    event = build(aggregate, cls, {name: full[name] for name in full if not default_is_known(bare[name])})
    found, reason = MAPPER.decode(topic, MAPPER.encode(event, None, KEYS), STREAM, 1, KEYS)
    assert vars(found) == vars(event)
    assert reason is None


def default_is_known(value: object) -> bool:
    return type(value).__name__ != "_MISSING_TYPE"


@each_topic
def test_null_is_told_from_not_given(topic: str, aggregate: type[Aggregate], cls: type[Event]) -> None:
    hints = typing.get_type_hints(cls)
    for name in fields_of(cls):
        if type(None) in typing.get_args(hints[name]):
            event = example(aggregate, cls)
            vars(event)[name] = None
            found, _ = MAPPER.decode(topic, MAPPER.encode(event, None, KEYS), STREAM, 1, KEYS)
            assert getattr(found, name) is None


@each_topic
def test_what_is_personal_is_sealed_and_opens_only_with_its_key(
    topic: str, aggregate: type[Aggregate], cls: type[Event]
) -> None:
    event = example(aggregate, cls)
    data = MAPPER.encode(event, None, KEYS)
    assert MAPPER.personal(event) == bool(personal(event))
    closed, _ = MAPPER.decode(topic, data, STREAM, 1)
    erased, _ = MAPPER.decode(topic, data, STREAM, 1, {})
    assert MAPPER.sealed(closed) == bool(personal(event))
    for name in personal(event):
        assert f"{name} „" not in json.dumps(json.loads(data), ensure_ascii=False)
        box = getattr(closed, name)
        assert isinstance(box, Sealed)
        assert (box.person, box.stream, box.version, box.field) == (event.person, STREAM, 1, name)
        assert getattr(erased, name) is ERASED


@each_topic
def test_every_topic_has_a_schema(topic: str, aggregate: type[Aggregate], cls: type[Event]) -> None:
    schema = MAPPER.schema(topic)
    assert schema["type"] == "object"
    assert set(fields_of(cls)) <= schema["properties"].keys()
    assert aggregate.events[topic] is cls


# --- golden files: every topic and version ever written ---


def plainly(event: Event) -> Any:  # noqa: ANN401
    """The event's fields as plain JSON, without those that have their default: a new field changes no old file."""
    bare = vars(build(Aggregate, type(event), {}))
    known = {name: value for name, value in fields(event).items() if value is not bare[name] and value != bare[name]}
    return msgspec.json.decode(msgspec.json.encode(known))


def missing(folder: Path, topic: str, newest: int) -> list[Path]:
    """The golden files that a topic should have and has not: one of each version from the first to the newest."""
    files = [folder / f"{topic}.v{version}.json" for version in range(1, newest + 1)]
    return [path for path in files if not path.exists()]


@each_topic
def test_a_topic_has_a_golden_file_of_every_version(topic: str, aggregate: type[Aggregate], cls: type[Event]) -> None:
    for path in missing(GOLDEN, topic, cls.class_version):
        if path.stem == f"{topic}.v{cls.class_version}":
            write_golden(path, example(aggregate, cls))
            pytest.fail(f"{path.name} was missing; it was made now: look at it and commit it")
        pytest.fail(f"{path.name} is missing: it was written once, and must still be read")


def test_a_topic_without_a_golden_file_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "mapper_test.Painted.v2.json").touch()
    lacking = [path.name for path in missing(tmp_path, "mapper_test.Painted", Room.Painted.class_version)]
    assert lacking == ["mapper_test.Painted.v1.json", "mapper_test.Painted.v3.json"]
    written = {path.stem.rpartition(".v")[0] for path in GOLDEN.glob("*.json")}
    assert written == set(NAMES)


def write_golden(path: Path, event: Event) -> None:
    data = json.loads(MAPPER.encode(event, "because", KEYS))
    golden = {"stream": str(STREAM), "version": 1, "data": data, "event": plainly(event), "reason": "because"}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(golden, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_what_was_ever_written_is_read_as_it_was_meant(path: Path) -> None:
    golden = json.loads(path.read_text(encoding="utf-8"))
    topic, _, _ = path.stem.rpartition(".v")
    data = json.dumps(golden["data"]).encode()
    event, reason = MAPPER.decode(topic, data, UUID(golden["stream"]), golden["version"], KEYS)
    assert plainly(event) == golden["event"]
    assert reason == golden["reason"]
    hints = typing.get_type_hints(type(event), include_extras=True)
    for name, value in fields(event).items():
        if name not in personal(event) and value is not UNSET:
            hint = hints[name]
            members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
            assert isinstance(value, tuple(typing.get_origin(member) or member for member in members))


# --- what does not fit ---


def decode(data: bytes, topic: str = "campaigns.Framed") -> Event:
    return MAPPER.decode(topic, data, STREAM, 1)[0]


def test_a_topic_of_a_newer_release_is_named() -> None:
    with pytest.raises(UnknownTopic, match=r"topic tomorrow\.Happened") as unknown:
        decode(b"{}", "tomorrow.Happened")
    assert unknown.value.code == "history.unknown_topic"
    with pytest.raises(UnknownTopic):
        MAPPER.schema("tomorrow.Happened")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\xff",
        b"[]",
        b"null",
        b"1",
        b"{}",
        b"{",
        b"[" * 100_000,
        b'{"locale":1,"title":"t"}',
        b'{"locale":"en","title":"\xff"}',
        b'{"locale":"en","title":"t","more":1}',
        b'{"locale":"en","title":"t","class_version":"x"}',
        b'{"locale":"en","title":"t","class_version":2}',
    ],
)
def test_data_that_does_not_fit_its_topic_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable, match=r"^An event of the topic campaigns\.Framed cannot be read") as unreadable:
        decode(data)
    assert unreadable.value.code == "history.unreadable"


@pytest.mark.parametrize("box", ["", "A", "AAAA", "no base64!", "é"])
def test_a_spoilt_box_is_unreadable_but_only_when_it_is_opened(box: str) -> None:
    data = json.dumps({"name": {"sealed": box}}).encode()
    assert isinstance(MAPPER.decode("supporters.Registered", data, STREAM, 1)[0].name, Sealed)  # type: ignore[attr-defined]
    with pytest.raises(Unreadable):
        MAPPER.decode("supporters.Registered", data, STREAM, 1, KEYS)


def test_a_box_from_another_place_does_not_open() -> None:
    event = build(Supporter, Supporter.Registered, {"name": "Anna"})
    data = MAPPER.encode(event, None, KEYS)
    for stream, version in ((uuid4(), 1), (STREAM, 2)):
        assert MAPPER.decode("supporters.Registered", data, stream, version, KEYS)[0].name is ERASED  # type: ignore[attr-defined]
    moved = data.replace(b'"name"', b'"email"')
    assert MAPPER.decode("supporters.Registered", moved, STREAM, 1, KEYS)[0].email is ERASED  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", [ERASED, Sealed(STREAM, STREAM, 1, "name", "AAAA"), 5])
def test_only_text_is_sealed(value: object) -> None:
    with pytest.raises(TypeError, match="name can only be sealed as the text of a person"):
        MAPPER.encode(build(Supporter, Supporter.Registered, {"name": value}), None, KEYS)


def test_an_empty_text_is_sealed_too() -> None:
    event = build(Supporter, Supporter.VisibilitySet, {"public": True, "display_name": ""})
    data = MAPPER.encode(event, None, KEYS)
    assert b"sealed" in data
    assert vars(MAPPER.decode("supporters.VisibilitySet", data, STREAM, 1, KEYS)[0]) == vars(event)


def test_the_findable_value_is_told_from_none_and_not_given() -> None:
    def of(**fields: object) -> tuple[bool, str | None]:
        return MAPPER.findable(build(Supporter, Supporter.Amended, fields))

    assert of(email="anna@example.org") == (True, "anna@example.org")
    assert of(email=None) == (True, None)
    assert of() == (False, None)


# --- versions ---


class Room(Aggregate, prefix="mapper_test", noun="room"):
    class Event(Aggregate.Event):
        @property
        def person(self) -> UUID:
            return self.originator_id

    class Painted(Event, Aggregate.Created):
        """Version 1 had one ``color``; version 2 had ``colors``; version 3 has ``colours`` and a sealed ``by``."""

        class_version = 3
        colours: tuple[str, ...]
        by: PersonalText = None
        on: Annotated[str | Unset, "any mark"] = UNSET

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            state["colors"] = [state.pop("color")]

        @staticmethod
        def upcast_v2_v3(state: dict[str, Any]) -> None:
            state["colours"] = state.pop("colors")


ROOMS: Final = Mapper([Room])


@pytest.mark.parametrize(
    "data",
    [
        b'{"color":"red"}',
        b'{"color":"red","class_version":1}',
        b'{"colors":["red"],"class_version":2}',
        b'{"colours":["red"],"class_version":3}',
    ],
)
def test_older_versions_are_brought_up_to_date(data: bytes) -> None:
    event, _ = ROOMS.decode("mapper_test.Painted", data, STREAM, 1)
    assert isinstance(event, Room.Painted)
    assert event.colours == ("red",)


def test_an_older_version_keeps_its_reason_and_what_is_sealed() -> None:
    now = ROOMS.encode(build(Room, Room.Painted, {"colours": ("red",), "by": "Anna"}), "why", KEYS)
    assert json.loads(now)["class_version"] == 3
    old = json.loads(now) | {"color": "red", "class_version": 1}
    del old["colours"]
    event, reason = ROOMS.decode("mapper_test.Painted", json.dumps(old).encode(), STREAM, 1, KEYS)
    assert (vars(event)["by"], vars(event)["colours"], reason) == ("Anna", ("red",), "why")


@pytest.mark.parametrize("data", [b'{"class_version":1}', b'{"color":1}', b'{"color":"red","class_version":0}'])
def test_an_older_version_that_does_not_fit_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        ROOMS.decode("mapper_test.Painted", data, STREAM, 1)


def test_an_event_cannot_have_a_field_called_reason() -> None:
    class Hall(Aggregate, prefix="mapper_test_hall"):
        class Painted(Aggregate.Created):
            reason: str

    with pytest.raises(TypeError, match="cannot be called reason"):
        Mapper([Hall])


def test_the_marks_of_a_personal_field_may_be_in_any_union() -> None:
    assert Erased in typing.get_args(typing.get_type_hints(Supporter.Amended)["name"])
    assert MAPPER.topics.keys() == set(NAMES)
