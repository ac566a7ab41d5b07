"""Policies: what the movement works on; tracked, advanced from stage to stage, concluded with an outcome."""

from dataclasses import field
from datetime import date
from enum import StrEnum
from uuid import UUID

from domain.kernel import Aggregate, Conflict, Context, OfficialRef, PolicyRef, Stage, Text, Title, identify, readable
from domain.officials import Official
from domain.slices import Command, Slice


class PolicyKind(StrEnum):
    """What sort of rule it is."""

    BILL = "bill"
    ORDINANCE = "ordinance"
    CURRICULUM = "curriculum"
    WORKPLACE = "workplace"
    CORPORATE = "corporate"
    OTHER = "other"


class Outcome(StrEnum):
    """How the work on a policy ended."""

    WON = "won"
    LOST = "lost"
    WITHDRAWN = "withdrawn"


class Stance(StrEnum):
    """Where an official stands on a policy."""

    SUPPORTS = "supports"
    LEANS_SUPPORT = "leans_support"
    UNDECIDED = "undecided"
    LEANS_OPPOSE = "leans_oppose"
    OPPOSES = "opposes"


class Policy(Aggregate, prefix="policies"):
    """A bill, ordinance, curriculum, workplace or corporate policy."""

    stage: str | None = None
    targets: set[UUID] = field(default_factory=set)
    positions: dict[UUID, tuple[Stance, str | None]] = field(default_factory=dict)
    outcome: Outcome | None = None
    concluded_on: date | None = None

    class Event(Aggregate.Event):
        """Something that happened to a policy."""

    class Tracked(Event, Aggregate.Created):
        """``ask`` is what the movement asks the officials to do."""

        title: str
        kind: PolicyKind
        reference: str | None = None
        jurisdiction: str | None = None
        stage: str | None = None
        url: str | None = None
        ask: str | None = None

        def apply(self, aggregate: "Policy") -> None:
            aggregate.stage = self.stage

    class Advanced(Event):
        stage: str
        on: date

        def apply(self, aggregate: "Policy") -> None:
            aggregate.stage = self.stage

    class TargetAdded(Event):
        official: UUID

        def apply(self, aggregate: "Policy") -> None:
            aggregate.targets.add(self.official)

    class TargetRemoved(Event):
        official: UUID

        def apply(self, aggregate: "Policy") -> None:
            aggregate.targets.discard(self.official)

    class PositionRecorded(Event):
        """Where an official stands, who need not be a target."""

        official: UUID
        stance: Stance
        evidence: str | None = None

        def apply(self, aggregate: "Policy") -> None:
            aggregate.positions[self.official] = (self.stance, self.evidence)

    class Concluded(Event):
        outcome: Outcome
        on: date

        def apply(self, aggregate: "Policy") -> None:
            aggregate.outcome, aggregate.concluded_on = self.outcome, self.on

    def need_open_on(self, on: date) -> None:
        """Raise Conflict where the policy was concluded before that day."""
        if self.concluded_on is not None and self.concluded_on < on:
            raise Conflict("policy.concluded", f"This policy was concluded on {self.concluded_on}.")

    def advance(self, stage: str, on: date) -> None:
        """Move on to another stage."""
        if self.outcome is not None:
            raise Conflict("policy.concluded", f"This policy is concluded: {self.outcome}.")
        if stage == self.stage:
            raise Conflict("policy.already_there", f"This policy is already at the stage “{stage}”.")
        self.record(self.Advanced, stage=stage, on=on)

    def add_target(self, official: UUID) -> None:
        """Name an official whose decision is sought."""
        if official in self.targets:
            raise Conflict("policy.already_target", "This official is already a target of the policy.")
        self.record(self.TargetAdded, official=official)

    def remove_target(self, official: UUID) -> None:
        """No longer seek an official's decision."""
        if official not in self.targets:
            raise Conflict("policy.not_a_target", "This official is not a target of the policy.")
        self.record(self.TargetRemoved, official=official)

    def record_position(self, official: UUID, stance: Stance, evidence: str | None) -> None:
        """Note where an official stands, and what shows it."""
        if self.positions.get(official) == (stance, evidence):
            raise Conflict("position.unchanged", "This position, with this evidence, is already recorded.")
        self.record(self.PositionRecorded, official=official, stance=stance, evidence=evidence)

    def conclude(self, outcome: Outcome, on: date) -> None:
        """End the work on the policy."""
        if self.outcome is not None:
            raise Conflict("policy.already_concluded", f"This policy is already concluded: {self.outcome}.")
        self.record(self.Concluded, outcome=outcome, on=on)


class PolicyCommand(Command):
    """A command to one policy."""

    policy: PolicyRef

    @property
    def key(self) -> UUID:
        """The policy's id."""
        return identify("policy", self.policy)

    def streams(self) -> tuple[UUID, ...]:
        """The policy."""
        return (self.key,)

    def load(self, stage: Stage) -> Policy:
        """Return the policy; raise Unknown where there is none."""
        return stage.get(Policy, self.key, self.policy)


class PolicyOfficialCommand(PolicyCommand):
    """A command to one policy about one official."""

    official: OfficialRef

    def streams(self) -> tuple[UUID, ...]:
        """The policy and the official."""
        return (self.key, identify("official", self.official))

    def load_official(self, stage: Stage) -> UUID:
        """Return the id of an existing official; raise Unknown where there is none."""
        return stage.get(Official, identify("official", self.official), self.official).id


class Track(PolicyCommand, name="policies.track"):
    """Begin to work on a policy."""

    title: Title
    kind: PolicyKind
    jurisdiction: Title | None = None
    stage: Title | None = None
    url: Text | None = None
    ask: Text | None = None

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when it exists."""
        if stage.find(Policy, self.key):
            raise Conflict("policy.exists", "This policy is already tracked.")
        policy = Policy.open(
            self.key,
            title=self.title,
            kind=self.kind,
            reference=readable(self.policy),
            jurisdiction=self.jurisdiction,
            stage=self.stage,
            url=self.url,
            ask=self.ask,
        )
        stage.add(policy)


class Advance(PolicyCommand, name="policies.advance"):
    """Note that a policy came to another stage."""

    stage: Title
    on: date

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when concluded, or already there."""
        self.load(stage).advance(self.stage, self.on)


class AddTarget(PolicyOfficialCommand, name="policies.add_target"):
    """Name an official whose decision is sought."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when already a target."""
        self.load(stage).add_target(self.load_official(stage))


class RemoveTarget(PolicyOfficialCommand, name="policies.remove_target"):
    """No longer seek an official's decision."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when not a target."""
        self.load(stage).remove_target(self.load_official(stage))


class RecordPosition(PolicyOfficialCommand, name="policies.record_position"):
    """Note where an official stands on a policy."""

    stance: Stance
    evidence: Text | None = None

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when stance and evidence are those already recorded."""
        self.load(stage).record_position(self.load_official(stage), self.stance, self.evidence)


class Conclude(PolicyCommand, name="policies.conclude"):
    """End the work on a policy."""

    outcome: Outcome
    on: date

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when concluded."""
        self.load(stage).conclude(self.outcome, self.on)


SLICE = Slice("policies", (Policy,), (Track, Advance, AddTarget, RemoveTarget, RecordPosition, Conclude))
