"""Messages as they are sent, frozen: sealed under the person's key, and kept for a while apart from the outbox.

A row of the outbox changes several times, and is counted often; a message never changes, and is large.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.kernel import Erased, Sealed
from history.persons import Persons, associated, open_box, seal
from history.statements import Shape, delete_among, select_among, upsert, uuid_of
from notifications.tables import mail_messages, outbox

KEPT: Final = timedelta(days=30)
"""How long a message is kept."""
FIELD: Final = "mime"

_SEALED: Final = "SELECT mail, sealed FROM mail_messages"
_KNOWN: Final = "SELECT mail FROM mail_messages"
_KEEP: Final = Shape(sets=("sealed", "at"))


def sealed(key: bytes, mail: UUID, message: bytes) -> str:
    """Return the message of a row of the outbox sealed under its person's key."""
    return seal(key, message.decode(), associated(mail, 0, FIELD))


def keep(connection: Connection, made: Mapping[UUID, str], now: datetime) -> None:
    """Keep sealed messages by the ids of their rows, each instead of an older one; there must be at least one."""
    rows = [(mail, box, now) for mail, box in made.items()]
    upsert(mail_messages, _KEEP, connection.dialect).execute(connection, rows)


def opened(connection: Connection, persons: Persons, rows: Sequence[Any]) -> dict[UUID, bytes]:
    """Return the messages of rows of the outbox that are kept and can be read; of the erased there is none."""
    found = select_among(connection, _SEALED, mail_messages.c.mail, [row.id for row in rows])
    boxes = {uuid_of(mail): box for mail, box in found}
    keys = persons.keys(connection, {row.supporter for row in rows if row.id in boxes})
    texts = ((row.id, _opened(row, boxes[row.id], keys)) for row in rows if row.id in boxes)
    return {mail: text.encode() for mail, text in texts if isinstance(text, str)}


def _opened(row: Any, box: str, keys: Mapping[UUID, bytes]) -> str | Erased | None:  # noqa: ANN401 - of the outbox
    """Return a kept message; None where it is damaged, so that it is made anew."""
    try:
        return open_box(Sealed(row.supporter, row.id, 0, FIELD, box), keys)
    except ValueError:
        return None


def known(connection: Connection, mails: Collection[UUID]) -> set[UUID]:
    """Return those of the mails whose message is kept."""
    return {uuid_of(row[0]) for row in select_among(connection, _KNOWN, mail_messages.c.mail, mails)}


def drop(connection: Connection, mails: Collection[UUID]) -> None:
    """Keep the messages of mails no longer."""
    delete_among(connection, mail_messages, mail_messages.c.mail, mails)


def forget(connection: Connection, supporter: UUID) -> int:
    """Keep no message to a person any longer; return how many there were."""
    own = sa.select(outbox.c.id).where(outbox.c.supporter == supporter)
    return connection.execute(mail_messages.delete().where(mail_messages.c.mail.in_(own))).rowcount


def purge(connection: Connection, now: datetime) -> None:
    """Drop what was kept long enough."""
    connection.execute(mail_messages.delete().where(mail_messages.c.at < now - KEPT))
