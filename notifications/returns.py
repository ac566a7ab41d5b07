"""What follows from what comes back: a mail's outcome in the history, and no more mail to an address that takes none.

Everything is derived from the mail and the verdict, so a report that is read twice, or whose reading was cut short,
does no more than one that was read once.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.kernel import Actor, Context, Invalid
from domain.mails import Outcome, Record
from domain.slices import Command
from domain.supporters import SuppressMail, Undeliverable
from history.engine import Engine
from history.envelope import Request, own_request
from notifications import ranges
from notifications.aliases import alias
from notifications.outbox import SENT, State
from notifications.recipients import Recipient, load
from notifications.reports import Report, Verdict, read
from notifications.tables import outbox

IN_A_ROW: Final = 3
DAYS: Final = timedelta(days=7)
"""So many mails given up in a row, over at least so long, and the address is taken for dead."""
ATTEMPTS: Final = 3
"""How often a suppression is decided anew where the supporter changed meanwhile."""
UNMATCHED: Final = "unmatched"
UNREADABLE: Final = "unreadable"
SUPPRESSED: Final = "suppressed"

ENDS: Final = (Verdict.BOUNCED, Verdict.COMPLAINED)
"""What ends mail to an address at once."""

_LOOKED_BACK: Final = 100
_OURS: Final = re.compile(r"<([0-9a-f]{32})@.*>")
_WEIGHT: Final = {Verdict.BLOCKED: 1, Verdict.UNDELIVERED: 2, Verdict.BOUNCED: 3, Verdict.COMPLAINED: 4}
"""Of several reports about a mail the weightiest stays."""


@dataclass(frozen=True)
class Returned:
    """What became of one report: ``verdict`` is one of the words of Verdict, or ``unmatched``."""

    verdict: str
    mail: UUID | None = None
    """The id of the mail in the outbox."""
    cause: str | None = None
    suppressed: bool = False
    """Whether the address gets no more mail."""


def say_nothing(_number: int, _error: Invalid) -> None:
    """Leave out what cannot be read."""


class Returns:
    """Takes reports, one by one."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine, self._database, self._clock = engine, engine.database, clock

    def take(self, raw: bytes, actor: Actor, arrived_for: str | None = None) -> Returned:
        """Read one message and do what follows from it; raise Invalid where it cannot be read."""
        report = read(raw, arrived_for)
        with self._database.read() as connection:
            row = _mail_of(connection, report)
        if report.verdict is Verdict.IGNORED:
            return Returned(report.verdict, row.id if row else None)
        if row is None:
            return Returned(UNMATCHED)
        if report.verdict is Verdict.DELAYED:
            return Returned(report.verdict, row.id, report.cause)
        return self._follow(row, report.verdict, report.cause, actor)

    def take_all(
        self,
        messages: Iterable[bytes],
        actor: Actor,
        arrived_for: str | None = None,
        tell: Callable[[int, Invalid], None] = say_nothing,
    ) -> Counter[str]:
        """Take each message, whatever the others are; ``tell`` is told the number of each that cannot be read, and why.

        Returns how many there were of each verdict, how many ``unreadable``, and how many addresses get no more mail.
        """
        counts: Counter[str] = Counter()
        for number, raw in enumerate(messages, 1):
            try:
                found = self.take(raw, actor, arrived_for)
            except Invalid as error:
                counts[UNREADABLE] += 1
                tell(number, error)
                continue
            counts[found.verdict] += 1
            if found.suppressed:
                counts[SUPPRESSED] += 1
        return counts

    def _follow(self, row: Any, verdict: Verdict, cause: str | None, actor: Actor) -> Returned:  # noqa: ANN401 - of the outbox
        with self._database.write() as connection:
            _note(connection, row, verdict)
            if _is_lost(row, verdict):
                ranges.take_back(connection, row, self._clock())
            dead = verdict in ENDS or (verdict is Verdict.UNDELIVERED and _given_up(connection, row))
        self._engine.write(
            [self._request(_record(row, verdict, cause), f"returned:{alias(row.id)}:{verdict}", actor, cause)]
        )
        suppressed = dead and self._suppress(row, verdict, cause, actor)
        return Returned(verdict, row.id, cause, suppressed)

    def _suppress(self, row: Any, verdict: Verdict, cause: str | None, actor: Actor) -> bool:  # noqa: ANN401
        """Let no more mail go to the address, if it is still the person's; tell whether none goes."""
        why = Undeliverable.COMPLAINT if verdict is Verdict.COMPLAINED else Undeliverable.HARD_BOUNCE
        for _ in range(ATTEMPTS):
            person = load(self._engine.log, row.supporter)
            if person is None or not _still_theirs(row, person):
                return False
            command = SuppressMail(supporter=str(row.supporter), cause=why)
            request = self._request(command, f"suppress:{alias(row.id)}:{why}", actor, cause)
            request.if_match = person.version  # the address must still be the one that was mailed
            (answer,) = self._engine.write([request])
            if answer.error is None or answer.error.code != "command.precondition_failed":
                break
        now = load(self._engine.log, row.supporter)
        return now is not None and now.suppressed is not None

    def _request(self, command: Command, key: str, actor: Actor, reason: str | None) -> Request:
        context = Context(actor=actor, at=self._clock(), command_id=key, correlation_id=key, reason=reason)
        return own_request(command, context)


def _mail_of(connection: Connection, report: Report) -> Any:  # noqa: ANN401 - a row of the outbox, or None
    """Return the mail a report is about: by the address it came to, else by the Message-ID it returns."""
    query = sa.select(outbox).where(outbox.c.attempts > 0)
    for token in report.tokens:
        if row := connection.execute(query.where(outbox.c.id == token)).first():
            return row
    for message_id in report.message_ids:
        if found := _OURS.fullmatch(message_id):
            named = query.where(outbox.c.id == UUID(hex=found[1]), outbox.c.message_id == message_id)
            if row := connection.execute(named).first():
                return row
    return None


def _note(connection: Connection, row: Any, verdict: Verdict) -> None:  # noqa: ANN401
    """Keep beside a mail the weightiest of what came back of it."""
    lighter = [word for word in _WEIGHT if _WEIGHT[word] < _WEIGHT[verdict]]
    mine = outbox.c.id == row.id, sa.or_(outbox.c.returned.is_(None), outbox.c.returned.in_(lighter))
    connection.execute(outbox.update().where(*mine).values(returned=str(verdict)))


def _is_lost(row: Any, verdict: Verdict) -> bool:  # noqa: ANN401
    """Tell whether this is the first that is heard of a mail's not having arrived; a server had accepted it."""
    return verdict is not Verdict.COMPLAINED and row.state == State.ACCEPTED and row.returned is None


def _given_up(connection: Connection, row: Any) -> bool:  # noqa: ANN401
    """Tell whether this mail is the last of several in a row to its address that were all given up.

    One that was blocked does not count: where a server takes nothing of ours, no address of it is dead for that.
    """
    same = outbox.c.supporter == row.supporter, outbox.c.subject_version == row.subject_version
    sent = outbox.c.state.in_((*SENT, State.TRANSMITTING)), outbox.c.due_at <= row.due_at
    query = sa.select(outbox.c.returned, outbox.c.due_at).where(*same, *sent).order_by(outbox.c.due_at.desc())
    times = []
    for returned, due_at in connection.execute(query.limit(_LOOKED_BACK)):
        if returned == Verdict.UNDELIVERED:
            times.append(due_at)
        elif returned != Verdict.BLOCKED:
            break
    return len(times) >= IN_A_ROW and times[0] - times[-1] >= DAYS


def _still_theirs(row: Any, person: Recipient) -> bool:  # noqa: ANN401
    return person.email is not None and row.subject_version == person.email_version


def _record(row: Any, verdict: Verdict, cause: str | None) -> Record:  # noqa: ANN401
    return Record(
        mail=str(alias(row.id)),
        supporter=str(row.supporter),
        kind=row.kind,
        period=row.period,
        outcome=Outcome.COMPLAINED if verdict is Verdict.COMPLAINED else Outcome.BOUNCED,
        reason=cause,
        due_at=row.due_at,
        from_position=row.from_position,
        to_position=row.to_position,
        attempt=row.attempts,
    )
