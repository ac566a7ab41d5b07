"""What becomes of a command: the answer its sender gets, now and whenever it is sent again."""

import json
from dataclasses import dataclass, field
from typing import Any, Final

from domain.kernel import Conflict, Event, GroundswellError, Invalid, Refusal, Unknown
from history.envelope import Request

_REFUSED: Final = "refused"
_NOT_OUTCOMES: Final = frozenset({"command.precondition_failed"})


@dataclass(slots=True)
class Answer:
    """What became of one command: ``accepted``, ``repeated`` (the first outcome again) or ``rejected``."""

    id: str | None
    status: str
    positions: list[int] = field(default_factory=list)
    result: dict[str, Any] | None = None
    error: GroundswellError | None = None
    version: int | None = None
    """The version of the command's first stream after it, where it was executed now."""

    def as_json(self) -> dict[str, Any]:
        """Return the answer as interfaces.md gives it."""
        error = {"code": self.error.code, "message": self.error.message} if self.error else None
        return {
            "id": self.id,
            "status": self.status,
            "positions": self.positions,
            "result": self.result or {},
            "error": error,
        }


class InternalError(GroundswellError):
    """A fault of ours while a command was decided; nothing of it was recorded."""

    def __init__(self) -> None:
        super().__init__("internal.error", "Something went wrong on our side; nothing of this was recorded.")


@dataclass(slots=True)
class Decided:
    """A command that was decided in the batch at hand."""

    request: Request
    events: list[Event]
    result: dict[str, Any] | None
    positions: list[int] = field(default_factory=list)
    """Filled when the events are appended; the answer shares it."""
    refusal: Refusal | None = None

    def is_corrected_by(self, request: Request) -> bool:
        """Tell whether this was refused, and the request has the same id and another content: that is a new try."""
        return self.refusal is not None and self.request.digest != request.digest

    @property
    def first_and_last(self) -> tuple[int, int]:
        """The positions of its first and last event; (0, -1) where it made none."""
        return (self.positions[0], self.positions[-1]) if self.positions else (0, -1)


def id_reused(request: Request) -> Answer:
    """Refuse a command whose id another content has used up."""
    error = Conflict("command.id_reused", "A command with this id and another content was given before.")
    return Answer(request.context.command_id, "rejected", error=error)


def is_outcome(refusal: Refusal) -> bool:
    """Tell whether a refusal is remembered, so that a repeat gets it again even where the state has moved on.

    What names something unknown may be sent again when that is known; so imports may run in any order.
    """
    return not isinstance(refusal, Unknown) and refusal.code not in _NOT_OUTCOMES


def outcome_json(one: Decided) -> str | None:
    """Return what is recorded of the outcome."""
    if one.refusal is not None:
        kind = "conflict" if isinstance(one.refusal, Conflict) else "invalid"
        return json.dumps({_REFUSED: {"kind": kind, "code": one.refusal.code, "message": one.refusal.message}})
    return json.dumps(one.result) if one.result else None


def was_refused(result: str | None) -> bool:
    """Tell whether the recorded outcome is a refusal."""
    return result is not None and result.startswith(f'{{"{_REFUSED}"')


def is_same(recorded: bytes, keyed: bytes) -> bool:
    """Tell whether a command is the one that was recorded; a restored store does not know, and takes its id's word."""
    return recorded in {b"", keyed}


def same(request: Request, earlier: Decided) -> Answer:
    """Answer a command whose id stands in the same batch before."""
    if earlier.request.digest != request.digest:
        return id_reused(request)
    if earlier.refusal is not None:
        return Answer(request.context.command_id, "rejected", error=earlier.refusal)
    return Answer(request.context.command_id, "repeated", earlier.positions, earlier.result)


def repeat(request: Request, recorded: bytes, keyed: bytes, places: tuple[int, int], result: str | None) -> Answer:
    """Answer a command whose id was executed before, as then; refuse it where its content is another."""
    if not is_same(recorded, keyed):
        return id_reused(request)
    outcome = json.loads(result) if result else None
    if outcome and was_refused(result):
        said = outcome[_REFUSED]
        kind = Conflict if said["kind"] == "conflict" else Invalid
        return Answer(request.context.command_id, "rejected", error=kind(said["code"], said["message"]))
    return Answer(request.context.command_id, "repeated", list(range(places[0], places[1] + 1)), outcome)
