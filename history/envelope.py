"""The command envelope: one JSON object becomes a typed command and the circumstances it came in."""

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Annotated, Any, Final

import msgspec

from domain.kernel import MAX_REFERENCE, MAX_TEXT, Actor, Context, Invalid, now
from domain.slices import Command, Slice
from history.codec import check_reference, fields_given, placed, plain, printed, read_command, refusal, text_of

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_REFERENCE)]


class Unnamed(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A command as it comes from outside, from where its id may come by another way."""

    id: Id | None = None
    command: str
    at: str | None = None
    actor: str | None = None
    reason: str | None = None
    data: dict[str, Any] = {}


class Envelope(Unnamed, kw_only=True, forbid_unknown_fields=True):
    """A command as it comes from outside."""

    id: Id


@dataclass(slots=True)
class Request:
    """A typed command with its context, and a hash by which a repeat is told from another content.

    ``if_match`` is the version that the command's first stream must still have, if the caller asks for one. Where
    ``refusal_stays``, a repeat of what was refused is refused again, even if the state has moved on since.
    """

    command: Command
    context: Context
    digest: bytes
    if_match: int | None = None
    refusal_stays: bool = False


_decoder: Final = msgspec.json.Decoder(Envelope)
_unnamed: Final = msgspec.json.Decoder(Unnamed)
_sorted: Final = msgspec.json.Encoder(order="sorted", enc_hook=plain)
_AwareDatetime = Annotated[datetime, msgspec.Meta(tz=True)]
_clean_reason: Final = text_of(MAX_TEXT)
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def read_moment(text: str, where: str = "at") -> datetime:
    """Read an RFC 3339 time with offset, in UTC; raise Invalid where it is not one.

    The first and the last year that a computer's calendar has are refused: in some time zone they are not in it.
    """
    try:
        moment: datetime = msgspec.convert(text, _AwareDatetime).astimezone(UTC)
        if MINYEAR < moment.year < MAXYEAR:
            return moment
    except msgspec.ValidationError as error:
        raise refusal(error, where) from None
    except OverflowError:
        pass
    raise Invalid("command.invalid_date", f"{where} must be between the years {MINYEAR + 1} and {MAXYEAR - 1}.")


def _no_field_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Invalid("command.duplicate_field", f"The field {printed(twice)} is given twice.")
    return found


_pairs: Final = json.JSONDecoder(object_pairs_hook=_no_field_twice)


class Catalogue:
    """All commands by name, and how an envelope becomes a request."""

    def __init__(self, slices: Iterable[Slice]) -> None:
        self.commands: Mapping[str, type[Command]] = {c.NAME: c for s in slices for c in s.commands}

    def find(self, name: str) -> type[Command]:
        """Return the command of that name; raise Invalid where there is none."""
        try:
            return self.commands[name]
        except KeyError:
            raise Invalid("command.unknown", f"There is no command {printed(name)}.") from None

    def read(self, line: bytes, default_actor: Actor) -> tuple[str | None, Request]:
        """Read one envelope; raise a Refusal that says what is wrong with it."""
        envelope = self.open(line)
        return envelope.id, self.request(envelope, default_actor)

    def open(self, line: bytes, default_id: str | None = None) -> Envelope:
        """Read the outer form of one envelope, whose id may be missing if there is a default; raise Invalid."""
        line = line.removeprefix(_BYTE_ORDER_MARK)
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise Invalid("command.invalid_utf8", f"Byte {error.start + 1} of the line is not UTF-8.") from None
        try:
            envelope = _decoder.decode(line) if default_id is None else _named(_unnamed.decode(line), default_id)
            _pairs.decode(text)
        except msgspec.ValidationError as error:
            raise refusal(error, "") from None
        except RecursionError:
            raise Invalid("command.invalid_json", "The line is nested too deeply.") from None
        except msgspec.DecodeError as error:
            said = "it ends too early" if "truncated" in str(error) else str(error).removeprefix("JSON is malformed: ")
            raise Invalid("command.invalid_json", f"The line is not a JSON object: {said}.") from None
        return envelope

    def request(self, envelope: Envelope, default_actor: Actor) -> Request:
        """Make the typed command of an envelope; raise a Refusal that says which field is wrong."""
        _checked(check_reference, envelope.id, "id")
        command = read_command(self.find(envelope.command), envelope.data)
        at = read_moment(envelope.at) if envelope.at is not None else now()
        actor = Actor.parse(envelope.actor) if envelope.actor is not None else default_actor
        reason = _checked(_clean_reason, envelope.reason, "reason") if envelope.reason is not None else None
        content = [envelope.command, envelope.at, envelope.actor, envelope.reason, envelope.data]
        context = Context(actor=actor, at=at, command_id=envelope.id, correlation_id=envelope.id, reason=reason)
        return Request(command, context, _digest(content))


def _named(envelope: Unnamed, default_id: str) -> Envelope:
    return msgspec.convert(msgspec.structs.asdict(envelope) | {"id": envelope.id or default_id}, Envelope)


def _checked(check: Callable[[str], str], text: str, where: str) -> str:
    try:
        return check(text)
    except Invalid as error:
        raise placed(error, where) from None


def own_request(command: Command, context: Context) -> Request:
    """Make the request of a command that comes from inside (a page, a reaction) with its own stable id.

    Its hash covers the fields that differ from their defaults, so that it stays the same when a release adds a field.
    """
    return Request(command, context, _digest([command.NAME, fields_given(command)]))


def _digest(content: list[Any]) -> bytes:
    try:
        return hashlib.sha256(_sorted.encode(content)).digest()
    except OverflowError:  # whole numbers of more than 64 bits
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()


def new_id() -> str:
    """Return a fresh command id, for callers who gave none."""
    return str(uuid.uuid4())
