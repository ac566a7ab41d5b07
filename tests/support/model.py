"""The rules of pledging in plain dictionaries, as product.md tells them: what every store is held to."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from domain.campaigns import Pause, Resume
from domain.pledges import Amend, CheckIn, Keep, Lapse, Make, Withdraw
from domain.slices import Command
from domain.supporters import Erase, Register

ASKS: Final = {"once": None, "daily": 21}
"""The asks by slug, with the days of a challenge."""
BACKDATING: Final = 2
STATES: Final = ("active", "kept", "lapsed", "withdrawn")
ENDS: Final = {Keep: "kept", Lapse: "lapsed", Withdraw: "withdrawn"}

Key = tuple[str, str]


@dataclass
class Person:
    """A supporter: what they gave, until they are erased."""

    name: str | None
    email: str | None
    erased: bool = False


@dataclass
class Promise:
    """A pledge: its state, and the days of the promise that stands, each with its note."""

    made_on: date
    note: str | None
    state: str = "active"
    days: dict[date, str | None] = field(default_factory=dict)

    def streaks(self) -> tuple[int, int]:
        """The streak that the last day ends, and the longest: counted day by day from each that begins one."""
        lengths = {}
        for day in self.days:
            if day - timedelta(days=1) not in self.days:
                length = 1
                while day + timedelta(days=length) in self.days:
                    length += 1
                lengths[day + timedelta(days=length - 1)] = length
        return (lengths[max(self.days)], max(lengths.values())) if lengths else (0, 0)


@dataclass
class Model:
    """One campaign and its people; ``events`` counts what must stand in the history."""

    today: date
    open: bool = True
    people: dict[str, Person] = field(default_factory=dict)
    promises: dict[Key, Promise] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)

    def decide(self, command: Command) -> str:
        """Return the status or the code of the refusal that the command must get, and change accordingly."""
        refused = self.refusal(command)
        if refused is None:
            self._do(command)
        return refused or "accepted"

    def counts(self, *, ask: str | None = None, who: str | None = None) -> dict[str, int]:
        """The five counts, of one ask or one supporter or of all."""
        found = Counter(
            promise.state
            for (supporter, slug), promise in self.promises.items()
            if slug == (ask or slug) and supporter == (who or supporter)
        )
        return {"made": found.total(), **{state: found[state] for state in STATES}}

    # --- refusals ---

    def refusal(self, command: Any) -> str | None:  # noqa: ANN401 - one of the commands
        """Return the code that the command must be refused with now, None where it must be accepted."""
        if isinstance(command, Pause | Resume):
            wanted = "launched" if isinstance(command, Pause) else "paused"
            return None if self.open is isinstance(command, Pause) else f"campaign.not_{wanted}"
        if isinstance(command, Register):
            return "supporter.exists" if command.supporter in self.people else None
        if isinstance(command, Make):
            return self._refuses_making(command)
        if command.supporter not in self.people:
            return "supporter.unknown"
        if isinstance(command, Erase):
            return "supporter.already_erased" if self.people[command.supporter].erased else None
        return self._refuses_to_go_on(command)

    def _refuses_making(self, command: Make) -> str | None:
        if not self.open:
            return "campaign.not_launched"
        if command.supporter not in self.people:
            return "supporter.unknown"
        if self.people[command.supporter].erased:
            return "supporter.erased"
        promise = self.promises.get((command.supporter, command.ask))
        return f"pledge.already_{promise.state}" if promise and promise.state in {"active", "kept"} else None

    def _refuses_to_go_on(self, command: Any) -> str | None:  # noqa: ANN401 - one of the commands to a pledge
        promise = self.promises.get((command.supporter, command.ask))
        if promise is None:
            return "pledge.unknown"
        if isinstance(command, Amend | CheckIn) and self.people[command.supporter].erased:
            return "supporter.erased"
        if isinstance(command, CheckIn) and ASKS[command.ask] is None:
            return "pledge.not_a_challenge"
        if promise.state != "active":
            return "pledge.not_active"
        if isinstance(command, CheckIn):
            return self._refuses_day(promise, command.on)
        return "pledge.unchanged" if isinstance(command, Amend) and command.note == promise.note else None

    def _refuses_day(self, promise: Promise, on: date) -> str | None:
        if on in promise.days:
            return "pledge.already_checked_in"
        if on > self.today:
            return "check_in.in_future"
        if on < promise.made_on:
            return "check_in.before_pledge"
        return "check_in.too_late" if on < self.today - timedelta(days=BACKDATING) else None

    # --- changes ---

    def _do(self, command: Any) -> None:  # noqa: ANN401 - one of the commands
        kind = type(command)
        if kind in {Pause, Resume}:
            self.open = kind is Resume
            self.events["campaigns.Paused" if kind is Pause else "campaigns.Resumed"] += 1
        elif kind is Register:
            self.people[command.supporter] = Person(command.name, command.email)
            self.events["supporters.Registered"] += 1
        elif kind is Erase:
            self._erase(command.supporter)
        elif kind is Make:
            key = command.supporter, command.ask
            self.events["pledges.Renewed" if key in self.promises else "pledges.Made"] += 1
            self.promises[key] = Promise(self.today, command.note)
        else:
            self._go_on(command, self.promises[command.supporter, command.ask])

    def _go_on(self, command: Any, promise: Promise) -> None:  # noqa: ANN401 - one of the commands to a pledge
        kind = type(command)
        if kind is Amend:
            promise.note = command.note
            self.events["pledges.Amended"] += 1
        elif kind is CheckIn:
            promise.days[command.on] = command.note
            self.events["pledges.CheckedIn"] += 1
        else:
            promise.state = ENDS[kind]
            self.events[f"pledges.{promise.state.title()}"] += 1

    def _erase(self, who: str) -> None:
        self.people[who] = Person(None, None, erased=True)
        for (supporter, _), promise in self.promises.items():
            if supporter == who:
                promise.note = None
                promise.days = dict.fromkeys(promise.days)
        self.events["supporters.Erased"] += 1
