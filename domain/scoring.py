"""Scoring rules: the published, versioned points for each kind of event, and the awards given by rule."""

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final
from uuid import UUID

from domain.actions import Action
from domain.kernel import (
    Aggregate,
    Between,
    Conflict,
    Context,
    Invalid,
    Stage,
    TextRule,
    Title,
    Unknown,
    fields_of,
    identify,
)
from domain.pledges import Pledge
from domain.recognitions import Recognition
from domain.slices import Command, Slice
from domain.supporters import Supporter

DEFAULT_POINTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "pledges.Made": 1.0,
        "pledges.Renewed": 1.0,
        "pledges.CheckedIn": 2.0,
        "pledges.Kept": 10.0,
        "actions.Verified": 10.0,
        "recognitions.Awarded": 20.0,
    }
)
"""Version 0: the points that hold until rules are published, without a cap or awards."""

TAKES_BACK: Final = frozenset({"pledges.Withdrawn", "actions.Rejected", "actions.Retracted", "recognitions.Revoked"})
"""The topics whose event takes back, by negative entries, all points that the earlier events of its stream gave."""

SCORABLE: Final = frozenset(
    topic
    for kind in (Supporter, Pledge, Action, Recognition)
    for topic, event in kind.events.items()
    if kind is Supporter or "supporter" in fields_of(event)
)
"""The topics about one supporter, which is what points can be given for."""

Points = Annotated[float, Between(-1_000_000, 1_000_000)]
Cap = Annotated[float, Between(0, 1_000_000)]
AwardName = Annotated[str, TextRule(80, 1)]
Threshold = Annotated[int, Between(1, 1_000_000)]


class Applies(StrEnum):
    """Whether new rules count what happens from now on, or all that ever happened."""

    FROM_NOW = "from_now"
    TO_ALL_HISTORY = "to_all_history"


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What an award is given for; exactly one of the three.

    ``streak``: check-ins in a row; ``kept``: challenges kept; ``verified_actions``: actions found to be done.
    """

    streak: Threshold | None = None
    kept: Threshold | None = None
    verified_actions: Threshold | None = None


@dataclass(frozen=True, kw_only=True)
class AwardRule:
    """An award given by rule, and taken back when its ground goes away."""

    award: AwardName
    title: Title
    when: Ground


class ScoringRules(Aggregate, prefix="scoring", noun="rules"):
    """One version of the rules; once published it never changes, the next version takes its place."""

    class Event(Aggregate.Event):
        """Something that happened to the rules."""

    class Published(Event, Aggregate.Created):
        """``points`` by topic; ``daily_cap``: the most points that one supporter gets for one day."""

        version: int
        points: dict[str, float]
        applies: Applies
        daily_cap: float | None = None
        awards: tuple[AwardRule, ...] = ()


GROUNDS: Final = "streak, kept and verified_actions"


def rules_id(version: int) -> UUID:
    """Return the id of one version of the rules."""
    return identify("scoring", f"rules/{version}")


def check_points(numbers: Iterable[float]) -> None:
    """Raise Invalid where a number has more than two decimals (or is none at all)."""
    for number in numbers:
        if round(number, 2) != number:
            raise Invalid("scoring.points_malformed", f"{number} is not a number of at most two decimals.")


def check_topics(topics: Iterable[str]) -> None:
    """Raise Unknown where a topic is not about one supporter."""
    for topic in topics:
        if topic not in SCORABLE:
            raise Unknown("scoring.topic_unknown", f"“{topic}” is not a kind of event about one supporter.")


def check_awards(awards: Iterable[AwardRule]) -> None:
    """Raise Invalid where an award has not exactly one ground, or two have the same name."""
    names: set[str] = set()
    for rule in awards:
        if sum(ground is not None for ground in astuple(rule.when)) != 1:
            raise Invalid("scoring.award_ground", f"The award “{rule.award}” needs exactly one of {GROUNDS}.")
        if rule.award in names:
            raise Invalid("scoring.award_twice", f"There are two awards “{rule.award}”.")
        names.add(rule.award)


class Publish(Command, name="scoring.publish"):
    """Publish the next version of the scoring rules."""

    version: Annotated[int, Between(1, 1_000_000)]
    points: dict[str, Points]
    daily_cap: Cap | None = None
    awards: tuple[AwardRule, ...] = ()
    applies: Applies

    def streams(self) -> tuple[UUID, ...]:
        """The version and the one before."""
        return (rules_id(self.version), rules_id(self.version - 1))

    def check(self) -> None:
        """Raise Unknown for an unknown topic, Invalid for malformed points or an award without one ground."""
        check_topics(self.points)
        check_points(self.points.values())
        check_points([self.daily_cap] if self.daily_cap is not None else [])
        check_awards(self.awards)

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when not the next version, for an unknown topic, malformed points or an award without one ground."""
        if stage.find(ScoringRules, rules_id(self.version)):
            raise Conflict("scoring.version_not_next", f"Version {self.version} is already published.")
        if self.version > 1 and not stage.find(ScoringRules, rules_id(self.version - 1)):
            raise Conflict("scoring.version_not_next", f"Version {self.version - 1} is not published yet.")
        self.check()
        rules = ScoringRules.open(
            rules_id(self.version),
            version=self.version,
            points=dict(self.points),
            applies=self.applies,
            daily_cap=self.daily_cap,
            awards=tuple(self.awards),
        )
        stage.add(rules)


SLICE = Slice("scoring", (ScoringRules,), (Publish,))
