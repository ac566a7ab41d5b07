"""One run of the sender: claims what may go out, renders it, and hands it to the mailer one by one.

The state ``transmitting`` is committed before the first byte of a mail goes out, together with what became of the mail
before it: a sender that is killed leaves at most one mail of which nobody knows.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from domain.kernel import Unavailable
from history.database import Database
from history.persons import Persons
from history.reading import Log
from notifications import outbox, render, tokens
from notifications.composing import KINDS, compose
from notifications.digest import Links
from notifications.language import Language
from notifications.mailer import Envelope, Mailer, Outcome, Session
from notifications.mime import Letter, Sender, build
from notifications.movement import Movement
from notifications.outbox import ATTEMPTS, Kind, State
from notifications.recipients import Recipient, load
from notifications.surroundings import Surroundings
from notifications.tokens import Purpose, Token
from projections.views import Reader

log = logging.getLogger(__name__)

BATCH: Final = 50

Progress = Callable[[int], Any]


@dataclass
class Rendered:
    """What became of rendering one row: a letter with what belongs to it, or the reason why there is none."""

    row: Any
    reason: str | None = None
    error: str | None = None
    letter: Letter | None = None
    person: Recipient | None = None
    secret: str = ""
    purpose: Purpose = Purpose.MAIL
    covers: tuple[int, int] | None = None
    rank: int | None = None


class SendingRun:
    """One run; ``counts`` say what became of its mails, ``trouble`` why it ended early, if it did."""

    def __init__(
        self, database: Database, persons: Persons, history: Log, reader: Reader, mailer: Mailer, sender: Sender
    ) -> None:
        self._database, self._persons, self._log, self._reader = database, persons, history, reader
        self._mailer, self._sender = mailer, sender
        self._owner = reader.runner.owner
        self._movement: Movement | None = None
        self._begun = time.monotonic()
        self._now = datetime.now(UTC)
        self.counts: Counter[str] = Counter()
        self.trouble: str | None = None

    def run(self, now: datetime, progress: Progress = lambda _: None) -> None:
        """Send all that may be sent at this moment."""
        self._now, self._begun = now, time.monotonic()
        try:
            with self._mailer.session() as session:
                while self.trouble is None and (rows := self._claim()):
                    self._render([row for row in rows if row.mime is None])
                    self._transmit(rows, session)
                    progress(self.counts.total())
        except Unavailable as error:
            if not error.code.startswith("mail."):
                raise
            self.trouble = str(error)

    @property
    def now(self) -> datetime:
        """The moment, counted on from that at which the run began."""
        return self._now + timedelta(seconds=time.monotonic() - self._begun)

    def _claim(self) -> Sequence[Any]:
        with self._database.write() as connection:
            return outbox.claim(connection, self._owner, self.now, BATCH)

    # --- rendering ---

    def _render(self, rows: Sequence[Any]) -> None:
        if not rows:
            return
        with self._reader.open(KINDS) as views:
            if self._movement is None:
                self._movement = Movement(self._log, views.position, views.position)
            shared = Surroundings(views, self._log, self._movement, self._sender.base_url)
            rendered = [self._rendered(row, shared) for row in rows]
        with self._database.write() as connection:
            for one in rendered:
                self._freeze(connection, one)

    def _rendered(self, row: Any, shared: Surroundings) -> Rendered:  # noqa: ANN401 - a row of the outbox
        try:
            person = load(self._log, row.supporter)
            if person is None or (reason := hindrance(row, person)):
                return Rendered(row, reason if person else "erased")
            if row.kind == Kind.CONFIRM:
                return self._confirmation(row, person)
            return self._digest(row, person, shared)
        except Unavailable:
            raise
        except Exception as error:  # one person's data must not stop everybody's mail
            log.exception("The %s of supporter %s cannot be rendered", row.kind, row.supporter)
            return Rendered(row, error=f"{type(error).__name__}: {error}"[:500])

    def _confirmation(self, row: Any, person: Recipient) -> Rendered:  # noqa: ANN401
        secret = tokens.new()
        base = self._sender.base_url
        letter = render.confirmation(Language(person.locale, person.time_zone), base, f"{base}/confirm/{secret}")
        return Rendered(row, letter=letter, person=person, secret=secret, purpose=Purpose.CONFIRM)

    def _digest(self, row: Any, person: Recipient, shared: Surroundings) -> Rendered:  # noqa: ANN401
        told = outbox.told(shared.views.connection, person.supporter)
        content = compose(shared, person, told, self.now)
        if not content.worth_sending:
            return Rendered(row, "nothing_to_say")
        secret = tokens.new()
        links = Links.of(self._sender.base_url, secret)
        digest = render.digest(content, links)
        letter = Letter(digest.subject, digest.html, digest.text, content.language.tag, links.unsubscribe)
        return Rendered(row, None, None, letter, person, secret, Purpose.MAIL, content.covers, content.rank)

    def _freeze(self, connection: Connection, one: Rendered) -> None:
        row = one.row
        if one.error is not None:
            self._turned_down(connection, row, State.DEFERRED, one.error, row.attempts + 1)
            return
        frozen = None
        if one.letter is not None and one.person is not None and one.person.email is not None:
            mime = build(self._sender, one.person.email, one.letter, row.message_id, self.now)
            frozen = outbox.freeze(connection, self._persons, row, "mime", mime.decode())
        if frozen is None or one.person is None:
            self._suppress(connection, row, one.reason or "erased")
            return
        token = Token(one.purpose, row.supporter, one.person.email_version, row.id)
        tokens.keep(connection, {one.secret: token}, self.now)
        first, last = one.covers or (None, None)
        outbox.move(
            connection,
            row.id,
            self._owner,
            State.RENDERED,
            self.now,
            mime=frozen,
            from_position=first,
            to_position=last,
            rank=one.rank,
            subject_version=one.person.email_version,
        )

    # --- sending ---

    def _transmit(self, rows: Sequence[Any], session: Session) -> None:
        before: tuple[Any, Outcome] | None = None
        for number, row in enumerate(rows):
            envelope = self._ready(row.id, before)
            before = None
            if envelope is None:
                continue
            try:
                before = (row, session.send(envelope))
            except Unavailable as error:
                self.trouble = str(error)
                self._release(rows[number:])
                return
        if before:
            with self._database.write() as connection:
                self._record(connection, *before)

    def _ready(self, key: UUID, before: tuple[Any, Outcome] | None) -> Envelope | None:
        """Note what became of the mail before; check the person once more and commit that this one goes out now."""
        with self._database.read() as connection:
            row = connection.execute(outbox.one(key)).one()
            mine = row.state == State.RENDERED or (row.state == State.CLAIMED and row.mime is not None)
            mine = mine and row.claimed_by == self._owner
            mime = outbox.thaw(connection, self._persons, row, "mime") if mine else None
        person = load(self._log, row.supporter) if mine else None
        with self._database.write() as connection:
            if before:
                self._record(connection, *before)
            if not mine:
                return None
            reason = hindrance(row, person) if person else "erased"
            if reason or mime is None or person is None or person.email is None:
                self._suppress(connection, row, reason or "erased")
                return None
            until, attempts = self.now + outbox.CLAIM, row.attempts + 1
            taken = outbox.move(
                connection, key, self._owner, State.TRANSMITTING, self.now, attempts=attempts, claimed_until=until
            )
        return Envelope(outbox.name(row), self._sender.address, person.email, mime.encode()) if taken else None

    def _record(self, connection: Connection, row: Any, outcome: Outcome) -> None:  # noqa: ANN401
        row = connection.execute(outbox.one(row.id)).one()
        if outcome.state in {State.DEFERRED, State.REFUSED}:
            self._turned_down(connection, row, outcome.state, outcome.said, row.attempts)
            return
        self.counts[outcome.state] += 1
        said = self._said(connection, row, outcome.said)
        outbox.move(connection, row.id, self._owner, outcome.state, self.now, reason=None, last_error=said)
        if outcome.state is State.ACCEPTED and row.to_position is not None:
            outbox.tell(connection, row.supporter, row.to_position, row.rank, self.now)

    def _turned_down(self, connection: Connection, row: Any, state: State, said: str, attempts: int) -> None:  # noqa: ANN401
        values: dict[str, Any] = {"last_error": self._said(connection, row, said), "attempts": attempts}
        if state is State.DEFERRED and attempts >= ATTEMPTS:
            state, values["reason"] = State.REFUSED, "gave_up"
        elif state is State.DEFERRED:
            values["not_before"] = self.now + outbox.wait_after(attempts)
        self.counts[state] += 1
        outbox.move(connection, row.id, self._owner, state, self.now, **values)

    def _said(self, connection: Connection, row: Any, said: str) -> str | None:  # noqa: ANN401
        """Return what was said of a mail as it is kept: sealed, for mail servers repeat addresses."""
        return outbox.freeze(connection, self._persons, row, "last_error", said)

    def _suppress(self, connection: Connection, row: Any, reason: str) -> None:  # noqa: ANN401
        self.counts[State.SUPPRESSED] += 1
        outbox.move(connection, row.id, self._owner, State.SUPPRESSED, self.now, reason=reason, mime=None)

    def _release(self, rows: Sequence[Any]) -> None:
        """Give back what could not even be tried."""
        later = self.now + outbox.FIRST_WAIT
        with self._database.write() as connection:
            for row in rows:
                state = connection.scalar(outbox.one(row.id).with_only_columns(outbox.STATE))
                if state in outbox.FINAL or state in outbox.WAITING:
                    continue
                self.counts[State.DEFERRED] += 1
                said = self._said(connection, row, self.trouble or "")
                values = {"not_before": later, "last_error": said, "attempts": row.attempts}
                outbox.move(connection, row.id, self._owner, State.DEFERRED, self.now, **values)


def hindrance(row: Any, person: Recipient) -> str | None:  # noqa: ANN401 - a row of the outbox
    """Return why this mail may not go to the person now, None where it may."""
    if row.subject_version is not None and row.subject_version != person.email_version and not person.erased:
        return "address_changed"
    if row.kind == Kind.CONFIRM:
        if person.erased or not person.email:
            return "erased" if person.erased else "no_address"
        return "already_confirmed" if person.email_confirmed else None
    if person.hindrance:
        return person.hindrance
    if person.eligible_since is None or row.due_at < person.eligible_since:
        return "consented_later"
    return None
