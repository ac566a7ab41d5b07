"""The script of the demonstration: commands with past times, the same ones for the same seed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, Final
from zoneinfo import ZoneInfo

BEGIN: Final = date(2026, 1, 2)
END: Final = date(2026, 6, 30)
"""The half year that is told; it never depends on the clock."""

STAFF: Final = "staff:ines.duarte@example.org"
FIELD: Final = "staff:tom.okello@example.org"
LAST_MOMENT: Final = datetime(2026, 6, 30, 23, 0, tzinfo=UTC)


@dataclass
class Person:
    """One supporter as the script knows them."""

    reference: str
    name: str
    email: str | None
    locale: str
    zone: str
    chapter: str
    since: datetime
    diligence: float
    pledged: set[tuple[str, str]] = field(default_factory=set)
    leaves_at: datetime | None = None

    @property
    def actor(self) -> str:
        """Who acts when they act."""
        return f"supporter:{self.reference}"

    @property
    def language(self) -> str:
        """The language of their locale: en, es or pt."""
        return self.locale[:2]

    def at(self, day: date, hour: float) -> datetime:
        """Return a moment of their own day, in UTC."""
        minutes = round(hour * 60)
        local = datetime(day.year, day.month, day.day, minutes // 60 % 24, minutes % 60, tzinfo=ZoneInfo(self.zone))
        return local.astimezone(UTC)

    def day(self, moment: datetime) -> date:
        """Return their own calendar day at a moment."""
        return moment.astimezone(ZoneInfo(self.zone)).date()


@dataclass(order=True)
class Line:
    """A command with its place in the order of telling."""

    at: datetime
    number: int
    envelope: dict[str, Any] = field(compare=False)


class Script:
    """Collects the commands of all parts of the story, and tells them in the order in which they happened."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.lines: list[Line] = []
        self.people: list[Person] = []

    def dice(self, part: str) -> Random:
        """Return the dice of one part of the story; what one part rolls changes no other part."""
        return Random(f"{self.seed}/{part}")

    def add(
        self,
        command: str,
        at: datetime,
        actor: str = STAFF,
        reason: str | None = None,
        **data: Any,  # noqa: ANN401 - as the command types them
    ) -> None:
        """Add a command; what would happen after the half year is left for later."""
        if at > LAST_MOMENT:
            return
        number = len(self.lines) + 1
        given = {name: value for name, value in data.items() if value is not None}
        envelope: dict[str, Any] = {"command": command, "at": stamp(at), "actor": actor}
        if reason:
            envelope["reason"] = reason
        self.lines.append(Line(at, number, {**envelope, "data": given}))

    def told(self) -> Iterator[dict[str, Any]]:
        """Yield all envelopes in order, with their ids; who was erased does nothing afterwards."""
        gone = {person.reference: person.leaves_at for person in self.people if person.leaves_at}
        for number, line in enumerate(sorted(self.lines), start=1):
            left = gone.get(str(line.envelope["data"].get("supporter")))
            if left is None or line.at <= left:
                yield {"id": f"demo-{self.seed}:{number}", **line.envelope}


def stamp(moment: datetime) -> str:
    """Return a moment as RFC 3339 in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def noon(month: int, day: int, hour: int = 12, minute: int = 0) -> datetime:
    """Return a moment of the year that is told, in UTC."""
    return datetime(END.year, month, day, hour, minute, tzinfo=UTC)


def day_after(day: date, days: int) -> date:
    """Return the day so many days later."""
    return day + timedelta(days=days)
