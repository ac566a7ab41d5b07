"""Recognitions: nominated → endorsed → awarded | declined; an award can be revoked."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from domain.chapters import Chapter
from domain.kernel import (
    Aggregate,
    Conflict,
    Context,
    RecognitionRef,
    Reference,
    Stage,
    SupporterRef,
    Text,
    Title,
    identify,
    readable,
)
from domain.partnerships import Partnership
from domain.slices import Command, Slice
from domain.supporters import Supporter


class RecipientKind(StrEnum):
    """Who can be recognised."""

    SUPPORTER = "supporter"
    CHAPTER = "chapter"
    PARTNERSHIP = "partnership"


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """Who is recognised; ``id`` is a reference of that kind."""

    kind: RecipientKind
    id: Annotated[str, Reference("recipient")]

    @property
    def key(self) -> UUID:
        """The recipient's id."""
        return identify(self.kind, self.id)


class RecognitionState(StrEnum):
    """Where a recognition stands."""

    NOMINATED = "nominated"
    ENDORSED = "endorsed"
    AWARDED = "awarded"
    DECLINED = "declined"
    REVOKED = "revoked"


class Recognition(Aggregate, prefix="recognitions"):
    """One award to one recipient, from its nomination on."""

    state: RecognitionState = RecognitionState.NOMINATED
    title: str = ""
    recipient_kind: RecipientKind | None = None
    recipient: UUID | None = None
    supporter: UUID | None = None
    nominator: UUID | None = None
    endorsers: set[UUID] = field(default_factory=set)

    class Event(Aggregate.Event):
        """Something that happened to a recognition; ``supporter`` is the recipient if that is a supporter."""

        title: str
        recipient_kind: RecipientKind
        recipient: UUID
        supporter: UUID | None

    class Nominated(Event, Aggregate.Created):
        reference: str | None = None
        nominator: UUID | None = None
        citation: str | None = None

        def apply(self, aggregate: "Recognition") -> None:
            aggregate.title, aggregate.nominator = self.title, self.nominator
            aggregate.recipient_kind, aggregate.recipient = self.recipient_kind, self.recipient
            aggregate.supporter = self.supporter

    class Endorsed(Event):
        endorser: UUID

        def apply(self, aggregate: "Recognition") -> None:
            aggregate.state = RecognitionState.ENDORSED
            aggregate.endorsers.add(self.endorser)

    class Awarded(Event):
        def apply(self, aggregate: "Recognition") -> None:
            aggregate.state = RecognitionState.AWARDED

    class Declined(Event):
        def apply(self, aggregate: "Recognition") -> None:
            aggregate.state = RecognitionState.DECLINED

    class Revoked(Event):
        def apply(self, aggregate: "Recognition") -> None:
            aggregate.state = RecognitionState.REVOKED

    def tell(self, event: type[Event], **fields: object) -> None:
        """Record an event about this recognition."""
        self.record(
            event,
            title=self.title,
            recipient_kind=self.recipient_kind,
            recipient=self.recipient,
            supporter=self.supporter,
            **fields,
        )

    def need_open(self) -> None:
        """Raise Conflict where it is decided."""
        if self.state not in {RecognitionState.NOMINATED, RecognitionState.ENDORSED}:
            raise Conflict("recognition.not_nominated", f"This recognition is {self.state}, not nominated or endorsed.")

    def endorse(self, endorser: UUID) -> None:
        """Support a nomination that is neither by nor for the endorser."""
        self.need_open()
        if endorser in {self.nominator, self.supporter}:
            raise Conflict("recognition.own_nomination", "Nobody endorses a nomination made by or for themselves.")
        if endorser in self.endorsers:
            raise Conflict("recognition.already_endorsed", "This supporter already endorsed the nomination.")
        self.tell(self.Endorsed, endorser=endorser)

    def award(self) -> None:
        """Give the award."""
        self.need_open()
        self.tell(self.Awarded)

    def decline(self) -> None:
        """Decide against the award."""
        self.need_open()
        self.tell(self.Declined)

    def revoke(self) -> None:
        """Take the award back."""
        if self.state is not RecognitionState.AWARDED:
            raise Conflict("recognition.not_awarded", f"This recognition is {self.state}, not awarded.")
        self.tell(self.Revoked)


def need_recipient(stage: Stage, recipient: Recipient) -> None:
    """Raise Unknown where the recipient does not exist, Conflict where it is an erased supporter."""
    match recipient.kind:
        case RecipientKind.SUPPORTER:
            need_supporter(stage, recipient.id)
        case RecipientKind.CHAPTER:
            stage.get(Chapter, recipient.key, recipient.id)
        case RecipientKind.PARTNERSHIP:
            stage.get(Partnership, recipient.key, recipient.id)


def need_supporter(stage: Stage, reference: str) -> UUID:
    """Return the id of a present supporter; raise Unknown where there is none, Conflict where erased."""
    supporter = stage.get(Supporter, identify("supporter", reference), reference)
    supporter.need_present()
    return supporter.id


class RecognitionCommand(Command):
    """A command to one recognition."""

    recognition: RecognitionRef

    @property
    def key(self) -> UUID:
        """The recognition's id."""
        return identify("recognition", self.recognition)

    def streams(self) -> tuple[UUID, ...]:
        """The recognition."""
        return (self.key,)

    def load(self, stage: Stage) -> Recognition:
        """Return the recognition; raise Unknown where there is none."""
        return stage.get(Recognition, self.key, self.recognition)


class Nominate(RecognitionCommand, name="recognitions.nominate"):
    """Nominate a supporter, a chapter or a partnership for an award."""

    title: Title
    recipient: Recipient
    nominator: SupporterRef | None = None
    citation: Text | None = None

    def streams(self) -> tuple[UUID, ...]:
        """The recognition, its recipient, and the nominator where one is named."""
        named = (self.key, self.recipient.key)
        return (*named, identify("supporter", self.nominator)) if self.nominator else named

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when it exists, or the recipient or the nominator is unknown or erased."""
        if stage.find(Recognition, self.key):
            raise Conflict("recognition.exists", "There is already a recognition of that name.")
        need_recipient(stage, self.recipient)
        nominator = need_supporter(stage, self.nominator) if self.nominator else None
        recipient = self.recipient.key
        recognition = Recognition.open(
            self.key,
            title=self.title,
            recipient_kind=self.recipient.kind,
            recipient=recipient,
            supporter=recipient if self.recipient.kind is RecipientKind.SUPPORTER else None,
            reference=readable(self.recognition),
            nominator=nominator,
            citation=self.citation,
        )
        stage.add(recognition)


class Endorse(RecognitionCommand, name="recognitions.endorse"):
    """Support a nomination."""

    supporter: SupporterRef

    def streams(self) -> tuple[UUID, ...]:
        """The recognition and the endorser."""
        return (self.key, identify("supporter", self.supporter))

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when decided, twice by the same, for a nomination by or for the endorser, or by the erased."""
        recognition = self.load(stage)
        recognition.endorse(need_supporter(stage, self.supporter))


class Award(RecognitionCommand, name="recognitions.award"):
    """Give an award to the nominated."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when neither nominated nor endorsed."""
        self.load(stage).award()


class Decline(RecognitionCommand, name="recognitions.decline"):
    """Decide against an award."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when neither nominated nor endorsed."""
        self.load(stage).decline()


class Revoke(RecognitionCommand, name="recognitions.revoke"):
    """Take an award back."""

    def decide(self, context: Context, stage: Stage) -> None:
        """Refused without a reason, or when not awarded."""
        context.need_reason()
        self.load(stage).revoke()


SLICE = Slice("recognitions", (Recognition,), (Nominate, Endorse, Award, Decline, Revoke))
