"""Shows a mail in a browser as it was sent: the frozen message, with its pictures inside the page."""

import base64
import re
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage, MIMEPart
from email.policy import default
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from history.persons import Persons
from notifications import messages
from notifications.tables import mail_messages
from notifications.tables import outbox as table

_CID: Final = re.compile(r'src="cid:([^"]+)"')


@dataclass(frozen=True)
class Opened:
    """What a message says, taken apart: its headers in their order, its text, and its HTML that needs nothing else."""

    headers: tuple[tuple[str, str], ...]
    html: str
    text: str
    size: int
    """Bytes of the message as it goes over the wire."""


def frozen(connection: Connection, persons: Persons, mail: UUID, now: datetime) -> bytes | None:
    """Return the message of a place in the outbox; None where it was kept long enough, or its person was erased."""
    query = sa.select(table).join(mail_messages, mail_messages.c.mail == table.c.id)
    row = connection.execute(query.where(table.c.id == mail, mail_messages.c.at > now - messages.KEPT)).first()
    return None if row is None else messages.opened(connection, persons, [row]).get(mail)


def opened(message: bytes) -> Opened:
    """Take a message of ours apart."""
    parsed = message_from_bytes(message, policy=default)
    assert isinstance(parsed, EmailMessage)  # noqa: S101 - what this policy makes
    html, text = parsed.get_body(("html",)), parsed.get_body(("plain",))
    headers = tuple((name, str(value)) for name, value in parsed.items())
    return Opened(headers, _content(html, _pictures(parsed)), _content(text, {}), len(message))


def _content(part: MIMEPart | None, pictures: dict[str, str]) -> str:
    said = "" if part is None else str(part.get_content()).replace("\r\n", "\n")
    return _CID.sub(lambda found: f'src="{pictures.get(found[1], "data:,")}"', said)


def _pictures(message: EmailMessage) -> dict[str, str]:
    """Return the pictures of a message by their content ids, as addresses that hold them (RFC 2397)."""
    found = {}
    for part in message.walk():
        if part.get_content_type() == "image/png" and (cid := part["Content-ID"]):
            png = part.get_payload(decode=True)
            assert isinstance(png, bytes)  # noqa: S101 - a picture has no parts
            found[cid.strip("<> ")] = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return found
