"""The headers of what is really sent, each as its standard wants it, and no others."""

import re
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from domain.kernel import Actor, now
from notifications.recipients import load
from notifications.service import Notifications
from tests.support.mails import ANNA, BASE, MONDAY, campaign, join, service, tell
from tests.support.returned import bounce
from tests.support.signatures import verified
from tests.support.sink import Sink
from tests.support.store import Store

HOST = "groundswell.example.org"
TOKEN = r"[\w-]{32}"
DATE = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d \+0000"


class Wanted(NamedTuple):
    """Which standard a header follows, and how it stands in a message."""

    source: str
    form: str


BOTH = {
    "DKIM-Signature": Wanted(
        "RFC 6376 §3.5",
        r"v=1; a=(rsa|ed25519)-sha256; c=relaxed/relaxed; d=groundswell\.example\.org; s=\w+; t=\d+; "
        r"h=From:To:Subject:Date:Message-ID:[A-Za-z:\- ]+:From:To:Subject:Date; bh=[\w+/]+=*; b=[\w+/ ]+=*",
    ),
    "From": Wanted("RFC 5322 §3.6.2", rf"Groundswell <groundswell@{HOST}>"),
    "To": Wanted("RFC 5322 §3.6.3", r"\w+@example\.org"),
    "Subject": Wanted("RFC 5322 §3.6.5, RFC 2047 §2", r"\S.*\S"),
    "Date": Wanted("RFC 5322 §3.3, §3.6.1", DATE),
    "Message-ID": Wanted("RFC 5322 §3.6.4", rf"<[0-9a-f]{{32}}@{HOST}>"),
    "Auto-Submitted": Wanted("RFC 3834 §5", r"auto-generated"),
    "Content-Language": Wanted("RFC 3282 §2", r"en"),
    "MIME-Version": Wanted("RFC 2045 §4", r"1\.0"),
    "Content-Type": Wanted("RFC 2045 §5.1, RFC 2046 §5.1.4", r'multipart/alternative; boundary="=_alternative"'),
}
ONLY_DIGESTS = {
    "Precedence": Wanted("RFC 2076 §3.9", r"bulk"),
    "List-Id": Wanted("RFC 2919 §3", rf"Groundswell digest <digest\.{HOST}>"),
    "List-Unsubscribe": Wanted("RFC 2369 §3.2, RFC 8058 §3.1", rf"<{BASE}/unsubscribe/{TOKEN}>"),
    "List-Unsubscribe-Post": Wanted("RFC 8058 §3.1", r"List-Unsubscribe=One-Click"),
    "Feedback-ID": Wanted("Gmail's Feedback Loop", r"2026-W11:weekly:digest:groundswell"),
}
IN_PARTS = {
    "Content-Type": Wanted(
        "RFC 2045 §5.1, RFC 2387 §3",
        r'text/(plain|html); charset="utf-8"|image/png|multipart/related; type="text/html"; boundary="=_related"',
    ),
    "Content-Transfer-Encoding": Wanted("RFC 2045 §6.1", r"quoted-printable|base64"),
    "Content-Disposition": Wanted("RFC 2183 §2.1", r"inline"),
    "Content-ID": Wanted("RFC 2392 §2", r"<[\w.-]+@[\w.-]+>"),
}


@pytest.fixture
def signing(store: Store, tmp_path: Path, sink: Sink) -> Notifications:
    """Notifications that sign with two keys."""
    keys: dict[str, rsa.RSAPrivateKey | Ed25519PrivateKey] = {
        "old": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "new": Ed25519PrivateKey.generate(),
    }
    for name, key in keys.items():
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / name).write_bytes(secret)
    paths = [tmp_path / name for name in keys]
    return service(store, tmp_path, sink.url, now, dkim_keys=paths, dkim_selectors=list(keys))


@pytest.fixture
def digest(store: Store, signing: Notifications, sink: Sink) -> EmailMessage:
    """A digest as it arrived."""
    tell(store)
    assert signing.run(MONDAY)["accepted"] == 1
    return sink.messages[0]


@pytest.fixture
def confirmation(store: Store, signing: Notifications, sink: Sink) -> EmailMessage:
    """A question whether an address is somebody's own, as it arrived."""
    at = now().isoformat()
    store.run("supporters.register", supporter="new", email="new@example.org", source="pledge-form", at=at)
    assert signing.tick()["accepted"] == 1
    return sink.messages[0]


def raw_headers(raw: bytes) -> Iterator[tuple[str, str]]:
    """Yield the headers as they went over the wire, unfolded."""
    head = raw.partition(b"\r\n\r\n")[0].decode("ascii")
    for line in re.sub(r"\r\n[ \t]+", " ", head).split("\r\n"):
        name, _, value = line.partition(": ")
        yield name, value


def faults(message: EmailMessage, raw: bytes, wanted: dict[str, Wanted]) -> list[str]:
    """Return what is not as it should be."""
    given = list(raw_headers(raw))
    known = [(name, value, wanted[name]) for name, value in given if name in wanted]
    found = [f"{name} ({one.source}): {value}" for name, value, one in known if not re.fullmatch(one.form, value)]
    names = [name for name, _ in given if name != "DKIM-Signature"]
    found += [f"{name} is not wanted" for name in set(names) - set(wanted)]
    found += [f"{name} is missing" for name in set(wanted) - {name for name, _ in given}]
    found += [f"{name} stands there twice" for name in names if names.count(name) > 1]
    found += [f"{name}: {defect!r}" for name, value in message.items() for defect in value.defects]
    return found


def test_the_headers_of_a_digest(digest: EmailMessage, sink: Sink) -> None:
    assert faults(digest, sink.raw[0], BOTH | ONLY_DIGESTS) == []


def test_the_headers_of_a_confirmation(confirmation: EmailMessage, sink: Sink) -> None:
    assert faults(confirmation, sink.raw[0], BOTH) == []


def test_the_checklist_finds_faults(digest: EmailMessage, sink: Sink) -> None:
    del digest
    raw = sink.raw[0].replace(b"Precedence: bulk\r\n", b"X-Mailer: x\r\n").replace(b"1.0\r\n", b"1.1\r\nDate: now\r\n")
    sink.raw[0] = raw
    found = faults(sink.messages[0], raw, BOTH | ONLY_DIGESTS)
    assert {one.partition(" ")[0] for one in found} >= {"X-Mailer", "Precedence", "MIME-Version", "Date"}


def test_the_headers_of_parts(digest: EmailMessage) -> None:
    parts = list(digest.walk())[1:]
    assert [part.get_content_type() for part in parts][:1] == ["text/plain"]
    for part in parts:
        assert [f"{n}: {v}" for n, v in part.raw_items() if not re.fullmatch(IN_PARTS[n].form, str(v))] == []
        assert not part.defects


def test_a_digest_has_a_text_and_pictures_that_its_html_shows(digest: EmailMessage) -> None:
    html, text = digest.get_body(("html",)), digest.get_body(("plain",))
    assert html is not None
    assert text is not None
    shown = set(re.findall(r'src="cid:([^"]+)"', html.get_content()))
    there = {str(part["Content-ID"])[1:-1] for part in digest.walk() if part.get_content_maintype() == "image"}
    assert shown == there
    assert "http" not in "".join(re.findall(r'src="([^"]+)"', html.get_content()))


def test_both_signatures_are_good(digest: EmailMessage, signing: Notifications, sink: Sink) -> None:
    del digest
    assert verified(sink.raw[0], *(signer.record for signer in signing.sender.signers)) == [True, True]


def test_a_domain_beyond_ascii_gets_mail_from_any_server(store: Store, mails: Notifications, sink: Sink) -> None:
    campaign(store)
    join(store, "jorg", email="jorg@exämple.org")
    store.run("pledges.make", campaign="listen", ask="circle", supporter="jorg")
    store.catch_up()
    assert mails.run(MONDAY)["accepted"] == 1
    assert sink.recipients == ["jorg@xn--exmple-cua.org"]
    assert sink.raw[0].isascii()


def test_what_comes_back_to_the_sender_ends_the_mails(
    store: Store, signing: Notifications, digest: EmailMessage, sink: Sink
) -> None:
    (path,) = sink.senders
    assert sink.greeted == {HOST}
    assert re.fullmatch(rf"bounces\+[0-9a-f]{{32}}@{HOST}", path)
    message_id = str(digest["Message-ID"])
    report = bounce(ANNA, to=path).replace(b"<%b@%b>" % (ANNA.hex.encode(), HOST.encode()), message_id.encode())
    assert signing.returns.take(report, Actor("system", "test")).suppressed
    person = load(store.engine.log, ANNA)
    assert person is not None
    assert person.hindrance == "bounced"
