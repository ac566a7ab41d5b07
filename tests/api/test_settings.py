"""The settings: all optional, each refused in a sentence that names it."""

from pathlib import Path

import pytest

from api.settings import Settings, from_environment
from domain.kernel import Invalid


def read(**settings: str) -> Settings:
    return from_environment({f"GROUNDSWELL_{name}": value for name, value in settings.items()})


def test_none_is_needed() -> None:
    assert read() == Settings()
    names = ("SMTP_URL", "MAIL_FROM", "MAIL_UNKNOWN", "MAIL_RATE", "MAIL_CAPS", "BOUNCE_ADDRESS", "IMAP_URL")
    assert read(**dict.fromkeys((*names, "DKIM_KEY", "DKIM_SELECTOR", "DKIM_DOMAIN"), "")) == Settings()


def test_all_that_concerns_mail() -> None:
    found = read(
        SMTP_URL="smtps://mail.example.org",
        MAIL_FROM="Letters@Example.org",
        MAIL_UNKNOWN="Resend",
        MAIL_RATE="2.5",
        BOUNCE_ADDRESS="returns@example.org",
        IMAP_URL="imaps://a:b@mail.example.org",
        DKIM_KEY="a.pem, b.pem",
        DKIM_SELECTOR="rsa,ed",
        DKIM_DOMAIN="example.org",
    )
    assert found == Settings(
        smtp_url="smtps://mail.example.org",
        mail_from="Letters@example.org",
        mail_unknown="resend",
        mail_rate=2.5,
        bounce_address="returns@example.org",
        imap_url="imaps://a:b@mail.example.org",
        dkim_keys=(Path("a.pem"), Path("b.pem")),
        dkim_selectors=("rsa", "ed"),
        dkim_domain="example.org",
    )


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LOG_LEVEL", "loud", "GROUNDSWELL_LOG_LEVEL must be one of debug, info, warning, error."),
        ("BASE_URL", "example.org", "GROUNDSWELL_BASE_URL must begin with http:// or https://."),
        ("MAIL_FROM", "us", "GROUNDSWELL_MAIL_FROM must be an e-mail address."),
        (
            "BOUNCE_ADDRESS",
            f"{'a' * 32}@example.org",
            "GROUNDSWELL_BOUNCE_ADDRESS must have at most 31 characters before the @: a mark of each mail follows.",
        ),
        ("BOUNCE_ADDRESS", "a@b@c", "GROUNDSWELL_BOUNCE_ADDRESS must be an e-mail address."),
        ("MAIL_UNKNOWN", "guess", "GROUNDSWELL_MAIL_UNKNOWN must be one of hold, resend."),
        *(
            ("MAIL_RATE", value, "GROUNDSWELL_MAIL_RATE must be a number of mails a second, more than 0.")
            for value in ("many", "0", "-1", "nan", "inf", "1e999")
        ),
        (
            "DKIM_KEY",
            "a.pem,b.pem",
            "GROUNDSWELL_DKIM_SELECTOR must name one selector for each file in GROUNDSWELL_DKIM_KEY.",
        ),
        (
            "DKIM_SELECTOR",
            "s1",
            "GROUNDSWELL_DKIM_SELECTOR must name one selector for each file in GROUNDSWELL_DKIM_KEY.",
        ),
    ],
)
def test_what_makes_no_sense_is_said(name: str, value: str, sentence: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(**{name: value})
    assert refused.value.message == sentence
    named = "DKIM_SELECTOR" if name.startswith("DKIM") else name
    assert refused.value.code == f"settings.{named.lower()}"
