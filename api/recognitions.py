"""Recognitions over HTTP."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel

from api.common import (
    PAGE_SIZE,
    Cursor,
    Limit,
    Named,
    Point,
    Stale,
    Store,
    cursor_position,
    etag,
    next_cursor,
    views,
)
from api.evidence import EVIDENCE, Evidence, evidence
from api.names import names_on
from api.openapi import answers
from domain.kernel import Unknown, identify
from domain.recognitions import RecipientKind, RecognitionState
from domain.slices import Fact
from history.tables import events
from projections.boards import Scope
from projections.grounds import ground
from projections.leaderboards import Leaderboards
from projections.recognitions import Recognitions
from projections.views import AsOf, Views

router = APIRouter(tags=["recognitions"])

RecognitionPath = Annotated[str, Named, Path(description="The recognition's id or reference.", examples=["spring"])]
RecipientQuery = Annotated[
    str | None,
    Named,
    Query(
        description="Only those of this recipient: `supporter:anna`, `chapter:lisbon`, `partnership:luna`, or an id.",
        examples=["supporter:anna"],
    ),
]


class Recipient(BaseModel):
    """Who is recognised; the name of a supporter only where they chose to be shown."""

    kind: str
    id: UUID
    name: str | None


class Recognition(BaseModel):
    """One recognition; ``award`` names the rule that gave it, null where people did; ``evidence``: what it rests on."""

    id: UUID
    reference: str | None
    title: str
    recipient: Recipient
    nominator: UUID | None
    citation: str | None
    award: str | None
    state: str
    reason: str | None
    endorsements: int
    nominated_at: datetime
    awarded_at: datetime | None
    declined_at: datetime | None
    revoked_at: datetime | None
    evidence: str


class Endorsement(BaseModel):
    """Who agreed with a nomination; the name only where they chose to be shown."""

    supporter: UUID
    name: str | None
    at: datetime
    position: int


class Endorsements(BaseModel):
    """A page of endorsements in order; ``next`` is the cursor of the page after it."""

    endorsements: list[Endorsement]
    next: str | None
    position: int


class EventBehind(BaseModel):
    """An event behind an award; `/history?from=POSITION&to=POSITION` shows it whole."""

    position: int
    topic: str
    stream: UUID
    occurred_at: datetime


class RuleBehind(BaseModel):
    """The rule that gave an award, in the version of the rules then in force.

    ``when``: one ground and how much of it; what was recorded after ``since`` counted.
    """

    version: int
    award: str
    title: str
    when: dict[str, int]
    since: int


class EvidenceOfAward(BaseModel):
    """What an award rests on.

    ``events``: from its nomination on, with each endorsement. ``rule`` and ``ground`` tell by which published rule it
    was given, and for which check-ins, kept pledges or verified actions; where people gave it, there is neither.
    """

    recognition: UUID
    given_by: str
    rule: RuleBehind | None
    ground: list[EventBehind]
    events: list[EventBehind]
    evidence: Evidence


class RecognitionList(BaseModel):
    """A page of recognitions, those nominated last first; ``next`` is the cursor of the page after it."""

    recognitions: list[Recognition]
    next: str | None
    position: int


EXAMPLE: Final[dict[str, Any]] = {
    "id": "aa0b4c86-9d0e-5a5e-8b61-7f2d9c3e1f77",
    "reference": "spring",
    "title": "Listener of the spring",
    "recipient": {"kind": "supporter", "id": "7c3c2f43-0b6f-4f5b-8a7e-5e6f2f9c1d22", "name": "Anna"},
    "nominator": "1f0c7a50-65c4-4b0a-8f25-0f4a9e2b8c88",
    "citation": "Listened to everybody at the town meeting.",
    "award": None,
    "state": "awarded",
    "reason": None,
    "endorsements": 3,
    "nominated_at": "2026-04-02T10:00:00Z",
    "awarded_at": "2026-04-20T10:00:00Z",
    "declined_at": None,
    "revoked_at": None,
    "evidence": "/api/v1/recognitions/aa0b4c86-9d0e-5a5e-8b61-7f2d9c3e1f77/evidence",
}


ENDORSEMENT: Final[dict[str, Any]] = {
    "supporter": "1f0c7a50-65c4-4b0a-8f25-0f4a9e2b8c88",
    "name": None,
    "at": "2026-04-03T10:00:00Z",
    "position": 640,
}
GROUND: Final[dict[str, Any]] = {
    "position": 601,
    "topic": "pledges.CheckedIn",
    "stream": "3d0f3f4e-5a83-5f6c-9f3f-0d8b8f6f2a77",
    "occurred_at": "2026-04-01T20:00:00Z",
}
EVIDENCE_OF_AWARD: Final[dict[str, Any]] = {
    "recognition": "aa0b4c86-9d0e-5a5e-8b61-7f2d9c3e1f77",
    "given_by": "rule",
    "rule": {"version": 1, "award": "week", "title": "A week of listening", "when": {"streak": 7}, "since": 0},
    "ground": [GROUND],
    "events": [
        {
            "position": 602,
            "topic": "recognitions.Nominated",
            "stream": "aa0b4c86-9d0e-5a5e-8b61-7f2d9c3e1f77",
            "occurred_at": "2026-04-01T20:00:00Z",
        }
    ],
    "evidence": EVIDENCE,
}


NAMED_AS: Final = {
    RecipientKind.SUPPORTER: Scope.MOVEMENT,
    RecipientKind.CHAPTER: Scope.CHAPTERS,
    RecipientKind.PARTNERSHIP: Scope.PARTNERSHIPS,
}


def candidates(recipient: str) -> list[UUID]:
    """Return the ids that a recipient may stand for: of the kind it names, else of each kind."""
    kind, colon, reference = recipient.partition(":")
    if colon and reference and kind in set(RecipientKind):
        return [identify(kind, reference)]
    return list(dict.fromkeys(identify(each, recipient) for each in RecipientKind))


def as_recognitions(store: Store, rows: Sequence[Any]) -> list[Recognition]:
    """Return rows of the read model as answers, with the names that may be shown now."""
    of_kind: dict[RecipientKind, list[UUID]] = {}
    for row in rows:
        of_kind.setdefault(RecipientKind(row.recipient_kind), []).append(row.recipient)
    names: dict[UUID, str | None] = {}
    with store.reader.open() as present:
        for kind, recipients in of_kind.items():
            names |= names_on(present, NAMED_AS[kind], recipients)
    plain = Recognition.model_fields.keys() - {"recipient", "evidence"}
    return [
        Recognition(
            **{name: getattr(row, name) for name in plain},
            recipient=Recipient(kind=row.recipient_kind, id=row.recipient, name=names.get(row.recipient)),
            evidence=f"/api/v1/recognitions/{row.id}/evidence",
        )
        for row in rows
    ]


@router.get(
    "/recognitions",
    summary="List recognitions",
    responses=answers({"recognitions": [EXAMPLE], "next": None, "position": 812}, "as_of.in_future"),
)
def list_recognitions(
    store: Store,
    response: Response,
    stale: Stale,
    as_of: Point,
    recipient: RecipientQuery = None,
    state: Annotated[
        list[RecognitionState], Query(description="Only recognitions in these states.", examples=[["awarded"]])
    ] = [],  # noqa: B006 - FastAPI copies it
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
) -> RecognitionList:
    """All recognitions, or those of one recipient, page by page."""
    before = cursor_position(cursor)
    with views(store, response, stale, [Recognitions], as_of) as opened:
        model, connection = opened[Recognitions], opened.connection
        if recipient is None:
            rows = model.all(connection, states=state, before=before, limit=limit + 1)
        else:
            found = [
                row
                for each in candidates(recipient)
                for row in model.of_recipient(connection, each, states=state, before=before, limit=limit + 1)
            ]
            rows = sorted(found, key=lambda row: -row.position)[: limit + 1]
        return RecognitionList(
            recognitions=as_recognitions(store, rows[:limit]),
            next=next_cursor(rows, limit, "position"),
            position=opened.position,
        )


@router.get(
    "/recognitions/{recognition}",
    summary="Read one recognition",
    responses=answers(EXAMPLE, "recognition.unknown", "as_of.in_future"),
)
def read_recognition(
    store: Store, response: Response, stale: Stale, as_of: Point, recognition: RecognitionPath
) -> Recognition:
    """One recognition, from nomination to award."""
    with views(store, response, stale, [Recognitions], as_of) as opened:
        row = _found(opened, recognition)
        etag(store, response, row.id, as_of)
        return as_recognitions(store, [row])[0]


@router.get(
    "/recognitions/{recognition}/endorsements",
    summary="List who endorsed a recognition",
    responses=answers(
        {"endorsements": [ENDORSEMENT], "next": None, "position": 812}, "recognition.unknown", "as_of.in_future"
    ),
)
def read_endorsements(
    store: Store,
    response: Response,
    stale: Stale,
    as_of: Point,
    recognition: RecognitionPath,
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
) -> Endorsements:
    """Who agreed with the nomination, in the order in which they did."""
    after = cursor_position(cursor) or 0
    with views(store, response, stale, [Recognitions], as_of) as opened:
        row = _found(opened, recognition)
        rows = opened[Recognitions].endorsements_of(opened.connection, row.id, after=after, limit=limit + 1)
        position = opened.position
    with store.reader.open() as present:
        names = names_on(present, Scope.MOVEMENT, [each.supporter for each in rows[:limit]])
    return Endorsements(
        endorsements=[
            Endorsement(supporter=each.supporter, name=names.get(each.supporter), at=each.at, position=each.position)
            for each in rows[:limit]
        ],
        next=next_cursor(rows, limit, "position"),
        position=position,
    )


@router.get(
    "/recognitions/{recognition}/evidence",
    summary="Open an award to what is behind it",
    responses=answers(EVIDENCE_OF_AWARD, "recognition.unknown", "as_of.in_future"),
)
def read_evidence(
    store: Store, response: Response, stale: Stale, as_of: Point, recognition: RecognitionPath
) -> EvidenceOfAward:
    """The events of the recognition itself; of an automatic award also the rule, and the events it was given for."""
    with views(store, response, stale, [Recognitions], as_of) as opened:
        row, position = _found(opened, recognition), opened.position
    own = _own_events(store, row.id, position, as_of)
    given = None
    if row.award is not None:
        with store.reader.open() as present:
            model, connection = present[Leaderboards], present.connection
            given = ground(store.engine.log, connection, model, row.recipient, own[0], row.award)
    return EvidenceOfAward(
        recognition=row.id,
        given_by="people" if row.award is None else "rule",
        rule=None if given is None else RuleBehind(version=given.version, **given.rule),
        ground=[_behind(fact) for fact in given.events] if given else [],
        events=[_behind(fact) for fact in own],
        evidence=evidence(
            f"/recognitions/{row.id}/evidence",
            position,
            as_of.occurred_by,
            {} if row.award is None else {"before": "What the rule did not count, and what came after the award."},
            rules_version=given.version if given else None,
        ),
    )


def _found(opened: Views, recognition: str) -> Any:  # noqa: ANN401 - a row of recognitions
    row = opened[Recognitions].find(opened.connection, identify("recognition", recognition))
    if row is None or row.title is None:
        raise Unknown("recognition.unknown", f"There is no recognition “{recognition}”.")
    return row


def _own_events(store: Store, key: UUID, position: int, as_of: AsOf) -> list[Fact]:
    where = [events.c.stream_id == key, events.c.position <= position]
    if as_of.occurred_by is not None:
        where.append(events.c.occurred_at <= as_of.occurred_by)
    return list(store.engine.log.follow(*where))


def _behind(fact: Fact) -> EventBehind:
    return EventBehind(position=fact.position, topic=fact.topic, stream=fact.stream, occurred_at=fact.occurred_at)
