"""Milestones in words."""

from typing import Final

from projections.milestones import Milestone

SENTENCES: Final = {
    "campaign_launched": "The campaign {title} was launched.",
    "campaign_paused": "The campaign {title} was paused.",
    "campaign_completed": "The campaign {title} was completed.",
    "chapter_closed": "The chapter {title} was closed.",
    "policy_concluded": "The policy {title} was {detail}.",
    "partnership_activated": "The partnership with {title} began.",
    "partnership_declined": "The partnership with {title} was declined.",
    "partnership_ended": "The partnership with {title} ended.",
    "recognition_awarded": "The recognition {title} was given.",
    "recognition_revoked": "The recognition {title} was revoked.",
    "supporters": "Supporter number {number} joined.",
    "pledges": "Pledge number {number} was made.",
    "actions": "Action number {number} was logged.",
    "recognitions": "Recognition number {number} was given.",
}
FIRST: Final = {
    "supporters": "The first supporter joined.",
    "pledges": "The first pledge was made, to {title}.",
    "actions": "The first action was logged.",
    "recognitions": "The first recognition was given.",
}


def sentence(mark: Milestone) -> str:
    """Say what happened in one sentence."""
    title = f"“{mark.title}”" if mark.title else "something"
    if mark.kind not in FIRST:
        return SENTENCES[mark.kind].format(title=title, detail=mark.detail)
    number = int(mark.detail or "1")
    words = FIRST if number == 1 else SENTENCES
    return words[mark.kind].format(title=title, number=f"{number:,}".replace(",", "\u202f"))
