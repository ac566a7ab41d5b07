"""Plans: commands that depend on whose an address is, which only the writer can tell for certain."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from history.envelope import Request


@dataclass(frozen=True, slots=True)
class Plan:
    """What somebody with an address wants: all of its commands are executed, or none.

    ``if_new`` are the commands that make the address that of the supporter ``fresh``; ``if_known`` returns those for a
    supporter whose it is already, their ids among the others'. What refuses them refuses the
    plan, whether the address is known or not, so that the answer tells nothing about it; except the codes in
    ``harmless``, after which it goes on. The answer to a plan names the newest position and nothing else.
    """

    address: str
    fresh: UUID
    if_new: Sequence[Request]
    if_known: Callable[[UUID], Sequence[Request]]
    harmless: frozenset[str] = frozenset()


Wanted = Request | Plan
"""What the writer takes."""


def requests_of(wanted: Wanted) -> Sequence[Request]:
    """Return the commands that may come of it, as far as they are known beforehand."""
    return wanted.if_new if isinstance(wanted, Plan) else (wanted,)
