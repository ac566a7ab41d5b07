"""A movement in which everything happens at random, and what its read models hold, to be compared."""

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from history.tables import events
from projections.projection import Projection
from tests.support.store import START, Store

Data = dict[str, Any]
Contents = dict[str, list[dict[str, Any]]]

CAMPAIGNS: Final = ("listening", "letters")
STAGES: Final = ("drafted", "committee", "floor")


def wander(store: Store, *, seed: int = 1, steps: int = 3_000, batch: int = 10_000) -> None:
    """Run commands at random, most of them on few things, at times that mostly go on; what is refused is skipped."""
    dice = random.Random(seed)
    requests = [store.request(name, data) for name, data in _opening()]
    for step in range(steps):
        command = dice.choices(list(_MENU), list(_WEIGHTS))[0]
        at = START + timedelta(hours=step) - timedelta(days=dice.choice([0, 0, 0, 0, 2]))
        data = _MENU[command](dice) | ({"on": str(at.date())} if command in _DATED else {})
        requests.append(store.request(command, data, at=at, reason="for a reason"))
    batches = (requests[start : start + batch] for start in range(0, len(requests), batch))
    answers = [answer for each in batches for answer in store.engine.write(each)]
    assert sum(answer.status == "accepted" for answer in answers) > steps / 8
    store.react()


def contents(connection: Connection, projection: Projection) -> Contents:
    """Return the rows of all tables of a read model but its caches, in order of primary key."""
    found: Contents = {}
    for name, table in projection.metadata.tables.items():
        if table.info["cache"]:
            continue
        keys = [column.name for column in table.primary_key]
        rows = [dict(row) for row in connection.execute(sa.select(table)).mappings()]
        rows.sort(key=lambda row, keys=keys: [str(row[key]) for key in keys])  # type: ignore[misc]
        found[name.rpartition("_v")[0]] = rows
    return found


def live_contents(store: Store, kind: type[Projection]) -> Contents:
    """Return what the live tables of a read model hold."""
    with store.views() as views:
        return contents(views.connection, views[kind])


def copied(store: Store, url: str, folder: Path, *where: sa.ColumnElement[bool]) -> Store:
    """Return a new store that was only given some of the events of another."""
    copy = Store(url, folder, kinds=store.runner.kinds)
    with store.engine.database.read() as connection:
        rows = [dict(row) for row in connection.execute(sa.select(events).where(*where)).mappings()]
    with copy.engine.database.append() as connection:
        connection.execute(events.insert(), rows)
    return copy


def _opening() -> list[tuple[str, Data]]:
    opening: list[tuple[str, Data]] = []
    for campaign in CAMPAIGNS:
        opening += [
            ("campaigns.draft", {"campaign": campaign, "title": campaign, "goal": {"count": 9, "unit": "pledges"}}),
            ("campaigns.add_ask", {"campaign": campaign, "ask": "once", "statement": "I will", "kind": "once"}),
            (
                "campaigns.add_ask",
                {"campaign": campaign, "ask": "daily", "statement": "Each day", "kind": "challenge", "days": 30},
            ),
            ("campaigns.launch", {"campaign": campaign}),
        ]
    rules = {"version": 1, "points": {"pledges.Made": 1, "pledges.Kept": 10}, "applies": "to_all_history"}
    awards = [{"award": "keeper", "title": "Keeper", "when": {"kept": 1}}]
    return [*opening, ("scoring.publish", rules | {"awards": awards})]


def _one_of(letter: str, number: int) -> Callable[[random.Random], str]:
    return lambda dice: f"{letter}{dice.randrange(number)}"


_supporter, _chapter, _official = _one_of("s", 15), _one_of("c", 5), _one_of("o", 3)
_policy, _action, _partnership, _recognition = _one_of("p", 3), _one_of("a", 40), _one_of("q", 9), _one_of("r", 12)


def _code(dice: random.Random) -> str | None:
    return dice.choice(["alpha", "ALPHA", "Straße", "STRASSE", "gamma", None])


def _pledge(dice: random.Random) -> Data:
    return {
        "campaign": dice.choice(CAMPAIGNS),
        "ask": dice.choice(["once", "daily"]),
        "supporter": _supporter(dice),
    }


def _recipient(dice: random.Random) -> Data:
    kind, reference = dice.choice([("supporter", _supporter), ("chapter", _chapter), ("partnership", _partnership)])
    return {"kind": kind, "id": reference(dice)}


def _deliverable(dice: random.Random) -> Data:
    return {"partnership": _partnership(dice), "deliverable": dice.choice(["talk", "post"]), "url": "https://e.org"}


def _mail(dice: random.Random) -> Data:
    number, day = dice.randrange(400), START + timedelta(days=dice.randrange(120))
    return {
        "mail": f"m{number}",
        "supporter": f"s{number % 15}",
        "kind": "digest",
        "period": f"daily:{day.date()}",
        "due_at": day.isoformat(),
        "outcome": dice.choice(["accepted", "deferred", "suppressed", "bounced"]),
    }


_DATED: Final = {"pledges.check_in", "actions.log", "actions.record_response", "policies.advance", "policies.conclude"}
_MENU: Final[dict[str, Callable[[random.Random], Data]]] = {
    "supporters.register": lambda d: {"supporter": _supporter(d), "name": "Anna", "email": "a@example.org"},
    "supporters.amend": lambda d: {
        "supporter": _supporter(d),
        **d.choice([{"email": f"b{d.random()}@example.org"}, {"name": None}, {"chapter": _chapter(d)}]),
    },
    "supporters.confirm_email": lambda d: {"supporter": _supporter(d)},
    "supporters.consent": lambda d: {
        "supporter": _supporter(d),
        "topic": d.choice(["digest", "news"]),
        "granted": d.random() < 0.7,
        "wording": "Yes",
    },
    "supporters.set_visibility": lambda d: {"supporter": _supporter(d), "public": d.random() < 0.5},
    "supporters.set_digest": lambda d: {"supporter": _supporter(d), "frequency": d.choice(["daily", "weekly", "off"])},
    "supporters.pause_digest": lambda d: {
        "supporter": _supporter(d),
        "until": d.choice([None, str(START.date() + timedelta(days=d.randrange(200)))]),
    },
    "supporters.suppress_mail": lambda d: {
        "supporter": _supporter(d),
        "cause": d.choice(["hard_bounce", "complaint"]),
    },
    "supporters.mute_campaign": lambda d: {"supporter": _supporter(d), "campaign": d.choice(CAMPAIGNS)},
    "supporters.unmute_campaign": lambda d: {"supporter": _supporter(d), "campaign": d.choice(CAMPAIGNS)},
    "mails.record": _mail,
    "supporters.join_chapter": lambda d: {"supporter": _supporter(d), "chapter": _chapter(d)},
    "supporters.leave_chapter": lambda d: {"supporter": _supporter(d), "chapter": _chapter(d)},
    "supporters.erase": lambda d: {"supporter": _supporter(d)},
    "chapters.found": lambda d: {
        "chapter": _chapter(d),
        "name": f"Chapter {d.random()}",
        "parent": d.choice([None, _chapter(d)]),
        "place": d.choice([None, {"city": "Lisboa", "latitude": 38.7}]),
    },
    "chapters.amend": lambda d: {"chapter": _chapter(d), "place": d.choice([None, {"country": "PT"}])},
    "chapters.move": lambda d: {"chapter": _chapter(d), "parent": d.choice([None, _chapter(d)])},
    "chapters.close": lambda d: {"chapter": _chapter(d)},
    "campaigns.amend": lambda d: {"campaign": d.choice(CAMPAIGNS), "title": f"Title {d.random()}"},
    "campaigns.frame": lambda d: {"campaign": d.choice(CAMPAIGNS), "locale": "pt", "title": f"Título {d.random()}"},
    "campaigns.pause": lambda d: {"campaign": d.choice(CAMPAIGNS)},
    "campaigns.resume": lambda d: {"campaign": d.choice(CAMPAIGNS)},
    "pledges.make": lambda d: _pledge(d) | {"referral": _code(d), "note": d.choice([None, "For my son"])},
    "pledges.amend": lambda d: _pledge(d) | {"note": f"Note {d.random()}"},
    "pledges.check_in": _pledge,
    "pledges.keep": _pledge,
    "pledges.lapse": _pledge,
    "pledges.withdraw": _pledge,
    "officials.register": lambda d: {"official": _official(d), "name": f"Official {d.random()}", "party": "X"},
    "officials.amend": lambda d: {"official": _official(d), "office": f"Office {d.random()}"},
    "officials.retire": lambda d: {"official": _official(d)},
    "policies.track": lambda d: {"policy": _policy(d), "title": "A bill", "kind": "bill", "stage": "drafted"},
    "policies.advance": lambda d: {"policy": _policy(d), "stage": d.choice(STAGES)},
    "policies.add_target": lambda d: {"policy": _policy(d), "official": _official(d)},
    "policies.remove_target": lambda d: {"policy": _policy(d), "official": _official(d)},
    "policies.record_position": lambda d: {
        "policy": _policy(d),
        "official": _official(d),
        "stance": d.choice(["supports", "undecided", "opposes"]),
    },
    "policies.conclude": lambda d: {"policy": "p0" if d.random() < 0.1 else "none", "outcome": "won"},
    "actions.log": lambda d: {
        "action": _action(d),
        "policy": _policy(d),
        "supporter": _supporter(d),
        "kind": d.choice(["letter", "call"]),
        "note": "They listened",
    },
    "actions.verify": lambda d: {"action": _action(d)},
    "actions.reject": lambda d: {"action": _action(d)},
    "actions.retract": lambda d: {"action": _action(d)},
    "actions.record_response": lambda d: {"action": _action(d), "summary": "Thank you"},
    "partnerships.propose": lambda d: {"partnership": _partnership(d), "name": "Pia", "kind": "influencer"},
    "partnerships.approach": lambda d: {"partnership": _partnership(d)},
    "partnerships.agree": lambda d: {
        "partnership": _partnership(d),
        "disclosure": "none",
        "deliverables": [{"deliverable": "talk", "title": "A talk"}, {"deliverable": "post", "title": "A post"}],
    },
    "partnerships.activate": lambda d: {"partnership": _partnership(d), "referral": _code(d) or "delta"},
    "partnerships.end": lambda d: {"partnership": _partnership(d)},
    "partnerships.submit_deliverable": _deliverable,
    "partnerships.accept_deliverable": _deliverable,
    "partnerships.reject_deliverable": _deliverable,
    "recognitions.nominate": lambda d: {
        "recognition": _recognition(d),
        "title": "Star",
        "recipient": _recipient(d),
        "nominator": d.choice([None, _supporter(d)]),
    },
    "recognitions.endorse": lambda d: {"recognition": _recognition(d), "supporter": _supporter(d)},
    "recognitions.award": lambda d: {"recognition": _recognition(d)},
    "recognitions.decline": lambda d: {"recognition": _recognition(d)},
    "recognitions.revoke": lambda d: {"recognition": _recognition(d)},
}
_OFTEN: Final = {
    "pledges.make": 12,
    "pledges.check_in": 8,
    "partnerships.agree": 6,
    "partnerships.activate": 8,
    "actions.log": 4,
    "supporters.register": 4,
}
_SELDOM: Final = {"supporters.erase": 0.15, "chapters.close": 0.3, "campaigns.pause": 0.3, "partnerships.end": 0.6}
_WEIGHTS: Final = [(_OFTEN | _SELDOM).get(name, 2.0) for name in _MENU]
