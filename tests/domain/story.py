"""Given, when, then: a stage in memory, and what every command must respect whatever it decides."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self, TypeVar
from uuid import UUID

from domain.chapters import Found, Move
from domain.kernel import Actor, Aggregate, Context, Event, Refusal, Unknown, fields_of
from domain.partnerships import End
from domain.slices import Command, Fact

NOON = datetime(2024, 5, 15, 12, tzinfo=UTC)
READS_ON = (Found, Move, End)
"""Commands that learn only while deciding what else they must read: the chapters above, the code to be freed."""

A = TypeVar("A", bound=Aggregate)


@dataclass(frozen=True)
class Step:
    """A command at its time and with its reason."""

    command: Command
    at: datetime = NOON
    reason: str | None = "It had to be."


@dataclass(frozen=True)
class Happened:
    """An event as a test expects it: its topic, and those of its fields that are not at their defaults."""

    topic: str
    fields: Mapping[str, object]


def happened(event: type[Event], **fields: object) -> Happened:
    """Expect an event with these fields, and all others at their defaults."""
    return Happened(event.TOPIC, fields)


def seen(event: Event) -> Happened:
    """Return what a test may expect of the event."""
    defaults = {each.name: each.default for each in dataclasses.fields(event)}
    values = {name: getattr(event, name) for name in fields_of(type(event))}
    return Happened(event.TOPIC, {name: value for name, value in values.items() if value != defaults[name]})


class MemoryStage:
    """The aggregates, and which of them the running command asked for."""

    def __init__(self) -> None:
        self.aggregates: dict[UUID, Aggregate] = {}
        self.asked_for: set[UUID] = set()

    def find(self, kind: type[A], key: UUID) -> A | None:
        self.asked_for.add(key)
        aggregate = self.aggregates.get(key)
        assert aggregate is None or isinstance(aggregate, kind)
        return aggregate

    def get(self, kind: type[A], key: UUID, reference: str = "") -> A:
        aggregate = self.find(kind, key)
        if aggregate is None:
            raise Unknown(f"{kind.noun}.unknown", f"There is no {kind.noun} “{reference or key}”.")
        return aggregate

    def add(self, aggregate: Aggregate) -> None:
        self.aggregates[aggregate.id] = aggregate


def replayed(events: Sequence[Event]) -> Aggregate | None:
    """Return the aggregate that the events make."""
    aggregate: Aggregate | None = None
    for event in events:
        aggregate = event.mutate(aggregate)
    return aggregate


@dataclass
class Story:
    """What happened so far."""

    stage: MemoryStage = field(default_factory=MemoryStage)
    facts: list[Fact] = field(default_factory=list)

    def run(self, step: Step) -> list[Fact]:
        """Execute one command; a refused one must leave nothing behind."""
        command, before = step.command, set(self.stage.aggregates)
        self.stage.asked_for.clear()
        context = Context(
            actor=Actor("staff", "test"), at=step.at, command_id="c", correlation_id="c", reason=step.reason
        )
        try:
            command.decide(context, self.stage)
        except Refusal:
            assert set(self.stage.aggregates) == before, "a refused command left an aggregate behind"
            assert not any(each.pending_events for each in self.stage.aggregates.values()), "a refused command recorded"
            raise
        assert self.stage.asked_for <= set(command.streams()) or isinstance(command, READS_ON), "streams() is short"
        return self._collect(context, command)

    def _collect(self, context: Context, command: Command) -> list[Fact]:
        recorded = []
        for aggregate in self.stage.aggregates.values():
            events = aggregate.collect(context)
            if events:
                assert type(aggregate) in sys.modules[type(command).__module__].SLICE.aggregates, (
                    "a command changed another slice"
                )
            for event in events:
                fact = Fact(
                    position=len(self.facts) + 1,
                    event=event,
                    occurred_at=context.at,
                    recorded_at=context.at,
                    actor=context.actor,
                    command_id=context.command_id,
                    correlation_id=context.correlation_id,
                    causation_id=context.causation_id,
                    reason=context.reason,
                )
                self.facts.append(fact)
                recorded.append(fact)
        for fact in recorded:
            stream = [each.event for each in self.facts if each.stream == fact.stream]
            assert replayed(stream) == self.stage.aggregates[fact.stream], "replay gives another aggregate"
        return recorded

    def and_given(self, *steps: Command | Step) -> Self:
        """Go on with commands that are accepted."""
        for step in steps:
            self.run(step if isinstance(step, Step) else Step(step))
        return self

    def when(self, command: Command, *, at: datetime = NOON, reason: str | None = None) -> "Outcome":
        """Execute the command that the test is about."""
        try:
            return Outcome(self, [fact.event for fact in self.run(Step(command, at, reason))], None)
        except Refusal as refusal:
            return Outcome(self, [], refusal)


@dataclass(frozen=True)
class Outcome:
    """What came of the command."""

    story: Story
    events: Sequence[Event]
    refusal: Refusal | None

    def then(self, *expected: Happened) -> Story:
        """Expect exactly these events."""
        assert self.refusal is None, f"{self.refusal.code}: {self.refusal}"
        assert [seen(event) for event in self.events] == list(expected)
        return self.story

    def refused(self, code: str) -> Story:
        """Expect a refusal of that code, told in a sentence."""
        assert self.refusal is not None, f"accepted: {self.events}"
        assert self.refusal.code == code
        assert str(self.refusal).endswith(".")
        return self.story


def given(*steps: Command | Step) -> Story:
    """Begin a story with commands that are accepted."""
    return Story().and_given(*steps)
