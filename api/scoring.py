"""Scoring over HTTP: the rules that were published, and what new ones would change before they are."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from api.bodies import JSON, LARGEST_FORM, media_type, read_body
from api.bootstrap import Groundswell
from api.common import Named, Point, Staff, Stale, Store
from api.names import names_on
from api.openapi import STAFF, answers, body
from api.standings import known
from api.weighing import (
    PREVIEW,
    PROPOSED,
    SCHEMA,
    AwardGiven,
    BoardName,
    Change,
    Moved,
    Ranks,
    ScoringPreview,
    TopicChange,
    WouldMove,
)
from api.words import plain
from domain.awards import AutomaticAwards
from domain.campaigns import Campaign
from domain.chapters import Chapter
from domain.kernel import Invalid, now
from domain.scoring import DEFAULT_POINTS, Applies, Publish, rules_id
from domain.slices import Fact
from history.codec import read_command
from history.recorder import last_position
from history.tables import events, reactions
from projections.boards import Board, Scope
from projections.leaderboards import Leaderboards
from projections.preview import Mover, Preview, preview
from projections.views import PRESENT, AsOf

router = APIRouter(prefix="/scoring", tags=["scoring"])

SHOWN: Final = 10
MOST: Final = 100
VERSIONS: Final = 50
"""How many versions of the rules are read at a time."""


class Ground(BaseModel):
    """What an award is given for; exactly one of the three."""

    streak: int | None
    kept: int | None
    verified_actions: int | None


class AwardRule(BaseModel):
    """An award given by rule."""

    award: str
    title: str
    when: Ground


class Rules(BaseModel):
    """One version of the rules; ``position`` is that of the event that published it, null for version 0."""

    version: int
    position: int | None
    published_at: datetime | None
    applies: str
    points: dict[str, int | float]
    daily_cap: int | float | None
    awards: list[AwardRule]


class RulesList(BaseModel):
    """All versions of the rules, the one in force first, down to version 0, which holds until rules are published."""

    rules: list[Rules]
    position: int


RULES: Final[dict[str, Any]] = {
    "version": 1,
    "position": 512,
    "published_at": "2026-03-01T09:00:00Z",
    "applies": "from_now",
    "points": {"pledges.Made": 1, "pledges.CheckedIn": 2.5},
    "daily_cap": 20,
    "awards": [
        {
            "award": "week",
            "title": "A week of listening",
            "when": {"streak": 7, "kept": None, "verified_actions": None},
        }
    ],
}


# --- rules ---


def published(store: Groundswell, as_of: AsOf = PRESENT) -> list[Rules]:
    """Return all versions of the rules published as of a point of history, the newest first and version 0 last."""
    facts: list[Fact] = []
    while len(facts) % VERSIONS == 0:  # version by version: the log finds streams quickly, topics it does not
        streams = [rules_id(len(facts) + number) for number in range(1, VERSIONS + 1)]
        page = list(store.engine.log.follow(events.c.stream_id.in_(streams)))
        if not page:
            break
        facts += page
    found = [as_rules(fact) for fact in facts if _known(fact, as_of)]
    default = Rules(
        version=0,
        position=None,
        published_at=None,
        applies=str(Applies.TO_ALL_HISTORY),
        points={topic: plain(each) for topic, each in DEFAULT_POINTS.items()},
        daily_cap=None,
        awards=[],
    )
    return [*reversed(found), default]


def _known(fact: Fact, as_of: AsOf) -> bool:
    by, happened = as_of.position, as_of.occurred_by
    return (by is None or fact.position <= by) and (happened is None or fact.occurred_at <= happened)


def as_rules(fact: Fact) -> Rules:
    """Return the rules that an event published."""
    event: Any = fact.event
    return Rules(
        version=event.version,
        position=fact.position,
        published_at=fact.occurred_at,
        applies=str(event.applies),
        points={topic: plain(each) for topic, each in event.points.items()},
        daily_cap=None if event.daily_cap is None else plain(event.daily_cap),
        awards=[
            AwardRule(award=rule.award, title=rule.title, when=Ground.model_validate(rule.when, from_attributes=True))
            for rule in event.awards
        ],
    )


@router.get(
    "/rules",
    summary="Read the scoring rules",
    responses=answers({"rules": [RULES], "position": 812}, "as_of.in_future"),
)
def read_rules(store: Store, response: Response, stale: Stale, as_of: Point) -> RulesList:
    """All versions of the scoring rules that were ever in force, the one in force first."""
    head = store.engine.log.head()
    position = head if as_of.position is None else as_of.position
    if position > head:
        raise Invalid("as_of.in_future", f"The history ends at position {head}.")
    response.headers["X-Position"] = str(position)
    if stale:
        response.headers["X-Position-Stale"] = "true"
    return RulesList(rules=published(store, replace(as_of, position=position)), position=position)


# --- preview ---


def read_proposed(text: bytes | str, code: str = "request.invalid_json") -> Publish:
    """Read the data of scoring.publish; raise Invalid, which says what is wrong with it."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise Invalid(code, "The rules are not JSON.") from None
    if not isinstance(data, dict):
        raise Invalid("command.wrong_type", "The rules must be a JSON object, the data of scoring.publish.")
    found = read_command(Publish, data)
    assert isinstance(found, Publish)  # noqa: S101 - it was asked for
    return found


def board_of(store: Groundswell, campaign: str | None, chapter: str | None) -> Board:
    """Return the board to weigh rules on: the movement's if none is named; raise Unknown, or Invalid for two."""
    if campaign is not None and chapter is not None:
        raise Invalid("scoring.one_board", "Name a campaign or a chapter, not both.")
    if campaign is not None:
        return Board(Scope.CAMPAIGN, known(store, Campaign, campaign))
    if chapter is not None:
        return Board(Scope.CHAPTER, known(store, Chapter, chapter))
    return Board(Scope.MOVEMENT)


def weigh(
    store: Groundswell,
    proposed: Publish,
    board: Board,
    top: int = SHOWN,
    progress: Callable[[int, int], Any] = lambda _done, _total: None,
) -> ScoringPreview:
    """Return what publishing the rules now would change on a board; nothing is written."""
    with store.reader.open([Leaderboards]) as opened:
        found = preview(opened.connection, opened[Leaderboards], proposed, board, at=now(), top=top, progress=progress)
        position = opened.position
        reacted = sa.select(reactions.c.position).where(reactions.c.name == AutomaticAwards.name)
        awards_at = opened.connection.scalar(reacted) or 0
        behind = last_position(opened.connection) - min(position, awards_at)
    everybody = list(dict.fromkeys(each.id for each in (*found.top, *found.movers)))
    with store.reader.open() as present:
        names = names_on(present, board.scope, everybody)
    return _as_answer(found, board, position, behind, names)


def _as_answer(
    found: Preview, board: Board, position: int, behind: int, names: dict[UUID, str | None]
) -> ScoringPreview:
    def movers(several: Sequence[Mover]) -> list[WouldMove]:
        return [
            WouldMove(
                id=each.id,
                name=names.get(each.id),
                rank=Ranks(before=each.rank_before, after=each.rank_after),
                points=Change(before=each.points_before, after=each.points_after),
                topics=[TopicChange.model_validate(topic, from_attributes=True) for topic in each.topics],
                capped=each.capped,
                awards=list(each.awards),
            )
            for each in several
        ]

    return ScoringPreview(
        as_of=position,
        behind=behind,
        version=found.version,
        applies=str(found.applies),
        board=BoardName(scope=board.scope, id=board.scope_id),
        size=Change(before=found.size_before, after=found.size_after),
        moved=Moved(ranks=found.ranks_moved, points=found.points_moved),
        topics=[TopicChange.model_validate(topic, from_attributes=True) for topic in found.topics],
        awards=[AwardGiven.model_validate(each, from_attributes=True) for each in found.awards],
        top=movers(found.top),
        movers=movers(found.movers),
    )


@router.post(
    "/preview",
    summary="Weigh new scoring rules",
    responses=answers(
        PREVIEW,
        *STAFF,
        "campaign.unknown",
        "chapter.unknown",
        "scoring.version_not_next",
        "scoring.topic_unknown",
        "request.invalid_json",
        "request.media_type",
        "request.too_large",
    ),
    openapi_extra=body(SCHEMA, PROPOSED),
)
async def post_preview(
    request: Request,
    store: Store,
    _caller: Staff,
    campaign: Annotated[
        str | None, Named, Query(description="Weigh them on this campaign's board.", examples=["listening-2026"])
    ] = None,
    chapter: Annotated[
        str | None, Named, Query(description="Weigh them on this chapter's board.", examples=["lisbon"])
    ] = None,
    top: Annotated[int, Query(ge=1, le=MOST, description="How many to show at most.", examples=[10])] = SHOWN,
) -> ScoringPreview:
    """What publishing these rules would change at once: who would move, and why. Nothing is published or written."""
    if media_type(request) not in {JSON, ""}:
        raise Invalid("request.media_type", f"Send {JSON}.")
    proposed = read_proposed(await read_body(request, LARGEST_FORM))
    return await run_in_threadpool(_weighed, store, proposed, campaign, chapter, top)


def _weighed(
    store: Groundswell, proposed: Publish, campaign: str | None, chapter: str | None, top: int
) -> ScoringPreview:
    return weigh(store, proposed, board_of(store, campaign, chapter), top)
