"""The mail desk: what whoever sees to the mails asks, and what a person decides about them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import sqlalchemy as sa

from domain.kernel import Actor, Conflict, Context, Unknown
from domain.mails import Halt as HaltMails
from domain.mails import Outcome, Record
from domain.mails import Resume as ResumeMails
from domain.slices import Command
from history.engine import Engine
from history.envelope import new_id, own_request
from notifications import messages, planning, ranges, standing, switch
from notifications.aliases import alias
from notifications.caps import Audience, MailRole, cap
from notifications.outbox import TOO_OLD, Kind, State
from notifications.standing import Outcomes, Run, Unsettled, Waiting
from notifications.switch import Halt
from notifications.tables import outbox
from projections.subscriptions import Subscriptions
from projections.views import Reader

T = TypeVar("T")

RUNS: Final = 10
LATELY: Final = timedelta(seconds=60)
"""How long what takes long to count is taken as it was counted last."""
LARGE: Final = 10_000
"""More than so many take long, and nobody asks about one more or less."""
SETTLED: Final = "settled"
RESENT: Final = "resent"


@dataclass(frozen=True)
class Status:
    """How the mails stand at a moment."""

    at: datetime
    halt: Halt | None
    waiting: Waiting
    unknown: int
    """How many mails are held because nobody knows whether they went out."""
    audience: Audience
    next_due: datetime | None
    """When the next digest falls due after now."""
    held: int
    """How many digests are due and not planned, because they are more than the worker may send unasked."""
    outcomes: Mapping[str, Outcomes]
    """By span of time: day, week, all."""
    runs: tuple[Run, ...]

    @property
    def trouble(self) -> str | None:
        """Why the last run could not do all that was to be done, if so."""
        return self.runs[0].trouble if self.runs else None


@dataclass(frozen=True)
class Gauges:
    """What a monitoring system reads, again and again."""

    outcomes: Outcomes
    """Of the last 24 hours."""
    waiting: Waiting
    oldest_seconds: float
    unknown: int
    due: int
    """How many digests are due and not planned yet."""
    held: int
    halted: bool


class Lately(Generic[T]):
    """What takes long to count where it is many; ``size`` says how many."""

    def __init__(self, count: Callable[[datetime], T], size: Callable[[T], int]) -> None:
        self._count, self._size = count, size
        self._known: tuple[datetime, T] | None = None

    def at(self, moment: datetime, exact: int = 0) -> T:
        """Return what was counted within the last minute, else count; always count up to ``exact``."""
        known = self._known
        if known is None or abs(moment - known[0]) >= LATELY or self._size(known[1]) <= exact:
            known = self._known = moment, self._count(moment)
        return known[1]

    def forget(self) -> None:
        """Count anew next time."""
        self._known = None


class Desk:
    """Asks the outbox and the switch, and lets people decide; each decision is an event."""

    def __init__(
        self,
        engine: Engine,
        reader: Reader,
        audience: Callable[[datetime], Audience],
        plan: Callable[[datetime, int | None], int],
        caps: Mapping[str, int | None],
        clock: Callable[[], datetime],
    ) -> None:
        self._engine, self._reader, self._database = engine, reader, engine.database
        self._plan, self._caps, self._clock = plan, caps, clock
        self._audience = Lately(audience, lambda found: found.size)
        self._ever = Lately(lambda _: self._ended(), lambda found: sum(found.counts().values()))

    # --- asking ---

    def halt(self) -> Halt | None:
        """Return the halt that holds now, if any."""
        return switch.halt(self._engine.log)

    def status(self, limit: int = RUNS) -> Status:
        """Return how the mails stand, with the last runs."""
        moment = self._clock()
        audience, next_due = self._audience.at(moment, LARGE), self._next_due(moment)
        ever = self._ever.at(moment, LARGE)
        with self._database.read() as connection:
            return Status(
                at=moment,
                halt=self.halt(),
                waiting=standing.waiting(connection),
                unknown=standing.count_unsettled(connection),
                audience=audience,
                next_due=next_due,
                held=self._held(audience),
                outcomes={
                    name: ever if span is None else standing.outcomes(connection, moment - span)
                    for name, span in standing.SPANS.items()
                },
                runs=tuple(standing.runs(connection, limit)),
            )

    def gauges(self) -> Gauges:
        """Return the same in numbers, without what takes long to count."""
        moment = self._clock()
        audience = self._audience.at(moment)
        with self._database.read() as connection:
            waiting = standing.waiting(connection)
            return Gauges(
                outcomes=standing.outcomes(connection, moment - standing.DAY),
                waiting=waiting,
                oldest_seconds=max(0.0, (moment - waiting.oldest).total_seconds()) if waiting.oldest else 0.0,
                unknown=standing.count_unsettled(connection),
                due=audience.new,
                held=self._held(audience),
                halted=switch.halted(connection),
            )

    def _ended(self) -> Outcomes:
        with self._database.read() as connection:
            return standing.outcomes(connection)

    def _held(self, audience: Audience) -> int:
        limit = cap(self._caps, MailRole.WORK)
        return audience.new if limit is not None and audience.new > limit else 0

    def runs(self, limit: int) -> Sequence[Run]:
        """Return the last runs, the newest first."""
        with self._database.read() as connection:
            return standing.runs(connection, limit)

    def unsettled(self, limit: int | None = None) -> list[Unsettled]:
        """Return the mails of which nobody knows whether they went out, the newest first."""
        with self._database.read() as connection:
            return standing.unsettled(connection, limit)

    def _next_due(self, moment: datetime) -> datetime | None:
        with self._reader.open(planning.KINDS) as views:
            return views[Subscriptions].next_moment(views.connection, moment)

    # --- deciding ---

    def let_go(self, role: MailRole, named: int | None = None) -> int:
        """Plan what is due, for a worker to send; return how many mails that are.

        Raises BeyondCap where these are more than the role may send unasked, or than it ``named``.
        """
        self._audience.forget()
        return self._plan(self._clock(), cap(self._caps, role) if named is None else named)

    def turn_off(self, actor: Actor, reason: str) -> None:
        """Let no mail go out; raise Refusal where the reason is missing or none goes out already."""
        self._do(HaltMails(), actor, reason)

    def turn_on(self, actor: Actor) -> None:
        """Let mails go out again; raise Refusal where they do."""
        self._do(ResumeMails(), actor)

    def accept(self, mail: UUID, actor: Actor) -> None:
        """Take it that a mail went out of which nobody knew; raise Unknown or Conflict."""
        row = self._unsettled(mail)
        self._record(row, Outcome.ACCEPTED, SETTLED, actor)
        with self._database.write() as connection:
            if self._move(connection, mail, State.ACCEPTED, reason=SETTLED) and row.to_position is not None:
                told = ranges.told(connection, [row.supporter]).get(row.supporter)
                if told is None or told[0] < row.to_position:
                    ranges.tell(connection, [row], self._clock())

    def resend(self, mail: UUID, actor: Actor) -> None:
        """Let a mail be sent again of which nobody knew, as it was: who has it sees the same Message-ID twice.

        Raises Unknown or Conflict, the latter also where its message is no longer kept, or it is a digest of days ago.
        """
        row = self._unsettled(mail)
        with self._database.read() as connection:
            kept = messages.known(connection, [mail])
        if not kept:
            raise Conflict("mail.not_kept", "The message of this mail is no longer kept, so it cannot be sent again.")
        if row.kind == Kind.DIGEST and self._outdated(row):
            raise Conflict("mail.superseded", "This digest is too old: the next one tells what it told.")
        self._record(row, Outcome.DEFERRED, RESENT, actor)
        with self._database.write() as connection:
            self._move(connection, mail, State.DEFERRED, reason=RESENT, not_before=self._clock())

    def _do(self, command: Command, actor: Actor, reason: str | None = None, key: str | None = None) -> None:
        chosen = key or new_id()
        context = Context(actor=actor, at=self._clock(), command_id=chosen, correlation_id=chosen, reason=reason)
        (answer,) = self._engine.write([own_request(command, context)])
        if answer.error is not None:
            raise answer.error

    def _record(self, row: Any, outcome: Outcome, reason: str, actor: Actor) -> None:  # noqa: ANN401 - of the outbox
        command = Record(
            mail=str(alias(row.id)),
            supporter=str(row.supporter),
            kind=row.kind,
            period=row.period,
            outcome=outcome,
            reason=reason,
            due_at=row.due_at,
            from_position=row.from_position,
            to_position=row.to_position,
            attempt=row.attempts,
        )
        self._do(command, actor, key=f"mail:{alias(row.id)}:{reason}:{row.attempts}")

    def _unsettled(self, mail: UUID) -> Any:  # noqa: ANN401 - a row of the outbox
        with self._database.read() as connection:
            row = connection.execute(sa.select(outbox).where(outbox.c.id == mail)).first()
        if row is None:
            raise Unknown("mail.no_such", "There is no such mail.")
        if row.state != State.UNKNOWN:
            raise Conflict("mail.not_unknown", f"What became of this mail is known: {row.state}.")
        return row

    def _outdated(self, row: Any) -> bool:  # noqa: ANN401 - a row of the outbox
        if self._clock() - row.planned_at > TOO_OLD:
            return True
        same = outbox.c.supporter == row.supporter, outbox.c.kind == row.kind
        with self._database.read() as connection:
            query = sa.select(sa.func.count()).where(*same, outbox.c.due_at > row.due_at)
            return bool(connection.scalar(query))

    def _move(self, connection: sa.Connection, mail: UUID, state: State, **values: Any) -> bool:  # noqa: ANN401
        """Bring a mail out of the unknown; tell whether nobody else did."""
        self._ever.forget()
        mine = outbox.c.id == mail, outbox.c.state == str(State.UNKNOWN)
        changed = {"state": str(state), "changed_at": self._clock(), "claimed_by": None, "claimed_until": None}
        return connection.execute(outbox.update().where(*mine).values(**changed, **values)).rowcount == 1
