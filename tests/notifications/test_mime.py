"""Messages parse as they were meant, whatever is in them."""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html import unescape
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.addresses import check_email
from domain.kernel import Invalid
from notifications.digest import Image, one_line
from notifications.mime import ALTERNATIVE, RELATED, Letter, Sender, build, mailable

SENDER = Sender("https://a-rather-long-host.of.a.movement.example.org")
LINK = f"{SENDER.base_url}/unsubscribe/{'a' * 32}"
AT = datetime(2026, 3, 9, 9, tzinfo=UTC)
ROW = UUID("b" * 32)
KEY = f"<{ROW.hex}@{SENDER.host}>"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 12
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def parsed(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def made(
    subject: str, text: str = "Text.", to: str = "anna@example.org", html: str = "<p>x</p>", pngs: int = 0
) -> bytes:
    images = tuple(Image(f"{number}@groundswell", PNG[number:]) for number in range(pngs))
    letter = Letter(subject, html, text, "pt-BR", LINK, period="weekly:2026-W11", images=images)
    return build(SENDER, to, letter, KEY, AT)


def contents(message: EmailMessage) -> list[tuple[str, object]]:
    """Return the type and the content of each part that has one, with lines as they were before they went out."""
    found: list[tuple[str, object]] = []
    for part in message.walk():
        if not part.is_multipart():
            assert isinstance(part, EmailMessage)
            content = part.get_content()
            found.append(
                (part.get_content_type(), content.replace("\r\n", "\n") if isinstance(content, str) else content)
            )
    return found


def assert_sound(raw: bytes, subject: str, parts: Iterable[str]) -> EmailMessage:
    """Assert that a message is what it was meant to be and nothing besides, for whoever reads it."""
    message = parsed(raw)
    assert message["Subject"] == one_line(subject, 110).strip()
    assert message.keys() == parsed(made("x")).keys()
    assert [part.get_content_type() for part in message.walk()] == list(parts)
    assert not any(part.defects for part in message.walk())
    assert not any(header.defects for header in message.values())
    assert all(len(line) <= 998 and b"\r" not in line and b"\n" not in line for line in raw.split(b"\r\n"))
    assert raw.isascii()
    assert b"\0" not in raw
    return message


PLAIN = ("multipart/alternative", "text/plain", "text/html")
PICTURED = ("multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png", "image/png")


@given(TEXTS, TEXTS, TEXTS)
@example("a\r\nBcc: all@example.org", "a\rb\r\n\r\nc\n", "\r")
@example("=?utf-8?q?a?=", "=?utf-8?q?a?=", "=\n=")
@example("é" * 500, "é" * 5_000, "x" * 5_000)
@example("", "", "")
@example(" ", " \t\n \t", "a \nb\t\n")
@example(f"--{ALTERNATIVE}--", f"--{ALTERNATIVE}--\n--{ALTERNATIVE}\n\nx", f"--{RELATED}\n--{RELATED}--\n")
@example("From ", "\nFrom me\n.\n..\n", ".")
@example("\0", "\0\x0b\x0c\x1c\x85\u2028", "\0")
def test_what_is_said_arrives_as_it_was(subject: str, text: str, html: str) -> None:
    lines = [said.replace("\r\n", "\n").replace("\r", "\n") for said in (text, html)]
    for pictures, parts in ((0, PLAIN), (2, PICTURED)):
        message = assert_sound(made(subject, text, html=html, pngs=pictures), subject, parts)
        expected: list[tuple[str, object]] = [("text/plain", lines[0]), ("text/html", lines[1])]
        assert contents(message) == [*expected, *(("image/png", PNG[number:]) for number in range(pictures))]


def test_nothing_of_the_naughty_strings_breaks_headers_or_boundaries(shared_data: Path) -> None:
    strings = json.loads((shared_data / "import-torture" / "naughty-strings" / "blns.json").read_text())
    for text in strings:
        message = assert_sound(made(f"You pledged: {text}", text, html=text), f"You pledged: {text}", PLAIN)
        assert contents(message) == [("text/plain", text), ("text/html", text)]


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_half_a_character_is_shown_as_a_question_mark(text: str) -> None:
    message = assert_sound(made(f"x{text}y", text, html=text), f"x{text}y", PLAIN)
    assert contents(message)[0] == ("text/plain", text.encode(errors="replace").decode())


@pytest.mark.parametrize("text", ["مرحبا بالعالم. " * 200, "é" * 3_000, "Listening, mostly ASCII: é. " * 200])
def test_lines_of_parts_and_of_subjects_are_short(text: str) -> None:
    raw = made(text, text, html=text, pngs=1)
    long = [line for line in raw.split(b"\r\n") if len(line) > 76]
    assert {line.partition(b":")[0] for line in long} <= {b"From", b"Message-ID", b"List-Id", b"List-Unsubscribe"}


@pytest.mark.parametrize(
    ("text", "encoding"), [("Um café\npor dia.\n", "quoted-printable"), ("見守る\nことば。\n", "base64")]
)
def test_texts_are_sent_in_the_shorter_of_two_ways(text: str, encoding: str) -> None:
    parts = list(parsed(made("x", text, html=text)).iter_parts())
    assert [part["Content-Transfer-Encoding"] for part in parts] == [encoding, encoding]
    assert [part.get_payload(decode=True) for part in parts] == [text.replace("\n", "\r\n").encode()] * 2


@pytest.mark.parametrize(
    ("base_url", "address"),
    [
        ("http://127.0.0.1:8000", "groundswell@[127.0.0.1]"),
        ("http://[::1]:8000", "groundswell@[IPv6:::1]"),
        ("http://localhost", "groundswell@localhost"),
        ("https://bücher.example", "groundswell@xn--bcher-kva.example"),
    ],
)
def test_the_sender_is_at_the_host_of_the_base_url(base_url: str, address: str) -> None:
    sender = Sender(base_url)
    assert sender.address == address
    assert sender.name == address.partition("@")[2]
    raw = build(sender, "a@example.org", Letter("s", "h", "t", "en", LINK), f"<1@{sender.host}>", AT)
    assert parsed(raw)["From"] == f"Groundswell <{address}>"
    assert not any(header.defects for header in parsed(raw).values())
    assert re.search(rb"\r\nList-Id: Groundswell digest <[a-z0-9-]+(\.[a-z0-9-]+)+>\r\n", raw)  # RFC 2919 §2
    assert sender.return_path(ROW) == f"bounces+{ROW.hex}@{address.partition('@')[2]}"


def test_the_sender_may_be_another() -> None:
    sender = Sender("https://example.org", "news@bücher.example")
    assert sender.address == "news@xn--bcher-kva.example"
    assert sender.return_path(ROW) == sender.address  # an address that surely takes mail
    reports = Sender("https://example.org", "news@example.net", "returns@example.net")
    assert reports.return_path(ROW) == f"returns+{ROW.hex}@example.net"
    assert Sender("https://example.org", None, "r@example.net").return_path(ROW) == f"r+{ROW.hex}@example.net"


def test_an_internationalised_address_is_kept() -> None:
    raw = made("Olá", to="jörg@exämple.org")
    assert "\r\nTo: jörg@exämple.org\r\n".encode() in raw
    assert parsed(raw)["Subject"] == "Olá"


def test_only_what_stands_before_the_at_needs_a_server_that_knows_more_than_ascii() -> None:
    assert mailable("jorg@exämple.org") == "jorg@xn--exmple-cua.org"
    assert mailable("jörg@exämple.org") == "jörg@exämple.org"
    assert mailable(f"a@{'ä' * 80}.org") == f"a@{'ä' * 80}.org"  # no domain has such a name
    assert b"\r\nTo: jorg@xn--exmple-cua.org\r\n" in made("Olá", to="jorg@exämple.org")


def test_every_address_stands_in_its_header_as_it_is(shared_data: Path) -> None:
    """Those of the addresses of isemail that are not refused before anything is mailed to them."""
    pictured = (shared_data / "import-torture" / "email-isemail" / "tests.xml").read_text()
    file = re.sub("[\u2400-\u241f]", lambda found: chr(ord(found[0]) - 0x2400), pictured)
    good = 0
    for given_address in re.findall(r"<address>([^<]*)</address>", file):
        try:
            address = check_email(unescape(given_address))
        except Invalid:
            continue
        raw, written = made("x", to=address), mailable(address)
        assert f"\r\nTo: {written}\r\n".encode() in raw
        if written.isascii():
            assert [one.addr_spec for one in parsed(raw)["To"].addresses] == [written]
        good += 1
    assert good > 15


@pytest.mark.parametrize(
    "to", ["a@example.org\r\nBcc: b@example.org", "a@example.org\n", "a\0@example.org", "a\u2028@example.org"]
)
def test_no_address_ends_its_header(to: str) -> None:
    with pytest.raises(Invalid) as refused:
        made("x", to=to)
    assert refused.value.code == "mail.header"


@pytest.mark.parametrize("text", ["a\u202eb", "a\u2066b", "a\x00b", "a\x1bb", "a\ufeffb"])
def test_marks_that_turn_or_hide_what_follows_are_left_out_of_a_line(text: str) -> None:
    assert one_line(text) == "ab"


def test_a_line_is_one_line() -> None:
    assert one_line("a\r\n b\u2028c\x85d\te") == "a b c d e"
    assert one_line("x" * 10, 5) == "xxxx…"
