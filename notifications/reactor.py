"""Reacts to what happens with mails: starts at the head of the history, is never rebuilt, and only writes the outbox.

A person who came by the public pledge form is asked to confirm the address, at most once a day. What was recorded or
happened long ago (an import, a restored archive) is nothing to mail about.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.kernel import Actor
from domain.pledges import Pledge
from domain.slices import Fact
from domain.supporters import Supporter
from history.reading import Log
from history.tables import events
from notifications import outbox
from notifications.outbox import Kind, Planned
from notifications.recipients import Recipient, load
from notifications.tables import mail_reactors

NAME: Final = "confirmations"
FORM: Final = "pledge-form"
PUBLIC: Final = Actor("supporter", "public")
PAGE: Final = 1_000
FRESH: Final = timedelta(days=2)
TOPICS: Final = tuple(event.TOPIC for event in (Supporter.Registered, Supporter.Amended, Pledge.Made, Pledge.Renewed))


class MailReactor:
    """The one reactor of the mails."""

    def __init__(self, log: Log) -> None:
        self._log, self._database = log, log.database
        self._begin()

    def _begin(self) -> None:
        with self._database.read() as connection:
            known = self._position(connection)
        if known is None:
            with self._database.append() as connection:
                if self._position(connection) is None:
                    head = connection.scalar(sa.select(sa.func.max(events.c.position))) or 0
                    connection.execute(mail_reactors.insert().values(name=NAME, position=head))

    @staticmethod
    def _position(connection: Connection) -> int | None:
        query = sa.select(mail_reactors.c.position).where(mail_reactors.c.name == NAME)
        found: int | None = connection.scalar(query)
        return found

    def react(self, now: datetime, host: str) -> int:
        """Take in all that is new; return how many mails were planned."""
        planned = 0
        while True:
            with self._database.read() as connection:
                position = self._position(connection) or 0
                head = connection.scalar(sa.select(sa.func.max(events.c.position))) or 0
            if head <= position:
                return planned
            facts = self._log.facts(position, PAGE, events.c.topic.in_(TOPICS), events.c.position <= head)
            reached = facts[-1].position if len(facts) == PAGE else head
            mails = [mail for fact in facts if (mail := self._mail(fact, now))]
            planned += self._write(position, reached, mails, now, host)

    def _write(self, position: int, reached: int, mails: Sequence[Planned], now: datetime, host: str) -> int:
        """Put the mails into the outbox and move on in the history, in one transaction."""
        with self._database.write() as connection:
            here = mail_reactors.c.name == NAME, mail_reactors.c.position == position
            if connection.execute(mail_reactors.update().where(*here).values(position=reached)).rowcount != 1:
                return 0  # another process was quicker
            return outbox.plan(connection, mails, now, host)

    def _mail(self, fact: Fact, now: datetime) -> Planned | None:
        if not _fresh(fact, now):
            return None
        if isinstance(fact.event, Pledge.Event) and fact.actor != PUBLIC:
            return None
        if isinstance(fact.event, Supporter.Amended) and fact.event.email is None:
            return None
        person = load(self._log, fact.event.person) if fact.event.person else None
        if person is None or not _to_confirm(person, fact):
            return None
        period = f"{fact.recorded_at.date()}:{person.email_version}"
        return Planned(Kind.CONFIRM, person.supporter, period, fact.recorded_at, person.email_version)


def _fresh(fact: Fact, now: datetime) -> bool:
    return fact.recorded_at - fact.occurred_at < FRESH and now - fact.recorded_at < FRESH


def _to_confirm(person: Recipient, fact: Fact) -> bool:
    by_form = person.source == FORM or isinstance(fact.event, Pledge.Event)
    return by_form and person.email is not None and not person.email_confirmed and not person.erased
