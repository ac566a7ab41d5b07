"""Runs the domain's reactions: reads facts, keeps each reaction's state, and sends the commands that follow.

The state after a page of facts is committed once its commands are; a command's id derives from the event that caused
it, so a page that is read twice sends nothing twice.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from domain.kernel import MAX_REFERENCE, Actor, Context, Refusal
from domain.slices import Fact, Reaction
from history.answers import Answer
from history.database import Database
from history.envelope import Request, own_request
from history.reading import Log
from history.tables import events, reaction_states, reactions

log = logging.getLogger(__name__)

PAGE = 1_000


class Reactor:
    """One reaction with its place in the history."""

    def __init__(self, reaction: Reaction, history: Log, write: Callable[[Sequence[Request]], list[Answer]]) -> None:
        self.reaction, self._log, self._write = reaction, history, write
        self._database: Database = history.database

    def run(self) -> int:
        """React to one page of history; return how far it came, or 0 where there was nothing new."""
        with self._database.read() as connection:
            position, shared = self._checkpoint(connection)
            head = connection.scalar(sa.select(sa.func.max(events.c.position))) or 0
            if head <= position:
                return 0
            wanted = events.c.topic.in_(sorted(self.reaction.topics))
            rows = self._log.rows(connection, position, PAGE, wanted)
            facts = [self._log.mapper.fact(row) for row in rows]
            reached = facts[-1].position if len(facts) == PAGE else head
            states = _States(connection, self.reaction.name)
            requests = [request for fact in facts for request in self._react(fact, states, shared)]
        errors = [answer.error for answer in self._write(requests) if answer.error is not None]
        for error in errors:
            log.info("Reaction %s: %s", self.reaction.name, error)
        if faults := [error for error in errors if not isinstance(error, Refusal)]:
            # Nothing may be lost: it stands here until the fault is mended, and what was accepted is not done twice.
            log.error("Reaction %s stands still at position %d: %s", self.reaction.name, position, faults[0])
            return 0
        with self._database.write() as connection:
            if self._advance(connection, position, reached, shared):
                states.save(connection)
        return reached

    def _advance(self, connection: Connection, position: int, reached: int, shared: dict[str, Any]) -> bool:
        """Move the checkpoint; False where another process was quicker, whose states are as good as ours."""
        values = {"position": reached, "shared": json.dumps(shared)}
        if position == 0:
            insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
            start = insert(reactions).values(name=self.reaction.name, position=0, shared="{}")
            connection.execute(start.on_conflict_do_nothing())
        still_there = (reactions.c.name == self.reaction.name) & (reactions.c.position == position)
        return connection.execute(reactions.update().where(still_there).values(**values)).rowcount == 1

    def _checkpoint(self, connection: Connection) -> tuple[int, dict[str, Any]]:
        query = sa.select(reactions.c.position, reactions.c.shared).where(reactions.c.name == self.reaction.name)
        row = connection.execute(query).first()
        return (row.position, json.loads(row.shared)) if row else (0, {})

    def _react(self, fact: Fact, states: "_States", shared: dict[str, Any]) -> list[Request]:
        requests = []
        self.reaction.share(fact, shared)
        for key in self.reaction.keys(fact, states.known):
            for follow in self.reaction.react(fact, key, states[key], shared):
                context = Context(
                    actor=Actor("system", self.reaction.name),
                    at=fact.occurred_at,
                    command_id=command_id(self.reaction.name, fact.event_id, key, follow.key),
                    correlation_id=fact.correlation_id or str(fact.event_id),
                    causation_id=str(fact.event_id),
                    reason=follow.reason,
                )
                requests.append(own_request(follow.command, context))
        return requests


def command_id(reaction: str, event: UUID, key: str, follow: str) -> str:
    """Return the id of the command that follows from an event: the same whenever the event is read again."""
    whole = f"reaction:{reaction}:{event}:{key}:{follow}"
    if len(whole) <= MAX_REFERENCE:
        return whole
    return f"reaction:{reaction[:80]}:{event}:{hashlib.sha256(whole.encode()).hexdigest()}"


class _States:
    """The states of one reaction that a page of facts touches."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection, self._name = connection, name
        self._stored: dict[str, str | None] = {}
        self._loaded: dict[str, dict[str, Any]] = {}
        self._known: set[str] | None = None

    def known(self) -> Sequence[str]:
        if self._known is None:
            query = sa.select(reaction_states.c.key).where(reaction_states.c.reaction == self._name)
            self._known = set(self._connection.scalars(query))
        return sorted(self._known | {key for key, state in self._loaded.items() if state})

    def __getitem__(self, key: str) -> dict[str, Any]:
        if key not in self._loaded:
            query = sa.select(reaction_states.c.state).where(
                reaction_states.c.reaction == self._name, reaction_states.c.key == key
            )
            found = self._stored[key] = self._connection.scalar(query)
            self._loaded[key] = json.loads(found) if found else {}
        return self._loaded[key]

    def save(self, connection: Connection) -> None:
        texts = ((key, json.dumps(state)) for key, state in self._loaded.items())
        changed = [(key, text) for key, text in texts if text != (self._stored[key] or "{}")]
        rows = [{"reaction": self._name, "key": key, "state": text} for key, text in changed]
        for start in range(0, len(rows), PAGE):
            part = rows[start : start + PAGE]
            keys = [row["key"] for row in part]
            connection.execute(
                reaction_states.delete().where(
                    reaction_states.c.reaction == self._name, reaction_states.c.key.in_(keys)
                )
            )
            connection.execute(reaction_states.insert(), part)
