"""Officials: the persons who decide on policies; registered, amended, retired, and re-instated by registering again."""

from enum import StrEnum
from uuid import UUID

from domain.kernel import (
    UNSET,
    Aggregate,
    Conflict,
    Context,
    OfficialRef,
    Stage,
    Text,
    Title,
    Unset,
    assign,
    identify,
    readable,
)
from domain.slices import Command, Slice, changes


class OfficialState(StrEnum):
    """An official serves until retired; a retired one may come back to office."""

    SERVING = "serving"
    RETIRED = "retired"


class Official(Aggregate, prefix="officials"):
    """A person who decides on policies."""

    state: OfficialState = OfficialState.SERVING
    name: str = ""
    office: str | None = None
    jurisdiction: str | None = None
    party: str | None = None
    phone: str | None = None
    address: str | None = None
    url: str | None = None

    class Event(Aggregate.Event):
        """Something that happened to an official."""

    class Registered(Event, Aggregate.Created):
        name: str
        reference: str | None = None
        office: str | None = None
        jurisdiction: str | None = None
        party: str | None = None
        phone: str | None = None
        address: str | None = None
        url: str | None = None

        def apply(self, aggregate: "Official") -> None:
            assign(aggregate, self)

    class Reinstated(Event):
        """Came back after retiring, with particulars that take the place of all the earlier ones."""

        name: str
        office: str | None = None
        jurisdiction: str | None = None
        party: str | None = None
        phone: str | None = None
        address: str | None = None
        url: str | None = None

        def apply(self, aggregate: "Official") -> None:
            aggregate.state = OfficialState.SERVING
            assign(aggregate, self)

    class Amended(Event):
        name: str | Unset = UNSET
        office: str | Unset | None = UNSET
        jurisdiction: str | Unset | None = UNSET
        party: str | Unset | None = UNSET
        phone: str | Unset | None = UNSET
        address: str | Unset | None = UNSET
        url: str | Unset | None = UNSET

        def apply(self, aggregate: "Official") -> None:
            assign(aggregate, self)

    class Retired(Event):
        def apply(self, aggregate: "Official") -> None:
            aggregate.state = OfficialState.RETIRED

    def reinstate(self, **particulars: object) -> None:
        """Bring a retired official back to office."""
        if self.state is not OfficialState.RETIRED:
            raise Conflict("official.exists", "This official is already registered.")
        self.record(self.Reinstated, **particulars)

    def amend(self, command: "Amend") -> None:
        """Change what was given; a value of None clears."""
        if self.state is OfficialState.RETIRED:
            raise Conflict("official.retired", "This official is retired.")
        changed = changes(self, command, "name", "office", "jurisdiction", "party", "phone", "address", "url")
        if not changed:
            raise Conflict("official.unchanged", "Nothing of the official changes.")
        self.record(self.Amended, **changed)

    def retire(self) -> None:
        """Note that the official left office."""
        if self.state is OfficialState.RETIRED:
            raise Conflict("official.already_retired", "This official is already retired.")
        self.record(self.Retired)


class OfficialCommand(Command):
    """A command to one official."""

    official: OfficialRef

    @property
    def key(self) -> UUID:
        """The official's id."""
        return identify("official", self.official)

    def streams(self) -> tuple[UUID, ...]:
        """The official."""
        return (self.key,)

    def load(self, stage: Stage) -> Official:
        """Return the official; raise Unknown where there is none."""
        return stage.get(Official, self.key, self.official)


class Register(OfficialCommand, name="officials.register"):
    """Register an official, or re-instate a retired one."""

    name: Title
    office: Title | None = None
    jurisdiction: Title | None = None
    party: Title | None = None
    phone: Title | None = None
    address: Text | None = None
    url: Text | None = None

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when registered and not retired."""
        particulars = {
            "name": self.name,
            "office": self.office,
            "jurisdiction": self.jurisdiction,
            "party": self.party,
            "phone": self.phone,
            "address": self.address,
            "url": self.url,
        }
        official = stage.find(Official, self.key)
        if official is None:
            stage.add(Official.open(self.key, reference=readable(self.official), **particulars))
        else:
            official.reinstate(**particulars)


class Amend(OfficialCommand, name="officials.amend"):
    """Change an official's particulars; null clears one."""

    name: Title | Unset = UNSET
    office: Title | Unset | None = UNSET
    jurisdiction: Title | Unset | None = UNSET
    party: Title | Unset | None = UNSET
    phone: Title | Unset | None = UNSET
    address: Text | Unset | None = UNSET
    url: Text | Unset | None = UNSET

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when retired, or when nothing changes."""
        self.load(stage).amend(self)


class Retire(OfficialCommand, name="officials.retire"):
    """Note that an official left office."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when already retired."""
        self.load(stage).retire()


SLICE = Slice("officials", (Official,), (Register, Amend, Retire))
