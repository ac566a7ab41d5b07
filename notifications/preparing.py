"""Makes messages of claimed rows, a batch at a time: read in few queries, rendered, sealed, and committed together.

What one person's data leads to stops only that person's mail.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from domain.kernel import Unavailable
from domain.schedule import AHEAD
from history.engine import Engine
from notifications import messages, outbox, ranges, render, tokens
from notifications.composing import KINDS, compose_all
from notifications.digest import Content, Links
from notifications.language import Language
from notifications.mime import Letter, Sender, build
from notifications.movement import Movements
from notifications.outbox import ATTEMPTS, TOO_OLD, Kind, Settled, State
from notifications.recipients import Recipient, keys_of, load_all
from notifications.surroundings import Surroundings
from notifications.tables import outbox as table
from notifications.tokens import Purpose, Token
from projections.views import Reader

log = logging.getLogger(__name__)

LONGEST_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class Mail:
    """A message that may go out; ``from_position`` is where the range of history begins that it tells, if it does."""

    row: Any
    person: Recipient
    message: bytes
    from_position: int | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A letter, and what is kept of it."""

    row: Any
    person: Recipient
    letter: Letter
    secret: str
    purpose: Purpose
    content: Content | None = None

    @property
    def values(self) -> dict[str, Any]:
        """What the row notes of it, as parameters of ``_RENDERED``."""
        first, last = self.content.covers if self.content else (None, None)
        return {
            "key": self.row.id,
            "new_from_position": first,
            "new_to_position": last,
            "new_rank": self.content.rank if self.content else None,
            "new_subject_version": self.person.email_version,
        }


_RENDERED: Final = (
    table.update()
    .where(table.c.id == sa.bindparam("key"))
    .values({name: sa.bindparam(f"new_{name}") for name in ("from_position", "to_position", "rank", "subject_version")})
    .values(state=str(State.RENDERED))
)


class Preparation:
    """Makes messages for one sender; what all digests tell alike is read once."""

    def __init__(self, engine: Engine, reader: Reader, sender: Sender, movements: Movements, owner: str) -> None:
        self._log, self._database, self._persons = engine.log, engine.database, engine.persons
        self._reader, self._sender, self._movements, self._owner = reader, sender, movements, owner

    def prepare(self, rows: Sequence[Any], now: datetime) -> tuple[list[Mail], list[Settled]]:
        """Return (the messages of claimed rows, what became of the others); all of it is committed."""
        people = load_all(self._log, {row.supporter for row in rows})
        settled, wanted = [], []
        for row in rows:
            person = people.get(row.supporter)
            if isinstance(person, Exception):
                log.error("The supporter %s cannot be read: %s", row.supporter, person)
                settled.append(_broken(row, person, now))
            elif reason := hindrance(row, person, now):
                settled.append(Settled(row, State.SUPPRESSED, reason))
            elif person is not None:
                wanted.append((row, person))
        mails = self._kept(wanted)
        known = {mail.row.id for mail in mails}
        drafts = []
        for one in self._drafts([each for each in wanted if each[0].id not in known], now):
            if isinstance(one, Draft):
                drafts.append(one)
            else:
                settled.append(one)
        mails += self._frozen(drafts, settled, now)
        return mails, settled

    # --- rendering ---

    def _drafts(self, wanted: Sequence[tuple[Any, Recipient]], now: datetime) -> Iterator[Draft | Settled]:
        contents = self._composed([each for each in wanted if each[0].kind == Kind.DIGEST], now)
        for row, person in wanted:
            content = contents.get(person.supporter)
            try:
                if isinstance(content, Exception):
                    raise content  # noqa: TRY301 - it goes the way of all that rendering one mail may lead to
                yield self._confirmation(row, person) if content is None else self._digest(row, person, content)
            except Unavailable:
                raise
            except Exception as error:  # one person's data must not stop everybody's mail
                log.exception("The %s of supporter %s cannot be rendered", row.kind, row.supporter)
                yield _broken(row, error, now)

    def _composed(self, digests: Sequence[tuple[Any, Recipient]], now: datetime) -> Mapping[UUID, Content | Exception]:
        if not digests:
            return {}
        with self._reader.open(KINDS) as views, self._movements.upto(views.position) as movement:
            shared = Surroundings(views, self._log, movement, self._sender.base_url)
            told = ranges.known(views, [person.supporter for _, person in digests])
            return compose_all(shared, [(person, told.get(person.supporter)) for _, person in digests], now)

    def _confirmation(self, row: Any, person: Recipient) -> Draft:  # noqa: ANN401 - a row of the outbox
        secret, base = tokens.new(), self._sender.base_url
        letter = render.confirmation(Language(person.locale, person.time_zone), base, f"{base}/confirm/{secret}")
        return Draft(row, person, letter, secret, Purpose.CONFIRM)

    def _digest(self, row: Any, person: Recipient, content: Content) -> Draft | Settled:  # noqa: ANN401
        if not content.worth_sending:
            return Settled(row, State.SUPPRESSED, "nothing_to_say")
        secret = tokens.new()
        links = Links.of(self._sender.base_url, secret)
        letter = render.letter(render.digest(content, links), content, links, row.period)
        return Draft(row, person, letter, secret, Purpose.MAIL, content)

    # --- sealing ---

    def _kept(self, wanted: Sequence[tuple[Any, Recipient]]) -> list[Mail]:
        """Return messages that were made for an earlier attempt."""
        with self._database.read() as connection:
            kept = messages.opened(connection, self._persons, [row for row, _ in wanted])
        return [Mail(row, person, kept[row.id], row.from_position) for row, person in wanted if row.id in kept]

    def _frozen(self, drafts: Sequence[Draft], settled: list[Settled], now: datetime) -> list[Mail]:
        """Commit the messages of drafts, and what became of the other rows; return the messages."""
        rows = [*(draft.row for draft in drafts), *(one.row for one in settled)]
        with self._database.read() as connection:
            keys, damaged = keys_of(self._persons, connection, {row.supporter for row in rows})
        made = {}
        for draft in drafts:
            if error := damaged.get(draft.row.supporter):
                settled.append(_broken(draft.row, error, now))
                continue
            if (key := keys.get(draft.row.supporter)) is None:
                settled.append(Settled(draft.row, State.SUPPRESSED, "erased"))
                continue
            built = self._built(draft, now)
            if isinstance(built, Settled):
                settled.append(built)
            else:
                made[draft.row.id] = (draft, built, messages.sealed(key, draft.row.id, built))
        with self._database.write() as connection:
            mine = outbox.mine(connection, self._owner, [row.id for row in rows])
            outbox.settle(
                connection, [one.sealed(keys.get(one.row.supporter)) for one in settled if one.row.id in mine], now
            )
            made = {key: one for key, one in made.items() if key in mine}
            if made:
                connection.execute(_RENDERED.values(changed_at=now), [draft.values for draft, _, _ in made.values()])
                messages.keep(connection, {mail: box for mail, (_, _, box) in made.items()}, now)
                tokens.keep(connection, {draft.secret: _token(draft) for draft, _, _ in made.values()}, now)
        return [
            Mail(draft.row, draft.person, message, draft.content.covers[0] if draft.content else None)
            for draft, message, _ in made.values()
        ]

    def _built(self, draft: Draft, now: datetime) -> bytes | Settled:
        try:
            return build(self._sender, draft.person.email or "", draft.letter, draft.row.message_id, now)
        except Exception as error:  # one person's data must not stop everybody's mail
            log.exception("The %s of supporter %s cannot be put together", draft.row.kind, draft.row.supporter)
            return _broken(draft.row, error, now)


def _token(draft: Draft) -> Token:
    return Token(draft.purpose, draft.row.supporter, draft.person.email_version, draft.row.id)


def _broken(row: Any, error: Exception, now: datetime) -> Settled:  # noqa: ANN401 - a row of the outbox
    """Return what becomes of a mail that cannot be made: perhaps the next release can."""
    return turned_down(row, "broken", f"{type(error).__name__}: {error}"[:LONGEST_ERROR], row.attempts + 1, now)


def turned_down(row: Any, reason: str | None, said: str, attempts: int, now: datetime) -> Settled:  # noqa: ANN401
    """Return what becomes of a mail that could not be sent this time."""
    if attempts >= ATTEMPTS:
        return Settled(row, State.REFUSED, "gave_up", said, attempts=attempts)
    later = now + outbox.wait_after(attempts)
    return Settled(row, State.DEFERRED, reason, said, later, attempts)


def hindrance(row: Any, person: Recipient | None, now: datetime) -> str | None:  # noqa: ANN401 - a row of the outbox
    """Return why this mail may not go to the person now, None where it may."""
    if person is None or person.erased:
        return "erased"
    if row.subject_version is not None and row.subject_version != person.email_version:
        return "address_changed"
    if person.email is None:
        return "no_address"
    if row.kind == Kind.CONFIRM:
        return "already_confirmed" if _answered(row, person) else person.returned
    return person.hindrance_at(now) or _outdated(row, person, now)


def _answered(row: Any, person: Recipient) -> bool:  # noqa: ANN401 - a row of the outbox
    """Tell whether nothing is to be confirmed any more: the address is, and the person said since what is wanted."""
    since = person.answered_at is not None and person.answered_at > row.due_at
    return person.email_confirmed and (bool(person.consented) or since)


def _outdated(row: Any, person: Recipient, now: datetime) -> str | None:  # noqa: ANN401
    since = person.eligible_since
    if since is None or row.due_at < since <= now + AHEAD:
        return "consented_later"
    return "superseded" if row.attempts and now - row.planned_at > TOO_OLD else None
