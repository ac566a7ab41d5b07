"""A slice made up for tests: rooms that commands fill, empty, and fail in."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

import sqlalchemy as sa

from domain import campaigns, chapters, pledges, supporters
from domain.kernel import Actor, Aggregate, Conflict, Context, Reference, Stage, identify, now
from domain.slices import Command, Reaction, Slice
from history.engine import Engine, open_store
from history.envelope import Request, own_request

RoomRef = Annotated[str, Reference("room")]
TESTER: Final = Actor("system", "test")
ANNA = identify("supporter", "anna")


class Room(Aggregate, prefix="rooms"):
    """A room that people enter."""

    people: list[str] = field(default_factory=list)

    class Opened(Aggregate.Created):
        pass

    class Entered(Aggregate.Event):
        who: str

        def apply(self, aggregate: "Room") -> None:
            aggregate.people.append(self.who)

    class Counted(Aggregate.Event):
        people: int


class RoomCommand(Command):
    """A command to one room."""

    room: RoomRef

    def streams(self) -> tuple[UUID, ...]:
        """The room."""
        return (identify("room", self.room),)

    def load(self, stage: Stage) -> Room:
        """Return the room, opened if it is not."""
        room = stage.find(Room, self.streams()[0])
        if room is None:
            room = Room.open(self.streams()[0])
            stage.add(room)
        return room


class Enter(RoomCommand, name="rooms.enter"):
    """Enter, and fail afterwards if so asked."""

    who: str
    then: str | None = None

    def decide(self, _context: Context, stage: Stage) -> Mapping[str, str] | None:
        """Refuse or break after something changed."""
        room = self.load(stage)
        room.record(Room.Entered, who=self.who)
        if self.then == "refuse":
            raise Conflict("room.refused", "Refused after entering.")
        if self.then == "break":
            raise ZeroDivisionError
        if self.then == "spoil":
            room.record(Room.Entered, who="\ud800")  # cannot be encoded
        return {"people": ",".join(room.people)}


class Count(RoomCommand, name="rooms.count"):
    """Record how many people are in the room."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused for an empty room."""
        room = self.load(stage)
        if not room.people:
            raise Conflict("room.empty", "Nobody is in the room.")
        room.record(Room.Counted, people=len(room.people))


def rooms(*reactions: Reaction) -> Slice:
    """The slice, with reactions."""
    return Slice("rooms", (Room,), (Enter, Count), reactions)


@contextmanager
def engine_at(url: str, folder: Path, *reactions: Reaction, busy_seconds: float = 30) -> Iterator[Engine]:
    """A store with rooms, chapters, campaigns, supporters and pledges; another call is like another process."""
    slices = (rooms(*reactions), chapters.SLICE, campaigns.SLICE, supporters.SLICE, pledges.SLICE)
    engine = open_store(url, folder, slices, busy_seconds=busy_seconds)
    try:
        yield engine
    finally:
        engine.close()


def ask(command: Command, command_id: str | None = None, reason: str | None = None) -> Request:
    """Make a request."""
    chosen = command_id or str(uuid.uuid4())
    return own_request(
        command, Context(actor=TESTER, at=now(), command_id=chosen, correlation_id=chosen, reason=reason)
    )


def enter(who: str, room: str = "hall", then: str | None = None, command_id: str | None = None) -> Request:
    """Ask to enter a room."""
    return ask(Enter(room=room, who=who, then=then), command_id or f"{room}:{who}")


def outcomes(engine: Engine, *requests: Request) -> list[str]:
    """Write a batch, and return each status or refusal's code."""
    return [a.error.code if a.error else a.status for a in engine.write(list(requests))]


def people(engine: Engine, room: str = "hall") -> list[str]:
    """Return who entered a room, by its history."""
    stream = identify("room", room)
    facts: Sequence[object] = [f.event for f in engine.log.follow() if f.stream == stream]
    return [event.who for event in facts if isinstance(event, Room.Entered)]


def positions(engine: Engine) -> list[int]:
    return [fact.position for fact in engine.log.follow()]


def count(engine: Engine, table: sa.Table) -> int:
    with engine.database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


class Blocked:
    """Holds the append lock of a store, so that what is submitted has to wait."""

    def __init__(self, engine: Engine) -> None:
        self._lock = engine.database.append()

    def __enter__(self) -> None:
        self._lock.__enter__()

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(None, None, None)
