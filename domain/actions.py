"""Actions: what an advocate did for a policy; logged → verified | rejected, or retracted."""

from datetime import date
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from domain.kernel import (
    ActionRef,
    Aggregate,
    Between,
    Conflict,
    Context,
    Invalid,
    OfficialRef,
    PersonalText,
    PolicyRef,
    Stage,
    SupporterRef,
    Text,
    identify,
    readable,
)
from domain.officials import Official
from domain.policies import Policy
from domain.slices import Command, Slice
from domain.supporters import Supporter

Minutes = Annotated[int, Between(1, 10_000)]


class ActionKind(StrEnum):
    """What was done."""

    LETTER = "letter"
    CALL = "call"
    MEETING = "meeting"
    TESTIMONY = "testimony"
    COMMENT = "comment"
    OP_ED = "op_ed"
    SOCIAL_POST = "social_post"
    PETITION_DELIVERY = "petition_delivery"
    OTHER = "other"


class ActionState(StrEnum):
    """What became of the claim that something was done."""

    LOGGED = "logged"
    VERIFIED = "verified"
    REJECTED = "rejected"
    RETRACTED = "retracted"


class Action(Aggregate, prefix="actions"):
    """One thing that one supporter did for one policy."""

    policy: UUID | None = None
    supporter: UUID | None = None
    kind: ActionKind | None = None
    state: ActionState = ActionState.LOGGED

    class Event(Aggregate.Event):
        """Something that happened to an action; it says what was done, by whom and for what."""

        policy: UUID
        supporter: UUID
        kind: ActionKind

    class Logged(Event, Aggregate.Created):
        """``on`` is the supporter's own calendar day."""

        on: date
        reference: str | None = None
        official: UUID | None = None
        minutes: int | None = None
        note: PersonalText = None
        evidence_url: str | None = None

        def apply(self, aggregate: "Action") -> None:
            aggregate.policy, aggregate.supporter, aggregate.kind = self.policy, self.supporter, self.kind

    class Verified(Event):
        def apply(self, aggregate: "Action") -> None:
            aggregate.state = ActionState.VERIFIED

    class Rejected(Event):
        """Found not to be so; fraud is found late, so a verified action may still be rejected."""

        def apply(self, aggregate: "Action") -> None:
            aggregate.state = ActionState.REJECTED

    class Retracted(Event):
        def apply(self, aggregate: "Action") -> None:
            aggregate.state = ActionState.RETRACTED

    class ResponseRecorded(Event):
        """What came back."""

        summary: str
        on: date

    def tell(self, event: type[Event], **fields: object) -> None:
        """Record an event about this action."""
        self.record(event, policy=self.policy, supporter=self.supporter, kind=self.kind, **fields)

    def need(self, *states: ActionState) -> None:
        """Raise Conflict where the action is in none of the states."""
        if self.state not in states:
            raise Conflict(f"action.{self.state}", f"This action is {self.state}, not {' or '.join(states)}.")

    def need_not_yet(self, state: ActionState) -> None:
        """Raise Conflict where the action is already in the state."""
        if self.state is state:
            raise Conflict(f"action.already_{state}", f"This action is already {state}.")

    def verify(self) -> None:
        """Confirm that it was done; this also undoes a rejection."""
        self.need_not_yet(ActionState.VERIFIED)
        self.need(ActionState.LOGGED, ActionState.REJECTED)
        self.tell(self.Verified)

    def reject(self) -> None:
        """Find that it was not done, even after it was verified."""
        self.need_not_yet(ActionState.REJECTED)
        self.need(ActionState.LOGGED, ActionState.VERIFIED)
        self.tell(self.Rejected)

    def retract(self) -> None:
        """Take the claim back."""
        self.need_not_yet(ActionState.RETRACTED)
        self.need(ActionState.LOGGED, ActionState.VERIFIED)
        self.tell(self.Retracted)

    def record_response(self, summary: str, on: date) -> None:
        """Note what came back."""
        self.need(ActionState.LOGGED, ActionState.VERIFIED)
        self.tell(self.ResponseRecorded, summary=summary, on=on)


class ActionCommand(Command):
    """A command to one action."""

    action: ActionRef

    @property
    def key(self) -> UUID:
        """The action's id."""
        return identify("action", self.action)

    def streams(self) -> tuple[UUID, ...]:
        """The action."""
        return (self.key,)

    def load(self, stage: Stage) -> Action:
        """Return the action; raise Unknown where there is none."""
        return stage.get(Action, self.key, self.action)


class Log(ActionCommand, name="actions.log"):
    """Log what an advocate did for a policy."""

    policy: PolicyRef
    supporter: SupporterRef
    kind: ActionKind
    official: OfficialRef | None = None
    on: date
    minutes: Minutes | None = None
    note: Text | None = None
    evidence_url: Text | None = None

    def streams(self) -> tuple[UUID, ...]:
        """The action, its policy, its supporter, and the official where one is named."""
        named = (self.key, identify("policy", self.policy), identify("supporter", self.supporter))
        return (*named, identify("official", self.official)) if self.official else named

    def decide(self, context: Context, stage: Stage) -> None:
        """Refused when it exists, the policy was concluded before that day, or the day is in the supporter's future."""
        if stage.find(Action, self.key):
            raise Conflict("action.exists", "This action is already logged.")
        policy = stage.get(Policy, identify("policy", self.policy), self.policy)
        supporter = stage.get(Supporter, identify("supporter", self.supporter), self.supporter)
        supporter.need_present()
        official = stage.get(Official, identify("official", self.official), self.official) if self.official else None
        policy.need_open_on(self.on)
        today = supporter.local_day(context.at)
        if self.on > today:
            raise Invalid("action.in_future", f"{self.on} is still to come where the supporter lives ({today}).")
        action = Action.open(
            self.key,
            policy=policy.id,
            supporter=supporter.id,
            kind=self.kind,
            on=self.on,
            reference=readable(self.action),
            official=official.id if official else None,
            minutes=self.minutes,
            note=self.note,
            evidence_url=self.evidence_url,
        )
        stage.add(action)


class Verify(ActionCommand, name="actions.verify"):
    """Confirm that an action was done; this also undoes a rejection."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when verified or retracted."""
        self.load(stage).verify()


class Reject(ActionCommand, name="actions.reject"):
    """Find that an action was not done."""

    def decide(self, context: Context, stage: Stage) -> None:
        """Refused without a reason, when rejected or retracted."""
        context.need_reason()
        self.load(stage).reject()


class Retract(ActionCommand, name="actions.retract"):
    """Take back the claim that something was done."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when retracted or rejected."""
        self.load(stage).retract()


class RecordResponse(ActionCommand, name="actions.record_response"):
    """Record what came back."""

    summary: Text
    on: date

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when retracted or rejected."""
        self.load(stage).record_response(self.summary, self.on)


SLICE = Slice("actions", (Action,), (Log, Verify, Reject, Retract, RecordResponse))
