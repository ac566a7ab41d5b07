"""The slow and obvious way to count points: what is taken back is deleted, and boards are sums over what is left."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.kernel import Unset
from domain.slices import Fact

DEFAULTS = {
    "pledges.Made": 1.0,
    "pledges.Renewed": 1.0,
    "pledges.CheckedIn": 2.0,
    "pledges.Kept": 10.0,
    "actions.Verified": 10.0,
    "recognitions.Awarded": 20.0,
}
ENDS = {"pledges.Withdrawn", "actions.Rejected", "actions.Retracted", "recognitions.Revoked"}
Boards = dict[tuple[str, str | None, str, date | None], dict[UUID, int]]


@dataclass
class Score:
    supporter: UUID
    stream: UUID
    day: date
    campaign: UUID | None
    chapters: list[UUID]
    partnership: UUID | None
    points: int
    version: int


def rules_at(facts: Sequence[Fact], place: int) -> tuple[dict[str, float], float | None, int]:
    """Find the rules that hold for one of the facts, once all of them are known."""
    found: tuple[dict[str, float], float | None, int] = (DEFAULTS, None, 0)
    for at, fact in enumerate(facts):
        event: Any = fact.event
        if fact.topic == "scoring.Published" and (at < place or event.applies == "to_all_history"):
            found = (event.points, event.daily_cap, event.version)
    return found


class Circumstances:
    """Where supporters live and belong, and whose referral code each promise came by."""

    def __init__(self) -> None:
        self.zones: dict[UUID, str] = defaultdict(lambda: "UTC")
        self.chapters: dict[UUID, list[UUID]] = defaultdict(list)
        self.codes: dict[str, UUID] = {}
        self.came_by: dict[UUID, UUID | None] = {}

    def follow(self, fact: Fact) -> None:
        event: Any = fact.event
        chapters = self.chapters[event.person]
        match fact.topic:
            case "supporters.Registered" | "supporters.Amended" if not isinstance(event.time_zone, Unset):
                self.zones[event.person] = event.time_zone or "UTC"
            case "supporters.ChapterJoined":
                self.chapters[event.person] = [*chapters, event.chapter]
            case "supporters.ChapterLeft":
                self.chapters[event.person] = [each for each in chapters if each != event.chapter]
            case "partnerships.Activated":
                self.codes[event.referral.lower()] = fact.stream
            case "partnerships.Ended":
                self.codes.pop((event.referral or "").lower(), None)
            case "pledges.Made" | "pledges.Renewed":
                code = (event.referral or "").lower()
                self.came_by[fact.stream] = self.codes.get(code) or self.came_by.get(fact.stream)


def scores(facts: Sequence[Fact]) -> list[Score]:
    """Fold facts into the scores that still stand."""
    now, standing = Circumstances(), list[Score]()
    for place, fact in enumerate(facts):
        person = fact.event.person
        now.follow(fact)
        if fact.topic in ENDS:
            standing = [each for each in standing if each.stream != fact.stream]
        if person is None:
            continue
        points, cap, version = rules_at(facts, place)
        given = round(points.get(fact.topic, 0) * 100)
        day = fact.occurred_at.astimezone(ZoneInfo(now.zones[person])).date()
        if cap is not None and given > 0:
            had = sum(each.points for each in standing if each.supporter == person and each.day == day)
            given = max(0, min(given, round(cap * 100) - had))
        campaign, partnership = getattr(fact.event, "campaign", None), now.came_by.get(fact.stream)
        standing.append(Score(person, fact.stream, day, campaign, now.chapters[person], partnership, given, version))
    return standing


def boards(standing: Sequence[Score]) -> Boards:
    """Sum what stands on every board; nobody stands there with nothing, or less."""
    sums: dict[tuple[str, str | None, str, date | None], Counter[UUID]] = defaultdict(Counter)
    for each in standing:
        monday = each.day - timedelta(days=each.day.isoweekday() - 1)
        for window, start in (("all", None), ("month", date(each.day.year, each.day.month, 1)), ("week", monday)):
            sums["movement", None, window, start][each.supporter] += each.points
            if each.campaign:
                sums["campaign", str(each.campaign), window, start][each.supporter] += each.points
            for chapter in each.chapters:
                sums["chapter", str(chapter), window, start][each.supporter] += each.points
                sums["chapters", None, window, start][chapter] += each.points
            if each.partnership:
                sums["partnerships", None, window, start][each.partnership] += each.points
    return {board: {who: points for who, points in sum_.items() if points > 0} for board, sum_ in sums.items()}
