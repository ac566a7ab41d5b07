"""Milestones: which events are to be remembered, under which kind and title."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from domain.actions import Action
from domain.campaigns import Campaign
from domain.chapters import Chapter
from domain.kernel import Event, Unset
from domain.partnerships import Partnership
from domain.pledges import Pledge
from domain.policies import Policy
from domain.recognitions import Recognition
from domain.slices import Fact
from domain.supporters import Supporter

FIRST_ROUND_NUMBER: Final = 100

SETBACKS: Final = frozenset(
    {"campaign_paused", "partnership_declined", "partnership_ended", "recognition_revoked", "chapter_closed"}
)
"""The kinds that are setbacks; a policy is one where its outcome is not that it was won."""
WON: Final = "won"

KINDS: Final[dict[type[Event], str]] = {
    Campaign.Launched: "campaign_launched",
    Campaign.Paused: "campaign_paused",
    Campaign.Completed: "campaign_completed",
    Chapter.Closed: "chapter_closed",
    Policy.Concluded: "policy_concluded",
    Partnership.Activated: "partnership_activated",
    Partnership.Declined: "partnership_declined",
    Partnership.Ended: "partnership_ended",
    Recognition.Awarded: "recognition_awarded",
    Recognition.Revoked: "recognition_revoked",
}
"""What each of these events is remembered as; awards that follow from rules are too many for that."""

ROUND: Final[dict[type[Event], str]] = {
    Supporter.Registered: "supporters",
    Pledge.Made: "pledges",
    Action.Logged: "actions",
    Recognition.Awarded: "recognitions",
}
"""What the first and every round number of these events is remembered as."""

MARKED: Final = frozenset((*KINDS, *ROUND))
"""The events that are, or can be, milestones."""

TITLED: Final = (
    Campaign.Drafted,
    Campaign.Amended,
    Chapter.Founded,
    Chapter.Refounded,
    Chapter.Amended,
    Policy.Tracked,
    Partnership.Proposed,
    Recognition.Nominated,
)
"""The events that give a title to something whose milestones come later."""


@dataclass(frozen=True, slots=True)
class Milestone:
    """Something to remember; ``detail`` is the outcome of a policy, or the round number that was reached."""

    position: int
    occurred_at: datetime
    kind: str
    subject: UUID
    title: str | None
    detail: str | None

    @property
    def setback(self) -> bool:
        """Whether it is something that did not go as was hoped."""
        return self.kind in SETBACKS or (self.kind == "policy_concluded" and self.detail != WON)


def by_rule(fact: Fact) -> bool:
    """Whether a fact followed by itself from another, as automatic awards do."""
    return fact.causation_id is not None


def given_title(fact: Fact) -> str | None:
    """Return the title that a fact gives to something whose milestones come later."""
    match fact.event:
        case Recognition.Nominated() if by_rule(fact):
            return None
        case (
            Campaign.Drafted(title=title)
            | Campaign.Amended(title=title)
            | Policy.Tracked(title=title)
            | Recognition.Nominated(title=title)
            | Partnership.Proposed(name=title)
            | Chapter.Founded(name=title)
            | Chapter.Refounded(name=title)
            | Chapter.Amended(name=title)
        ):
            return None if isinstance(title, Unset) else title
        case _:
            return None


def titled(event: Event) -> UUID:
    """Return the id of what names a milestone: of a pledge, its campaign."""
    return event.campaign if isinstance(event, Pledge.Event) else event.originator_id


def milestone(fact: Fact, number: int) -> tuple[str, str | None] | None:
    """Return (kind, detail) where a fact is one; ``number`` counts its kind up to and with it."""
    kind = type(fact.event)
    if kind in KINDS and not by_rule(fact):
        return KINDS[kind], str(fact.event.outcome) if isinstance(fact.event, Policy.Concluded) else None
    if kind in ROUND and is_round(number):
        return ROUND[kind], str(number)
    return None


def is_round(number: int) -> bool:
    """Whether a number is the first, or 100, 1,000, 10,000 …."""
    return number == 1 or (number >= FIRST_ROUND_NUMBER and str(number).strip("0") == "1")
