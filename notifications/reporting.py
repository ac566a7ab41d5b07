"""Tells the history what became of mails: what the outbox keeps of it is deleted when the history has it.

The id of each command derives from the mail, the outcome and the attempt, so a reporter that is killed in between, or
several at once, tell nothing twice.
"""

import logging
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from domain.kernel import Actor, Context
from domain.mails import Outcome, Record
from domain.supporters import SuppressMail, Undeliverable
from history.answers import Answer, InternalError
from history.engine import Engine
from history.envelope import Request, own_request
from history.statements import delete
from notifications.aliases import alias
from notifications.mailer import HARD
from notifications.recipients import Recipient, load_all
from notifications.tables import mail_outcomes

log = logging.getLogger(__name__)

PAGE: Final = 500
SENDER: Final = Actor("system", "sender")


class Reporter:
    """Brings outcomes into the history, and suppresses the addresses that are none."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._database = engine, engine.database

    def report(self) -> int:
        """Report all that is to be reported; return how many outcomes that were."""
        reported = 0
        while rows := self._page():
            requests = [_record(row) for row in rows]
            answers = self._engine.write([*requests, *self._suppressions(rows)])
            done = [row for row, answer in zip(rows, answers, strict=False) if _is_settled(answer)]
            if not done:
                break
            with self._database.write() as connection:
                keys = [(row.mail, row.outcome, row.attempt) for row in done]
                delete(mail_outcomes, connection.dialect).execute(connection, keys)
            reported += len(done)
        return reported

    def _page(self) -> Sequence[Any]:
        with self._database.read() as connection:
            return connection.execute(sa.select(mail_outcomes).order_by(mail_outcomes.c.at).limit(PAGE)).all()

    def _suppressions(self, rows: Sequence[Any]) -> list[Request]:
        """Return the commands that suppress what a server said to be no address; one that was changed may be good."""
        hard = [row for row in rows if row.outcome == Outcome.REFUSED and row.reason in HARD]
        people = load_all(self._engine.log, {row.supporter for row in hard}) if hard else {}
        return [_suppress(row) for row in hard if _is_still_at(people.get(row.supporter), row.subject_version)]


def _record(row: Any) -> Request:  # noqa: ANN401 - a row of mail_outcomes
    command = Record(
        mail=str(alias(row.mail)),
        supporter=str(row.supporter),
        kind=row.kind,
        period=row.period,
        outcome=Outcome(row.outcome),
        reason=row.reason,
        due_at=row.due_at,
        from_position=row.from_position,
        to_position=row.to_position,
        attempt=row.attempt,
    )
    return _request(command, row, f"{_key(row)}:{row.outcome}:{row.attempt}")


def _suppress(row: Any) -> Request:  # noqa: ANN401
    command = SuppressMail(supporter=str(row.supporter), cause=Undeliverable.HARD_BOUNCE)
    return _request(command, row, f"{_key(row)}:suppress")


def _request(command: Record | SuppressMail, row: Any, key: str) -> Request:  # noqa: ANN401
    return own_request(command, Context(actor=SENDER, at=row.at, command_id=key, correlation_id=_key(row)))


def _key(row: Any) -> str:  # noqa: ANN401
    return f"mail:{alias(row.mail)}"


def _is_still_at(person: Recipient | Exception | None, version: int | None) -> bool:
    return isinstance(person, Recipient) and not person.erased and person.email_version == version


def _is_settled(answer: Answer) -> bool:
    """Tell whether nothing is left to be done: what is refused once is refused for good, our own faults may pass."""
    if answer.error is None:
        return True
    log.error("The history does not take the outcome %s: %s", answer.id, answer.error)
    return not isinstance(answer.error, InternalError)
