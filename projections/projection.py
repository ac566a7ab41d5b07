"""What a read model is: tables of its own, a fold of events into them, and the questions they answer."""

import functools
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Final, TypeVar
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, Dialect, Index, MetaData, Table, Text, TypeDecorator
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable, SchemaItem

from domain.kernel import UNSET, Event, Sealed, fields_of
from domain.slices import Fact
from projections.changes import Changes

E = TypeVar("E", bound=Event)
Handler = Callable[[Any, Fact, Any, Changes], None]

_json: Final = msgspec.json.Encoder()


class SealedText(TypeDecorator[Sealed]):
    """Personal data in a read model: as it is sealed in the log, so that erasing the key erases it here too."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sealed | None, _dialect: Dialect) -> str | None:
        """Write what is needed to open it later."""
        if value is None:
            return None
        return _json.encode((value.person, value.stream, value.version, value.field, value.box)).decode()

    def process_result_value(self, value: Any | None, _dialect: Dialect) -> Sealed | None:  # noqa: ANN401
        """Read it back, still sealed."""
        if value is None:
            return None
        person, stream, version, field, box = json.loads(value)
        return Sealed(UUID(person), UUID(stream), version, field, box)


class Json(TypeDecorator[Any]):
    """A value as JSON text, the same on every database."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any | None, _dialect: Dialect) -> str | None:  # noqa: ANN401
        """Write it with sorted keys, so that equal values are equal text."""
        if isinstance(value, tuple):
            return texts_as_json(value)
        return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)

    def process_result_value(self, value: Any | None, _dialect: Dialect) -> Any:  # noqa: ANN401
        """Read it back."""
        return None if value is None else json.loads(value)


@functools.lru_cache(maxsize=4_096)
def texts_as_json(texts: tuple[str, ...]) -> str:
    """Return a list of texts as JSON; the same few are written again and again."""
    return json.dumps(texts, ensure_ascii=False)


def sealed(value: object) -> Sealed | None:
    """Return a personal field of an event as projections see it: sealed, or None where nothing was given."""
    return value if isinstance(value, Sealed) else None


def given(event: Event) -> dict[str, Any]:
    """Return those fields of an event that were given."""
    values = {name: getattr(event, name) for name in fields_of(type(event))}
    return {name: value for name, value in values.items() if value is not UNSET}


def on(*events: type[Event]) -> Callable[[Handler], Handler]:
    """Mark a method ``(self, fact, event, changes)`` as the fold of these events."""

    def mark(method: Handler) -> Handler:
        method.topics = tuple(event.TOPIC for event in events)  # type: ignore[attr-defined]
        return method

    return mark


class Projection:
    """A read model in one build of its tables (``campaigns_v3``).

    A subclass names itself, declares its tables in ``define`` with ``self.table``, folds events in methods marked with
    ``@on``, and answers questions in methods that take a connection. It writes no tables but its own. Change
    ``version`` with the shape of the tables or the meaning of the fold: the tables are then built anew beside the old.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    weight: ClassVar[int] = 1
    """How much of the time of a fold it takes, roughly: by it read models are shared out among processes."""
    handlers: ClassVar[dict[str, Handler]] = {}

    def __init_subclass__(cls, *, name: str, version: int = 1) -> None:
        super().__init_subclass__()
        cls.name, cls.version = name, version
        cls.handlers = {
            topic: method
            for kind in reversed(cls.__mro__)
            for method in vars(kind).values()
            for topic in getattr(method, "topics", ())
            if callable(method)
        }

    def __init__(self, build: int) -> None:
        self.build = build
        self.metadata = MetaData()
        self.define()

    def define(self) -> None:
        """Declare the tables."""
        raise NotImplementedError

    def table(
        self,
        name: str,
        *items: SchemaItem,
        index: Iterable[Sequence[str]] = (),
        looked_up: Iterable[Sequence[str]] = (),
        cache: bool = False,
        derived: bool = False,
        settled: bool = False,
    ) -> Table:
        """Declare a table of this build; ``index`` lists the columns of further indexes for those who ask.

        ``looked_up`` lists those of indexes that the fold itself needs. A ``cache`` holds nothing that cannot be
        computed from the other tables at any time: a bulk fold does not fill it, and it is not compared. What is
        ``derived`` is complete only after ``derive``, what is ``settled`` only after ``settle``.
        """
        info = {"cache": cache, "derived": derived, "settled": settled}
        table = Table(f"{name}_v{self.build}", self.metadata, *items, info=info)
        for lists, early in ((index, False), (looked_up, True)):
            for columns in lists:
                made = Index(f"{table.name}_{'_'.join(columns)}", *(table.c[column] for column in columns))
                made.info["early"] = early
        keys = list(table.primary_key)
        if len(keys) > 1 or not isinstance(keys[0].type, sa.Integer | sa.BigInteger):
            table.dialect_options["sqlite"]["with_rowid"] = False  # one tree in order of the key instead of two
        return table

    def apply(self, facts: Sequence[Fact], changes: Changes) -> None:
        """Fold a batch of facts; the runner flushes the changes and moves the checkpoint in the same transaction."""
        handlers = self.handlers
        if own := [fact for fact in facts if fact.event.TOPIC in handlers]:
            self.fold(own, changes)

    def fold(self, facts: Sequence[Fact], changes: Changes) -> None:
        """Fold facts of this read model's own topics, at least one."""
        handlers = self.handlers
        self.prepare(facts, changes)
        for fact in facts:
            event = fact.event
            handlers[event.TOPIC](self, fact, event, changes)
        self.finish(changes)

    def prepare(self, facts: Sequence[Fact], changes: Changes) -> None:
        """Read what the fold of this batch needs, together."""

    def finish(self, changes: Changes) -> None:
        """Compute what depends on the batch as a whole."""

    def derive(self, connection: Connection) -> None:
        """Write anew, on either database, the tables that a bulk fold leaves to be written from others by SQL alone."""

    def settle(self, connection: Connection) -> None:
        """Compute anew what a bulk fold (``Changes.bulk``) leaves for its end; it is on SQLite, and may go on later."""

    def create(self, connection: Connection) -> None:
        """Create those tables and indexes of this build that are not there."""
        self.create_tables(connection)
        self.index(connection)

    def create_tables(self, connection: Connection) -> None:
        """Create those tables of this build that are not there, without indexes."""
        for table in self.metadata.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))

    def index(
        self, connection: Connection, tables: Iterable[Table] | None = None, *, only_for_fold: bool = False
    ) -> None:
        """Create those indexes of all tables, or of these, that are not there: all, or those that the fold needs."""
        for table in self.metadata.sorted_tables if tables is None else tables:
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                if index.info.get("early", False) or not only_for_fold:
                    connection.execute(CreateIndex(index, if_not_exists=True))

    def drop(self, connection: Connection) -> None:
        """Drop the tables of this build; what they hold of persons is sealed, and need not be overwritten."""
        on_sqlite = connection.dialect.name == "sqlite"
        if on_sqlite:
            connection.exec_driver_sql("PRAGMA secure_delete = OFF")
        try:
            for table in self.metadata.sorted_tables:
                connection.execute(DropTable(table, if_exists=True))
        finally:
            if on_sqlite:
                connection.exec_driver_sql("PRAGMA secure_delete = ON")


def newest(
    connection: Connection,
    table: Table,
    *where: sa.ColumnElement[bool],
    states: Sequence[str] = (),
    before: int | None = None,
    limit: int = 50,
) -> Sequence[Any]:
    """Return rows of a table with ``position`` and ``state``, those recorded last first, before one of them."""
    query = sa.select(table).where(*where).order_by(table.c.position.desc()).limit(limit)
    if states:
        query = query.where(table.c.state.in_(states))
    if before is not None:
        query = query.where(table.c.position < before)
    return connection.execute(query).all()
