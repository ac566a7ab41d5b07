"""Boards as they are answered: who stands where as of a point of history, and why."""

from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel

from api.evidence import EVIDENCE, Evidence


class Standing(BaseModel):
    """Who stands where; the name of a supporter only where they chose to be shown."""

    rank: int
    id: UUID
    name: str | None
    points: int | float


class TeamStanding(Standing):
    """A chapter as a team; active is whoever stands on the chapter's own board in the same window."""

    active: int
    mean: int | float


class Head(BaseModel):
    """What all boards have in common."""

    as_of: int
    rules_version: int
    scope: str
    window: str
    since: date | None
    until: date | None
    size: int
    next: str | None
    evidence: Evidence


class Leaderboard(Head):
    """A board as of a position; equal points share a rank (1, 2, 2, 4). ``size`` counts all who stand on it."""

    entries: list[Standing]


class TeamBoard(Head):
    """Chapters as teams, ranked by points or by the mean per active member, which has two decimals."""

    sort: str
    entries: list[TeamStanding]


class Score(BaseModel):
    """Points that an event gave; negative where it took back what the event at the position ``of`` had given.

    ``stream`` is the pledge, action or recognition that the event belongs to.
    """

    position: int
    topic: str
    stream: UUID
    points: int | float
    rules_version: int
    occurred_at: datetime
    day: date
    supporter: UUID
    of: int | None


class TopicPoints(BaseModel):
    """The points that stand of one kind of event, and how many events gave them."""

    topic: str
    points: int | float
    events: int


class TopicDifference(BaseModel):
    """One kind of event on two sides; ``difference`` is theirs less mine."""

    topic: str
    mine: int | float
    theirs: int | float
    difference: int | float
    my_events: int
    their_events: int


class Neighbour(Standing):
    """The next standing with more points, or with fewer: by how many, and from which kinds of events that comes."""

    difference: int | float
    topics: list[TopicDifference]


class Explained(BaseModel):
    """A standing with the score entries behind it, which add up to its points; no rank without points.

    ``topics`` sums them up by kind of event. ``above`` and ``below`` are the nearest with more and with fewer points.
    """

    as_of: int
    rules_version: int
    rank: int | None
    id: UUID
    name: str | None
    points: int | float
    topics: list[TopicPoints]
    above: Neighbour | None
    below: Neighbour | None
    entries: list[Score]
    next: str | None
    evidence: Evidence


BOARD: Final[dict[str, Any]] = {
    "as_of": 812,
    "rules_version": 1,
    "scope": "movement",
    "window": "month",
    "since": "2026-03-01",
    "until": "2026-03-31",
    "size": 214,
    "entries": [
        {"rank": 1, "id": "7c3c2f43-0b6f-4f5b-8a7e-5e6f2f9c1d22", "name": "Anna", "points": 53},
        {"rank": 2, "id": "1f0c7a50-65c4-4b0a-8f25-0f4a9e2b8c88", "name": None, "points": 41},
    ],
    "next": "WyIxZjBjN2E1MC02NWM0LTRiMGEtOGYyNS0wZjRhOWUyYjhjODgiXQ",
    "evidence": EVIDENCE,
}
TEAMS: Final[dict[str, Any]] = BOARD | {
    "scope": "chapters",
    "sort": "mean",
    "entries": [
        {
            "rank": 1,
            "id": "5b1d7f0e-64c1-5d0e-9c52-1f2a4e1f9a10",
            "name": "Lisboa",
            "points": 812,
            "active": 41,
            "mean": 19.8,
        }
    ],
    "next": None,
}
EXPLAINED: Final[dict[str, Any]] = {
    "as_of": 812,
    "rules_version": 1,
    "rank": 1,
    "id": "7c3c2f43-0b6f-4f5b-8a7e-5e6f2f9c1d22",
    "name": "Anna",
    "points": 3,
    "topics": [
        {"topic": "pledges.CheckedIn", "points": 2, "events": 1},
        {"topic": "pledges.Made", "points": 1, "events": 1},
    ],
    "above": None,
    "below": {
        "rank": 2,
        "id": "1f0c7a50-65c4-4b0a-8f25-0f4a9e2b8c88",
        "name": None,
        "points": 1,
        "difference": -2,
        "topics": [
            {
                "topic": "pledges.CheckedIn",
                "mine": 2,
                "theirs": 0,
                "difference": -2,
                "my_events": 1,
                "their_events": 0,
            },
            {"topic": "pledges.Made", "mine": 1, "theirs": 1, "difference": 0, "my_events": 1, "their_events": 1},
        ],
    },
    "entries": [
        {
            "position": 17,
            "topic": "pledges.Made",
            "stream": "3d5f9a35-9f2c-5f2e-9f0c-8f3d8d3c6b11",
            "points": 1,
            "rules_version": 1,
            "occurred_at": "2026-03-02T18:00:00Z",
            "day": "2026-03-02",
            "supporter": "7c3c2f43-0b6f-4f5b-8a7e-5e6f2f9c1d22",
            "of": None,
        },
        {
            "position": 21,
            "topic": "pledges.CheckedIn",
            "stream": "3d5f9a35-9f2c-5f2e-9f0c-8f3d8d3c6b11",
            "points": 2,
            "rules_version": 1,
            "occurred_at": "2026-03-03T20:00:00Z",
            "day": "2026-03-03",
            "supporter": "7c3c2f43-0b6f-4f5b-8a7e-5e6f2f9c1d22",
            "of": None,
        },
    ],
    "next": None,
    "evidence": EVIDENCE,
}
