"""Tells the history what became of mails: what the outbox keeps of it is deleted when the history has it.

The id of each command derives from the mail, the outcome and the attempt, so a reporter that is killed in between, or
several at once, tell nothing twice.
"""

import logging
from collections.abc import Sequence
from typing import Any, Final, TypeGuard

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
CHANGED: Final = "command.precondition_failed"
SENDER: Final = Actor("system", "sender")
SAME: Final = ("kind", "period", "reason", "due_at", "from_position", "to_position", "attempt")
"""What the history is told as it stands in the row."""


class Reporter:
    """Brings outcomes into the history, and suppresses the addresses that are none."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._database = engine, engine.database

    def report(self) -> int:
        """Report all that is to be reported; return how many outcomes that were."""
        reported = 0
        while rows := self._page():
            records, suppressions = [_record(row) for row in rows], self._suppressions(rows)
            answers = self._engine.write([*records, *suppressions.values()])
            mails, addresses = answers[: len(rows)], answers[len(rows) :]
            left = {place for place, answer in enumerate(mails) if not _is_taken(answer)}
            left |= {place for place, answer in zip(suppressions, addresses, strict=True) if not _is_settled(answer)}
            done = [row for place, row in enumerate(rows) if place not in left]
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

    def _suppressions(self, rows: Sequence[Any]) -> dict[int, Request]:
        """Return, by the place of their rows, the commands that suppress what a server said to be no address.

        One that was changed may be good.
        """
        hard = {place: row for place, row in enumerate(rows) if row.outcome == Outcome.REFUSED and row.reason in HARD}
        people = load_all(self._engine.log, {row.supporter for row in hard.values()}) if hard else {}
        found = ((place, row, people.get(row.supporter)) for place, row in hard.items())
        return {place: _suppress(row, person) for place, row, person in found if _is_still_at(person, row)}


def _record(row: Any) -> Request:  # noqa: ANN401 - a row of mail_outcomes
    command = Record(
        mail=str(alias(row.mail)),
        supporter=str(row.supporter),
        outcome=Outcome(row.outcome),
        **{name: getattr(row, name) for name in SAME},
    )
    return _request(command, row, f"{_key(row)}:{row.outcome}:{row.attempt}")


def _suppress(row: Any, person: Recipient) -> Request:  # noqa: ANN401
    command = SuppressMail(supporter=str(row.supporter), cause=Undeliverable.HARD_BOUNCE)
    request = _request(command, row, f"{_key(row)}:suppress")
    request.if_match = person.version  # the address must still be the one that was mailed
    return request


def _request(command: Record | SuppressMail, row: Any, key: str) -> Request:  # noqa: ANN401
    return own_request(command, Context(actor=SENDER, at=row.at, command_id=key, correlation_id=_key(row)))


def _key(row: Any) -> str:  # noqa: ANN401
    return f"mail:{alias(row.mail)}"


def _is_still_at(person: Recipient | Exception | None, row: Any) -> TypeGuard[Recipient]:  # noqa: ANN401
    return isinstance(person, Recipient) and not person.erased and person.email_version == row.subject_version


def _is_taken(answer: Answer) -> bool:
    if answer.error is not None:
        log.error("The history does not take the outcome %s: %s", answer.id, answer.error)
    return _is_settled(answer)


def _is_settled(answer: Answer) -> bool:
    """Tell whether nothing is left to be done: a refusal stands, unless only because the person changed meanwhile.

    Our own faults may pass.
    """
    error = answer.error
    return error is None or not (isinstance(error, InternalError) or error.code == CHANGED)
