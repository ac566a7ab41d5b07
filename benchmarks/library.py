"""The peer behind the same aggregates: the library's own application, recorders, mapper and JSON transcoder."""

from datetime import date
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.persistence import JSONTranscoder, Transcoding

from domain.kernel import Aggregate, Conflict, Unknown
from history.envelope import Request

A = TypeVar("A", bound=Aggregate)


class DateAsText(Transcoding):
    """The library's transcoder has none for dates."""

    type = date
    name = "date"

    def encode(self, obj: date) -> str:
        """Write a date."""
        return obj.isoformat()

    def decode(self, data: str) -> date:
        """Read a date."""
        return date.fromisoformat(data)


class Library(Application[UUID]):
    """The library's application, as its documentation builds it."""

    def register_transcodings(self, transcoder: Any) -> None:  # noqa: ANN401 - the library's signature
        """Add the transcoding of dates."""
        super().register_transcodings(transcoder)
        cast("JSONTranscoder", transcoder).register(DateAsText())


def on_postgres(url: str) -> Library:
    """Open the library's application on a PostgreSQL database."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    settings = {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path.lstrip("/"),
        "POSTGRES_HOST": parts.hostname or query["host"][0],
        "POSTGRES_PORT": str(parts.port or query.get("port", ["5432"])[0]),
        "POSTGRES_USER": parts.username or "postgres",
        "POSTGRES_PASSWORD": parts.password or "",
        "POSTGRES_POOL_SIZE": "20",
        "POSTGRES_MAX_OVERFLOW": "50",
    }
    return Library(env=settings)


def on_sqlite(folder: Path) -> Library:
    """Open the library's application on a SQLite file."""
    file = folder / "library.sqlite3"
    return Library(env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(file)})


class Runner:
    """Runs our commands one at a time, each saved by the library before the next; it is spared a command's id.

    Every aggregate that was seen is kept in memory, so that none is read twice.
    """

    def __init__(self, application: Library) -> None:
        self.application = application
        self._known: dict[UUID, Aggregate | None] = {}
        self._touched: list[Aggregate] = []

    def run(self, request: Request) -> None:
        """Decide one command and save what it changed; raise a Refusal."""
        self._touched.clear()
        request.command.decide(request.context, self)
        self.application.save(*self._touched)

    def find(self, kind: type[A], key: UUID) -> A | None:
        """Return the aggregate, or None where there is none."""
        if key not in self._known:
            try:
                self._known[key] = self.application.repository.get(key)
            except AggregateNotFoundError:
                self._known[key] = None
        found = self._known[key]
        if not isinstance(found, kind):
            return None
        self._touched.append(found)
        return found

    def get(self, kind: type[A], key: UUID, reference: str = "") -> A:
        """Return the aggregate; raise Unknown where there is none."""
        found = self.find(kind, key)
        if found is None:
            raise Unknown(f"{kind.noun}.unknown", f"There is no {kind.noun} “{reference}”.")
        return found

    def add(self, aggregate: Aggregate) -> None:
        """Bring a new aggregate on stage."""
        if self._known.get(aggregate.id) is not None:
            raise Conflict(f"{aggregate.noun}.id_taken", f"The id {aggregate.id} already names something else.")
        self._known[aggregate.id] = aggregate
        self._touched.append(aggregate)
