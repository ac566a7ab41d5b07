"""Reacts to what happens with mails: starts at the head of the history, is never rebuilt, and only writes the outbox.

A person who came by the public pledge form is asked to confirm the address, and one who gets no digests whether they
shall come, where that is wanted on such a form: an address at most once a day, and a few times a month, however many
persons give it. What was recorded or happened long ago (an import, a restored archive) is
nothing to mail about.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.kernel import Actor, Unset
from domain.pledges import Pledge
from domain.slices import Fact
from domain.supporters import Supporter
from history.reading import Log
from history.tables import events
from notifications import outbox
from notifications.outbox import Kind, Planned
from notifications.recipients import Recipient, load_all
from notifications.tables import mail_reactors
from notifications.tables import outbox as table

log = logging.getLogger(__name__)

NAME: Final = "confirmations"
FORM: Final = "pledge-form"
PUBLIC: Final = Actor("supporter", "public")
PAGE: Final = 1_000
FRESH: Final = timedelta(days=2)
DAY: Final = timedelta(days=1)
MONTH: Final = timedelta(days=30)
MOST_A_MONTH: Final = 5
"""How many mails within thirty days may ask those who give an address to confirm one, this or an earlier of theirs."""

ASKING: Final = (
    Supporter.Registered,
    Supporter.Amended,
    Supporter.ConsentRecorded,
    Supporter.DigestRequested,
    Pledge.Made,
    Pledge.Renewed,
)
TOPICS: Final = tuple(event.TOPIC for event in ASKING)

Asked = tuple[Planned, str]
"""A mail, and the address that it goes to."""


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
            planned += self._write(position, reached, self._asked(facts, now), now, host)

    def _write(self, position: int, reached: int, asked: Sequence[Asked], now: datetime, host: str) -> int:
        """Put the mails into the outbox and move on in the history, in one transaction."""
        with self._database.write() as connection:
            here = mail_reactors.c.name == NAME, mail_reactors.c.position == position
            if connection.execute(mail_reactors.update().where(*here).values(position=reached)).rowcount != 1:
                return 0  # another process was quicker
            return sum(
                outbox.plan(connection, [mail], now, host)
                for mail, address in asked
                if not self._too_often(connection, address, now)
            )

    def _too_often(self, connection: Connection, address: str, now: datetime) -> bool:
        """Tell whether those who give the address were mailed to as often as they may be."""
        people = load_all(self._log, self._log.persons.find(connection, address))
        mine = (
            table.c.supporter.in_(people),
            table.c.kind == str(Kind.CONFIRM),
            table.c.planned_at.between(now - MONTH, now + DAY),
        )
        rows = connection.execute(
            sa.select(table.c.supporter, table.c.subject_version, table.c.planned_at).where(*mine)
        )
        for times, row in enumerate(rows, start=1):
            person = people[row.supporter]
            same = isinstance(person, Recipient) and person.email_version == row.subject_version
            if times >= MOST_A_MONTH or (same and row.planned_at > now - DAY):
                return True
        return False

    def _asked(self, facts: Sequence[Fact], now: datetime) -> list[Asked]:
        """Return the mails that the facts ask for, with the address of each."""
        asking = [fact for fact in facts if fact.event.person and _fresh(fact, now) and _may_ask(fact)]
        people = load_all(self._log, {fact.event.person for fact in asking if fact.event.person}) if asking else {}
        asked = []
        for fact in asking:
            person = people.get(fact.event.person) if fact.event.person else None
            if isinstance(person, Exception):
                log.error("The supporter %s cannot be read: %s", fact.event.person, person)
            elif person is not None and person.email is not None and _to_confirm(person, fact):
                period, due_at = f"{fact.occurred_at.date()}:{person.email_version}", min(fact.occurred_at, now)
                mail = Planned(Kind.CONFIRM, person.supporter, period, due_at, person.email_version)
                asked.append((mail, person.email))
        return asked


def _fresh(fact: Fact, now: datetime) -> bool:
    return abs(now - fact.occurred_at) < FRESH  # recorded times may be ahead for years where a clock was wrong once


def _may_ask(fact: Fact) -> bool:
    """Tell whether a fact may ask for a confirmation, by what it says itself."""
    match fact.event:
        case Supporter.Registered(source=source):
            return source == FORM
        case Supporter.Amended(email=email):
            return email is not None and not isinstance(email, Unset)
        case Supporter.DigestRequested():
            return True
        case _:
            return fact.actor == PUBLIC


def _to_confirm(person: Recipient, fact: Fact) -> bool:
    if person.suppressed or person.erased:
        return False
    if isinstance(fact.event, Supporter.DigestRequested):
        declined = person.declined_at is not None and fact.occurred_at - person.declined_at < MONTH
        return not declined and not (person.email_confirmed and person.consented)
    by_form = person.source == FORM or not isinstance(fact.event, Supporter.Registered | Supporter.Amended)
    return by_form and not person.email_confirmed
