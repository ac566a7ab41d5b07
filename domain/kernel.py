"""What every slice of the domain rests on: aggregates, events, context, references, values and errors.

The error tree, each error with a stable ``code`` such as ``pledge.already_active``:

    GroundswellError
    ├── Refusal          a command that the rules refuse; nothing was recorded
    │   ├── Unknown      it names something that does not exist
    │   ├── Conflict     it does not fit the present state
    │   └── Invalid      one of its values can never be right
    └── Unavailable      the store cannot answer now; the same request may be sent again
"""

from __future__ import annotations

import dataclasses
import functools
import re
import unicodedata
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Protocol, Self, TypeVar, dataclass_transform
from uuid import UUID
from zoneinfo import ZoneInfo

import eventsourcing.domain
from eventsourcing.utils import get_topic, register_topic, resolve_topic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


# --- errors ---------------------------------------------------------------------------------------------------------


class GroundswellError(Exception):
    """Something a person or a program must be told, in one clear sentence and with a stable code."""

    code: str
    message: str

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message

    def __str__(self) -> str:
        return self.message


class Refusal(GroundswellError):
    """A command that the rules refuse; nothing of it was recorded."""


class Unknown(Refusal):
    """The command names something that does not exist."""


class Conflict(Refusal):
    """The command does not fit the present state of what it names."""


class Invalid(Refusal):
    """One of the command's values can never be right."""


class Unavailable(GroundswellError):
    """The store cannot answer now; nothing was recorded and the same request may be sent again."""


# --- references and values ------------------------------------------------------------------------------------------

MAX_REFERENCE: Final = 200
MAX_TITLE: Final = 300
MAX_TEXT: Final = 10_000
REFERENCES: Final = 8_192
"""Of how many the id is remembered, some 400 bytes each: a batch asks for each of its own several times."""
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")


@functools.cache
def _namespace(kind: str) -> UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"groundswell:{kind}")


@functools.lru_cache(maxsize=REFERENCES)
def identify(kind: str, reference: str) -> UUID:
    """Return the id that a reference of this kind stands for: itself if it is a UUID, else its UUIDv5 (RFC 9562)."""
    return UUID(reference) if _UUID.fullmatch(reference) else uuid.uuid5(_namespace(kind), reference)


def readable(reference: str) -> str | None:
    """Return the reference if a person chose it, None if it is a UUID."""
    return None if _UUID.fullmatch(reference) else reference


@dataclass(frozen=True)
class Reference:
    """Marks a field that names a thing of one kind: a UUID or any other string of 1 to 200 characters."""

    kind: str


@dataclass(frozen=True)
class TextRule:
    """Marks a text field: normalised to NFC, no control characters but LF and TAB, at most ``longest`` characters."""

    longest: int
    shortest: int = 0


@dataclass(frozen=True)
class Between:
    """Marks a number field with its inclusive bounds."""

    least: float
    most: float


class _Personal:
    """Marks a field that is sealed under the supporter's own key before it is recorded."""

    def __repr__(self) -> str:
        return "PERSONAL"


PERSONAL: Final = _Personal()
FINDABLE: Final = "findable"
"""Marks a personal field by which its person can be found: the engine keeps a blind index of it."""


class Unset(Enum):
    """The one value that says a field of an ``amend`` command was not given (None clears it)."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


class Erased(Enum):
    """The one value that stands where a person's data was, once the person's key is destroyed."""

    ERASED = "erased"


ERASED: Final = Erased.ERASED


@dataclass(frozen=True, slots=True)
class Sealed:
    """Personal data as it is recorded: what only the person's key opens.

    ``person`` owns the key; ``stream``, ``version`` and ``field`` are the associated data it was sealed with;
    ``box`` is base64 of nonce and ciphertext.
    """

    person: UUID
    stream: UUID
    version: int
    field: str
    box: str


Title = Annotated[str, TextRule(MAX_TITLE, 1)]
Text = Annotated[str, TextRule(MAX_TEXT)]
Slug = Annotated[str, Reference("slug")]
PersonalText = Annotated[str | Sealed | Erased | None, PERSONAL]

SupporterRef = Annotated[str, Reference("supporter")]
ChapterRef = Annotated[str, Reference("chapter")]
CampaignRef = Annotated[str, Reference("campaign")]
PolicyRef = Annotated[str, Reference("policy")]
OfficialRef = Annotated[str, Reference("official")]
ActionRef = Annotated[str, Reference("action")]
PartnershipRef = Annotated[str, Reference("partnership")]
RecognitionRef = Annotated[str, Reference("recognition")]


def clean_text(text: str) -> str:
    """Return the text in NFC; raise Invalid where it holds a control character other than LF and TAB."""
    text = unicodedata.normalize("NFC", text)
    if not text.isprintable():
        for character in text:
            if character not in "\n\t" and unicodedata.category(character) in {"Cc", "Cs"}:
                raise Invalid("text.control_character", f"The text holds the control character U+{ord(character):04X}.")
    return text


@functools.lru_cache(maxsize=1_024)
def zone(name: str) -> ZoneInfo:
    """Return the IANA time zone of that name; raise Invalid where there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Invalid(
            "time_zone.unknown", f"There is no time zone “{name}”; use an IANA name such as Europe/Lisbon."
        ) from None


_LOCALE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")


def check_locale(tag: object) -> None:
    """Raise Invalid where the tag is given and not of the form of BCP 47 (en, pt-BR, zh-Hant-TW)."""
    if isinstance(tag, str) and not _LOCALE.fullmatch(tag):
        raise Invalid("locale.malformed", f"“{tag[:40]}” is not a language tag such as en or pt-BR.")


def check_zone(name: object) -> None:
    """Raise Invalid where the name is given and not a known IANA time zone."""
    if isinstance(name, str):
        zone(name)


# --- who, when, why -------------------------------------------------------------------------------------------------

ACTOR_KINDS: Final = ("staff", "supporter", "system", "import", "api")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: one of the kinds, and a name within it."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> Actor:
        """Read ``kind:name``; raise Invalid where it is not of that form."""
        kind, colon, name = text.partition(":")
        if not colon or kind not in ACTOR_KINDS or not 1 <= len(name) <= MAX_REFERENCE or not name.isprintable():
            raise Invalid(
                "actor.malformed", f"The actor “{text[:80]}” is not kind:name with a kind of {', '.join(ACTOR_KINDS)}."
            )
        return cls(kind, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The circumstances of one command: who, when it happened, its id, and what it belongs to."""

    actor: Actor
    at: datetime
    command_id: str
    correlation_id: str
    causation_id: str | None = None
    reason: str | None = None

    def need_reason(self) -> str:
        """Return the reason; raise Invalid where none was given."""
        if not (self.reason and self.reason.strip()):
            raise Invalid("command.reason_missing", "This command needs a reason.")
        return self.reason


# --- aggregates and events ------------------------------------------------------------------------------------------

_UNDECIDED: Final = datetime.min.replace(tzinfo=UTC)
"""The time of an event until ``collect`` stamps it with that of its command."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Event(eventsourcing.domain.AggregateEvent):
    """A fact; its fields are typed, its topic ``prefix.Name`` is stable wherever the code moves."""

    TOPIC: ClassVar[str]
    class_version: ClassVar[int] = 1
    forgets_person: ClassVar[bool] = False

    @property
    def person(self) -> UUID | None:
        """Whose personal data the event may carry, and whom it counts for; None if nobody's."""
        return getattr(self, "supporter", None)

    def apply(self, aggregate: Any) -> None:  # noqa: ANN401 - the library's signature
        """Change the aggregate; only assigns and never raises, because every replay runs it again."""


class Aggregate(eventsourcing.domain.BaseAggregate[UUID]):
    """A consistency boundary: its public methods decide and may refuse, its events' ``apply`` only assigns.

    Its attributes are fields with types, of which snapshots are made, and the values they have before the first event.
    """

    prefix: ClassVar[str]
    noun: ClassVar[str]
    events: ClassVar[Mapping[str, type[Event]]]
    class_version: ClassVar[int] = 1
    """Raised when the same events come to mean another state, so that no snapshot of before is used."""
    brief: ClassVar[bool] = False
    """Whether hardly anybody comes back to one, so that it is not worth remembering."""

    class Event(Event):
        """Base of the aggregate's events."""

    class Created(Event, eventsourcing.domain.AggregateCreated):
        """Base of the event that creates an aggregate."""

        def mutate(self, aggregate: Any) -> Any:  # noqa: ANN401 - the library's signature
            """Make the aggregate; as the library does, less the matching of arguments, of which ours take none."""
            assert aggregate is None  # noqa: S101 - a stream begins once
            kind: type[Aggregate] = resolve_topic(self.originator_topic)
            made = kind.__new__(kind)
            made.__base_init__(self.originator_id, self.originator_version, self.timestamp)
            made.__init__()  # type: ignore[misc]
            self.apply(made)
            return made

    def __init_subclass__(cls, *, prefix: str = "", noun: str = "", **options: Any) -> None:  # noqa: ANN401
        super().__init_subclass__(**options)
        cls.prefix, cls.noun = prefix, noun or cls.__name__.lower()
        events: dict[str, type[Aggregate.Event]] = {}
        for name, value in list(vars(cls).items()):
            if name in {"Event", "Created"} or not (isinstance(value, type) and issubclass(value, Aggregate.Event)):
                continue
            value.TOPIC = f"{prefix}.{name}"
            register_topic(f"{prefix}.{name}", value)
            events[f"{prefix}.{name}"] = value
        cls.events = events

    @classmethod
    @functools.cache
    def opening(cls) -> type[Created]:
        """Return the event class that creates an aggregate of this class."""
        return next(event for event in cls.events.values() if issubclass(event, Aggregate.Created))

    @classmethod
    def open(cls, key: UUID, begin: type[Created] | None = None, /, **fields: Any) -> Self:  # noqa: ANN401 - the event types them
        """Create the aggregate by recording its opening event, or the one named where there are several."""
        event: Any = begin or cls.opening()
        opened = event(
            originator_topic=get_topic(cls),
            originator_id=key,
            originator_version=cls.INITIAL_VERSION,
            timestamp=_UNDECIDED,
            **fields,
        )
        made: Self = opened.mutate(None)
        made.pending_events.append(opened)
        return made

    def record(self, event: type[Event], **fields: Any) -> None:  # noqa: ANN401 - the event class types them
        """Record that something happened, and apply it."""
        self.trigger_event(event, timestamp=_UNDECIDED, **fields)

    def collect(self, context: Context) -> Sequence[Event]:
        """Take the events decided since the last time, each stamped with when it happened."""
        if not self._pending_events:
            return ()
        collected: list[Aggregate.Event] = list(self._pending_events)  # type: ignore[arg-type]
        self._pending_events.clear()
        for event in collected:
            vars(event)["timestamp"] = context.at
        if collected[0].originator_version == self.INITIAL_VERSION:
            self._created_on = context.at
        self._modified_on = context.at
        return collected


A = TypeVar("A", bound=Aggregate)


class Stage(Protocol):
    """Where a command finds the aggregates it decides on, as they stand after the commands before it."""

    def find(self, kind: type[A], key: UUID) -> A | None:
        """Return the aggregate, or None where there is none."""

    def get(self, kind: type[A], key: UUID, reference: str = "") -> A:
        """Return the aggregate; raise Unknown (``noun.unknown``) where there is none."""

    def add(self, aggregate: Aggregate) -> None:
        """Bring a new aggregate on stage."""


def now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


_OWN_TO_THE_LIBRARY: Final = frozenset({"originator_id", "originator_version", "originator_topic", "timestamp"})


@functools.cache
def fields_of(event: type[Event]) -> tuple[str, ...]:
    """Name the fields that the event itself declares, without those of the library."""
    return tuple(field.name for field in dataclasses.fields(event) if field.name not in _OWN_TO_THE_LIBRARY)


def assign(aggregate: Aggregate, event: Event) -> None:
    """Set the attributes that the aggregate and the event both have, except those that were not given."""
    for name in fields_of(type(event)):
        value = getattr(event, name)
        if value is not UNSET and hasattr(aggregate, name):
            setattr(aggregate, name, value)
