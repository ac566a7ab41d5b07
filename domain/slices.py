"""What a slice of the domain brings: commands, the facts they become, and the reactions to facts."""

from __future__ import annotations

import dataclasses
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, dataclass_transform

from domain.kernel import UNSET

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from domain.kernel import Actor, Aggregate, Context, Event, Stage


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Command:
    """A typed request to change one slice; subclasses are frozen dataclasses named by the ``name`` class argument."""

    NAME: ClassVar[str] = ""

    def __init_subclass__(cls, *, name: str = "") -> None:
        super().__init_subclass__()
        cls.NAME = name
        dataclasses.dataclass(frozen=True, kw_only=True)(cls)

    def streams(self) -> tuple[UUID, ...]:
        """Name the aggregates that the decision will read, so that they can be fetched together."""
        raise NotImplementedError

    def decide(self, context: Context, stage: Stage) -> Mapping[str, str] | None:
        """Change the aggregates on stage, or raise a Refusal; return what the caller should know, if anything."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Follow:
    """A command that a reaction asks for; ``key`` makes its id unique among those of the same causing event."""

    command: Command
    key: str
    reason: str | None = None


def event_id(stream: UUID, version: int) -> UUID:
    """Return the id of an event: UUIDv5 of its version in the namespace of its stream."""
    return uuid.uuid5(stream, str(version))


class Fact(NamedTuple):
    """An event with its place in the one history: what reactions and projections are given."""

    position: int
    event: Event
    occurred_at: datetime
    recorded_at: datetime
    actor: Actor
    command_id: str | None
    correlation_id: str | None
    causation_id: str | None
    reason: str | None

    @property
    def event_id(self) -> UUID:
        """The id it is known by elsewhere."""
        return event_id(self.stream, self.version)

    @property
    def topic(self) -> str:
        """The event's stable name."""
        return self.event.TOPIC

    @property
    def stream(self) -> UUID:
        """The id of the aggregate it belongs to."""
        return self.event.originator_id

    @property
    def version(self) -> int:
        """Its place in that aggregate's own history, from 1."""
        return self.event.originator_version


class Reaction(Protocol):
    """A process manager: a pure fold of facts, per key, into a state and the commands that follow from it.

    The engine calls, for each fact of the topics in order: ``share`` once, ``keys`` once, ``react`` for each key. It
    keeps ``shared`` (of the whole reaction) and each key's ``state`` as plain JSON, both ``{}`` at first, and saves
    them after the commands that followed were run; so after a crash a fact may come again with the states of before.
    """

    name: str
    topics: frozenset[str]

    def share(self, fact: Fact, shared: dict[str, Any]) -> None:
        """Take into ``shared`` what the fact means for all keys."""

    def keys(self, fact: Fact, known: Callable[[], Sequence[str]]) -> Sequence[str]:
        """Name the states the fact touches; ``known`` lists all keys that have a state."""

    def react(self, fact: Fact, key: str, state: dict[str, Any], shared: Mapping[str, Any]) -> Sequence[Follow]:
        """Change the ``state`` of this key and return what must follow."""


@dataclass(frozen=True)
class Slice:
    """What a feature brings: the composition root lists the slices, nothing else needs to know them."""

    name: str
    aggregates: tuple[type[Aggregate], ...]
    commands: tuple[type[Command], ...]
    reactions: tuple[Reaction, ...] = ()


def changes(aggregate: Aggregate, command: Command, *names: str) -> dict[str, Any]:
    """Return those of the command's named fields that were given and differ from the aggregate's."""
    wanted = {name: getattr(command, name) for name in names}
    return {name: value for name, value in wanted.items() if value is not UNSET and getattr(aggregate, name) != value}
