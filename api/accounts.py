"""Who may do what: roles, API tokens, one-time sign-in links and the sessions they open.

Tokens, links and sessions are random; only their SHA-256 is stored, so the store does not give them away.
"""

import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Column, Table, Text

from domain.addresses import check_email
from domain.kernel import Actor, GroundswellError, Unknown, now
from history.database import Database
from history.tables import Moment, metadata

LINK_VALID: Final = timedelta(minutes=30)
SESSION_VALID: Final = timedelta(days=7)
SEEN_SECONDS: Final = 1.0
"""A token that another process revokes is good for so long in this one."""
MOST_SEEN: Final = 1_000


class Role(StrEnum):
    """What a person or a program is to the movement."""

    MANAGER = "manager"
    ADVOCATE = "advocate"
    SUPPORTER = "supporter"
    AUDITOR = "auditor"


ALLOWED: Final[dict[Role, tuple[str, ...]]] = {
    Role.MANAGER: ("",),
    Role.ADVOCATE: (
        "actions.log",
        "actions.retract",
        "actions.record_response",
        "officials.",
        "policies.record_position",
        "policies.add_target",
        "recognitions.nominate",
        "recognitions.endorse",
    ),
    Role.SUPPORTER: ("pledges.", "supporters.", "recognitions.nominate", "recognitions.endorse"),
    Role.AUDITOR: (),
}
"""Beginnings of the names of the commands that a role may give."""

MANAGERS_ONLY: Final = frozenset({"supporters.erase", "supporters.confirm_email", "supporters.suppress_mail"})
"""What cannot be taken back, and what says of an address that mail may go to it or not: no role is bound to one person,
who could say so."""

tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("revoked_at", Moment),
)

signin_links = Table(
    "signin_links",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("email", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("used_at", Moment),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("email", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("expires_at", Moment, nullable=False),
)


class Forbidden(GroundswellError):
    """The caller is known, and may not do this."""


class Unauthenticated(GroundswellError):
    """The caller did not say who it is, or not credibly."""


@dataclass(frozen=True)
class Caller:
    """Who asks: a role, and the actor that is recorded with what they do."""

    role: Role
    actor: Actor

    @property
    def is_staff(self) -> bool:
        """Whether the caller may see what concerns single supporters."""
        return self.role in {Role.MANAGER, Role.AUDITOR}

    @property
    def sees_personal(self) -> bool:
        """Whether the caller may see names and addresses."""
        return self.role is Role.MANAGER

    def need(self, command: str) -> None:
        """Raise Forbidden where the role may not give the command."""
        kept_back = command in MANAGERS_ONLY and self.role is not Role.MANAGER
        if kept_back or not command.startswith(ALLOWED[self.role]):
            raise Forbidden("auth.forbidden", f"The role {self.role} may not give the command {command}.")

    def need_staff(self) -> None:
        """Raise Forbidden where the caller is neither campaign manager nor auditor."""
        if not self.is_staff:
            raise Forbidden("auth.forbidden", "Only campaign managers and auditors may see this.")


@dataclass(frozen=True)
class Token:
    """An API token as it is listed: never with its secret."""

    id: str
    name: str
    role: Role
    created_at: datetime
    revoked_at: datetime | None


def digest(secret: str) -> str:
    """Return what is stored of a secret; it is random, so no salt or stretching is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Accounts:
    """Tokens, sign-in links and sessions of one store."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._seen: dict[str, tuple[float, Caller]] = {}

    def create_token(self, name: str, role: Role) -> tuple[Token, str]:
        """Return (the token, its secret, which is shown once)."""
        secret = f"gs_{secrets.token_urlsafe(32)}"
        token = Token(secrets.token_hex(4), name, role, now(), None)
        with self.database.write() as connection:
            values = {"id": token.id, "name": name, "role": str(role), "created_at": token.created_at}
            connection.execute(tokens.insert().values(digest=digest(secret), **values))
        return token, secret

    def tokens(self) -> list[Token]:
        """Return all tokens, revoked ones included, oldest first."""
        with self.database.read() as connection:
            rows = connection.execute(sa.select(tokens).order_by(tokens.c.created_at, tokens.c.id))
            return [Token(r.id, r.name, Role(r.role), r.created_at, r.revoked_at) for r in rows]

    def revoke_token(self, token_id: str) -> None:
        """End a token; raise Unknown where there is none that is still good."""
        with self.database.write() as connection:
            good = sa.and_(tokens.c.id == token_id, tokens.c.revoked_at.is_(None))
            if not connection.execute(tokens.update().where(good).values(revoked_at=now())).rowcount:
                raise Unknown("token.unknown", f"There is no token {token_id} to revoke.")
        self._seen.clear()

    def seen(self, secret: str) -> Caller | None:
        """Return who the token belonged to when it was looked up a moment ago; None where it has to be looked up."""
        until, caller = self._seen.get(digest(secret), (0.0, None))
        return caller if time.monotonic() < until else None

    def bearer(self, secret: str) -> Caller:
        """Return who the token belongs to; raise Unauthenticated."""
        until = time.monotonic() + SEEN_SECONDS
        with self.database.read() as connection:
            query = sa.select(tokens).where(tokens.c.digest == digest(secret), tokens.c.revoked_at.is_(None))
            row = connection.execute(query).first()
        if row is None:
            raise Unauthenticated("auth.token_unknown", "This token is not known, or was revoked.")
        if len(self._seen) >= MOST_SEEN:
            self._seen.clear()
        caller = Caller(Role(row.role), Actor("api", row.name))
        self._seen[digest(secret)] = until, caller
        return caller

    def create_link(self, email: str, role: Role) -> str:
        """Return the secret of a one-time sign-in link, good for half an hour."""
        secret = secrets.token_urlsafe(32)
        moment = now()
        values = {"email": check_email(email), "role": str(role), "expires_at": moment + LINK_VALID}
        with self.database.write() as connection:
            for ended in (signin_links, sessions):  # addresses are not kept for longer than they serve
                connection.execute(ended.delete().where(ended.c.expires_at < moment))
            connection.execute(signin_links.insert().values(digest=digest(secret), **values))
        return secret

    def sign_in(self, link_secret: str) -> str:
        """Use up a sign-in link and return the secret of a new session; raise Unauthenticated."""
        moment = now()
        with self.database.write() as connection:
            mine = signin_links.c.digest == digest(link_secret)
            good = sa.and_(mine, signin_links.c.used_at.is_(None), signin_links.c.expires_at > moment)
            if not connection.execute(signin_links.update().where(good).values(used_at=moment)).rowcount:
                raise Unauthenticated("auth.link_used", "This sign-in link was used or has expired; ask for a new one.")
            row: Any = connection.execute(sa.select(signin_links).where(mine)).one()
            secret = secrets.token_urlsafe(32)
            values = {"email": row.email, "role": row.role, "expires_at": moment + SESSION_VALID}
            connection.execute(sessions.insert().values(digest=digest(secret), **values))
        return secret

    def session(self, secret: str) -> Caller | None:
        """Return who the session belongs to, or None where it is unknown or has expired."""
        with self.database.read() as connection:
            query = sa.select(sessions).where(sessions.c.digest == digest(secret), sessions.c.expires_at > now())
            row = connection.execute(query).first()
        return Caller(Role(row.role), Actor("staff", row.email)) if row else None

    def sign_out(self, secret: str) -> None:
        """End a session."""
        with self.database.write() as connection:
            connection.execute(sessions.delete().where(sessions.c.digest == digest(secret)))


def roles() -> Sequence[str]:
    """Return the names of all roles."""
    return [str(role) for role in Role]
