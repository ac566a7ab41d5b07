"""The command envelope: one JSON object becomes a typed command and the circumstances it came in."""

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec

from domain.kernel import MAX_REFERENCE, MAX_TEXT, Actor, Command, Context, Invalid, Slice, clean_text, now
from history.codec import check_reference, read_command, refusal

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_REFERENCE)]


class Envelope(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A command as it comes from outside."""

    id: Id
    command: str
    at: str | None = None
    actor: str | None = None
    reason: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)] | None = None
    data: dict[str, Any] = {}


@dataclass(slots=True)
class Request:
    """A typed command with its context, and a hash by which a repeat is told from another content."""

    command: Command
    context: Context
    digest: bytes


_decoder: Final = msgspec.json.Decoder(Envelope)
_sorted: Final = msgspec.json.Encoder(order="sorted")
_AwareDatetime = Annotated[datetime, msgspec.Meta(tz=True)]
_moments: Final = msgspec.json.Decoder(_AwareDatetime)


def read_moment(text: str, where: str = "at") -> datetime:
    """Read an RFC 3339 time with offset, in UTC; raise Invalid where it is not one."""
    try:
        return msgspec.convert(text, _AwareDatetime).astimezone(UTC)
    except msgspec.ValidationError as error:
        raise refusal(error, where) from None
    except OverflowError:
        raise Invalid("command.invalid_date", f"{where}: the time is out of range.") from None


class Catalogue:
    """All commands by name, and how an envelope becomes a request."""

    def __init__(self, slices: Iterable[Slice]) -> None:
        self.commands: Mapping[str, type[Command]] = {c.NAME: c for s in slices for c in s.commands}

    def find(self, name: str) -> type[Command]:
        """Return the command of that name; raise Invalid where there is none."""
        try:
            return self.commands[name]
        except KeyError:
            raise Invalid("command.unknown", f"There is no command “{name[:80]}”.") from None

    def read(self, line: bytes, default_actor: Actor) -> tuple[str | None, Request]:
        """Read one envelope; raise a Refusal that says what is wrong with it."""
        envelope = self.open(line)
        return envelope.id, self.request(envelope, default_actor)

    def open(self, line: bytes) -> Envelope:
        """Read the outer form of one envelope; raise Invalid where it is not one."""
        try:
            line.decode()
        except UnicodeDecodeError as error:
            raise Invalid("command.invalid_utf8", f"Byte {error.start + 1} of the line is not UTF-8.") from None
        try:
            return _decoder.decode(line)
        except msgspec.ValidationError as error:
            raise refusal(error, "envelope") from None
        except (msgspec.DecodeError, RecursionError) as error:
            raise Invalid("command.invalid_json", f"The line is not a JSON object: {error}.") from None

    def request(self, envelope: Envelope, default_actor: Actor) -> Request:
        """Make the typed command of an envelope; raise a Refusal that says which field is wrong."""
        check_reference(envelope.id)
        command = read_command(self.find(envelope.command), envelope.data)
        at = read_moment(envelope.at) if envelope.at is not None else now()
        actor = Actor.parse(envelope.actor) if envelope.actor is not None else default_actor
        reason = clean_text(envelope.reason) if envelope.reason is not None else None
        content = [envelope.command, envelope.at, envelope.actor, envelope.reason, envelope.data]
        context = Context(actor=actor, at=at, command_id=envelope.id, correlation_id=envelope.id, reason=reason)
        return Request(command, context, hashlib.sha256(_sorted.encode(content)).digest())


def own_request(command: Command, context: Context) -> Request:
    """Make the request of a command that comes from inside (a page, a reaction) with its own stable id."""
    content = [command.NAME, repr(command)]
    return Request(command, context, hashlib.sha256(_sorted.encode(content)).digest())


def new_id() -> str:
    """Return a fresh command id, for callers who gave none."""
    return str(uuid.uuid4())
