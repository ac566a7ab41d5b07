"""Actions over HTTP: what was done for policies, and what waits for somebody to verify it."""

from collections import defaultdict
from datetime import date, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from api.common import (
    PAGE_SIZE,
    Cursor,
    Limit,
    Named,
    Point,
    Staff,
    Stale,
    Store,
    cursor_position,
    next_cursor,
    shown,
    views,
)
from api.openapi import STAFF, answers
from domain.actions import ActionState
from domain.kernel import identify
from projections.actions import Actions

router = APIRouter(tags=["policies"])


class Answer(BaseModel):
    """What came back."""

    summary: str
    on: date


class Action(BaseModel):
    """One thing that one supporter did for one policy; the note is shown to campaign managers only."""

    id: UUID
    reference: str | None
    policy: UUID
    supporter: UUID
    kind: str
    official: UUID | None
    on: date
    minutes: int | None
    note: str | None
    evidence_url: str | None
    state: str
    reason: str | None
    logged_at: datetime
    changed_at: datetime
    responses: list[Answer]


class ActionList(BaseModel):
    """A page of actions, those logged last first; ``next`` is the cursor of the page after it."""

    actions: list[Action]
    next: str | None
    position: int


EXAMPLE: Final[dict[str, Any]] = {
    "id": "c3d1b4b2-1a6c-5d8f-8b0a-4f7e6d5c2aaa",
    "reference": "letter-7",
    "policy": "8d9b9f4f-0d56-5c6f-9a6e-2f6a0d9d1e55",
    "supporter": "7c3c2f43-0b6f-4f5b-8a7e-5e6f2f9c1d22",
    "kind": "letter",
    "official": "2c1f1f0e-4f53-5d7c-8f3e-1b9d1a5c7e44",
    "on": "2026-03-04",
    "minutes": 25,
    "note": None,
    "evidence_url": "https://example.org/letter-7.pdf",
    "state": "verified",
    "reason": None,
    "logged_at": "2026-03-04T18:30:00Z",
    "changed_at": "2026-03-05T09:00:00Z",
    "responses": [{"summary": "Will raise it in committee.", "on": "2026-03-20"}],
}


@router.get(
    "/actions",
    summary="List actions (staff)",
    responses=answers({"actions": [EXAMPLE], "next": None, "position": 812}, *STAFF, "as_of.in_future"),
)
def list_actions(
    store: Store,
    response: Response,
    stale: Stale,
    as_of: Point,
    caller: Staff,
    policy: Annotated[
        str | None, Named, Query(description="Only for this policy.", examples=["school-curriculum"])
    ] = None,
    state: Annotated[list[ActionState], Query(description="Only actions in these states.", examples=[["logged"]])] = [],  # noqa: B006 - FastAPI copies it
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
) -> ActionList:
    """All actions, or those for one policy, page by page."""
    before = cursor_position(cursor)
    with views(store, response, stale, [Actions], as_of) as opened:
        model, connection = opened[Actions], opened.connection
        if policy is None:
            rows = model.all(connection, states=state, before=before, limit=limit + 1)
        else:
            key = identify("policy", policy)
            rows = model.of_policy(connection, key, states=state, before=before, limit=limit + 1)
        page = rows[:limit]
        back: defaultdict[UUID, list[Answer]] = defaultdict(list)
        for one in model.responses_of(connection, [row.id for row in page]):
            back[one.action].append(Answer(summary=one.summary, on=one.on))
        notes = opened.open([row.note for row in page]) if caller.sees_personal else [None] * len(page)
        plain = Action.model_fields.keys() - {"note", "responses"}
        return ActionList(
            actions=[
                Action(**{name: getattr(row, name) for name in plain}, note=shown(note), responses=back[row.id])
                for row, note in zip(page, notes, strict=True)
            ],
            next=next_cursor(rows, limit, "position"),
            position=opened.position,
        )
