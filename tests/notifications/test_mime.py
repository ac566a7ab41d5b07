"""Messages parse as they were meant, whatever is in them."""

import json
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest

from notifications.digest import one_line
from notifications.mime import Letter, Sender, build

SENDER = Sender("https://a-rather-long-host.of.a.movement.example.org")
LINK = f"{SENDER.base_url}/unsubscribe/{'a' * 32}"
AT = datetime(2026, 3, 9, 9, tzinfo=UTC)
KEY = f"<{'b' * 32}@{SENDER.host}>"


def parsed(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def made(subject: str, text: str = "Text.", to: str = "anna@example.org") -> bytes:
    return build(SENDER, to, Letter(subject, f"<p>{text}</p>", text, "pt-BR", LINK), KEY, AT)


def test_headers() -> None:
    message = parsed(made("Olá"))
    assert dict(message.items()) == {
        "From": f"Groundswell <groundswell@{SENDER.host}>",
        "To": "anna@example.org",
        "Subject": "Olá",
        "Date": "Mon, 09 Mar 2026 09:00:00 +0000",
        "Message-ID": KEY,
        "Auto-Submitted": "auto-generated",
        "List-Id": f"Groundswell digest <digest.{SENDER.host}>",
        "List-Unsubscribe": f"<{LINK}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "MIME-Version": "1.0",
        "Content-Type": message["Content-Type"],
        "Content-Language": "pt-BR",
    }
    assert message.get_content_type() == "multipart/alternative"


def test_long_links_are_sent_as_they_are() -> None:
    assert f"\r\nList-Unsubscribe: <{LINK}>\r\n".encode() in made("x")


def test_what_is_not_subscribed_to_has_no_list_headers() -> None:
    message = parsed(build(SENDER, "a@example.org", Letter("s", "<p>h</p>", "t", "en"), KEY, AT))
    assert not [name for name in message if name.startswith("List-")]


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
    raw = build(sender, "a@example.org", Letter("s", "h", "t", "en"), f"<1@{sender.host}>", AT)
    assert parsed(raw)["From"] == f"Groundswell <{address}>"


def test_the_sender_may_be_another() -> None:
    assert Sender("https://example.org", "news@example.net").address == "news@example.net"


def test_an_internationalised_address_is_kept() -> None:
    raw = made("Olá", to="jörg@exämple.org")
    assert "\r\nTo: jörg@exämple.org\r\n".encode() in raw
    assert parsed(raw)["Subject"] == "Olá"


def test_nothing_that_anybody_writes_breaks_headers_or_boundaries(shared_data: Path) -> None:
    strings = json.loads((shared_data / "import-torture" / "naughty-strings" / "blns.json").read_text())
    more = [
        "a\r\nBcc: all@example.org",
        "\x00",
        "x" * 5_000,
        "é" * 5_000,
        "=?utf-8?q?a?=",
        "--=====\n--====--",
        ".",
        "\n.\n",
    ]
    for text in [*strings, *more]:
        raw = made(f"You pledged: {text}", text or "-")
        message = parsed(raw)
        assert message["Subject"] == one_line(f"You pledged: {text}", 110)
        assert "Bcc" not in message
        assert [part.get_content_type() for part in message.walk()] == [
            "multipart/alternative",
            "text/plain",
            "text/html",
        ]
        assert not any(part.defects for part in message.walk())
        plain = message.get_body(("plain",))
        assert plain is not None
        assert plain.get_content().splitlines()[: len(text.splitlines())] == text.splitlines()
        assert all(len(line) <= 998 and b"\r" not in line and b"\n" not in line for line in raw.split(b"\r\n"))
        assert raw.isascii()


@pytest.mark.parametrize("text", ["a\u202eb", "a\u2066b", "a\x00b", "a\x1bb", "a\ufeffb"])
def test_marks_that_turn_or_hide_what_follows_are_left_out_of_a_line(text: str) -> None:
    assert one_line(text) == "ab"


def test_a_line_is_one_line() -> None:
    assert one_line("a\r\n b\u2028c\x85d\te") == "a b c d e"
    assert one_line("x" * 10, 5) == "xxxx…"
