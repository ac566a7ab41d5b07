"""A small movement that has something to tell, for the tests of what is sent."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

from domain.kernel import identify
from notifications.service import Notifications
from tests.support.sink import Sink
from tests.support.store import Store

BASE = "https://groundswell.example.org"
MONDAY = datetime(2026, 3, 9, 9, tzinfo=UTC)
"""The first Monday after what ``tell`` tells; a weekly digest in UTC was due an hour before."""

ANNA = identify("supporter", "anna")


@dataclass
class MailSettings:
    data_dir: Path
    smtp_url: str | None = None
    base_url: str = BASE
    mail_from: str | None = None
    mail_unknown: str = "hold"
    mail_rate: float | None = None
    mail_caps: Mapping[str, int | None] = field(default_factory=dict)
    bounce_address: str | None = None
    imap_url: str | None = None
    dkim_keys: Sequence[Path] = ()
    dkim_selectors: Sequence[str] = ()
    dkim_domain: str | None = None


class Clock:
    """A clock that stands where it is put."""

    def __init__(self, at: datetime = MONDAY) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


def service(
    store: Store,
    folder: Path,
    smtp_url: str | None = None,
    clock: Callable[[], datetime] | None = None,
    **settings: Any,  # noqa: ANN401 - those of MailSettings
) -> Notifications:
    """Make the facade on a test store."""
    return Notifications(store.engine, store.reader, MailSettings(folder, smtp_url, **settings), clock or Clock())


def join(store: Store, name: str, **more: str) -> None:
    """Register somebody who gets digests."""
    given = {"email": f"{name}@example.org", "name": name.title(), "time_zone": "UTC", "locale": "en"} | more
    store.run("supporters.register", supporter=name, **given)
    store.run("supporters.confirm_email", supporter=name)
    store.run("supporters.consent", supporter=name, topic="digest", granted=True, wording="Yes, please.")


def change_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch, reading: str, **change: str) -> None:
    """Let Anna change once, as soon as the function of this name has read her and before anything is made of it."""
    read: Callable[..., Any] = resolve_name(reading)

    def read_and_change(*given: Any) -> Any:  # noqa: ANN401 - whatever it reads
        found = read(*given)
        monkeypatch.undo()
        store.run("supporters.amend", supporter="anna", **change)
        return found

    monkeypatch.setattr(reading, read_and_change)


def campaign(store: Store, title: str = "Twenty-one days of listening", **more: str) -> None:
    """Launch a campaign with a challenge and a promise for once."""
    store.run("campaigns.draft", campaign="listen", title=title, **more)
    store.run(
        "campaigns.add_ask",
        campaign="listen",
        ask="ten",
        statement="Ten minutes of listening a day",
        kind="challenge",
        days=21,
        backdating_days=30,
        prompts=[f"Prompt of day {day}." for day in range(1, 22)],
    )
    store.run("campaigns.add_ask", campaign="listen", ask="circle", statement="Hold a circle", kind="once")
    store.run("campaigns.launch", campaign="listen")


def crowd(store: Store, count: int, **more: str) -> None:
    """Let people who get digests, s00 and so on, each make a pledge."""
    campaign(store)
    for number in range(count):
        join(store, f"s{number:02d}", **more)
        store.run("pledges.make", campaign="listen", ask="circle", supporter=f"s{number:02d}")
    store.catch_up()


def tell(store: Store) -> None:
    """Let everything happen that a digest can tell."""
    store.run("chapters.found", chapter="porto", name="Porto")
    campaign(store)
    store.run("campaigns.frame", campaign="listen", locale="es", title="Veintiún días de escucha")
    store.run("campaigns.frame", campaign="listen", locale="pt", title="Vinte e um dias de escuta")
    join(store, "anna")
    store.run("supporters.join_chapter", supporter="anna", chapter="porto")
    for other in ("bela", "ciro"):
        store.run("supporters.register", supporter=other, name=f"Hidden {other}")
        store.run("supporters.join_chapter", supporter=other, chapter="porto")
        store.run("pledges.make", campaign="listen", ask="circle", supporter=other, note="private")
    made = "2026-02-25T12:00:00Z"
    pledge = {"campaign": "listen", "supporter": "anna"}
    store.run("pledges.make", ask="ten", **pledge, at=made)
    store.run("pledges.make", ask="circle", **pledge, at=made)
    for day in range(4, 9):
        store.run("pledges.check_in", ask="ten", **pledge, on=f"2026-03-0{day}", at="2026-03-08T20:00:00Z")
    store.run("pledges.keep", ask="circle", **pledge)
    store.run("policies.track", policy="bill", title="Listening in schools", kind="bill", ask="Vote yes")
    store.run(
        "actions.log",
        action="letter",
        policy="bill",
        supporter="anna",
        kind="letter",
        on="2026-03-01",
        at=made.replace("02-25", "03-02"),
    )
    store.run("actions.record_response", action="letter", summary="Thank you for your letter.", on="2026-03-05")
    store.run("policies.advance", policy="bill", stage="committee", on="2026-03-06")
    store.run(
        "recognitions.nominate",
        recognition="kind",
        title="Kind listener",
        recipient={"kind": "supporter", "id": "anna"},
    )
    store.run("recognitions.award", recognition="kind")
    store.catch_up()


def put_off(store: Store, mails: Notifications, sink: Sink) -> None:
    """Let Anna's digest of Monday tell all that, and her server take it later."""
    tell(store)
    sink.at_rcpt = ["450 later"]
    mails.run(MONDAY)
