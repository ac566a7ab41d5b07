"""Settings, all from the environment and all optional."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from domain.kernel import Invalid
from domain.supporters import check_email

LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class Settings:
    """Where the store is, and how the world reaches and is reached by it."""

    data_dir: Path = Path("var")
    database_url: str = ""
    base_url: str = "http://127.0.0.1:8000"
    smtp_url: str | None = None
    mail_from: str | None = None
    """The address in From; without it groundswell@ the host of the base URL."""
    log_level: str = "info"

    def __post_init__(self) -> None:
        if not self.database_url:
            object.__setattr__(self, "database_url", f"sqlite:///{self.data_dir / 'groundswell.sqlite3'}")
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; raise Invalid where one makes no sense."""
    level = environment.get("GROUNDSWELL_LOG_LEVEL", "info").lower()
    if level not in LOG_LEVELS:
        raise Invalid("settings.log_level", f"GROUNDSWELL_LOG_LEVEL must be one of {', '.join(LOG_LEVELS)}.")
    base_url = environment.get("GROUNDSWELL_BASE_URL", Settings.base_url)
    if not base_url.startswith(("http://", "https://")):
        raise Invalid("settings.base_url", "GROUNDSWELL_BASE_URL must begin with http:// or https://.")
    return Settings(
        data_dir=Path(environment.get("GROUNDSWELL_DATA_DIR", "var")),
        database_url=environment.get("GROUNDSWELL_DATABASE_URL", ""),
        base_url=base_url,
        smtp_url=environment.get("GROUNDSWELL_SMTP_URL") or None,
        mail_from=check_email(given) if (given := environment.get("GROUNDSWELL_MAIL_FROM")) else None,
        log_level=level,
    )
