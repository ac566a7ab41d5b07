"""Settings, all from the environment and all optional."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Final, NoReturn

from domain.addresses import check_email
from domain.kernel import Invalid
from notifications.caps import CAPS

LOG_LEVELS = ("debug", "info", "warning", "error")
UNKNOWN: Final = ("hold", "resend")
LONGEST_USER: Final = 31
"""Characters before the @ of the address for bounces: of 64 (RFC 5321 §4.5.3.1.1) a plus and 32 digits need room."""
_CAP: Final = re.compile(r"[0-9]{0,9}")


@dataclass(frozen=True)
class Settings:
    """Where the store is, and how the world reaches and is reached by it."""

    data_dir: Path = Path("var")
    database_url: str = ""
    base_url: str = "http://127.0.0.1:8000"
    smtp_url: str | None = None
    mail_from: str | None = None
    """The address in From; without it groundswell@ the host of the base URL."""
    mail_unknown: str = "hold"
    """What becomes of a mail of which nobody knows whether it went out: ``hold`` it, or ``resend`` the same message."""
    mail_rate: float | None = None
    """How many mails a second go to one domain of recipients at most; None for as many as its servers take."""
    mail_caps: Mapping[str, int | None] = field(default_factory=dict)
    """How many digests each role may send at once unasked, None for any number; see ``notifications.caps``."""
    bounce_address: str | None = None
    """Where reports of mails that could not be delivered come back, each under a subaddress of its own."""
    imap_url: str | None = None
    """The mailbox in which such reports are read."""
    dkim_keys: tuple[Path, ...] = ()
    """Files with the private keys that messages are signed with, PEM; one per selector."""
    dkim_selectors: tuple[str, ...] = ()
    dkim_domain: str | None = None
    """The domain that signs; without it that of the address in From."""
    log_level: str = "info"

    def __post_init__(self) -> None:
        if not self.database_url:
            object.__setattr__(self, "database_url", f"sqlite:///{self.data_dir / 'groundswell.sqlite3'}")
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; raise Invalid where one makes no sense."""
    level = environment.get("GROUNDSWELL_LOG_LEVEL", "info").lower()
    if level not in LOG_LEVELS:
        _refuse("LOG_LEVEL", f"must be one of {', '.join(LOG_LEVELS)}")
    base_url = environment.get("GROUNDSWELL_BASE_URL", Settings.base_url)
    if not base_url.startswith(("http://", "https://")):
        _refuse("BASE_URL", "must begin with http:// or https://")
    unknown = (environment.get("GROUNDSWELL_MAIL_UNKNOWN") or Settings.mail_unknown).lower()
    if unknown not in UNKNOWN:
        _refuse("MAIL_UNKNOWN", f"must be one of {', '.join(UNKNOWN)}")
    keys, selectors = _several(environment, "DKIM_KEY"), _several(environment, "DKIM_SELECTOR")
    if len(keys) != len(selectors):
        _refuse("DKIM_SELECTOR", "must name one selector for each file in GROUNDSWELL_DKIM_KEY")
    return Settings(
        data_dir=Path(environment.get("GROUNDSWELL_DATA_DIR", "var")),
        database_url=environment.get("GROUNDSWELL_DATABASE_URL", ""),
        base_url=base_url,
        smtp_url=environment.get("GROUNDSWELL_SMTP_URL") or None,
        mail_from=_address(environment, "MAIL_FROM"),
        mail_unknown=unknown,
        mail_rate=_rate(environment.get("GROUNDSWELL_MAIL_RATE")),
        mail_caps=_caps(_several(environment, "MAIL_CAPS")),
        bounce_address=_bounce_address(environment),
        imap_url=environment.get("GROUNDSWELL_IMAP_URL") or None,
        dkim_keys=tuple(map(Path, keys)),
        dkim_selectors=selectors,
        dkim_domain=environment.get("GROUNDSWELL_DKIM_DOMAIN") or None,
        log_level=level,
    )


def _refuse(name: str, why: str) -> NoReturn:
    raise Invalid(f"settings.{name.lower()}", f"GROUNDSWELL_{name} {why}.")


def _several(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return what stands between the commas of a setting."""
    return tuple(part.strip() for part in environment.get(f"GROUNDSWELL_{name}", "").split(",") if part.strip())


def _address(environment: Mapping[str, str], name: str) -> str | None:
    given = environment.get(f"GROUNDSWELL_{name}")
    if not given:
        return None
    try:
        return check_email(given)
    except Invalid:
        _refuse(name, "must be an e-mail address")


def _bounce_address(environment: Mapping[str, str]) -> str | None:
    address = _address(environment, "BOUNCE_ADDRESS")
    if address and len(address.rpartition("@")[0].encode()) > LONGEST_USER:
        _refuse(
            "BOUNCE_ADDRESS", f"must have at most {LONGEST_USER} characters before the @: a mark of each mail follows"
        )
    return address


def _rate(given: str | None) -> float | None:
    if not given:
        return None
    try:
        rate = float(given)
    except ValueError:
        rate = 0.0
    if not (isfinite(rate) and rate > 0):
        _refuse("MAIL_RATE", "must be a number of mails a second, more than 0")
    return rate


def _caps(given: tuple[str, ...]) -> dict[str, int | None]:
    """Read ``manager=10000,work=``; nothing behind the sign is no cap."""
    caps: dict[str, int | None] = {}
    for part in given:
        role, sign, number = (each.strip() for each in part.partition("="))
        if role not in CAPS or not sign or not _CAP.fullmatch(number):
            _refuse("MAIL_CAPS", f"must be role=number, …, the roles being {', '.join(CAPS)}")
        caps[role] = int(number) if number else None
    return caps
