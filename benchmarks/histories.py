"""Long histories made of a short one: the demonstration's half year again and again, each time with other people.

Every id of a copy is the original's, changed by a mask; every time is half a year later than in the copy before. The
scoring rules stay those of the first half year. Such a history can be folded but not verified: its hashes are zero.
"""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from api.bootstrap import SLICES
from api.demo import fill
from domain.scoring import ScoringRules
from domain.slices import event_id
from history.database import Database
from history.engine import open_store
from history.statements import insert
from history.tables import events

SUPPORTERS: Final = 2_000
HALF_A_YEAR: Final = timedelta(days=183)
PAGE: Final = 20_000
_ID: Final = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MASK: Final = 0x9E3779B97F4A7C15F39CC0605CEDC835

Row = Sequence[Any]


@contextmanager
def half_a_year(supporters: int = SUPPORTERS) -> Iterator[list[Row]]:
    """Give the rows of the demonstration's history, in order of ``events.columns``."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_store(f"sqlite:///{folder}/demo.sqlite3", Path(folder), SLICES)
        fill(engine, supporters, 7, lambda _done, _all: None)
        engine.react()
        with engine.database.read() as connection:
            rows = connection.execute(sa.select(events).order_by(events.c.position)).all()
        engine.close()
    yield [tuple(row) for row in rows]


def write(database: Database, rows: Sequence[Row], number: int) -> None:
    """Fill an empty log with so many events."""
    statement = insert(events, tuple(events.c.keys()), database.engine.dialect)
    made = islice(_copies(rows), number)
    while page := list(islice(made, PAGE)):
        with database.write() as connection:
            statement.execute(connection, page)


def _copies(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield rows without an end."""
    places = {name: place for place, name in enumerate(events.c.keys())}
    prepared = [(_cut(row[places["data"]]), dict(zip(places, row, strict=True))) for row in rows]
    later = [each for each in prepared if each[1]["topic"] != ScoringRules.Published.TOPIC]
    position, copy = 0, 0
    while True:
        mask = copy * _MASK % 2**128
        shift = copy * HALF_A_YEAR
        for parts, row in later if copy else prepared:
            position += 1
            stream = UUID(int=row["stream_id"].int ^ mask)
            changed = {
                "position": position,
                "stream_id": stream,
                "data": b"".join(
                    str(UUID(int=part ^ mask)).encode() if isinstance(part, int) else part for part in parts
                ),
                "event_id": event_id(stream, row["version"]),
                "occurred_at": row["occurred_at"] + shift,
                "recorded_at": row["recorded_at"] + shift,
                "command_id": f"{row['command_id']}/{copy}",
                "leaf_hash": bytes(32),
            }
            yield tuple((row | changed).values())
        copy += 1


def _cut(data: bytes) -> list[bytes | int]:
    """Return data in parts: an id as a number, what is between as it is."""
    ids = [UUID(found.decode()).int for found in _ID.findall(data)]
    texts = _ID.split(data)
    return [part for pair in zip(texts, [*ids, 0], strict=True) for part in pair][:-1]


def _masked(part: bytes | int, mask: int) -> bytes:
    return part if isinstance(part, bytes) else str(UUID(int=part ^ mask)).encode()
