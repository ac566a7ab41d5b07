"""The history over HTTP: its events."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from api.bootstrap import Groundswell
from api.common import (
    LONGEST_NUMBER,
    LONGEST_POINT,
    PAGE_SIZE,
    Cursor,
    Limit,
    MaybeCaller,
    Named,
    Point,
    Stale,
    Store,
    cursor_position,
    next_cursor,
    read_recorded,
)
from api.openapi import answers
from domain.kernel import UNSET, Actor, Erased, GroundswellError, Invalid, Sealed, fields_of, identify
from domain.slices import Fact
from history.codec import plain
from history.persons import open_box
from history.tables import events
from projections.past import happened_by

router = APIRouter(prefix="/history", tags=["history"])

KINDS: Final = (
    "supporter", "chapter", "campaign", "pledge", "official", "policy", "action", "partnership", "recognition",
)  # fmt: skip
SEALED: Final = {"personal": "sealed"}
ERASED: Final = {"personal": "erased"}

When = Annotated[
    str | None,
    Query(
        description="A position, or an RFC 3339 time: of recording.",
        examples=["1200"],
        max_length=LONGEST_POINT,
    ),
]


class Event(BaseModel):
    """One event.

    In `data`, what is personal stands as `{"personal": "sealed"}` for those who may not see it, and as
    `{"personal": "erased"}` once nobody can. The public sees of an actor only the kind, and no reason.
    """

    position: int
    topic: str
    stream: UUID
    version: int
    event_id: UUID
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    command: str | None
    correlation: str | None
    causation: str | None
    reason: str | None
    data: dict[str, Any]


class Events(BaseModel):
    """A page of events in order of position; ``next`` is the cursor of the page after it.

    ``position`` is the newest of the history, or the one it is shown as of.
    """

    events: list[Event]
    next: str | None
    position: int


EXAMPLE: Final[dict[str, Any]] = {
    "position": 812,
    "topic": "supporters.Registered",
    "stream": "7c3c2f43-0b6f-4f5b-8a7e-5e6f2f9c1d22",
    "version": 1,
    "event_id": "0d5d4a55-3f43-4c0e-b0b6-52e8a3b0ca99",
    "occurred_at": "2026-03-02T18:00:00Z",
    "recorded_at": "2026-03-02T18:00:01.204811Z",
    "actor": "supporter:public",
    "command": "pledge-form:5f7d",
    "correlation": "pledge-form:5f7d",
    "causation": None,
    "reason": None,
    "data": {"email": SEALED, "name": SEALED, "locale": "pt", "time_zone": "Europe/Lisbon", "source": "pledge-form"},
}


# --- events ---


@router.get(
    "",
    summary="Read the history",
    responses=answers({"events": [EXAMPLE], "next": None, "position": 812}, "as_of.in_future"),
)
def read_history(
    store: Store,
    response: Response,
    stale: Stale,
    caller: MaybeCaller,
    as_of: Point,
    topic: Annotated[str | None, Query(description="Only this topic.", examples=["pledges.Made"])] = None,
    stream: Annotated[
        str | None,
        Named,
        Query(description="Only this stream: its id, or kind:reference.", examples=["campaign:spring"]),
    ] = None,
    actor: Annotated[str | None, Query(description="Only by this actor.", examples=["import:petition-7"])] = None,
    correlation: Annotated[
        str | None, Query(description="Only what belongs to this command.", examples=["petition-7:sig-19"])
    ] = None,
    since: Annotated[When, Query(alias="from")] = None,
    until: Annotated[When, Query(alias="to")] = None,
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
) -> Events:
    """The events in order of position, from one point to another (both included), page by page.

    As of a point, there are only those that were recorded up to it, and that had happened by then.
    """
    after = cursor_position(cursor) or 0
    where = selection(topic=topic, stream=stream, actor=actor, correlation=correlation, since=since, until=until)
    head = store.reader.position_of(as_of)
    where.append(events.c.position <= head)
    if as_of.occurred_by is not None:
        where.append(happened_by(as_of.occurred_by))
    with store.engine.database.read() as connection:
        rows = store.engine.log.rows(connection, after, limit + 1, *where)
        shown = shown_events(store, connection, rows[:limit], personal=caller is not None and caller.sees_personal)
    response.headers["X-Position"] = str(head)
    if stale:
        response.headers["X-Position-Stale"] = "true"
    return Events(
        events=[_masked(event) if caller is None else event for event in shown],
        next=next_cursor(rows, limit, "position"),
        position=head,
    )


def selection(
    *,
    topic: str | None = None,
    stream: str | None = None,
    actor: str | None = None,
    correlation: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> list[sa.ColumnElement[bool]]:
    """Return the conditions on the events table for what is asked; raise Invalid where it cannot be read."""
    where: list[sa.ColumnElement[bool]] = []
    if topic is not None:
        where.append(events.c.topic == topic)
    if stream is not None:
        where.append(events.c.stream_id == stream_id(stream))
    if actor is not None:
        found = Actor.parse(actor)
        where += [events.c.actor_kind == found.kind, events.c.actor_id == found.name]
    if correlation is not None:
        where.append(events.c.correlation_id == correlation)
    if since is not None:
        where.append(_column(since) >= read_bound(since, "from"))
    if until is not None:
        where.append(_column(until) <= read_bound(until, "to"))
    return where


def is_position(text: str) -> bool:
    """Whether a point of history is given as a position; raise Invalid where it is a number beyond all positions."""
    if not (text.isascii() and text.isdigit()):
        return False
    if len(text) >= LONGEST_NUMBER:
        raise Invalid("as_of.in_future", "There is no such position.")
    return True


def _column(text: str) -> sa.Column[Any]:
    return events.c.position if is_position(text) else events.c.recorded_at


def read_bound(text: str, where: str) -> int | datetime:
    """Read a position, or an RFC 3339 time; raise Invalid."""
    return int(text) if is_position(text) else read_recorded(text, where)


def stream_id(text: str) -> UUID:
    """Read a stream's id, or kind:reference; raise Invalid."""
    kind, colon, reference = text.partition(":")
    if colon and reference and kind in KINDS:
        return identify(kind, reference)
    try:
        return UUID(text)
    except ValueError:
        raise Invalid(
            "history.stream", f"A stream is named by its id, or by kind:reference with a kind of {', '.join(KINDS)}."
        ) from None


def shown_events(store: Groundswell, connection: sa.Connection, rows: Sequence[Any], *, personal: bool) -> list[Event]:
    """Return rows of the events table as they are shown; ``personal`` data in the clear, or only that there is some."""
    facts = [_fact(store, row) for row in rows]
    persons = {
        fact.event.person
        for fact in facts
        if isinstance(fact, Fact) and fact.event.person and store.engine.mapper.sealed(fact.event)
    }
    keys = store.engine.persons.keys(connection, persons) if persons else {}
    return [
        _event(row, _data(fact, keys, personal=personal), fact.reason)
        if isinstance(fact, Fact)
        else _event(row, {"unreadable": fact.code}, None)
        for row, fact in zip(rows, facts, strict=True)
    ]


def _fact(store: Groundswell, row: Any) -> Fact | GroundswellError:  # noqa: ANN401 - a row
    try:
        return store.engine.mapper.fact(row)
    except GroundswellError as error:  # of a newer release, or spoilt: the rest of the history can still be read
        return error


def _event(row: Any, data: dict[str, Any], reason: str | None) -> Event:  # noqa: ANN401 - a row
    return Event(
        position=row.position,
        topic=row.topic,
        stream=row.stream_id,
        version=row.version,
        event_id=row.event_id,
        occurred_at=row.occurred_at,
        recorded_at=row.recorded_at,
        actor=f"{row.actor_kind}:{row.actor_id}",
        command=row.command_id,
        correlation=row.correlation_id,
        causation=row.causation_id,
        reason=reason,
        data=data,
    )


def _data(fact: Fact, keys: Mapping[UUID, bytes], *, personal: bool) -> dict[str, Any]:
    """Return the event's own fields as JSON has them; those that were not given are left out."""
    found: dict[str, Any] = {}
    for name in fields_of(type(fact.event)):
        value = getattr(fact.event, name)
        if value is UNSET:
            continue
        if isinstance(value, Sealed):
            value = open_box(value, keys) if personal else SEALED if value.person in keys else ERASED
            value = ERASED if isinstance(value, Erased) else value
        found[name] = value
    made: dict[str, Any] = msgspec.to_builtins(found, enc_hook=plain)
    return made


def _masked(event: Event) -> Event:
    return event.model_copy(update={"actor": event.actor.partition(":")[0], "reason": None})
