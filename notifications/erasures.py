"""What an erasure leaves to do outside the log: mails that wait, what lies in files, and what deleted rows left behind.

It is done as soon as it can be and until nothing is left, by whichever process comes to it first; once more changes
nothing. What was destroyed is counted beside the erasure.
"""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from history.database import Database
from history.tables import erasures, person_index, person_keys
from notifications import outbox, previewing
from notifications.mailer import Mailer
from notifications.outbox import State
from notifications.tables import digest_ranges, mail_messages, mail_tokens
from notifications.tables import outbox as outbox_table

PAGE: Final = 100
SCRUBBED: Final = tuple(
    table.name
    for table in (person_keys, person_index, outbox_table, mail_messages, mail_tokens, digest_ranges, erasures)
)


class Erasures:
    """Purges every copy of erased persons' data that the store keeps."""

    def __init__(self, database: Database, mailer: Mailer) -> None:
        self._database, self._mailer = database, mailer

    def run(self, now: datetime) -> int:
        """Purge what there is to purge; return for how many persons something is still to be done."""
        while rows := self._unfinished():
            done = [row.person_id for row in rows if self._purge(row.person_id, now)]
            if not done or not self._database.scrub(SCRUBBED):
                return len(rows)
            with self._database.write() as connection:
                mine = erasures.c.person_id.in_(done)
                connection.execute(erasures.update().where(mine).values(purged_at=now))
            if len(done) < len(rows):
                return len(rows) - len(done)
        return 0

    def _unfinished(self) -> Sequence[Any]:
        query = sa.select(erasures.c.person_id).where(erasures.c.purged_at.is_(None))
        with self._database.read() as connection:
            return connection.execute(query.order_by(erasures.c.position).limit(PAGE)).all()

    def _purge(self, person: UUID, now: datetime) -> bool:
        """Purge one person's mails; False where one is just going out, after which its file must be looked for."""
        with self._database.write() as connection:
            _count(connection, person, outbox.forget(connection, person, now))
            mails = outbox.of_person(connection, person)
        if files := self._mailer.forget({previewing.name(person), *(outbox.name(mail) for mail in mails)}):
            with self._database.write() as connection:
                _count(connection, person, {"mail_files": len(files)})
        return all(mail.state != State.TRANSMITTING for mail in mails)


def _count(connection: Connection, person: UUID, gone: dict[str, int]) -> None:
    """Add to what was destroyed of a person."""
    mine = erasures.c.person_id == person
    kept = connection.scalar(sa.select(erasures.c.destroyed).where(mine).with_for_update())
    counts = Counter(json.loads(kept or "{}"))
    counts.update(gone)
    connection.execute(erasures.update().where(mine).values(destroyed=json.dumps(counts)))
