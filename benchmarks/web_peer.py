"""The peer of benchmarks/web.py: pledges as rows, with FastAPI and SQLAlchemy, and no history.

Written as one would write it without event sourcing: sync endpoints, one transaction per request, unique constraints,
as few statements as the checks allow. It checks what ours checks: token and role, rate limits, form, address, campaign
launched, ask known, supporter known or new, one pledge per supporter and ask, the same idempotency key once.
"""

import hashlib
import os
import socket
import sys
from typing import Annotated, Any
from uuid import UUID, uuid4

import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI, Header, HTTPException, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import Column, Connection, ForeignKey, MetaData, Table, Text, UniqueConstraint, Uuid
from sqlalchemy.dialects.postgresql import insert

from api.limits import Limiter, TooMany
from domain.addresses import check_email

metadata = MetaData()
moment = sa.DateTime(timezone=True)

tokens = Table(
    "tokens",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("revoked_at", moment),
)
campaigns = Table(
    "campaigns",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("reference", Text, unique=True, nullable=False),
    Column("state", Text, nullable=False),
)
asks = Table(
    "asks",
    metadata,
    Column("campaign", Uuid, ForeignKey(campaigns.c.id), primary_key=True),
    Column("ask", Text, primary_key=True),
    Column("statement", Text, nullable=False),
)
supporters = Table(
    "supporters",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("reference", Text, unique=True),
    Column("email", Text, unique=True),
    Column("name", Text),
    Column("locale", Text),
    Column("time_zone", Text),
    Column("source", Text),
    Column("erased_at", moment),
    Column("created_at", moment, server_default=sa.func.now(), nullable=False),
)
pledges = Table(
    "pledges",
    metadata,
    Column("position", sa.BigInteger, sa.Identity(), primary_key=True),
    Column("campaign", Uuid, nullable=False),
    Column("ask", Text, nullable=False),
    Column("supporter", Uuid, ForeignKey(supporters.c.id), nullable=False),
    Column("referral", Text),
    Column("note", Text),
    Column("state", Text, nullable=False),
    Column("made_at", moment, server_default=sa.func.now(), nullable=False),
    Column("made_by", Text, nullable=False),
    Column("request_key", Text, unique=True, nullable=False),
    Column("request_digest", Text, nullable=False),
    UniqueConstraint("campaign", "ask", "supporter"),
    sa.ForeignKeyConstraint(["campaign", "ask"], [asks.c.campaign, asks.c.ask]),
)

app = FastAPI()
engine = sa.create_engine(os.environ.get("PEER_URL", "postgresql+psycopg://"), pool_size=10, max_overflow=10)
per_address, per_client = Limiter(10, 600), Limiter(300, 600)


class Promise(BaseModel):
    """What every pledge says."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ask: str = Field(min_length=1, max_length=200)
    referral: str | None = Field(None, max_length=300)
    note: str | None = Field(None, max_length=10_000)


class Form(Promise):
    """The public pledge form."""

    email: str = Field(max_length=300)
    name: str | None = Field(None, max_length=300)
    locale: str | None = Field(None, max_length=300)
    time_zone: str | None = Field(None, max_length=300)


class Make(Promise):
    """A pledge of a supporter who is known."""

    campaign: str = Field(min_length=1, max_length=200)
    supporter: str = Field(min_length=1, max_length=200)


class Command(BaseModel):
    """A command as interfaces.md writes it, of the one kind that this program knows."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1, max_length=200)
    command: str
    at: AwareDatetime | None = None
    data: Make


@app.post("/api/v1/campaigns/{campaign}/pledges", status_code=202)
def post_pledge(
    campaign: str, form: Form, request: Request, idempotency_key: Annotated[str, Header(max_length=200)]
) -> dict[str, Any]:
    """Find the supporter by address or make one, and insert the pledge."""
    try:
        per_client.take(request.client.host if request.client else "")
        email = check_email(form.email)
        per_address.take(email)
    except TooMany as error:
        raise HTTPException(429) from error
    with engine.begin() as connection:
        found = find_ask(connection, campaign, form.ask)
        person = supporter_of(connection, email, form)
        position = pledge(connection, found, person, form, made_by="public", key=idempotency_key)
    return {"status": "received", "message": "Thank you.", "position": position}


@app.post("/api/v1/commands", status_code=201)
def post_command(command: Command, authorization: Annotated[str, Header()]) -> dict[str, Any]:
    """Insert the pledge of a supporter who is known."""
    with engine.begin() as connection:
        caller = find_caller(connection, authorization)
        found = find_ask(connection, command.data.campaign, command.data.ask)
        query = sa.select(supporters.c.id, supporters.c.erased_at)
        person = connection.execute(query.where(supporters.c.reference == command.data.supporter)).first()
        if person is None or person.erased_at is not None:
            raise HTTPException(404)
        position = pledge(connection, found, person.id, command.data, made_by=caller, key=command.id)
    return {"id": command.id, "status": "accepted", "positions": [position], "position": position}


def find_caller(connection: Connection, authorization: str) -> str:
    """Return who asks, by token."""
    digest = hashlib.sha256(authorization.removeprefix("Bearer ").encode()).hexdigest()
    query = sa.select(tokens.c.name, tokens.c.role).where(tokens.c.digest == digest, tokens.c.revoked_at.is_(None))
    row = connection.execute(query).first()
    if row is None:
        raise HTTPException(401)
    if row.role not in {"manager", "supporter"}:
        raise HTTPException(403)
    name: str = row.name
    return name


def find_ask(connection: Connection, campaign: str, ask: str) -> UUID:
    """Return the campaign's id, if it is launched and has the ask."""
    mine = sa.and_(asks.c.campaign == campaigns.c.id, asks.c.ask == ask)
    query = sa.select(campaigns.c.id, campaigns.c.state, asks.c.ask).outerjoin_from(campaigns, asks, mine)
    row = connection.execute(query.where(campaigns.c.reference == campaign)).first()
    if row is None or row.ask is None:
        raise HTTPException(404)
    if row.state != "launched":
        raise HTTPException(409)
    key: UUID = row.id
    return key


def supporter_of(connection: Connection, email: str, form: Form) -> UUID:
    """Return the supporter of this address, a new one where it is new."""
    particulars = {"name": form.name, "locale": form.locale, "time_zone": form.time_zone, "source": "pledge-form"}
    made = insert(supporters).values(id=uuid4(), email=email, **particulars).on_conflict_do_nothing()
    key: UUID | None = connection.scalar(made.returning(supporters.c.id))
    return key or connection.scalars(sa.select(supporters.c.id).where(supporters.c.email == email)).one()


def pledge(connection: Connection, campaign: UUID, supporter: UUID, said: Promise, *, made_by: str, key: str) -> int:
    """Insert the pledge and return its position; that of the first time where the same request comes again."""
    digest = hashlib.sha256(f"{campaign}{supporter}{said.model_dump_json()}".encode()).hexdigest()
    values = {"campaign": campaign, "ask": said.ask, "supporter": supporter, "referral": said.referral}
    values |= {"note": said.note, "state": "active", "made_by": made_by, "request_key": key, "request_digest": digest}
    made = insert(pledges).values(values).on_conflict_do_nothing().returning(pledges.c.position)
    position: int | None = connection.scalar(made)
    if position is None:
        same = sa.and_(pledges.c.request_key == key, pledges.c.request_digest == digest)
        position = connection.scalar(sa.select(pledges.c.position).where(same))
    if position is None:
        raise HTTPException(409)
    return position


if __name__ == "__main__":
    # Served as `groundswell serve` serves, see api/cli/serving.py.
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        sys.stdout.write(f"The peer is at http://127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        config = uvicorn.Config(app, log_config=None, log_level="warning", access_log=False, server_header=False)
        uvicorn.Server(config).run(sockets=[listener])
