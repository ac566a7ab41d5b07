"""The strings that break other programs go out by mail, in names, titles and notes, and break nothing."""

import csv
import json
import re
import unicodedata
from collections.abc import Sequence
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from notifications.digest import SUBJECT_LENGTH
from notifications.mailer import FileMailer
from projections.leaderboards import Leaderboards
from tests.support.mails import BASE, MONDAY, service
from tests.support.sink import Sink
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


def outline(message: EmailMessage) -> Outline:
    html = message.get_body(("html",))
    assert html is not None
    found = Outline()
    found.feed(html.get_content())
    found.close()
    return found


def letters(text: str) -> str:
    """Return what of a text cannot get lost by breaking lines or leaving out marks of direction."""
    return "".join(one for one in text if one.isalnum())


@pytest.fixture(scope="module")
def arrived(strings: Sequence[str], tmp_path_factory: pytest.TempPathFactory) -> list[EmailMessage]:
    """The digests of people with such names: first somebody's with a harmless one."""
    folder = tmp_path_factory.mktemp("torture")
    everybody = ["Harmless", *strings]
    sink = Sink()
    with Store(f"sqlite:///{folder / 'store.sqlite3'}", folder, kinds=(*KINDS, Leaderboards)) as store:
        commands = [command for number, text in enumerate(everybody) for command in life(number, text)]
        store.run_all(commands)
        store.catch_up()
        mails = service(store, folder)
        assert mails.run(MONDAY)["accepted"] == len(everybody)
        assert isinstance(mails.mailer, FileMailer)
        sink.raw = [path.read_bytes() for path in mails.mailer.folder.glob("digest-*.eml")]
    found = {str(message["To"]): message for message in sink.messages}
    return [found[f"n{number}@example.org"] for number in range(len(everybody))]


def test_every_string_arrives_in_a_sound_message(arrived: list[EmailMessage]) -> None:
    harmless, *others = arrived
    kinds = [part.get_content_type() for part in harmless.walk()]
    for message in others:
        assert message.keys() == harmless.keys()
        assert [part.get_content_type() for part in message.walk()] == kinds
        assert not any(part.defects for part in message.walk())
        assert not any(value.defects for value in message.values())
        subject = str(message["Subject"])
        assert subject.isprintable() or "\u200c" in subject or "\u200d" in subject
        assert 0 < len(subject) <= SUBJECT_LENGTH
        raw = message.as_bytes()
        assert all(len(line) <= 998 for line in raw.splitlines())


def test_no_string_changes_what_the_html_is_made_of(arrived: list[EmailMessage]) -> None:
    harmless, *others = map(outline, arrived)
    for found in others:
        assert found.kinds <= harmless.kinds | {("br",)}
        assert found.styles <= harmless.styles
        assert found.targets <= harmless.targets
    assert all(target.startswith((f"{BASE}/", "cid:")) for target in harmless.targets)


def test_the_strings_are_said_as_they_are(arrived: list[EmailMessage], strings: Sequence[str]) -> None:
    for text, message in zip(strings, arrived[1:], strict=True):
        plain = message.get_body(("plain",))
        assert plain is not None
        normal = letters(unicodedata.normalize("NFC", text))
        assert normal in letters(plain.get_content())
        assert normal in letters("".join(outline(message).words))


def test_no_string_makes_a_message_large(arrived: list[EmailMessage]) -> None:
    assert max(len(message.as_bytes()) for message in arrived) < 102 * 1_024
