"""Small real logs for the tests of checkpoints, archives and verification."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from domain import chapters, supporters
from domain.kernel import Actor
from domain.slices import Slice
from history.database import Database
from history.engine import Engine, open_store
from history.envelope import Envelope

SLICES: Final[tuple[Slice, ...]] = (chapters.SLICE, supporters.SLICE)
IMPORT: Final = Actor("import", "sample")


@contextmanager
def opened(url: str, folder: Path) -> Iterator[Engine]:
    """A store with the slices of chapters and supporters, closed at the end."""
    engine = open_store(url, folder, SLICES)
    try:
        yield engine
    finally:
        engine.close()


def run(engine: Engine, *commands: tuple[str, Mapping[str, object]], reason: str | None = None) -> list[int]:
    """Run commands in one batch, and return the positions of their events."""
    requests = []
    for name, data in commands:
        identifier = sha256(f"{name} {sorted(data.items())}".encode()).hexdigest()
        envelope = Envelope(id=identifier, command=name, at="2026-01-05T12:00:00+01:00", reason=reason, data=dict(data))
        requests.append(engine.catalogue.request(envelope, IMPORT))
    answers = engine.write(requests)
    for answer in answers:
        if answer.error:
            raise answer.error
    return [position for answer in answers for position in answer.positions]


def found(engine: Engine, count: int, start: int = 0) -> None:
    """Found chapters: one event each."""
    for first in range(start, start + count, 500):
        numbers = range(first, min(first + 500, start + count))
        run(engine, *(("chapters.found", {"chapter": f"c{n}", "name": f"Chapter {n} „Ä“"}) for n in numbers))


def register(engine: Engine, *names: str) -> None:
    """Register supporters with name and e-mail address: one event each."""
    run(
        engine,
        *(("supporters.register", {"supporter": n, "name": n.title(), "email": f"{n}@example.org"}) for n in names),
    )


def disarm(database: Database) -> None:
    """Drop the triggers that keep history as it is, as somebody who tampers would."""
    with database.write() as connection:
        if database.is_sqlite:
            for verb in ("UPDATE", "DELETE"):
                connection.execute(sa.text(f"DROP TRIGGER events_no_{verb}"))
        else:
            connection.execute(sa.text("DROP TRIGGER events_final_rows ON events"))
            connection.execute(sa.text("DROP TRIGGER events_final_table ON events"))
