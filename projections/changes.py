"""The changes that a batch of events makes to read models: gathered per row, written once per row and batch."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

Key = tuple[Any, ...]
Values = dict[str, Any]
IDS: Final = 500
"""How many ids one query names."""


class Row:
    """What a batch does to one row: values to set, amounts to add to what is there, values that only rise."""

    __slots__ = ("adds", "sets", "tops")

    def __init__(self) -> None:
        self.sets: Values = {}
        self.adds: Values = {}
        self.tops: Values = {}


class Changes:
    """Gathers changes in order of history; ``flush`` writes them in the transaction of ``connection``."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._rows: dict[Table, dict[Key, Row]] = defaultdict(dict)
        self._inserts: dict[Table, list[Values]] = defaultdict(list)
        self._removed: dict[Table, dict[Key, None]] = defaultdict(dict)

    def put(self, table: Table, *key: Any, **values: Any) -> None:  # noqa: ANN401 - columns are of any type
        """Set columns of the row with this primary key, made where it is not there."""
        row = self._row(table, key)
        for name, value in values.items():
            row.sets[name] = value
            row.adds.pop(name, None)
            row.tops.pop(name, None)

    def add(self, table: Table, *key: Any, **amounts: float) -> None:  # noqa: ANN401
        """Add to number columns of the row with this primary key, made where it is not there (absent counts as 0)."""
        row = self._row(table, key)
        for name, amount in amounts.items():
            into = row.sets if name in row.sets else row.adds
            into[name] = (into.get(name) or 0) + amount

    def most(self, table: Table, *key: Any, **values: Any) -> None:  # noqa: ANN401
        """Set columns of the row with this primary key, made where it is not there, where they were empty or less."""
        row = self._row(table, key)
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
        for table, keys in self._removed.items():
            self._delete(table, keys)
        for table, rows in self._rows.items():
            self._upsert(table, rows)
        for table, values in self._inserts.items():
            if values:
                self.connection.execute(table.insert(), values)
        self._rows.clear()
        self._inserts.clear()
        self._removed.clear()

    def _delete(self, table: Table, keys: Iterable[Key]) -> None:
        columns = list(table.primary_key)
        for key in keys:
            where = (column == value for column, value in zip(columns, key, strict=True))
            self.connection.execute(table.delete().where(*where))

    def _upsert(self, table: Table, rows: dict[Key, Row]) -> None:
        names = [column.name for column in table.primary_key]
        alike: dict[tuple[tuple[str, ...], ...], list[Values]] = defaultdict(list)
        for key, row in rows.items():
            values = dict(zip(names, key, strict=True)) | row.sets | row.adds | row.tops
            alike[tuple(sorted(row.sets)), tuple(sorted(row.adds)), tuple(sorted(row.tops))].append(values)
        dialect = sqlite if self.connection.dialect.name == "sqlite" else postgresql
        for (sets, adds, tops), several in alike.items():
            statement: Any = dialect.insert(table)
            new, old = statement.excluded, table.c
            update = {name: new[name] for name in sets}
            update |= {name: sa.func.coalesce(old[name], 0) + new[name] for name in adds}
            update |= {name: sa.case((old[name] > new[name], old[name]), else_=new[name]) for name in tops}
            if update:
                statement = statement.on_conflict_do_update(index_elements=names, set_=update)
            else:
                statement = statement.on_conflict_do_nothing(index_elements=names)
            self.connection.execute(statement, several)
