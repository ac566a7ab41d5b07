"""The receipt of an erasure: what was destroyed, what survives, and what no command of this store reaches."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from api.bootstrap import Groundswell
from domain.kernel import Conflict, Sealed, Unknown, fields_of
from domain.slices import Fact
from history.mapper import UnknownTopic, Unreadable
from history.reading import PAGE
from history.tables import erasures, events
from notifications import outbox

OPEN_TEXTS: Final = ("citation", "summary", "evidence_url")
"""Fields with the words of others about a person; they are sealed under nobody's key."""

BEYOND: Final = (
    "Mails that were sent lie with those who got them.",
    "Backups and full archives made before hold the key until they are deleted; whoever restores one erases again.",
    "PostgreSQL's log and freed blocks of a disk may hold the wrapped key; `keys rotate-master` makes it useless.",
    "Files of commands that were imported, and what was refused of them, lie where they were put.",
    "Who also signs in as staff stands with their address as the actor of what they did so.",
)


@dataclass(frozen=True)
class Traces:
    """What the history holds of a person by id: counts of events by topic, their positions, and texts in them."""

    events: dict[str, int]
    positions: list[int]
    sealed_fields: int
    open_texts: int


@dataclass(frozen=True)
class Erasure:
    """One erasure as it stands now; ``purged_at`` is None while copies outside the log are still to be purged."""

    supporter: UUID
    position: int
    erased_at: datetime
    purged_at: datetime | None
    destroyed: dict[str, int]
    survives: Traces
    mails_sent: int

    @property
    def receipt(self) -> str:
        """The path of the log's own receipt of the event, which proves it offline."""
        return f"/log/receipts/{self.position}"

    def as_json(self) -> dict[str, Any]:
        """Return it as the command line prints it and HTTP answers it."""
        return {
            "supporter": str(self.supporter),
            "position": self.position,
            "erased_at": self.erased_at.isoformat(),
            "purged_at": self.purged_at.isoformat() if self.purged_at else None,
            "receipt": self.receipt,
            "destroyed": self.destroyed,
            "personal_fields_erased": self.survives.sealed_fields,
            "survives": self.survives.events,
            "positions": self.survives.positions,
            "open_texts": self.survives.open_texts,
            "mails_sent": self.mails_sent,
            "beyond_reach": list(BEYOND),
        }


def traces(groundswell: Groundswell, person: UUID) -> Traces:
    """Return what the history holds of a person, but for the erasure itself; it reads all of it."""
    rows = [row for row in _rows_naming(groundswell, person) if row.topic not in _forgetting(groundswell)]
    facts = [fact for row in rows if (fact := _readable(groundswell, row))]
    return Traces(
        events=dict(sorted(Counter(row.topic for row in rows).items())),
        positions=[row.position for row in rows],
        sealed_fields=sum(_sealed_fields(fact, person) for fact in facts),
        open_texts=sum(_open_texts(fact) for fact in facts),
    )


def forgotten(groundswell: Groundswell, person: UUID) -> Fact | None:
    """Return the event by which a person was erased, None where there is none."""
    where = events.c.stream_id == person, events.c.topic.in_(_forgetting(groundswell))
    return next(iter(groundswell.engine.log.facts(0, 1, *where)), None)


def erasure(groundswell: Groundswell, person: UUID) -> Erasure:
    """Return the receipt of a person's erasure; raise Unknown, or Conflict (``supporter.not_erased``)."""
    found = forgotten(groundswell, person)
    if found is None:
        if not groundswell.engine.log.version(person):
            raise Unknown("supporter.unknown", "There is no such supporter.")
        raise Conflict("supporter.not_erased", "This supporter was not erased.")
    with groundswell.engine.database.read() as connection:
        noted = connection.execute(sa.select(erasures).where(erasures.c.person_id == person)).first()
        sent = sum(mail.state in outbox.SENT for mail in outbox.of_person(connection, person))
    return Erasure(
        supporter=person,
        position=found.position,
        erased_at=found.recorded_at,
        purged_at=noted.purged_at if noted else found.recorded_at,
        destroyed=json.loads(noted.destroyed) if noted else {},
        survives=traces(groundswell, person),
        mails_sent=sent,
    )


def _forgetting(groundswell: Groundswell) -> Sequence[str]:
    return [topic for topic, event in groundswell.engine.mapper.topics.items() if event.forgets_person]


def _rows_naming(groundswell: Groundswell, person: UUID) -> Iterator[Any]:
    """Yield every event that names the person; found by the id in the stored bytes, not by decoding them all."""
    log, named = groundswell.engine.log, str(person).encode()
    sought = "instr(data, :named) > 0" if log.database.is_sqlite else "position(:named in data) > 0"
    where = sa.or_(events.c.stream_id == person, sa.text(sought).bindparams(named=named))
    after = 0
    while True:
        with log.database.read() as connection:
            rows = log.rows(connection, after, PAGE, where)
        yield from rows
        if len(rows) < PAGE:
            return
        after = rows[-1].position


def _readable(groundswell: Groundswell, row: Any) -> Fact | None:  # noqa: ANN401 - a row of events
    """Return the event, None where a newer release wrote it; it is counted all the same."""
    try:
        return groundswell.engine.mapper.fact(row)
    except (UnknownTopic, Unreadable):
        return None


def _sealed_fields(fact: Fact, person: UUID) -> int:
    if fact.event.person != person:
        return 0
    return sum(isinstance(getattr(fact.event, name), Sealed) for name in fields_of(type(fact.event)))


def _open_texts(fact: Fact) -> int:
    return (fact.reason is not None) + sum(bool(getattr(fact.event, name, None)) for name in OPEN_TEXTS)
