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
from api.names import names_on
from api.openapi import answers
from domain.kernel import Unknown, identify
from domain.recognitions import RecipientKind, RecognitionState
from projections.boards import Scope
from projections.recognitions import Recognitions

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
    """One recognition; ``award`` names the rule that gave it, null where people did."""

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
    plain = Recognition.model_fields.keys() - {"recipient"}
    return [
        Recognition(
            **{name: getattr(row, name) for name in plain},
            recipient=Recipient(kind=row.recipient_kind, id=row.recipient, name=names.get(row.recipient)),
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
    key = identify("recognition", recognition)
    with views(store, response, stale, [Recognitions], as_of) as opened:
        row = opened[Recognitions].find(opened.connection, key)
        if row is None or row.title is None:
            raise Unknown("recognition.unknown", f"There is no recognition “{recognition}”.")
        etag(store, response, key, as_of)
        return as_recognitions(store, [row])[0]
