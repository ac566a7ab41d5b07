"""How fast mails may go, and when a mail server or a domain is left alone for a while.

Nothing here waits: each answer is the moment from which a mail may go out, and others go out before it meanwhile.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar

from notifications.mailer import Outcome
from notifications.outbox import State

T = TypeVar("T")

IN_A_ROW: Final = 5
"""After so many failures in a row a mail server, or a domain, rests."""
FIRST_REST: Final = timedelta(minutes=1)
LONGEST_REST: Final = timedelta(hours=1)
BURST: Final = timedelta(seconds=1)
"""What was not used of a rate for so long may be used at once."""
PUNCTUAL: Final = timedelta(seconds=30)
"""Who comes so late for a reserved moment takes another, lest all who are late come at once."""
DOMAINS: Final = 10_000
"""Of how many domains is remembered how they are doing."""


class Breaker:
    """Counts failures in a row; then there is a rest, twice as long each time, after which one failure is enough."""

    def __init__(self) -> None:
        self.until: datetime | None = None
        self._failures = 0
        self._rest = FIRST_REST

    def resting(self, now: datetime) -> datetime | None:
        """Return until when there is a rest, None where there is none."""
        return self.until if self.until is not None and now < self.until <= now + LONGEST_REST else None

    def worked(self) -> None:
        """Note that all is well."""
        self.until, self._failures, self._rest = None, 0, FIRST_REST

    def failed(self, now: datetime, enough: int = IN_A_ROW) -> None:
        """Note a failure."""
        self._failures += 1
        if self._failures >= enough and not self.resting(now):
            self.until, self._rest = now + self._rest, min(2 * self._rest, LONGEST_REST)


class Rate:
    """So many mails a second to one domain, each with a moment of its own (GCRA: the generic cell rate algorithm)."""

    def __init__(self, per_second: float) -> None:
        self._gap = timedelta(seconds=1 / per_second)
        self._next: datetime | None = None
        self._asked: datetime | None = None

    def moment(self, now: datetime, reserved: datetime | None = None) -> datetime:
        """Return when the mail may go out: now, or at a moment that is then reserved for it.

        ``reserved`` is the moment that it was given before.
        """
        if self._asked is not None and now < self._asked - LONGEST_REST:
            self._next = None  # the clock was set back
        self._asked = now
        if reserved is not None and reserved <= now <= reserved + PUNCTUAL:
            return now
        earliest = now - max(BURST - self._gap, timedelta())
        at = earliest if self._next is None else max(self._next, earliest)
        self._next = at + self._gap
        return max(at, now)


class Pacing:
    """What this process knows of the mail server and of the domains of recipients; others are not told."""

    def __init__(self, per_second: float | None = None) -> None:
        self.relay = Breaker()
        self._per_second = per_second
        self._domains: dict[str, Breaker] = {}
        self._rates: dict[str, Rate] = {}

    def rests(self, domain: str, now: datetime) -> datetime | None:
        """Return until when a domain rests, None where it does not."""
        breaker = self._domains.get(domain)
        return breaker.resting(now) if breaker else None

    def moment(self, domain: str, now: datetime, reserved: datetime | None = None) -> datetime:
        """Return when a mail to a domain may go out, now or later."""
        if rest := self.rests(domain, now):
            return rest
        if self._per_second is None:
            return now
        per_second = self._per_second
        return _of(self._rates, domain, lambda: Rate(per_second)).moment(now, reserved)

    def note(self, domain: str, outcome: Outcome, now: datetime) -> None:
        """Take in what became of a mail."""
        if outcome.lost:
            self.relay.failed(now)
        else:
            self.relay.worked()
        if outcome.state is State.DEFERRED:
            _of(self._domains, domain, Breaker).failed(now)
        elif outcome.state is not State.UNKNOWN:
            self._domains.pop(domain, None)


def _of(known: dict[str, T], domain: str, make: Callable[[], T]) -> T:
    """Return what is known of a domain; of those longest known one is forgotten where there are too many."""
    if domain not in known:
        if len(known) >= DOMAINS:
            del known[next(iter(known))]
        known[domain] = make()
    return known[domain]


def domain_of(address: str) -> str:
    """Return the domain of an address, as it is told from others."""
    return address.rpartition("@")[2].casefold()
