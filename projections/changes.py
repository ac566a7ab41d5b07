"""The changes that a batch of events makes to read models: gathered per row, written once per row and batch."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from types import MappingProxyType
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Table

from history.statements import Shape, delete, insert, upsert

Key = tuple[Any, ...]
Values = dict[str, Any]
IDS: Final = 500
"""How many ids one query names."""
NOTHING: Final[Any] = MappingProxyType({})


class Row:
    """What a batch does to one row: values to set, amounts to add to what is there, values that only rise."""

    __slots__ = ("adds", "sets", "tops")

    def __init__(self) -> None:
        self.sets: Values = {}
        self.adds: Values = NOTHING
        self.tops: Values = NOTHING


class Changes:
    """Gathers changes in order of history; ``flush`` writes them in the transaction of ``connection``.

    Where batches end makes no difference to what is written, as long as no column is both added to and let rise.
    ``bulk`` says that much of the history is folded at once, with ``Projection.derive`` and ``settle`` at its end.
    """

    def __init__(self, connection: Connection, *, bulk: bool = False) -> None:
        self.connection, self.bulk = connection, bulk
        self._rows: dict[Table, dict[Key, Row]] = defaultdict(dict)
        self._inserts: dict[Table, list[Values]] = defaultdict(list)
        self._removed: dict[Table, dict[Key, None]] = defaultdict(dict)

    def put(self, table: Table, *key: Any, **values: Any) -> None:  # noqa: ANN401 - columns are of any type
        """Set columns of the row with this primary key, made where it is not there."""
        row = self._row(table, key)
        row.sets.update(values)
        for gathered in (row.adds, row.tops):
            if gathered:
                for name in values:
                    gathered.pop(name, None)

    def add(self, table: Table, *key: Any, **amounts: float) -> None:  # noqa: ANN401
        """Add to number columns of the row with this primary key, made where it is not there (absent counts as 0)."""
        row = self._row(table, key)
        if row.adds is NOTHING:
            row.adds = {}
        for name, amount in amounts.items():
            into = row.sets if name in row.sets else row.adds
            into[name] = (into.get(name) or 0) + amount

    def most(self, table: Table, *key: Any, **values: Any) -> None:  # noqa: ANN401
        """Set columns of the row with this primary key, made where it is not there, where they were empty or less."""
        row = self._row(table, key)
        if row.tops is NOTHING:
            row.tops = {}
        for name, value in values.items():
            into = row.sets if name in row.sets else row.tops
            present = into.get(name)
            into[name] = value if present is None else max(present, value)

    def insert(self, table: Table, **values: Any) -> None:  # noqa: ANN401
        """Insert a new row, all columns given."""
        self._inserts[table].append(values)

    def remove(self, table: Table, *key: Any) -> None:  # noqa: ANN401
        """Delete the row with this primary key, if it is there."""
        self._rows[table].pop(key, None)
        self._removed[table][key] = None

    def rows(self, table: Table, column: str, ids: Iterable[Any]) -> Iterator[Any]:
        """Yield the rows whose column is one of the ids, as they were before this batch."""
        ordered = sorted(ids)
        for start in range(0, len(ordered), IDS):
            part = ordered[start : start + IDS]
            yield from self.connection.execute(sa.select(table).where(table.c[column].in_(part)))

    def pending(self, table: Table) -> Sequence[Values]:
        """Return the rows inserted in this batch so far."""
        return self._inserts[table]

    def _row(self, table: Table, key: Key) -> Row:
        rows = self._rows[table]
        row = rows.get(key)
        if row is None:
            row = rows[key] = Row()
        return row

    def flush(self) -> None:
        """Write everything gathered so far."""
        connection, dialect = self.connection, self.connection.dialect
        for table, keys in self._removed.items():
            if keys:
                delete(table, dialect).execute(connection, keys)
        for table, rows in self._rows.items():
            for shape, values in _alike(rows).items():
                upsert(table, shape, dialect).execute(connection, values)
        for table, inserts in self._inserts.items():
            if inserts:
                names = tuple(inserts[0])
                insert(table, names, dialect).execute(connection, ([row[n] for n in names] for row in inserts))
        self._rows.clear()
        self._inserts.clear()
        self._removed.clear()


def _alike(rows: dict[Key, Row]) -> dict[Shape, list[Key]]:
    """Return the values of the rows, together with those of the same shape."""
    alike: dict[Shape, list[Key]] = defaultdict(list)
    plain: dict[tuple[str, ...], list[Key]] = defaultdict(list)  # most only set
    for key, row in rows.items():
        sets = row.sets
        if row.adds or row.tops:
            shape = Shape(tuple(sets), tuple(row.adds), tuple(row.tops))
            alike[shape].append((*key, *sets.values(), *row.adds.values(), *row.tops.values()))
        else:
            plain[tuple(sets)].append((*key, *sets.values()))
    for names, values in plain.items():
        alike[Shape(names)] += values
    return alike
