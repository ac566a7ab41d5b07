"""What must be true of a log whatever happened to the processes that wrote it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.kernel import ERASED
from domain.supporters import Supporter
from history.database import Database
from history.engine import Engine
from history.recorder import last_position
from history.tables import commands, events, person_index, person_keys
from history.tiles import own_leaf, records
from tests.support.load import Order


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What the sender of a command was told."""

    status: str
    positions: tuple[int, ...]
    code: str | None = None


@dataclass
class Examination:
    """Examines a growing log: each time what has come since the last time, against what was acknowledged."""

    orders: Mapping[str, Order]
    acknowledged: dict[str, Acknowledged] = field(default_factory=dict)
    position: int = 0
    recorded: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _versions: dict[str, int] = field(default_factory=dict)
    _pending: set[str] = field(default_factory=set)

    def acknowledge(self, order_id: str, told: Acknowledged) -> None:
        """Note an answer; whoever asks again must be told the same."""
        before = self.acknowledged.setdefault(order_id, told)
        assert (before.positions, before.code) == (told.positions, told.code), f"{order_id}: {before}, then {told}"
        self._pending.add(order_id)

    def go_on(self, database: Database) -> None:
        """Examine what was appended, and that it holds everything that was acknowledged until now."""
        with database.read() as connection:
            head = last_position(connection)
            self._examine_entries(connection, head)
            self._examine_commands(connection, head)
        self.position = head
        for order_id in self._pending:
            self._examine_answer(order_id, self.acknowledged[order_id])
        self._pending.clear()

    def _examine_entries(self, connection: Connection, head: int) -> None:
        """Positions and the versions of each stream are dense, and hashes right."""
        position = self.position
        for record in records(connection, self.position, head, limit=head + 1):
            position += 1
            assert record.position == position, f"position {position} is missing"
            version = self._versions.get(record.stream, 0) + 1
            assert record.version == version, f"position {position}: version {record.version} after {version - 1}"
            self._versions[record.stream] = version
            own_leaf(record)
        assert position == head

    def _examine_commands(self, connection: Connection, head: int) -> None:
        """Each command has all its events side by side, once, and its own row says where."""
        news = events.c.position > self.position, events.c.position <= head
        places: defaultdict[str, list[int]] = defaultdict(list)
        for order_id, position in connection.execute(
            sa.select(events.c.command_id, events.c.position).where(*news).order_by(events.c.position)
        ):
            places[order_id].append(position)
        rows = {
            row.command_id: (row.first_position, row.last_position)
            for row in connection.execute(sa.select(commands).where(commands.c.first_position > self.position))
        }
        assert rows.keys() == places.keys(), f"commands or events alone: {sorted(rows.keys() ^ places.keys())[:5]}"
        for order_id, (first, last) in rows.items():
            assert order_id not in self.recorded, f"{order_id} was executed twice"
            assert places[order_id] == list(range(first, last + 1)), (
                f"{order_id}: {places[order_id]}, {first} to {last}"
            )
            assert len(places[order_id]) == self.orders[order_id].events, f"{order_id} is half there: {first} to {last}"
            self.recorded[order_id] = tuple(places[order_id])

    def _examine_answer(self, order_id: str, told: Acknowledged) -> None:
        there = self.recorded.get(order_id, ())
        assert there == told.positions, f"{order_id} was told {told}, and the log has it at {there}"
        assert bool(there) == (told.status != "rejected"), f"{order_id} was told {told}"


def examine_persons(engine: Engine) -> int:
    """Whoever was erased has no key and cannot be found; everybody else can be read. Return how many were erased."""
    with engine.database.read() as connection:
        keys = set(connection.scalars(sa.select(person_keys.c.person_id)))
        found = set(connection.scalars(sa.select(person_index.c.person_id)))
    erased = {fact.stream for fact in engine.log.follow(events.c.topic == Supporter.Erased.TOPIC)}
    registered = events.c.topic == Supporter.Registered.TOPIC
    names: dict[Any, object] = {f.stream: vars(f.event)["name"] for f in engine.log.follow(registered, opened=True)}
    assert keys == found == names.keys() - erased
    assert {person for person, name in names.items() if name is ERASED} == erased
    assert all(str(name).startswith("Name of ") for person, name in names.items() if person not in erased)
    return len(erased)


def examine_refusals(engine: Engine, orders: Iterable[Order], acknowledged: Mapping[str, Acknowledged]) -> None:
    """A refusal that stays is remembered, without events; any other leaves nothing."""
    with engine.database.read() as connection:
        empty = set(connection.scalars(sa.select(commands.c.command_id).where(commands.c.first_position == 0)))
    codes = {order.id: acknowledged[order.id].code for order in orders if order.refusal_stays}
    assert empty == {order_id for order_id, code in codes.items() if code and not code.endswith(".unknown")}
