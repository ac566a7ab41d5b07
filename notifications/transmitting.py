"""Hands messages to the mailer, a group at a time: what goes out is in the store before its first byte does.

A group becomes ``transmitting`` in one transaction, together with what became of the group before it. A sender that is
killed leaves at most one group of which nobody knows whether its mails went out.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from domain.kernel import Unavailable
from history.engine import Engine
from history.statements import select_among, uuid_of
from history.tables import events
from notifications import outbox, ranges, switch
from notifications.mailer import Envelope, Outcome, Session
from notifications.mime import Sender, mailable
from notifications.outbox import CLAIM, Later, Settled, State
from notifications.pacing import Pacing, domain_of
from notifications.preparing import Mail, hindrance, turned_down
from notifications.ranges import Told
from notifications.recipients import Recipient, keys_of, load_all

IN_FLIGHT: Final = 20
"""How many mails one sender may be transmitting, and so how many a kill may leave unknown."""
IN_TIME: Final = CLAIM / 2
"""So long after a group became ``transmitting`` none of it is begun any more: its claim must not end on the way."""
FRESH: Final = timedelta(seconds=1)
"""So long what was asked of a group holds: of those who wait longer for their turn, it is asked again."""
RATE: Final = "rate"
"""Why a mail waits: its moment is reserved, so that no domain gets too many at once."""

_VERSIONS: Final = "SELECT stream_id, max(version) FROM events"


class Halted(Exception):
    """Somebody turned the switch that halts all mails."""


@dataclass
class Group:
    """Mails that are to go out together: those that may, those that may later, and those that may not.

    ``asked_at`` is when that was asked, ``versions`` those that the streams of its supporters had then.
    """

    mails: list[Mail]
    later: list[Later]
    settled: list[Settled]
    asked_at: datetime
    versions: Mapping[UUID, int]


class Transmission:
    """One sender's way out; ``counts`` say what became of its mails."""

    def __init__(
        self,
        engine: Engine,
        sender: Sender,
        session: Session,
        pacing: Pacing,
        owner: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._log, self._database, self._persons = engine.log, engine.database, engine.persons
        self._sender, self._session, self._pacing = sender, session, pacing
        self._owner, self._clock = owner, clock
        self._settled: list[Settled] = []
        self.counts: Counter[str] = Counter()

    def transmit(self, mails: Iterable[Mail]) -> None:
        """Send what may go out now, and put back the rest; raise Halted, or Unavailable (``mail.…``)."""
        waiting = deque(mails)
        try:
            while waiting:
                self._check_relay()
                group = self._group(waiting)
                self._send(self._committed(group), group)
        except (Halted, Unavailable):
            self.put_back(waiting)
            raise
        finally:
            self._settle_last()

    def put_back(self, mails: Iterable[Mail]) -> None:
        """Let mails wait that were not tried: until their server, or the mail server, has rested where it does."""
        now = self._clock()
        relay = self._pacing.relay.resting(now)
        rows = [Later(mail.row.id, relay or self._pacing.rests(_domain(mail), now) or now) for mail in mails]
        with self._database.write() as connection:
            outbox.put_back(connection, self._owner, rows, now)

    def _check_relay(self) -> None:
        if rest := self._pacing.relay.resting(self._clock()):
            raise Unavailable(
                "mail.resting", f"The mail server failed again and again; it rests until {rest:%H:%M} UTC."
            )

    # --- who may get a mail now ---

    def _group(self, waiting: deque[Mail]) -> Group:
        """Take the next group; a supporter's second mail waits for the one after, which knows what the first told."""
        now = self._clock()
        candidates: dict[UUID, Mail] = {}
        for _ in range(len(waiting)):
            mail = waiting.popleft()
            if mail.row.supporter in candidates:
                waiting.append(mail)
                continue
            candidates[mail.row.supporter] = mail
            if len(candidates) == IN_FLIGHT:
                break
        people, told = self._asked_again(candidates)
        versions = {key: person.version for key, person in people.items() if isinstance(person, Recipient)}
        group = Group([], [], [], now, versions)
        for supporter, mail in candidates.items():
            person = people[supporter]
            if isinstance(person, Exception):
                said = f"{type(person).__name__}: {person}"
                group.settled.append(turned_down(mail.row, "broken", said, mail.row.attempts + 1, now))
            elif reason := hindrance(mail.row, person, now) or _told_since(mail, told.get(supporter)):
                group.settled.append(Settled(mail.row, State.SUPPRESSED, reason))
            elif (moment := self._moment(mail, now)) > now:
                group.later.append(Later(mail.row.id, moment, self._why(mail, now)))
            else:
                group.mails.append(mail)
        return group

    def _asked_again(
        self, candidates: Mapping[UUID, Mail]
    ) -> tuple[Mapping[UUID, Recipient | Exception | None], Mapping[UUID, Told]]:
        """Return (the people as they are now, how far their digests told): read anew where they changed."""
        with self._database.read() as connection:
            versions = _versions(connection, candidates)
            told = ranges.told(connection, candidates)
        changed = [key for key, mail in candidates.items() if versions.get(key) != mail.person.version]
        anew = load_all(self._log, changed) if changed else {}
        return {key: anew.get(key) if key in changed else mail.person for key, mail in candidates.items()}, told

    def _moment(self, mail: Mail, now: datetime) -> datetime:
        reserved = mail.row.not_before if mail.row.reason == RATE else None
        return self._pacing.moment(_domain(mail), now, reserved)

    def _why(self, mail: Mail, now: datetime) -> str | None:
        return None if self._pacing.rests(_domain(mail), now) else RATE

    # --- out ---

    def _committed(self, group: Group) -> list[Mail]:
        """Commit what became of the group before, and that this one goes out now; return those that are still ours."""
        now, settled = self._clock(), [*self._settled, *group.settled]
        with self._database.write() as connection:
            known = self._settle(connection, settled, now)
            outbox.put_back(connection, self._owner, group.later, now)
            halted = switch.halted(connection)
            if halted:
                outbox.put_back(connection, self._owner, [Later(mail.row.id, now) for mail in group.mails], now)
                taken: dict[UUID, Any] = {}
            else:
                taken = outbox.take(connection, self._owner, [mail.row.id for mail in group.mails], now)
        self._settled = []
        self.counts.update(known)
        if halted:
            raise Halted
        return [replace(mail, row=taken[mail.row.id]) for mail in group.mails if mail.row.id in taken]

    def _send(self, mails: Sequence[Mail], group: Group) -> None:
        """Send a group; what was not begun is put back. Of one at which something of ours fails nobody knows."""
        waiting, until = {mail.row.id: mail for mail in mails}, self._clock() + IN_TIME
        changed: set[UUID] = set()
        try:
            for mail in mails:
                self._check_relay()
                if self._clock() > group.asked_at + FRESH:
                    changed |= self._changed(group)
                resting = self._pacing.rests(_domain(mail), self._clock())
                if resting or mail.row.supporter in changed or self._clock() > until:
                    continue
                del waiting[mail.row.id]
                try:
                    outcome = self._sent(mail)
                except Unavailable:
                    waiting[mail.row.id] = mail
                    raise
                self._pacing.note(_domain(mail), outcome, self._clock())
                self._settled.append(_settled(mail.row, outcome, self._clock()))
        finally:
            if waiting:
                self.put_back(waiting.values())

    def _changed(self, group: Group) -> set[UUID]:
        """Ask again, and return the supporters of whom there is something new since; raise Halted."""
        group.asked_at = self._clock()
        with self._database.read() as connection:
            if switch.halted(connection):
                raise Halted
            versions = _versions(connection, group.versions)
        return {key for key, version in group.versions.items() if versions.get(key) != version}

    def _sent(self, mail: Mail) -> Outcome:
        path, to = self._sender.return_path(mail.row.id), mailable(mail.person.email or "")
        try:
            return self._session.send(Envelope(outbox.name(mail.row), path, to, mail.message))
        except Unavailable:
            self._pacing.relay.failed(self._clock(), enough=1)
            raise

    # --- what became of them ---

    def _settle_last(self) -> None:
        if self._settled:
            with self._database.write() as connection:
                known = self._settle(connection, self._settled, self._clock())
            self._settled = []
            self.counts.update(known)

    def _settle(self, connection: Connection, settled: Sequence[Settled], now: datetime) -> Counter[str]:
        """Note what became of mails, where it is still this sender's to say; return how many came to which state."""
        if not settled:
            return Counter()
        mine = outbox.mine(connection, self._owner, [one.row.id for one in settled])
        settled = [one for one in settled if one.row.id in mine]
        keys, _ = keys_of(self._persons, connection, {one.row.supporter for one in settled if one.said})
        outbox.settle(connection, [one.sealed(keys.get(one.row.supporter)) for one in settled], now)
        ranges.tell(connection, [one.row for one in settled if one.state is State.ACCEPTED], now)
        return Counter(str(one.state) for one in settled)


def _versions(connection: Connection, supporters: Iterable[UUID]) -> dict[UUID, int]:
    rows = select_among(connection, _VERSIONS, events.c.stream_id, supporters, "GROUP BY stream_id")
    return {uuid_of(stream): version for stream, version in rows}


def _domain(mail: Mail) -> str:
    return domain_of(mail.person.email or "")


def _told_since(mail: Mail, told: Told | None) -> str | None:
    """Tell whether another digest told the range of this one since it was made."""
    begins = mail.row.from_position if mail.from_position is None else mail.from_position
    return "superseded" if told and begins is not None and told[0] > begins else None


def _settled(row: Any, outcome: Outcome, now: datetime) -> Settled:  # noqa: ANN401 - a row of the outbox
    """Return what becomes of a row by what became of its mail."""
    match outcome.state:
        case State.ACCEPTED:
            return Settled(row, State.ACCEPTED)
        case State.DEFERRED:
            return turned_down(row, outcome.reason, outcome.said, row.attempts, now)
        case State.UNKNOWN:
            again = now + outbox.wait_after(row.attempts)  # if it is sent again at all
            return Settled(row, State.UNKNOWN, outcome.reason, outcome.said, again)
        case _:
            return Settled(row, State.REFUSED, outcome.reason, outcome.said)
