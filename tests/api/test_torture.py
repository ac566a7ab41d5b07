"""The strings that break other programs go in through commands and come out of reads as they were."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from api.accounts import Role
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
