"""Policies over HTTP."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel

from api.common import PAGE_SIZE, Cursor, Limit, Named, Point, Stale, Store, cursor_id, etag, next_cursor, views
from api.openapi import answers
from domain.kernel import Unknown, identify
from projections.policies import Policies
from projections.views import Views

router = APIRouter(tags=["policies"])

PolicyPath = Annotated[str, Named, Path(description="The policy's id or reference.", examples=["school-curriculum"])]


class Position(BaseModel):
    """Where an official stands on the policy, with the evidence."""

    stance: str
    evidence: str | None
    at: datetime


class Target(BaseModel):
    """An official whose decision is sought, with their position as far as it is known."""

    official: UUID
    name: str | None
    office: str | None
    party: str | None
    position: Position | None


class Actions(BaseModel):
    """Actions of one kind by what became of them; made is the sum of the rest."""

    made: int
    logged: int
    verified: int
    rejected: int
    retracted: int


class Stage(BaseModel):
    """A stage that the policy came to, and on which day."""

    stage: str
    on: date


class Policy(BaseModel):
    """A policy with its targets and what was done for it, by kind."""

    id: UUID
    reference: str | None
    title: str
    kind: str
    jurisdiction: str | None
    stage: str | None
    url: str | None
    ask: str | None
    outcome: str | None
    concluded_on: date | None
    tracked_at: datetime
    last_action_at: datetime | None
    targets: list[Target]
    actions: dict[str, Actions]


class PolicyWithPast(Policy):
    """A policy with all stages it went through, and the positions of officials who are no targets."""

    stages: list[Stage]
    other_positions: list[Target]


class PolicyList(BaseModel):
    """A page of policies; ``next`` is the cursor of the page after it."""

    policies: list[Policy]
    next: str | None
    position: int


TARGET: Final[dict[str, Any]] = {
    "official": "2c1f1f0e-4f53-5d7c-8f3e-1b9d1a5c7e44",
    "name": "Maria Cantwell",
    "office": "Senator, WA",
    "party": "Democrat",
    "position": {
        "stance": "leans_support",
        "evidence": "Said so in the hearing of 3 March.",
        "at": "2026-03-03T15:00:00Z",
    },
}
EXAMPLE: Final[dict[str, Any]] = {
    "id": "8d9b9f4f-0d56-5c6f-9a6e-2f6a0d9d1e55",
    "reference": "school-curriculum",
    "title": "Empathy in the curriculum",
    "kind": "curriculum",
    "jurisdiction": "us-wa",
    "stage": "committee",
    "url": "https://example.org/bills/1",
    "ask": "Vote for it.",
    "outcome": None,
    "concluded_on": None,
    "tracked_at": "2026-01-20T09:00:00Z",
    "last_action_at": "2026-03-04T18:30:00Z",
    "targets": [TARGET],
    "actions": {
        "letter": {"made": 12, "logged": 3, "verified": 8, "rejected": 1, "retracted": 0},
        "meeting": {"made": 1, "logged": 0, "verified": 1, "rejected": 0, "retracted": 0},
    },
}


def as_target(row: Any) -> Target:  # noqa: ANN401 - a row
    """Return a row of the stances as an answer."""
    position = Position(stance=row.stance, evidence=row.evidence, at=row.at) if row.stance else None
    return Target(official=row.official, name=row.name, office=row.office, party=row.party, position=position)


def as_policies(opened: Views, rows: Sequence[Any]) -> list[Policy]:
    """Return rows of the read model as answers."""
    model, ids = opened[Policies], [row.id for row in rows]
    targets: defaultdict[UUID, list[Target]] = defaultdict(list)
    for target in model.targets_of(opened.connection, ids):
        targets[target.policy].append(as_target(target))
    actions: defaultdict[UUID, dict[str, Actions]] = defaultdict(dict)
    for kind in model.actions_by_kind(opened.connection, ids):
        states = {name: getattr(kind, name) for name in Actions.model_fields if name != "made"}
        actions[kind.policy][kind.kind] = Actions(made=sum(states.values()), **states)
    plain = Policy.model_fields.keys() - {"targets", "actions"}
    return [
        Policy(**{name: getattr(row, name) for name in plain}, targets=targets[row.id], actions=actions[row.id])
        for row in rows
    ]


@router.get(
    "/policies",
    summary="List policies",
    responses=answers({"policies": [EXAMPLE], "next": None, "position": 812}, "as_of.in_future"),
)
def list_policies(
    store: Store,
    response: Response,
    stale: Stale,
    as_of: Point,
    state: Annotated[
        Literal["open", "concluded", "all"], Query(description="Which policies.", examples=["open"])
    ] = "all",
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
) -> PolicyList:
    """All policies with stage, outcome, targets and actions by kind, page by page."""
    after = cursor_id(cursor)
    with views(store, response, stale, [Policies], as_of) as opened:
        rows = opened[Policies].all(opened.connection, state=state, after=after, limit=limit + 1)
        return PolicyList(
            policies=as_policies(opened, rows[:limit]), next=next_cursor(rows, limit), position=opened.position
        )


@router.get(
    "/policies/{policy}",
    summary="Read one policy",
    responses=answers(
        EXAMPLE | {"stages": [{"stage": "committee", "on": "2026-02-11"}], "other_positions": []},
        "policy.unknown",
        "as_of.in_future",
    ),
)
def read_policy(store: Store, response: Response, stale: Stale, as_of: Point, policy: PolicyPath) -> PolicyWithPast:
    """One policy with its stages, its targets and their positions, and what was done for it, by kind."""
    key = identify("policy", policy)
    with views(store, response, stale, [Policies], as_of) as opened:
        model, connection = opened[Policies], opened.connection
        row = model.find(connection, key)
        if row is None or row.title is None:
            raise Unknown("policy.unknown", f"There is no policy “{policy}”.")
        etag(store, response, key, as_of)
        (found,) = as_policies(opened, [row])
        return PolicyWithPast(
            **found.model_dump(),
            stages=[Stage(stage=one.stage, on=one.on) for one in model.stages_of(connection, key)],
            other_positions=[as_target(one) for one in model.stances_of(connection, key) if not one.target],
        )
