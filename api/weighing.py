"""Scoring rules as they are weighed: what is asked, and what is answered."""

from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel

from domain.scoring import Applies


class BoardName(BaseModel):
    """Which board: ``id`` names the campaign or chapter."""

    scope: str
    id: UUID | None


class Change(BaseModel):
    """A number before and after."""

    before: int | float
    after: int | float


class Ranks(BaseModel):
    """A rank before and after; null without points above 0."""

    before: int | None
    after: int | None


class TopicChange(BaseModel):
    """The points that stand of one kind of event, before and after."""

    topic: str
    before: int | float
    after: int | float


class Moved(BaseModel):
    """For how many supporters the rank and the points would change."""

    ranks: int
    points: int


class WouldMove(BaseModel):
    """One supporter's place before and after, and why.

    ``topics``: the points that stand by kind of event; ``capped``: what the new daily cap keeps back; ``awards``: those
    that the new rules would give. The name is shown only of those who chose to be named.
    """

    id: UUID
    name: str | None
    rank: Ranks
    points: Change
    topics: list[TopicChange]
    capped: int | float
    awards: list[str]


class AwardGiven(BaseModel):
    """How often an award would be given at once; none is revoked, it is held to the rule by which it was given."""

    award: str
    title: str
    given: int


class ScoringPreview(BaseModel):
    """What publishing the rules would change at once on one board of all time.

    ``as_of``: up to where the read models had come, ``behind`` the newest event by so many. ``top``: the head of the
    board afterwards; ``movers``: those whose rank changes most. With ``from_now`` nobody moves yet.
    """

    as_of: int
    behind: int
    version: int
    applies: str
    board: BoardName
    size: Change
    moved: Moved
    topics: list[TopicChange]
    awards: list[AwardGiven]
    top: list[WouldMove]
    movers: list[WouldMove]


PROPOSED: Final[dict[str, Any]] = {
    "version": 2,
    "points": {"pledges.Made": 1, "pledges.CheckedIn": 3, "actions.Verified": 12.5},
    "daily_cap": 20,
    "awards": [{"award": "week", "title": "A week of listening", "when": {"streak": 7}}],
    "applies": "to_all_history",
}
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "The data of the command scoring.publish.",
    "required": ["version", "points", "applies"],
    "additionalProperties": False,
    "properties": {
        "version": {"type": "integer", "minimum": 1, "description": "The next one."},
        "points": {"type": "object", "additionalProperties": {"type": "number"}, "description": "By topic."},
        "daily_cap": {"type": ["number", "null"], "minimum": 0},
        "awards": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["award", "title", "when"],
                "properties": {"award": {"type": "string"}, "title": {"type": "string"}, "when": {"type": "object"}},
            },
        },
        "applies": {"type": "string", "enum": [str(each) for each in Applies]},
    },
}
WOULD_MOVE: Final[dict[str, Any]] = {
    "id": "7c3c2f43-0b6f-4f5b-8a7e-5e6f2f9c1d22",
    "name": "Anna",
    "rank": {"before": 3, "after": 1},
    "points": {"before": 23, "after": 34},
    "topics": [{"topic": "pledges.CheckedIn", "before": 22, "after": 33}],
    "capped": 0,
    "awards": ["week"],
}
PREVIEW: Final[dict[str, Any]] = {
    "as_of": 812,
    "behind": 0,
    "version": 2,
    "applies": "to_all_history",
    "board": {"scope": "movement", "id": None},
    "size": {"before": 214, "after": 214},
    "moved": {"ranks": 61, "points": 180},
    "topics": [{"topic": "pledges.CheckedIn", "before": 810, "after": 1215}],
    "awards": [{"award": "week", "title": "A week of listening", "given": 12}],
    "top": [WOULD_MOVE],
    "movers": [WOULD_MOVE],
}
