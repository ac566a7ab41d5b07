"""Reads what comes back of mails: reports of failed delivery (RFC 3464), and of complaints (RFC 5965).

A report says of itself to whom it came, which tells by a secret which mail it is about (VERP), and it returns that
mail's headers. Both are only claims, to be compared with the outbox; no address in it means anything here.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email import policy
from email.errors import MessageError
from email.message import Message
from email.parser import BytesParser, HeaderParser
from enum import StrEnum
from typing import Final
from uuid import UUID

from domain.kernel import Invalid

LARGEST: Final = 1 << 19
"""Bytes of a report; our mails, which it may return, have a tenth of that."""
LONGEST: Final = 1 << 12
"""Bytes of a Content-Type, over all its lines: the time to read its parameters grows with their square."""
MOST_LINES: Final = 20_000
MOST_PARTS: Final = 32
"""How many parts may say of what type they are: each line is held against the end of every part it lies in."""
ARRIVED: Final = ("Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "X-Delivered-To", "To")
"""The headers in which mail servers say to whom a message came."""
QUOTED: Final = re.compile(r"(?mi)^-{2,} ?(?:this is a copy of|below this line is a copy|original message)")
"""Where old servers begin to quote the mail that they return."""
SCANNED: Final = 4_000

_TOKEN: Final = re.compile(r"[+-]([0-9a-f]{32})@", re.IGNORECASE)
_MESSAGE_ID: Final = re.compile(r"<[^<>\s]{1,900}>")
_STATUS: Final = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?!\.?\d)")
_REPLY: Final = re.compile(r"(?<![\d.])([45])\d\d(?=[ -])")
_BLOCKED: Final = re.compile(r"5\.1\.[78]|5\.3\.\d+|[45]\.[67]\.\d+")
"""Failures (RFC 3463 §3) that are ours or the server's: our own address, its system, what we send, its policy."""
_FOR_NOW: Final = re.compile(r"5\.2\.[234]|5\.4\.6")
"""Failures that are called permanent, and pass: a full box, a message too long for it, a list, a loop."""
_NO_COMPLAINT: Final = frozenset({"not-spam", "auth-failure", "dmarc"})


class Verdict(StrEnum):
    """What a report says of a mail."""

    BOUNCED = "bounced"
    """The address takes no mail, for good."""
    UNDELIVERED = "undelivered"
    """The mail was given up; another may arrive."""
    BLOCKED = "blocked"
    """The server takes nothing of ours, or not this; it says nothing of the address."""
    DELAYED = "delayed"
    COMPLAINED = "complained"
    IGNORED = "ignored"
    """Nothing that matters: it arrived, or this is no report (somebody is on holiday)."""


@dataclass(frozen=True)
class Report:
    """One report: what it says, why (a code or a word), and about which mail it claims to be."""

    verdict: Verdict
    cause: str | None = None
    tokens: tuple[UUID, ...] = ()
    """Ids of rows of the outbox, as return paths have them."""
    message_ids: tuple[str, ...] = ()
    """Of the mail that is returned."""


def read(raw: bytes, arrived_for: str | None = None) -> Report:
    """Return what a message reports; ``arrived_for`` is the address it came to, where that is known for sure.

    Raises Invalid: ``mail_report.too_large``, ``mail_report.malformed`` where it is no message.
    """
    if len(raw) > LARGEST:
        raise Invalid("mail_report.too_large", f"The message has more than {LARGEST:,} bytes.")
    if _takes_long(raw):
        raise Invalid("mail_report.malformed", "This message is built so that it would take too long to read.")
    try:
        return _read(raw, arrived_for)
    except (AssertionError, AttributeError, LookupError, MessageError, RecursionError, TypeError, ValueError):
        raise Invalid("mail_report.malformed", "This message cannot be read.") from None


def _takes_long(raw: bytes) -> bool:
    """Tell whether a message is one that the parser would take minutes for; headers count wherever they may stand."""
    lines = raw.splitlines()
    if len(lines) > MOST_LINES:
        return True
    parts = length = 0
    for line in lines:
        if line[:13].lower() == b"content-type:":
            parts, length = parts + 1, len(line)
        else:
            length = length + len(line) if length and line[:1] in {b" ", b"\t"} else 0
        if length > LONGEST or parts > MOST_PARTS:
            return True
    return False


def _read(raw: bytes, arrived_for: str | None) -> Report:
    message = BytesParser(policy=policy.compat32).parsebytes(raw)
    if not message.keys():
        raise Invalid("mail_report.malformed", "This is not a mail message.")
    arrived = (
        [arrived_for] if arrived_for else [_text(value) for name in ARRIVED for value in message.get_all(name, [])]
    )
    parts = [part for part in message.get_payload() if isinstance(part, Message)] if message.is_multipart() else []
    returned = [headers for part in parts for headers in _returned(part)]
    verdict, cause = _verdict(message, parts)
    paths = [*arrived, *_original_paths(parts), *(_text(each["Return-Path"]) for each in returned)]
    return Report(verdict, cause, _tokens(paths), _message_ids(returned, message))


def _verdict(message: Message, parts: list[Message]) -> tuple[Verdict, str | None]:
    for part in parts:
        match part.get_content_type():
            case "message/delivery-status" | "message/global-delivery-status":
                return _delivery(_blocks(part))
            case "message/feedback-report":
                return _feedback(_blocks(part))
            case _:
                pass
    return _old_style(message)


def _delivery(blocks: list[Message]) -> tuple[Verdict, str | None]:
    """Read a delivery status (RFC 3464 §2.3); of several recipients the worst counts, for a mail of ours has one."""
    found = [_recipient(block) for block in blocks if block["Action"]]
    order = (Verdict.BOUNCED, Verdict.UNDELIVERED, Verdict.BLOCKED, Verdict.DELAYED)
    return min(found, key=lambda one: order.index(one[0]) if one[0] in order else len(order), default=_NOTHING)


_NOTHING: Final[tuple[Verdict, str | None]] = (Verdict.IGNORED, None)


def _recipient(block: Message) -> tuple[Verdict, str | None]:
    action = _text(block["Action"]).partition("(")[0].strip().lower()
    if action == "delayed":
        return Verdict.DELAYED, _status(_text(block["Status"]))
    if action != "failed":
        return _NOTHING
    status, said = _status(_text(block["Status"])), _text(block["Diagnostic-Code"])
    if status is None or status.endswith(".0.0"):
        status = _status(said) or status or _reply(said)
    return _failed(status)


def _failed(status: str | None) -> tuple[Verdict, str | None]:
    if status is None:
        return Verdict.UNDELIVERED, "unknown"
    if _BLOCKED.fullmatch(status):
        return Verdict.BLOCKED, status
    hard = status.startswith("5.") and not _FOR_NOW.fullmatch(status)
    return (Verdict.BOUNCED if hard else Verdict.UNDELIVERED), status


def _feedback(blocks: list[Message]) -> tuple[Verdict, str | None]:
    """Read a feedback report (RFC 5965 §3.1): whatever was complained about, no more shall be sent."""
    kind = _text(blocks[0]["Feedback-Type"]).strip().lower() if blocks else ""
    if not re.fullmatch(r"[a-z0-9-]{1,40}", kind) or kind in _NO_COMPLAINT:
        return _NOTHING
    return Verdict.COMPLAINED, kind


def _old_style(message: Message) -> tuple[Verdict, str | None]:
    """Read a bounce of Exim or qmail that is only text; without a code in it nothing is held against the address."""
    payload = message.get_payload(decode=True)
    text = payload[:SCANNED].decode(errors="replace") if isinstance(payload, bytes) else ""
    if not (message["X-Failed-Recipients"] or text.startswith("Hi. This is the ")):
        return _NOTHING
    said = QUOTED.split(text)[0]
    return _failed(_status(said) or _reply(said))


# --- what is said in it ---


def _blocks(part: Message) -> list[Message]:
    """Return the groups of fields that a status consists of."""
    payload = part.get_payload()
    if part.get_content_type() == "message/delivery-status" and isinstance(payload, list):
        return [block for block in payload if isinstance(block, Message)]
    inner = payload[0] if isinstance(payload, list) and payload else None
    if not isinstance(inner, Message):
        return []
    more, parser = inner.get_payload(), HeaderParser(policy=policy.compat32)
    blocks = re.split(r"(?:\r?\n){2,}", more) if isinstance(more, str) else []
    return [inner, *(parser.parsestr(block) for block in blocks if block.strip())]


def _returned(part: Message) -> Iterator[Message]:
    """Yield the headers of the mail that a part returns."""
    kind, payload = part.get_content_type(), part.get_payload()
    if kind in {"message/rfc822", "message/global"} and isinstance(payload, list) and payload:
        inner = payload[0]
        if isinstance(inner, Message):
            yield inner
    elif kind in {"text/rfc822-headers", "message/global-headers"}:
        raw = part.get_payload(decode=True)
        if isinstance(raw, bytes):
            yield BytesParser(policy=policy.compat32).parsebytes(raw, headersonly=True)
        elif isinstance(payload, list) and payload and isinstance(payload[0], Message):
            yield payload[0]


def _original_paths(parts: list[Message]) -> Iterator[str]:
    """Yield the return path that a feedback report names (RFC 5965 §3.2)."""
    for part in parts:
        if part.get_content_type() == "message/feedback-report":
            for block in _blocks(part):
                yield _text(block["Original-Mail-From"])


def _tokens(addresses: Iterable[str]) -> tuple[UUID, ...]:
    found = (UUID(hex=one) for address in addresses for one in _TOKEN.findall(address))
    return tuple(dict.fromkeys(found))[:5]


def _message_ids(returned: list[Message], message: Message) -> tuple[str, ...]:
    """Return what the returned mail is called; a bounce of old style quotes it as text."""
    ids = [one for headers in returned for one in _MESSAGE_ID.findall(_text(headers["Message-ID"]))]
    if not returned and not message.is_multipart():
        payload = message.get_payload(decode=True)
        quoted = payload.decode(errors="replace") if isinstance(payload, bytes) else ""
        ids = re.findall(r"(?mi)^message-id:[ \t]*(<[^<>\s]{1,900}>)", quoted)
    return tuple(dict.fromkeys(ids))[:5]


def _status(text: str) -> str | None:
    """Return the first status code (RFC 3463 §2) in a text."""
    found = _STATUS.search(text)
    return found[0] if found else None


def _reply(text: str) -> str | None:
    """Return what a reply of SMTP without such a code (RFC 5321 §4.2.1) comes to."""
    found = _REPLY.search(text)
    return f"{found[1]}.0.0" if found else None


def _text(value: object) -> str:
    return "" if value is None else str(value)
