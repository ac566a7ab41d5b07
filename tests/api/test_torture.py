"""The strings that break other programs go in through commands and come out of reads as they were."""

import json
import unicodedata
from collections import defaultdict
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from api.accounts import Role
from domain.kernel import TextRule
from tests.api.conftest import Api


@pytest.fixture(scope="module")
def naughty(shared_data: Path) -> list[str]:
    found: list[str] = json.loads((shared_data / "import-torture" / "naughty-strings" / "blns.json").read_text())
    return found


def can_be_text(text: str) -> bool:
    return not any(one not in "\n\t" and unicodedata.category(one) in {"Cc", "Cs"} for one in text)


def give(api: Api, envelopes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    body = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in envelopes).encode()
    headers = api.token(Role.MANAGER) | {"Content-Type": "application/x-ndjson"}
    answer = api.client.post("/api/v1/commands", content=body, headers=headers)
    api.groundswell.catch_up()
    return [json.loads(line) for line in answer.content.splitlines()]  # of bytes: only at line feeds


def test_every_text_field_comes_back_as_it_went_in(api: Api, naughty: list[str]) -> None:
    envelopes = []
    for number, text in enumerate(naughty):
        data = {
            "chapters.found": {"chapter": f"{number}", "name": text, "website": text, "place": {"city": text}},
            "policies.track": {"policy": f"{number}", "title": text, "kind": "bill", "ask": text, "stage": text},
            "supporters.register": {"supporter": f"{number}", "name": text},
        }
        envelopes += [{"id": f"{name}:{number}", "command": name, "data": each} for name, each in data.items()]
    answers = give(api, envelopes)
    assert len(answers) == len(envelopes)
    expected = [
        "accepted" if can_be_text(text) and 1 <= len(unicodedata.normalize("NFC", text)) <= 300 else "rejected"
        for text in naughty
        for _ in range(3)
    ]
    assert [one["status"] for one in answers] == expected
    codes = {one["error"]["code"] for one in answers if one["error"]}
    assert codes <= {"command.wrong_length", "text.control_character"}
    good = {
        str(n): unicodedata.normalize("NFC", naughty[n]) for n in range(len(naughty)) if expected[n * 3] == "accepted"
    }
    assert len(good) > 450
    chapters = {one["reference"]: one for one in api.pages("/chapters", "chapters", limit=500)}
    assert {key: (one["name"], one["website"], one["place"]["city"]) for key, one in chapters.items()} == {
        key: (text, text, text) for key, text in good.items()
    }
    policies = {one["reference"]: one for one in api.pages("/policies", "policies", limit=500)}
    assert {key: (one["title"], one["ask"], one["stage"]) for key, one in policies.items()} == {
        key: (text, text, text) for key, text in good.items()
    }
    supporters = api.pages("/supporters", "supporters", role=Role.MANAGER, limit=500)
    assert sorted(one["name"] for one in supporters) == sorted(good.values())
    history = api.pages("/history", "events", role=Role.MANAGER, topic="supporters.Registered", limit=500)
    assert [one["data"]["name"] for one in history] == list(good.values())


def test_references_too_as_ids_of_commands_and_in_reasons(api: Api, naughty: list[str]) -> None:
    texts = [text for text in dict.fromkeys(naughty) if can_be_text(text) and 1 <= len(text) <= 200]
    envelopes = [
        {"id": text, "command": "officials.register", "reason": text, "data": {"official": text, "name": "O"}}
        for text in texts
    ]
    answers = give(api, envelopes)
    refused = {one["error"]["code"] for one in answers if one["error"]}
    assert refused <= {"reference.control_character"}
    accepted = [text for text, one in zip(texts, answers, strict=True) if one["status"] == "accepted"]
    assert [one["id"] for one in answers if one["status"] == "accepted"] == accepted
    references = [one["reference"] for one in api.pages("/officials", "officials", limit=500)]
    assert sorted(references) == sorted(accepted)
    events = api.pages("/history", "events", role=Role.MANAGER, limit=500)
    assert [one["command"] for one in events] == accepted
    assert [one["reason"] for one in events] == [unicodedata.normalize("NFC", text) for text in accepted]


def test_names_in_their_own_scripts(sqlite_api: Api, shared_data: Path) -> None:
    folder = shared_data / "import-torture" / "names-by-country"
    lines = (folder / "common-surnames-by-country.csv").read_text().splitlines()[1:500]
    names = [line for line in lines if can_be_text(line) and len(line) <= 300]
    give(
        sqlite_api,
        [
            {"id": f"{n}", "command": "supporters.register", "data": {"supporter": f"{n}", "name": name}}
            for n, name in enumerate(names)
        ],
    )
    found = sqlite_api.pages("/supporters", "supporters", role=Role.MANAGER, limit=500)
    assert sorted(one["name"] for one in found) == sorted(unicodedata.normalize("NFC", name) for name in names)


def life_of(who: str, text: str) -> list[tuple[str, dict[str, Any]]]:
    """Commands that say the text wherever a command takes one; what has to differ from it has a letter more."""
    promise = {"campaign": who, "ask": "a", "supporter": who}
    deed = {"action": who, "policy": who, "supporter": who, "kind": "letter", "on": "2026-01-01"}
    office = dict.fromkeys(("office", "jurisdiction", "party", "phone", "address", "url"), text)
    deliverable = {"partnership": who, "deliverable": "d"}
    return [
        ("chapters.found", {"chapter": who, "name": text, "place": {"city": text, "country": text}, "website": text}),
        ("chapters.amend", {"chapter": who, "place": {"city": text}}),
        ("chapters.amend", {"chapter": who, "name": text + "a", "place": {"country": text}, "website": text + "a"}),
        ("supporters.register", {"supporter": who, "name": text, "source": text, "email": f"{who}@example.org"}),
        ("supporters.request_digest", {"supporter": who, "wording": text}),
        ("supporters.amend", {"supporter": who, "name": text + "a"}),
        ("supporters.consent", {"supporter": who, "topic": text, "granted": True, "wording": text}),
        ("supporters.set_visibility", {"supporter": who, "public": True, "display_name": text}),
        (
            "campaigns.draft",
            {"campaign": who, "title": text, "summary": text, "hashtag": text, "goal": {"count": 1, "unit": text}},
        ),
        ("campaigns.amend", {"campaign": who, "title": text + "a", "summary": text + "a", "hashtag": text + "a"}),
        ("campaigns.amend", {"campaign": who, "goal": {"count": 2, "unit": text}}),
        ("campaigns.frame", {"campaign": who, "locale": "es", "title": text, "summary": text}),
        (
            "campaigns.add_ask",
            {"campaign": who, "ask": "a", "statement": text, "kind": "challenge", "days": 9, "prompts": [text]},
        ),
        ("campaigns.launch", {"campaign": who}),
        ("pledges.make", promise | {"note": text, "referral": text}),
        ("pledges.amend", promise | {"note": text + "a"}),
        ("pledges.check_in", promise | {"on": "2026-01-01", "note": text}),
        ("officials.register", {"official": who, "name": text} | office),
        ("officials.amend", {"official": who, "name": text + "a"} | dict.fromkeys(office, text + "a")),
        (
            "policies.track",
            {"policy": who, "title": text, "kind": "bill"}
            | dict.fromkeys(("jurisdiction", "stage", "url", "ask"), text),
        ),
        ("policies.advance", {"policy": who, "stage": text + "a", "on": "2026-01-01"}),
        ("policies.record_position", {"policy": who, "official": who, "stance": "supports", "evidence": text}),
        ("actions.log", deed | {"note": text, "evidence_url": text}),
        ("actions.record_response", {"action": who, "summary": text, "on": "2026-01-01"}),
        ("partnerships.propose", {"partnership": who, "name": text, "kind": "media", "channel": text, "handle": text}),
        (
            "partnerships.agree",
            {"partnership": who, "disclosure": text, "terms": text}
            | {"deliverables": [{"deliverable": "d", "title": text}]},
        ),
        ("partnerships.activate", {"partnership": who, "referral": f"{who}{text}"}),
        ("partnerships.submit_deliverable", deliverable | {"url": text}),
        ("partnerships.reject_deliverable", deliverable | {"url": text}),
        ("partnerships.submit_deliverable", deliverable | {"url": text}),
        ("partnerships.accept_deliverable", deliverable | {"url": text}),
        (
            "recognitions.nominate",
            {"recognition": who, "title": text, "citation": text, "recipient": {"kind": "supporter", "id": who}},
        ),
    ]


RULES: dict[str, Any] = {"version": 1, "points": {}, "applies": "from_now"}
NOT_FREE = {"email", "locale", "time_zone"}
"""Texts that have a form of their own."""


def texts_of(cls: type[Any]) -> set[str]:
    """Name the fields, nested ones too, in which a command takes free text."""
    hints = get_type_hints(cls, include_extras=True)
    return {name for each in fields(cls) for name in _texts(each.name, hints[each.name])} - NOT_FREE


def _texts(name: str, hint: object) -> set[str]:
    if isinstance(hint, type) and is_dataclass(hint):
        return {f"{name}.{inner}" for inner in texts_of(hint)}
    if any(isinstance(mark, TextRule) for mark in getattr(hint, "__metadata__", ())):
        return {name}
    return {found for inner in get_args(hint) for found in _texts(name, inner)}


def given_in(name: str, value: object) -> set[str]:
    match value:
        case dict():
            return {f"{name}.{inner}" for inner in value}
        case [*several]:
            return {found for one in several for found in given_in(name, one)}
        case _:
            return {name}


def test_a_life_says_a_text_wherever_a_command_takes_one(sqlite_api: Api) -> None:
    said: defaultdict[str, set[str]] = defaultdict(set)
    for command, data in [*life_of("who", "text"), ("scoring.publish", award("text"))]:
        said[command] |= {found for name, value in data.items() for found in given_in(name, value)}
    for name, kind in sqlite_api.groundswell.engine.catalogue.commands.items():
        assert texts_of(kind) <= said[name], name


def award(text: str) -> dict[str, Any]:
    return RULES | {"awards": [{"award": text[:80], "title": text, "when": {"streak": 7}}]}


def within(given: object, found: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether what was given, in NFC, stands in what was found."""
    match given:
        case str():
            return bool(unicodedata.normalize("NFC", given) == found)
        case dict():
            return all(within(value, found[name]) for name, value in given.items())
        case list():
            return all(within(one, other) for one, other in zip(given, found, strict=True))
        case _:
            return bool(given == found)


def test_every_text_of_every_command_comes_back_as_it_went_in(api: Api, naughty: list[str]) -> None:
    texts = [text for text in dict.fromkeys(naughty) if can_be_text(text) and 1 <= len(text) <= 280]
    assert len(texts) > 440
    given = {
        f"{who}:{place}": (command, data)
        for who, text in enumerate(texts)
        for place, (command, data) in enumerate(life_of(f"w{who}", text))
    }
    given |= {f"rules:{n}": ("scoring.publish", award(text) | {"version": n}) for n, text in enumerate(texts, start=1)}
    at = "2026-01-01T12:00:00Z"
    answers = give(api, [{"id": key, "command": c, "at": at, "data": data} for key, (c, data) in given.items()])
    assert {one["status"] for one in answers} == {"accepted"}
    events = {
        (one["command"], one["topic"]): one["data"]
        for one in api.pages("/history", "events", role=Role.MANAGER, limit=500)
    }
    first_of: dict[str, dict[str, Any]] = {}
    for (key, _topic), data in events.items():
        first_of.setdefault(key, data)
    for key, (command, data) in given.items():
        found = first_of[key] | ({"topic": first_of[key].get("subject")} if command == "supporters.consent" else {})
        said = {name: data[name] for name in texts_of_top(api, command) & data.keys()}
        assert within(said, found), (command, data, found)


def texts_of_top(api: Api, command: str) -> set[str]:
    return {name.partition(".")[0] for name in texts_of(api.groundswell.engine.catalogue.commands[command])}


def test_lists_answer_every_text_as_it_went_in(sqlite_api: Api, naughty: list[str]) -> None:
    api = sqlite_api
    texts = [text for text in dict.fromkeys(naughty) if can_be_text(text) and 1 <= len(text) <= 280]
    lives = [(f"w{number}", text) for number, text in enumerate(texts)]
    at = "2026-01-01T12:00:00Z"
    give(
        api,
        [
            {"id": f"{who}:{place}", "command": command, "at": at, "data": data}
            for who, text in lives
            for place, (command, data) in enumerate(life_of(who, text))
        ],
    )

    def listed(path: str) -> dict[str, dict[str, Any]]:
        found = api.pages(f"/{path}", path, role=Role.MANAGER, limit=500)
        return {one.get("reference") or one["id"]: one for one in found}

    campaigns, officials, policies = listed("campaigns"), listed("officials"), listed("policies")
    partnerships, actions, recognitions = listed("partnerships"), listed("actions"), listed("recognitions")
    for who, text in lives:
        more = text + "a"
        campaign = {"title": more, "summary": more, "hashtag": more, "goal": {"count": 2, "unit": text}}
        asks = {"asks": [{"statement": text, "prompts": [text]}]}
        framings = {"framings": [{"title": text, "summary": text}]}
        assert within(campaign | asks | framings, campaigns[who])
        assert within(dict.fromkeys(("name", "office", "party", "phone", "address", "url"), more), officials[who])
        assert within({"title": text, "stage": more, "url": text, "ask": text}, policies[who])
        promised = {"deliverables": [{"title": text, "url": text}]}
        names = ("name", "channel", "handle", "disclosure", "terms")
        assert within(dict.fromkeys(names, text) | promised, partnerships[who])
        responses = {"responses": [{"summary": text}]}
        assert within({"note": text, "evidence_url": text} | responses, actions[who])
        assert within({"title": text, "citation": text, "recipient": {"name": text}}, recognitions[who])
