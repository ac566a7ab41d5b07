"""People whose digests are due by the real clock: commands for stores that are opened as those who run them do."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.support.cli import line, write_lines

LONG_AGO: Final = "2026-01-05T12:00:00Z"
HALF_A_DAY_AGO: Final = (datetime.now(UTC).hour + 12) % 24
"""The hour at which their digests fall due, each day."""

Data = dict[str, object]


def due(*names: str) -> list[tuple[str, Data]]:
    """Return commands by which each of these has a digest due that has something to tell."""
    found: list[tuple[str, Data]] = [
        ("campaigns.draft", {"campaign": "listen", "title": "Listening"}),
        ("campaigns.add_ask", {"campaign": "listen", "ask": "circle", "statement": "Hold a circle", "kind": "once"}),
        ("campaigns.launch", {"campaign": "listen"}),
    ]
    for name in names:
        who: Data = {"supporter": name}
        found += [
            ("supporters.register", who | {"email": f"{name}@example.org", "name": name.title()}),
            ("supporters.confirm_email", who),
            ("supporters.set_digest", who | {"frequency": "daily", "hour": HALF_A_DAY_AGO}),
            ("supporters.consent", who | {"topic": "digest", "granted": True, "wording": "Yes."}),
            ("pledges.make", who | {"campaign": "listen", "ask": "circle"}),
        ]
    return found


def file_of(folder: Path, *names: str) -> Path:
    """Write them as a file of commands."""
    lines = [
        line(0, id=f"{names[0]}-{number}", command=command, data=data, at=LONG_AGO)
        for number, (command, data) in enumerate(due(*names))
    ]
    return write_lines(folder / "due.jsonl", lines)
