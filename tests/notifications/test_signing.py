"""Signatures that others find good, and no longer once anything that matters was changed."""

import re
from datetime import UTC, datetime
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import example, given
from hypothesis import strategies as st

from domain.kernel import Invalid
from notifications.digest import Image
from notifications.mime import Letter, Sender, build
from notifications.signing import ONCE, SIGNED, Record, Signer, relaxed_body, relaxed_header, signers
from tests.support.signatures import verified

AT = datetime(2026, 3, 9, 9, tzinfo=UTC)
RSA = Signer("example.org", "one", rsa.generate_private_key(public_exponent=65537, key_size=2048))
ED25519 = Signer("example.org", "two.2026", Ed25519PrivateKey.generate())
BOTH = (RSA.record, ED25519.record)
LETTER = Letter(
    "Olá, um assunto bastante comprido que passa para outra linha",
    "<p>Two  spaces,\ta tab, and a space at the end </p> \n\n",
    "Text. \n.\n\n\n",
    "pt",
    f"https://example.org/unsubscribe/{'a' * 32}",
    period="weekly:2026-W11",
    images=(Image("chart@groundswell", bytes(range(256))),),
)
RFC_8463 = b"""DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
""".replace(b"\n", b"\r\n")
"""The example of RFC 8463, Appendix A."""


def signed(*by: Signer, letter: Letter = LETTER, to: str = "anna@example.org") -> bytes:
    return build(Sender("https://example.org", signers=by), to, letter, "<1@example.org>", AT)


def written(
    folder: Path, key: rsa.RSAPrivateKey | Ed25519PrivateKey | ec.EllipticCurvePrivateKey, **locked: bytes
) -> Path:
    lock = BestAvailableEncryption(locked["password"]) if locked else NoEncryption()
    path = folder / "dkim.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    return path


def test_what_checks_signatures_here_knows_the_example_of_the_standard() -> None:
    record = Record(
        "brisbane._domainkey.football.example.com",
        "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    )
    assert verified(RFC_8463, record) == [True]
    assert verified(RFC_8463.replace(b"Is dinner", b"Was dinner"), record) == [False]


@pytest.mark.parametrize("by", [(RSA,), (ED25519,), (RSA, ED25519)])
def test_a_signature_is_found_good(by: tuple[Signer, ...]) -> None:
    assert verified(signed(*by), *BOTH) == [True] * len(by)
    assert verified(signed(*by, to="jörg@exämple.org"), *BOTH) == [True] * len(by)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text("a \t\r\n.=é"))
def test_a_signature_is_found_good_whatever_is_said(subject: str, text: str) -> None:
    assert verified(signed(ED25519, letter=Letter(subject, text, text, "en")), *BOTH) == [True]


@pytest.mark.parametrize("by", [RSA, ED25519])
@pytest.mark.parametrize(
    ("was", "is_now"),
    [
        (b"Subject: ", b"Subject: =?utf-8?q?Click?= "),
        (b"\r\nTo: anna@", b"\r\nTo: bela@"),
        (b"List-Unsubscribe: <https://example.org", b"List-Unsubscribe: <https://example.com"),
        (b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", b""),
        (b"\r\nFrom: ", b"\r\nFrom: a@example.com\r\nFrom: "),
        (b"\r\nSubject: ", b"\r\nSubject: Click\r\nSubject: "),
        (b"\r\nDate: ", b"\r\nDate: Mon, 02 Mar 2026 09:00:00 +0000\r\nDate: "),
        (b"\r\nMIME-Version: 1.0\r\n", b"\r\nMIME-Version: 1.0\r\nTo: bela@example.org\r\n"),
        (b"boundary=", b"boundary2="),
        (b"Feedback-ID: 2026", b"Feedback-ID: 2025"),
        (b"Two", b"Ten"),
    ],
)
def test_nothing_that_matters_can_be_changed_or_added(by: Signer, was: bytes, is_now: bytes) -> None:
    raw = signed(by)
    changed = raw.replace(was, is_now, 1)
    assert changed != raw
    assert verified(changed, *BOTH) == [False]


def test_all_headers_are_covered() -> None:
    raw = signed(RSA)
    (covered,) = re.findall(rb" h=([^;]*);", raw)
    names = [name.strip().lower() for name in covered.decode().split(":")]
    there = re.findall(r"(?m)^([A-Za-z-]+):", raw.partition(b"\r\n\r\n")[0].decode())
    assert sorted(names) == sorted(
        name.lower() for name in [*there, *ONCE] if name not in {"DKIM-Signature", "Precedence"}
    )
    assert {"List-Unsubscribe", "List-Unsubscribe-Post"} <= set(SIGNED)  # RFC 8058 §4
    assert all(len(line) <= 78 for line in raw.partition(b"\r\nFrom:")[0].split(b"\r\n"))


@given(st.text(st.sampled_from("a \t\r\n"), max_size=60))
@example("")
@example("\n\n")
@example(" \t\n\n")
def test_canonical_forms_are_those_of_dkimpy(text: str) -> None:
    lines = text.replace("\r", "").replace("\n", "\r\n")
    relaxed = dkim.canonicalization.Relaxed
    assert relaxed_body(lines.encode()) == relaxed.canonicalize_body(lines.encode())
    value = f" {text.replace(chr(10), '').replace(chr(13), '')} x\r\n  y"
    ((_, expected),) = relaxed.canonicalize_headers([(b"Subject", value.encode())])
    assert relaxed_header("Subject", value) == b"subject:" + expected.removesuffix(b"\r\n")


# --- keys ---


def test_keys_are_read_from_files(tmp_path: Path) -> None:
    path = written(tmp_path, Ed25519PrivateKey.generate())
    (signer,) = signers([path], ["two.2026"], "Bücher.example")
    assert signer.record.name == "two.2026._domainkey.xn--bcher-kva.example"
    assert verified(signed(signer), signer.record) == [True]
    assert signers([], [], "not a domain") == ()


def test_the_record_is_a_line_of_a_zone_file() -> None:
    strings = re.findall(r'"([^"]*)"', str(RSA.record))
    assert "".join(strings) == RSA.record.value
    assert [len(one) <= 255 for one in strings] == [True, True]
    assert str(ED25519.record).startswith('two.2026._domainkey.example.org. IN TXT ("v=DKIM1; k=ed25519; p=')


def small_key() -> rsa.RSAPrivateKey:
    """Return an RSA key of 512 bits, which anybody can break."""
    p = 68719664737884721975824212790939158672889698529147954112602175246490897953579
    q = 115092620381982498253003849207997882521393679330297872357554264281713207973263
    d = pow(65537, -1, (p - 1) * (q - 1))
    halves = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, *halves, rsa.RSAPublicNumbers(65537, p * q)).private_key()


def refusal(*paths: Path, selector: str = "s", domain: str = "example.org") -> tuple[str, str]:
    with pytest.raises(Invalid) as refused:
        signers(paths, [selector] * len(paths), domain)
    return refused.value.code, refused.value.message


def test_keys_that_are_no_use(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.pem")[1].endswith("it cannot be read: No such file or directory.")
    assert refusal(tmp_path)[1].endswith("it cannot be read: Is a directory.")
    nothing = tmp_path / "nothing.pem"
    nothing.write_bytes(b"nothing")
    assert refusal(nothing) == (
        "settings.dkim_key",
        f"GROUNDSWELL_DKIM_KEY names {nothing}, which is no use: it holds no private key (PEM).",
    )
    assert "an RSA or an Ed25519 key" in refusal(written(tmp_path, ec.generate_private_key(ec.SECP256R1())))[1]
    assert refusal(written(tmp_path, small_key()))[1].endswith("an RSA key needs at least 1024 bits.")
    locked = written(tmp_path, Ed25519PrivateKey.generate(), password=b"secret")
    assert refusal(locked)[1].endswith("it is locked with a password.")


@pytest.mark.parametrize(
    "domain", ["127.0.0.1", "localhost", "[::1]", "a b.org", "a..org", "-a.org", f"{'a' * 64}.org"]
)
def test_domains_that_cannot_sign(tmp_path: Path, domain: str) -> None:
    assert refusal(written(tmp_path, Ed25519PrivateKey.generate()), domain=domain)[0] == "settings.dkim_domain"


@pytest.mark.parametrize("selector", ["", "a b", "ä", "a;d=x", "a\r\nb"])
def test_selectors_that_are_none(tmp_path: Path, selector: str) -> None:
    assert refusal(written(tmp_path, Ed25519PrivateKey.generate()), selector=selector)[0] == "settings.dkim_selector"
