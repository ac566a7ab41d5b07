"""The strings that break other programs go out by mail, in names, titles and notes, and break nothing."""

import csv
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from notifications.digest import SUBJECT_LENGTH
from notifications.mailer import FileMailer
from projections.leaderboards import Leaderboards
from tests.support.mails import BASE, MONDAY, service
from tests.support.store import KINDS, Store

Commands = list[tuple[str, dict[str, Any]]]
MORE = (
    "a\nBcc: all@example.org",
    "=?utf-8?q?Click?= =?utf-8?b?aGVyZQ==?=",
    "--=_alternative--\n\n--=_related",
    ".\n..\n.",
    "From here on",
    "x" * 300,
    "ش" * 300,
    "\u202eabc\u2066",
    "<p style='position:fixed'>",
    "{{ 7 * 7 }} {% raw %} %(name)s %s ${x}",
    "</title></style><script>alert(1)</script><img src=x onerror=alert(1)>",
    "\ufeff",
    "\N{ZERO WIDTH JOINER}" * 300,
    "Zalgo" + "\u0300" * 200,
)


def can_be_title(text: str) -> bool:
    """Tell whether a title can be this; the rest is refused before it comes anywhere near a mail."""
    controls = any(one not in "\n\t" and unicodedata.category(one) in {"Cc", "Cs"} for one in text)
    return not controls and 1 <= len(unicodedata.normalize("NFC", text)) <= 300


@pytest.fixture(scope="module")
def strings(shared_data: Path) -> list[str]:
    """The naughty strings, one name of each script, and what breaks mails above all."""
    folder = shared_data / "import-torture"
    naughty = json.loads((folder / "naughty-strings" / "blns.json").read_text())
    with (folder / "names-by-country" / "common-surnames-by-country.csv").open(
        encoding="utf-8-sig", newline=""
    ) as file:
        names = {row["Country"]: row["Localized Name"] for row in csv.DictReader(file)}
    found = [text for text in (*naughty, *names.values(), *MORE) if can_be_title(text)]
    assert len(found) > 500
    return found


def life(number: int, text: str) -> Commands:
    """Let somebody of this name do and get everything that a digest tells, all of it called the same."""
    one = f"n{number}"
    pledge = {"campaign": one, "supporter": one}
    kind = {"kind": "supporter", "id": one}
    return [
        ("chapters.found", {"chapter": one, "name": text}),
        ("supporters.register", {"supporter": one, "name": text, "email": f"{one}@example.org", "chapter": one}),
        ("supporters.confirm_email", {"supporter": one}),
        ("supporters.consent", {"supporter": one, "topic": "digest", "granted": True, "wording": text}),
        ("supporters.set_visibility", {"supporter": one, "public": True, "display_name": text}),
        ("supporters.set_digest", {"supporter": one, "frequency": "weekly"}),
        ("campaigns.draft", {"campaign": one, "title": text, "summary": text, "hashtag": text}),
        ("campaigns.add_ask", {"campaign": one, "ask": "a", "statement": text, "kind": "once"}),
        (
            "campaigns.add_ask",
            {"campaign": one, "ask": "b", "statement": text, "kind": "challenge", "days": 100, "prompts": [text] * 100},
        ),
        ("campaigns.launch", {"campaign": one}),
        ("pledges.make", {**pledge, "ask": "a", "note": text}),
        ("pledges.make", {**pledge, "ask": "b", "note": text}),
        ("policies.track", {"policy": one, "title": text, "kind": "bill", "ask": text}),
        (
            "actions.log",
            {"action": one, "policy": one, "supporter": one, "kind": "call", "on": "2026-01-05", "note": text},
        ),
        ("actions.record_response", {"action": one, "summary": text, "on": "2026-01-05"}),
        ("policies.advance", {"policy": one, "stage": text, "on": "2026-01-05"}),
        ("recognitions.nominate", {"recognition": one, "title": text, "recipient": kind, "citation": text}),
        ("recognitions.award", {"recognition": one}),
    ]


class Outline(HTMLParser):
    """What an HTML document is made of: elements with their attributes, and where it leads."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: set[tuple[str, ...]] = set()
        self.styles: set[str] = set()
        self.targets: set[str] = set()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.kinds.add((tag, *sorted(name for name, _ in attrs)))
        for name, value in attrs:
            if name in {"href", "src"}:
                self.targets.add(re.sub(r"\bn\d+\b|[\w-]{32,36}", "ID", value or ""))
            if name in {"style", "class"}:
                self.styles.add(value or "")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@dataclass(frozen=True)
class Arrived:
    """A message as it went out, and what it says."""

    raw: bytes
    message: EmailMessage
    outline: Outline
    text: str


def arrived_as(raw: bytes) -> Arrived:
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    html, text = message.get_body(("html",)), message.get_body(("plain",))
    assert html is not None
    assert text is not None
    outline = Outline()
    outline.feed(html.get_content())
    outline.close()
    return Arrived(raw, message, outline, text.get_content())


def letters(text: str) -> str:
    """Return what of a text cannot get lost by breaking lines or leaving out marks of direction."""
    return "".join(one for one in text if one.isalnum())


@pytest.fixture(scope="module")
def arrived(strings: Sequence[str], tmp_path_factory: pytest.TempPathFactory) -> list[Arrived]:
    """The digests of people with such names: first somebody's with a harmless one."""
    folder = tmp_path_factory.mktemp("torture")
    everybody = ["Harmless", *strings]
    with Store(f"sqlite:///{folder / 'store.sqlite3'}", folder, kinds=(*KINDS, Leaderboards)) as store:
        store.run_all([command for number, text in enumerate(everybody) for command in life(number, text)])
        store.catch_up()
        mails = service(store, folder)
        assert mails.run(MONDAY)["accepted"] == len(everybody)
        assert isinstance(mails.mailer, FileMailer)
        found = [arrived_as(path.read_bytes()) for path in mails.mailer.folder.glob("digest-*.eml")]
    by_address = {str(one.message["To"]): one for one in found}
    return [by_address[f"n{number}@example.org"] for number in range(len(everybody))]


def test_every_string_arrives_in_a_sound_message(arrived: list[Arrived]) -> None:
    harmless, *others = arrived
    kinds = [part.get_content_type() for part in harmless.message.walk()]
    for one in others:
        assert one.message.keys() == harmless.message.keys()
        assert [part.get_content_type() for part in one.message.walk()] == kinds
        assert not any(part.defects for part in one.message.walk())
        assert not any(value.defects for value in one.message.values())
        subject = str(one.message["Subject"])
        assert subject.isprintable() or "\u200c" in subject or "\u200d" in subject
        assert 0 < len(subject) <= SUBJECT_LENGTH
        assert all(len(line) <= 998 for line in one.raw.split(b"\r\n"))


def test_no_string_changes_what_the_html_is_made_of(arrived: list[Arrived]) -> None:
    harmless, *others = (one.outline for one in arrived)
    for found in others:
        assert found.kinds <= harmless.kinds | {("br",)}
        assert found.styles <= harmless.styles
        assert found.targets <= harmless.targets
    assert all(target.startswith((f"{BASE}/", "cid:")) for target in harmless.targets)


def test_the_strings_are_said_as_they_are(arrived: list[Arrived], strings: Sequence[str]) -> None:
    for text, one in zip(strings, arrived[1:], strict=True):
        normal = letters(unicodedata.normalize("NFC", text))
        assert normal in letters(one.text)
        assert normal in letters("".join(one.outline.words))


def test_no_string_makes_a_message_large(arrived: list[Arrived]) -> None:
    assert max(len(one.raw) for one in arrived) < 102 * 1_024
