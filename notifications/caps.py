"""How many digests may go out at once, by who sends them: nobody mails the whole movement by accident.

Who sends is ``manager`` (the staff page), ``cli`` (the command line) or ``work`` (the ticker). A number that a person
names stands in place of the cap: no more than that may go out then, and as many may.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from domain.kernel import Conflict
from notifications.outbox import Planned


class MailRole(StrEnum):
    """Who sends."""

    MANAGER = "manager"
    CLI = "cli"
    WORK = "work"


CAPS: Final[Mapping[str, int | None]] = {MailRole.MANAGER: 5_000, MailRole.CLI: 20_000, MailRole.WORK: None}
"""What holds where nothing else is set; None is no cap."""


class BeyondCap(Conflict):
    """More digests would go out than this sender may send unasked; ``size`` and ``limit`` say how many."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__("mail.beyond_cap", f"{size:,} digests would go out, more than the {limit:,} allowed here.")
        self.size, self.limit = size, limit


@dataclass(frozen=True)
class Audience:
    """How many people would get a digest now: those for whom it falls due, and those whose digest waits."""

    due: Mapping[str, int] = field(default_factory=dict)
    """By frequency."""
    waiting: int = 0
    """Let go before, and to be tried now."""

    @property
    def new(self) -> int:
        """For how many it falls due now."""
        return sum(self.due.values())

    @property
    def size(self) -> int:
        """How many in all."""
        return self.new + self.waiting


def audience(due: Iterable[Iterable[Planned]], waiting: int = 0) -> Audience:
    """Count who is due, page by page, and who waits."""
    frequencies: Counter[str] = Counter()
    for page in due:
        frequencies.update(mail.period.partition(":")[0] for mail in page)
    return Audience(dict(sorted(frequencies.items())), waiting)


def cap(caps: Mapping[str, int | None], role: MailRole) -> int | None:
    """Return how many this sender may send unasked, None for any number."""
    return caps.get(role, CAPS[role])


def check(size: int, limit: int | None) -> None:
    """Raise BeyondCap (``mail.beyond_cap``) where that is too many."""
    if limit is not None and size > limit:
        raise BeyondCap(size, limit)
