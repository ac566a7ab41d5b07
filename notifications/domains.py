"""To which domains the mails of an audience would go: what whoever sends them wants to see before."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from domain.kernel import Sealed
from history.persons import Persons, open_box
from notifications import planning
from notifications.pacing import domain_of
from notifications.recipients import keys_of
from projections.subscriptions import Subscriptions
from projections.supporters import Supporters
from projections.views import Views

KINDS: Final = (Subscriptions, Supporters)
"""The read models that are asked."""
LARGEST: Final = 10


@dataclass(frozen=True)
class Domains:
    """How many mails would go to each of the largest domains, the largest first, and how many to all others."""

    largest: dict[str, int] = field(default_factory=dict)
    others: int = 0


def domains(views: Views, persons: Persons, now: datetime, largest: int = LARGEST) -> Domains:
    """Count by domain those whose digest is due and those whose digest waits; addresses that do not open are left out.

    Memory holds one page of them, and the domains.
    """
    counts: Counter[str] = Counter()
    for page in _audience(views, now):
        counts.update(_domains_of(views, persons, page))
    found = dict(sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:largest])
    return Domains(found, counts.total() - sum(found.values()))


def _audience(views: Views, now: datetime) -> Iterator[Sequence[UUID]]:
    for page in planning.due(views, now):
        yield [mail.supporter for mail in page]
    yield from planning.who_waits(views.connection, now)


def _domains_of(views: Views, persons: Persons, people: Sequence[UUID]) -> Iterable[str]:
    rows = views[Supporters].several(views.connection, people)
    keys, _ = keys_of(persons, views.connection, rows.keys())
    for key, row in rows.items():
        if key not in keys or not isinstance(row.email, Sealed):
            continue
        try:
            address = open_box(row.email, keys)
        except ValueError:  # damaged: the mail will say so
            continue
        if isinstance(address, str):
            yield domain_of(address)
