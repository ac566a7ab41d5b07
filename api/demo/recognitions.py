"""What is said thank you for: published scoring rules, and recognitions given by people, one of them taken back."""

from datetime import datetime, timedelta
from typing import Any, Final

from api.demo.partners import CLARA, NIMBUS
from api.demo.script import FIELD, STAFF, Person, Script, noon

POINTS: Final = {
    "pledges.Made": 1,
    "pledges.Renewed": 1,
    "pledges.CheckedIn": 2,
    "pledges.Kept": 10,
    "actions.Logged": 1,
    "actions.Verified": 8,
    "recognitions.Awarded": 20,
}
AWARDS: Final[list[dict[str, Any]]] = [
    {"award": "seven-days", "title": "Seven days in a row", "when": {"streak": 7}},
    {"award": "kept", "title": "A challenge kept", "when": {"kept": 1}},
    {"award": "ten-actions", "title": "Ten verified actions", "when": {"verified_actions": 10}},
]


def scoring(script: Script) -> None:
    """Publish two versions of the rules: the second asks less of the evening and more of the street."""
    common = {"daily_cap": 30, "awards": AWARDS}
    first = {"version": 1, "points": POINTS, "applies": "to_all_history"}
    script.add("scoring.publish", noon(1, 4), STAFF, "The rules we agreed on in Porto.", **first, **common)
    points = POINTS | {"pledges.CheckedIn": 1.5, "actions.Verified": 12}
    second = {"version": 2, "points": points, "applies": "from_now"}
    why = "Advocates asked for it: a testimony takes an evening, a check-in a minute."
    script.add("scoring.publish", noon(4, 15), STAFF, why, **second, **common)


def recognitions(script: Script) -> None:
    """Nominate, endorse and award; decline one, and revoke one with its reason."""
    star = [person for person in script.people[:12] if person.leaves_at is None]
    by = {language: [p for p in star if p.language == language] for language in ("pt", "es", "en")}
    listener, teacher, cook = by["pt"][0], by["es"][0], by["en"][0]
    _praise(
        script,
        "first-circle",
        "The first circle",
        {"kind": "supporter", "id": listener.reference},
        teacher,
        "Held the first listening circle with eleven chairs, and went on when three came.",
        [cook, star[-1]],
        noon(3, 8),
    )
    _praise(
        script,
        "table-of-the-spring",
        "La mesa de la primavera",
        {"kind": "supporter", "id": teacher.reference},
        cook,
        "Cada jueves, una silla de más en la mesa.",
        [listener],
        noon(4, 19),
    )
    _praise(
        script,
        "chapter-of-the-half-year",
        "Chapter of the half year",
        {"kind": "chapter", "id": "lisboa"},
        cook,
        "For the schools: forty letters, nine testimonies, one hour a week.",
        [teacher, star[-1]],
        noon(6, 15),
    )
    _praise(
        script,
        "voice-of-the-spring",
        "Voice of the spring",
        {"kind": "partnership", "id": CLARA},
        teacher,
        "Three episodes that are quiet when it matters.",
        [listener],
        noon(5, 10),
    )
    _praise(
        script,
        "one-door-film",
        "A film that opened doors",
        {"kind": "partnership", "id": NIMBUS},
        None,
        "For the video of the first door.",
        [star[-1]],
        noon(5, 7),
    )
    why = "The conversations in it were filmed without the neighbours' knowledge."
    script.add("recognitions.revoke", noon(5, 19, 9), STAFF, why, recognition="one-door-film")
    declined = {"kind": "supporter", "id": cook.reference}
    nominated: dict[str, Any] = {"recognition": "most-check-ins", "title": "Most check-ins", "recipient": declined}
    script.add("recognitions.nominate", noon(5, 25), listener.actor, **nominated, nominator=listener.reference)
    why = "We do not give awards for being first."
    script.add("recognitions.decline", noon(5, 27), STAFF, why, recognition="most-check-ins")


def _praise(
    script: Script,
    recognition: str,
    title: str,
    recipient: dict[str, str],
    nominator: Person | None,
    citation: str,
    endorsers: list[Person],
    at: datetime,
) -> None:
    actor, who = (nominator.actor, nominator.reference) if nominator else (FIELD, None)
    data: dict[str, Any] = {"recognition": recognition, "title": title, "recipient": recipient, "citation": citation}
    script.add("recognitions.nominate", at, actor, **data, nominator=who)
    for number, endorser in enumerate(endorsers, start=1):
        later = at + timedelta(hours=5 * number)
        script.add("recognitions.endorse", later, endorser.actor, recognition=recognition, supporter=endorser.reference)
    script.add("recognitions.award", at + timedelta(days=2), STAFF, recognition=recognition)
