"""Mails: what became of each that was to be sent, and the switch that halts them all.

Nothing here is personal: a mail is known by an id that is not the outbox's, a person by the supporter's id.
"""

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

from eventsourcing.utils import get_topic

from domain.kernel import (
    Aggregate,
    Between,
    Conflict,
    Context,
    Invalid,
    Reference,
    Stage,
    SupporterRef,
    identify,
)
from domain.slices import Command, Slice

MailRef = Annotated[str, Reference("mail")]
Word = Annotated[str, Reference("word")]
Position = Annotated[int, Between(0, 2**53)]
Attempt = Annotated[int, Between(0, 1_000)]

SWITCH: Final = identify("mail_switch", "all")
"""The id of the one switch."""

_WORD: Final = re.compile(r"[A-Za-z0-9_.:-]{1,60}")


class Outcome(StrEnum):
    """What became of an attempt to send a mail, or of the mail thereafter."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    SUPPRESSED = "suppressed"
    BOUNCED = "bounced"
    COMPLAINED = "complained"


class Opening(Aggregate.Created):
    """An event with which a stream may begin, and which may come later too."""

    def mutate(self, aggregate: Any) -> Any:  # noqa: ANN401 - the library's signature
        """Make the aggregate where there is none yet, else change it."""
        return super().mutate(None) if aggregate is None else Aggregate.Event.mutate(self, aggregate)


class Mail(Aggregate, prefix="mails"):
    """One mail to one supporter, from outcome to outcome.

    They may be recorded in another order than they came about: a bounce can be read before the sender has told that
    the mail was accepted. So none forbids another.
    """

    brief = True

    supporter: UUID | None = None
    outcome: Outcome | None = None
    cause: str | None = None
    attempt: int | None = None

    class Event(Opening):
        """An outcome; ``cause`` is a code or a word, such as 5.1.1 or no_consent.

        ``from_position`` to ``to_position`` is the range of history the mail tells, ``due_at`` when it fell due.
        """

        OUTCOME: ClassVar[Outcome]
        supporter: UUID
        kind: str
        period: str
        due_at: datetime | None = None
        cause: str | None = None
        from_position: int | None = None
        to_position: int | None = None
        attempt: int | None = None

        def apply(self, aggregate: "Mail") -> None:
            """Note the outcome."""
            aggregate.supporter, aggregate.outcome = self.supporter, self.OUTCOME
            aggregate.cause, aggregate.attempt = self.cause, self.attempt

    class Accepted(Event):
        OUTCOME = Outcome.ACCEPTED

    class Deferred(Event):
        OUTCOME = Outcome.DEFERRED

    class Refused(Event):
        OUTCOME = Outcome.REFUSED

    class Unknown(Event):
        """Whether the mail went out cannot be known."""

        OUTCOME = Outcome.UNKNOWN

    class Suppressed(Event):
        OUTCOME = Outcome.SUPPRESSED

    class Bounced(Event):
        OUTCOME = Outcome.BOUNCED

    class Complained(Event):
        OUTCOME = Outcome.COMPLAINED

    def note(self, outcome: Outcome, supporter: UUID, cause: str | None, attempt: int | None, **more: object) -> None:
        """Record another outcome."""
        if self.supporter != supporter:
            raise Conflict("mail.of_another", "This mail is another supporter's.")
        if (self.outcome, self.cause, self.attempt) == (outcome, cause, attempt):
            raise Conflict("mail.unchanged", "This outcome of the mail is already recorded.")
        self.record(
            EVENTS[outcome],
            originator_topic=get_topic(Mail),
            supporter=supporter,
            cause=cause,
            attempt=attempt,
            **more,
        )


EVENTS: Final[dict[Outcome, type[Mail.Event]]] = {
    event.OUTCOME: event for event in Mail.events.values() if issubclass(event, Mail.Event)
}
"""The event of each outcome."""


class MailSwitch(Aggregate, prefix="mail_switch", noun="mail_switch"):
    """The switch that halts all mails; it has one stream, SWITCH. Nothing was ever halted where that is empty."""

    halted: bool = False

    class Event(Opening):
        """The switch was turned; its reason is kept with it."""

    class Halted(Event):
        def apply(self, aggregate: "MailSwitch") -> None:
            aggregate.halted = True

    class Resumed(Event):
        def apply(self, aggregate: "MailSwitch") -> None:
            aggregate.halted = False

    def turn(self, event: type[Event]) -> None:
        """Halt or resume."""
        self.record(event, originator_topic=get_topic(MailSwitch))


class Record(Command, name="mails.record"):
    """Record what became of a mail; ``mail`` is its id here, ``reason`` a code or a word, never what was said.

    The supporter is not looked up: what went out went out, whoever was erased since.
    """

    mail: MailRef
    supporter: SupporterRef
    kind: Word
    period: Word
    outcome: Outcome
    reason: Word | None = None
    due_at: datetime | None = None
    from_position: Position | None = None
    to_position: Position | None = None
    attempt: Attempt | None = None

    def streams(self) -> tuple[UUID, ...]:
        """The mail."""
        return (identify("mail", self.mail),)

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when that outcome is recorded, the mail is another supporter's, or a word holds what no code does."""
        for name in ("kind", "period", "reason"):
            word = getattr(self, name)
            if word is not None and not _WORD.fullmatch(word):
                raise Invalid("mail.not_a_word", f"{name} must be a code or a word, such as 5.1.1 or no_consent.")
        key = identify("mail", self.mail)
        given: dict[str, Any] = {
            "supporter": identify("supporter", self.supporter),
            "kind": self.kind,
            "period": self.period,
            "due_at": self._moment(),
            "cause": self.reason,
            "from_position": self.from_position,
            "to_position": self.to_position,
            "attempt": self.attempt,
        }
        mail = stage.find(Mail, key)
        if mail is None:
            stage.add(Mail.open(key, EVENTS[self.outcome], **given))
        else:
            mail.note(self.outcome, **given)

    def _moment(self) -> datetime | None:
        if self.due_at is None:
            return None
        if self.due_at.tzinfo is None:
            raise Invalid("command.invalid_date", "due_at must be a time with its offset, as in RFC 3339.")
        return self.due_at.astimezone(UTC)


class SwitchCommand(Command):
    """A command to the one switch."""

    def streams(self) -> tuple[UUID, ...]:
        """The switch."""
        return (SWITCH,)


class Halt(SwitchCommand, name="mails.halt"):
    """Let no mail go out until this is taken back; what is due waits."""

    def decide(self, context: Context, stage: Stage) -> None:
        """Refused when the reason is missing, or mails are halted already."""
        context.need_reason()
        switch = stage.find(MailSwitch, SWITCH)
        if switch is None:
            stage.add(MailSwitch.open(SWITCH))
        elif switch.halted:
            raise Conflict("mail_switch.already_halted", "Mails are already halted.")
        else:
            switch.turn(MailSwitch.Halted)


class Resume(SwitchCommand, name="mails.resume"):
    """Let mails go out again."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when mails are not halted."""
        switch = stage.find(MailSwitch, SWITCH)
        if switch is None or not switch.halted:
            raise Conflict("mail_switch.not_halted", "Mails are not halted.")
        switch.turn(MailSwitch.Resumed)


SLICE = Slice("mails", (Mail, MailSwitch), (Record, Halt, Resume))
