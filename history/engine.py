"""The engine: one store with its log, its writer, its persons' keys and the reactions that run on it."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from domain.kernel import Unavailable
from domain.slices import Slice
from history.answers import Answer
from history.database import Database
from history.envelope import Catalogue
from history.mapper import Mapper
from history.migrations import migrate
from history.persons import Persons
from history.plans import Wanted
from history.reactions import Reactor
from history.reading import Log
from history.recorder import LogRecorder
from history.rehearsal import rehearsal
from history.writer import Writer


class Engine:
    """Everything that concerns one store; ``open_store`` makes it."""

    def __init__(self, database: Database, slices: Iterable[Slice], persons: Persons) -> None:
        self.slices = tuple(slices)
        self.database, self.persons = database, persons
        self.mapper = Mapper(aggregate for one in self.slices for aggregate in one.aggregates)
        self.catalogue = Catalogue(self.slices)
        self.log = Log(database, self.mapper, persons)
        self.recorder = LogRecorder(database)
        self.writer = Writer(database, self.mapper, persons)
        self.reactors = [Reactor(r, self.log, self.writer.write) for one in self.slices for r in one.reactions]

    def write(self, items: Sequence[Wanted]) -> list[Answer]:
        """Decide and append a batch of commands and plans now."""
        return self.writer.write(items)

    def rehearse(self) -> AbstractContextManager[Writer]:
        """Give a writer whose effects are all undone in the end; others' writes wait until then."""
        return rehearsal(self.database, self.mapper, self.persons)

    def react(self, progress: Callable[[int], Any] = lambda _: None) -> None:
        """Run all reactions until nothing more follows."""
        moved = True
        while moved:
            moved = False
            for reactor in self.reactors:
                if reached := reactor.run():
                    moved = True
                    progress(reached)

    def close(self) -> None:
        """Finish what waits, and close the store."""
        self.writer.close()
        self.database.close()


def open_store(
    url: str,
    data_dir: Path,
    slices: Iterable[Slice],
    *,
    create: bool = True,
    keyless: bool = False,
    busy_seconds: float = 30,
) -> Engine:
    """Open a store, made or brought up to date where it may be created.

    Raises Unavailable: ``store.missing`` where there is none, ``store.newer`` where a newer release wrote it,
    ``keys.missing`` and ``keys.wrong`` where the master key is not the one that seals the store's personal data. With
    ``keyless`` a store whose master key is lost opens all the same, for what needs no personal data.
    """
    database = Database(url, busy_seconds=busy_seconds)
    try:
        persons = _prepare(database, data_dir, create=create, keyless=keyless)
    except BaseException:
        database.close()
        raise
    return Engine(database, slices, persons)


def _prepare(database: Database, data_dir: Path, *, create: bool, keyless: bool) -> Persons:
    if database.path is not None and not database.path.exists():
        if not create:
            raise Unavailable("store.missing", f"There is no store at {database.path}; `groundswell up` makes one.")
        try:
            database.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable("store.missing", f"{database.path} cannot be made: {error.strerror}.") from None
    migrate(database, create=create)
    try:
        with database.append() as connection:
            return Persons.claim(connection, data_dir)
    except Unavailable as error:
        if error.code != "keys.missing" or not keyless:
            raise
        return Persons.without_keys(data_dir)
