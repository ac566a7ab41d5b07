"""Who carries the word further: one partner who stays, one whose time ends, one who declines, one who has to go."""

from typing import Any, Final

from api.demo.script import FIELD, STAFF, Script, noon

CLARA: Final = "clara-montoya"
ALVORADA: Final = "radio-alvorada"
BRIGHTDESK: Final = "brightdesk"
NIMBUS: Final = "nimbus-studio"


def partnerships(script: Script) -> None:
    """Tell the four partnerships, with what was promised and what was delivered."""
    _clara(script)
    _alvorada(script)
    _brightdesk(script)
    _nimbus(script)


def _begin(script: Script, partnership: str, month: int, day: int, **data: Any) -> None:  # noqa: ANN401 - as the command types them
    script.add("partnerships.propose", noon(month, day, 9), partnership=partnership, **data)
    script.add("partnerships.approach", noon(month, day, 15), FIELD, partnership=partnership)


def _clara(script: Script) -> None:
    who = {"name": "Clara Montoya", "kind": "influencer", "channel": "podcast", "handle": "@claraescucha"}
    _begin(script, CLARA, 2, 4, **who, audience=48_000)
    script.add(
        "partnerships.agree",
        noon(2, 16),
        partnership=CLARA,
        disclosure="Unpaid. We lent a recorder and paid two train tickets; she says so in each episode.",
        terms="Three episodes between March and June, no advertising next to them.",
        deliverables=[
            {"deliverable": "episode-1", "title": "Episode: the second answer", "due_on": "2026-03-15"},
            {"deliverable": "episode-2", "title": "Episode: a table in Puebla", "due_on": "2026-04-30"},
            {"deliverable": "episode-3", "title": "Episode: what my father did not say", "due_on": "2026-06-30"},
        ],
    )
    script.add("partnerships.activate", noon(2, 18), partnership=CLARA, referral="CLARA")
    first = {"partnership": CLARA, "deliverable": "episode-1", "url": "https://example.org/clara/1"}
    script.add("partnerships.submit_deliverable", noon(3, 12), FIELD, **first, on="2026-03-12")
    script.add("partnerships.accept_deliverable", noon(3, 13), partnership=CLARA, deliverable="episode-1")
    second = {"partnership": CLARA, "deliverable": "episode-2"}
    script.add("partnerships.submit_deliverable", noon(4, 27), FIELD, **second, url="https://example.org/clara/2")
    why = "A guest is recognisable who had asked not to be."
    script.add("partnerships.reject_deliverable", noon(4, 28), STAFF, why, **second)
    script.add("partnerships.submit_deliverable", noon(5, 4), FIELD, **second, url="https://example.org/clara/2b")
    script.add("partnerships.accept_deliverable", noon(5, 5), **second)


def _alvorada(script: Script) -> None:
    who = {"name": "Rádio Alvorada", "kind": "media", "channel": "radio", "audience": 120_000}
    _begin(script, ALVORADA, 2, 9, **who)
    script.add(
        "partnerships.agree",
        noon(2, 19),
        partnership=ALVORADA,
        disclosure="No money either way. They may use our recordings, with the speakers' consent.",
        deliverables=[
            {"deliverable": "manha", "title": "Dez minutos à escuta, todas as terças", "due_on": "2026-05-15"},
            {"deliverable": "debate", "title": "Debate sobre a hora de escuta nas escolas", "due_on": "2026-04-10"},
        ],
    )
    script.add("partnerships.activate", noon(2, 20), partnership=ALVORADA, referral="ALVORADA")
    debate = {"partnership": ALVORADA, "deliverable": "debate", "url": "https://example.org/alvorada/debate"}
    script.add("partnerships.submit_deliverable", noon(4, 9), FIELD, **debate, on="2026-04-08")
    script.add("partnerships.accept_deliverable", noon(4, 10), partnership=ALVORADA, deliverable="debate")
    weekly = {"partnership": ALVORADA, "deliverable": "manha", "url": "https://example.org/alvorada/manha"}
    script.add("partnerships.submit_deliverable", noon(5, 14), FIELD, **weekly, on="2026-05-12")
    script.add("partnerships.accept_deliverable", noon(5, 15), partnership=ALVORADA, deliverable="manha")
    script.add("partnerships.end", noon(5, 20), STAFF, "The season is over; we part as friends.", partnership=ALVORADA)


def _brightdesk(script: Script) -> None:
    who = {"name": "Brightdesk", "kind": "organization", "channel": "co-working", "audience": 900}
    _begin(script, BRIGHTDESK, 3, 4, **who)
    why = "They would have put their logo on the lunch tables."
    script.add("partnerships.decline", noon(3, 17), STAFF, why, partnership=BRIGHTDESK)


def _nimbus(script: Script) -> None:
    who = {"name": "Nimbus Studio", "kind": "influencer", "channel": "video", "handle": "@nimbus", "audience": 310_000}
    _begin(script, NIMBUS, 4, 13, **who)
    script.add(
        "partnerships.agree",
        noon(4, 21),
        partnership=NIMBUS,
        disclosure="Paid: 400 euros for editing. Said in the description of each video.",
        deliverables=[
            {"deliverable": "video-1", "title": "Video: behind one door", "due_on": "2026-05-05"},
            {"deliverable": "video-2", "title": "Video: the street that talks", "due_on": "2026-06-05"},
        ],
    )
    script.add("partnerships.activate", noon(4, 26), partnership=NIMBUS, referral="NIMBUS")
    video = {"partnership": NIMBUS, "deliverable": "video-1"}
    script.add("partnerships.submit_deliverable", noon(5, 3), FIELD, **video, url="https://example.org/nimbus/1")
    script.add("partnerships.accept_deliverable", noon(5, 4), **video)
    why = "It came out that conversations were filmed without the neighbours' knowledge. We asked for the videos to go."
    script.add("partnerships.end", noon(5, 19, 8), STAFF, why, partnership=NIMBUS)
