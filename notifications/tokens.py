"""The tokens that links in mails carry: 192 random bits, kept only as their SHA-256."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from history.statements import insert_rows
from notifications.tables import mail_tokens

LONGEST: Final = 200
"""No token of ours is longer; what is, need not be looked up."""


class Purpose(StrEnum):
    """What a link is for."""

    CONFIRM = "confirm"
    """To confirm an address."""
    MAIL = "mail"
    """For everything else that the links of one mail do: unsubscribe, preferences, receipts, view in the browser."""
    PREFERENCES = "preferences"
    """To choose how digests come before a first one has: what follows on the confirmation of an address."""


LASTS: Final = {
    Purpose.CONFIRM: timedelta(days=14),
    Purpose.MAIL: timedelta(days=400),
    Purpose.PREFERENCES: timedelta(days=1),
}

CHOOSING: Final = (Purpose.MAIL, Purpose.PREFERENCES)
"""What the page of preferences, and the button that stops digests, are opened by."""


@dataclass(frozen=True)
class Token:
    """What a link stands for."""

    purpose: Purpose
    supporter: UUID
    subject_version: int | None = None
    """The version of the supporter's stream that set the address the link was mailed to."""
    mail: UUID | None = None
    """The place in the outbox of the mail that carries the link."""


def digest(secret: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(secret.encode()).digest()


def new() -> str:
    """Make a token's secret."""
    return secrets.token_urlsafe(24)


def keep(connection: Connection, made: Mapping[str, Token], now: datetime) -> None:
    """Make secrets good for their purposes from now on; they cannot be read again. There must be at least one."""
    rows = [
        {
            "hash": digest(secret),
            "purpose": str(token.purpose),
            "supporter": token.supporter,
            "subject_version": token.subject_version,
            "mail": token.mail,
            "expires_at": now + LASTS[token.purpose],
        }
        for secret, token in made.items()
    ]
    insert_rows(connection, mail_tokens, rows)


def find(connection: Connection, purpose: Purpose, secret: str, now: datetime) -> Token | None:
    """Return what a secret stands for; None where it is unknown, for something else, or expired."""
    if len(secret) > LONGEST:
        return None
    query = sa.select(mail_tokens).where(
        mail_tokens.c.hash == digest(secret), mail_tokens.c.purpose == str(purpose), mail_tokens.c.expires_at > now
    )
    row = connection.execute(query).first()
    return Token(purpose, row.supporter, row.subject_version, row.mail) if row else None


def purge(connection: Connection, now: datetime) -> None:
    """Delete what has expired."""
    connection.execute(mail_tokens.delete().where(mail_tokens.c.expires_at < now))
