from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Boolean, Column, Connection, Date, Float, Integer, MetaData, Table, Text, Uuid

from domain.kernel import Sealed
from history.database import Database
from history.tables import Moment
from projections.changes import Changes
from projections.projection import Json, SealedText
from projections.replay import scratch

ONE, TWO = UUID(int=1), UUID(int=2)
TABLE = Table(
    "things_v1",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("on", Text, primary_key=True),
    Column("name", Text),
    Column("number", Integer),
    Column("count", Integer, nullable=False, server_default="0"),
    Column("peak", Integer),
    Column("share", Float),
    Column("yes", Boolean),
    Column("day", Date),
    Column("at", Moment),
    Column("place", Json),
    Column("note", SealedText),
)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    database = Database(database_url)
    with database.write() as connection:
        TABLE.create(connection)
        yield connection
    database.close()


def rows(connection: Connection) -> list[dict[str, Any]]:
    found = connection.execute(sa.select(TABLE).order_by(TABLE.c.id, TABLE.c.on)).mappings()
    return [{name: value for name, value in row.items() if value is not None} for row in found]


def test_every_kind_of_value_comes_back_as_it_was(connection: Connection) -> None:
    values = {
        "name": "naïve “text” with ' and % and ?",
        "number": -7,
        "count": 3,
        "share": 0.5,
        "yes": True,
        "day": date(2026, 2, 28),
        "at": datetime(2026, 2, 28, 23, 59, 59, 999999, tzinfo=UTC),
        "place": {"city": "Évora", "latitude": 38.57},
        "note": Sealed(ONE, TWO, 3, "note", "Ym94"),
    }
    changes = Changes(connection)
    changes.put(TABLE, ONE, "a", **values)
    changes.insert(TABLE, id=TWO, on="b", **values)
    changes.flush()
    assert rows(connection) == [{"id": ONE, "on": "a", **values}, {"id": TWO, "on": "b", **values}]


def test_what_was_flushed_is_not_written_again(connection: Connection) -> None:
    changes = Changes(connection)
    changes.add(TABLE, ONE, "a", count=1)
    changes.insert(TABLE, id=TWO, on="b", count=1)
    changes.flush()
    changes.flush()
    assert [row["count"] for row in rows(connection)] == [1, 1]
    assert changes.pending(TABLE) == []


def test_a_row_of_which_nothing_is_known_but_its_key_is_made(connection: Connection) -> None:
    for _ in range(2):
        changes = Changes(connection)
        changes.put(TABLE, ONE, "a")
        changes.flush()
    assert rows(connection) == [{"id": ONE, "on": "a", "count": 0}]


def test_rows_are_fetched_as_they_were_before_the_batch(connection: Connection) -> None:
    changes = Changes(connection)
    for number in range(1_200):
        changes.put(TABLE, UUID(int=number), "a", number=number)
    changes.flush()
    changes.put(TABLE, ONE, "a", number=0)
    wanted = {UUID(int=number) for number in range(1, 1_201)}
    assert sorted(row.number for row in changes.rows(TABLE, "id", wanted)) == list(range(1, 1_200))
    assert list(changes.rows(TABLE, "id", [])) == []


KEYS = st.sampled_from([(ONE, "a"), (ONE, "b"), (TWO, "a")])
STEPS: st.SearchStrategy[Any] = st.one_of(
    st.tuples(
        st.just("put"),
        KEYS,
        st.sampled_from([{"name": "x"}, {"number": None, "peak": None}, {"number": 5, "count": 2, "peak": 1}]),
    ),
    st.tuples(st.just("add"), KEYS, st.sampled_from([{"number": 1}, {"count": -1, "number": 2}])),
    st.tuples(st.just("most"), KEYS, st.sampled_from([{"peak": 3}, {"peak": -3}, {"name": "w", "peak": 9}])),
    st.tuples(st.just("remove"), KEYS, st.just({})),
)


@given(steps=st.lists(STEPS, max_size=12), cuts=st.sets(st.integers(0, 12)))
def test_where_batches_end_makes_no_difference(steps: list[Any], cuts: set[int]) -> None:
    """Against a plain dictionary, in which every step is taken at once."""
    engine = scratch()
    expected: dict[Any, dict[str, Any]] = {}
    with engine.begin() as connection:
        TABLE.create(connection)
        changes = Changes(connection)
        for number, (step, key, values) in enumerate(steps):
            getattr(changes, step)(TABLE, *key, **values)
            _step(expected, step, key, values)
            if number in cuts:
                changes.flush()
                changes = Changes(connection)
        changes.flush()
        found = {(row.pop("id"), row.pop("on")): row for row in rows(connection)}
    engine.dispose()
    assert found == {key: {n: v for n, v in row.items() if v is not None} for key, row in expected.items()}


def _step(expected: dict[Any, dict[str, Any]], step: str, key: tuple[UUID, str], values: dict[str, Any]) -> None:
    if step == "remove":
        expected.pop(key, None)
        return
    row = expected.setdefault(key, {"count": 0})
    for name, value in values.items():
        old = row.get(name)
        match step:
            case "put":
                row[name] = value
            case "add":
                row[name] = (old or 0) + value
            case "most":
                row[name] = value if old is None else max(old, value)
