"""What an automatic award was given for: the rule, its version, and the events that fulfilled it at that moment."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.awards import AutomaticAwards, Rule, absorb, ground_of
from domain.scoring import ScoringRules
from domain.slices import Fact
from history.reading import Log
from history.tables import events
from projections.leaderboards import Leaderboards

POSITIONS: Final = 500
"""How many events are read at a time."""


@dataclass(frozen=True, slots=True)
class Ground:
    """``rule`` as in domain/awards, in the ``version`` of the rules then in force; ``events``: what fulfilled it."""

    version: int
    rule: Rule
    events: Sequence[Fact]


def ground(
    log: Log, connection: Connection, model: Leaderboards, supporter: UUID, nomination: Fact, award: str
) -> Ground | None:
    """Return what the award was given for, or None where the history does not tell.

    The supporter's events are folded again up to the one that caused the nomination, as those who award by rule did.
    """
    state: dict[str, Any] = {}
    found: tuple[int, Rule] | None = None
    facts: dict[int, Fact] = {}
    shared: dict[str, Any] = {}
    reaction, version = AutomaticAwards(), 0
    for fact in _facts(log, connection, model, supporter, nomination.position):
        if isinstance(fact.event, ScoringRules.Published):
            reaction.share(fact, shared)
            version = fact.event.version
        else:
            absorb(fact, state)
            facts[fact.position] = fact
        if str(fact.event_id) == nomination.causation_id:
            rule = next((each for each in shared.get("rules", ()) if each["award"] == award), None)
            found = None if rule is None else (version, rule)
            break
    if found is None or not state:
        return None
    return Ground(*found, [facts[position] for position in ground_of(found[1], state)])


def _facts(log: Log, connection: Connection, model: Leaderboards, supporter: UUID, before: int) -> Iterator[Fact]:
    """Yield what awards by rule follow of one supporter, and the rules, in order up to a position."""
    entry = model.entries.c
    mine = sa.select(entry.event).where(entry.supporter == supporter, entry.of.is_(None), entry.event < before)
    published = sa.select(model.rules.c.position).where(model.rules.c.position < before)
    positions = sorted({*connection.scalars(mine.distinct()), *connection.scalars(published)})
    topics = events.c.topic.in_(sorted(AutomaticAwards.topics))
    for start in range(0, len(positions), POSITIONS):
        part = positions[start : start + POSITIONS]
        yield from log.facts(part[0] - 1, POSITIONS, events.c.position.in_(part), topics)
