"""One batch: what was asked for is decided in turn, and appended in the transaction that it was decided in."""

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from domain.kernel import Conflict, Context, Event, GroundswellError, Refusal, Unavailable, now
from history.answers import Answer, Decided, InternalError, is_outcome, is_same, outcome_json, repeat, same, was_refused
from history.envelope import Request
from history.mapper import Mapper
from history.persons import Persons
from history.plans import Plan, Wanted, requests_of
from history.recorder import Circumstances, row
from history.stage import Aggregates
from history.statements import insert_rows, select_among
from history.tables import commands, events

log = logging.getLogger(__name__)

Done = tuple[bytes, int, int, str | None]
"""What is recorded of a command: the keyed hash of its content, its first and last position, its outcome."""

_COMMANDS: Final = "SELECT command_id, request_hash, first_position, last_position, result FROM commands"


def done(connection: Connection, requests: Sequence[Request]) -> dict[str, Done]:
    """Return what is recorded of those of the commands that were executed, or refused for good, before."""
    ids = {request.context.command_id for request in requests}
    rows = select_among(connection, _COMMANDS, commands.c.command_id, ids)
    return {command_id: (bytes(digest), first, last, result) for command_id, digest, first, last, result in rows}


def recorded(connection: Connection, persons: Persons, decided: Sequence[Decided]) -> bool:
    """Tell whether these very decisions are recorded."""
    found = done(connection, [one.request for one in decided])
    return all(
        one.request.context.command_id in found
        and found[one.request.context.command_id][:3] == (persons.keyed(one.request.digest), *one.first_and_last)
        for one in decided
    )


class Batch:
    """Commands that are decided together, under the append lock: each sees what those before it did."""

    def __init__(self, connection: Connection, mapper: Mapper, persons: Persons, aggregates: Aggregates) -> None:
        self._connection, self._mapper, self._persons = connection, mapper, persons
        self._aggregates = aggregates
        self._done: dict[str, Done] = {}
        self._decided: dict[str, Decided] = {}
        self._planned: list[Answer] = []
        self._whose: dict[str, set[UUID]] = {}
        self._with_plans = False
        self._new: set[UUID] = set()

    @property
    def decided(self) -> list[Decided]:
        """What is to be recorded."""
        return list(self._decided.values())

    @property
    def forgets(self) -> bool:
        """Whether somebody is forgotten."""
        return any(event.forgets_person for one in self._decided.values() for event in one.events)

    def decide(self, items: Sequence[Wanted]) -> list[Answer]:
        """Return what becomes of each; positions are filled in when it is appended."""
        requests = [request for item in items for request in requests_of(item)]
        self._aggregates.begin(self._connection)
        self._done = done(self._connection, requests)
        fresh = [request for request in requests if self._known(request) is None]
        self._aggregates.fetch(stream for request in fresh for stream in request.command.streams())
        if addresses := {item.address.casefold() for item in items if isinstance(item, Plan)}:
            self._whose, self._with_plans = self._persons.whose(self._connection, addresses), True
        return [self._carry_out(item) if isinstance(item, Plan) else self._answer(item) for item in items]

    def _keyed(self, request: Request) -> bytes:
        """Return what is kept of a command's content: without the key, nobody can try out what a person wrote."""
        return self._persons.keyed(request.digest)

    def _known(self, request: Request) -> Done | None:
        """Return what was recorded of the command before; None where it is new, or corrects what was refused."""
        found = self._done.get(request.context.command_id)
        if found and was_refused(found[3]) and not is_same(found[0], self._keyed(request)):
            return None
        return found

    def _answer(self, request: Request) -> Answer:
        decided = self._decided.get(request.context.command_id)
        if decided is not None:
            return self._decide(request) if decided.is_corrected_by(request) else same(request, decided)
        known = self._known(request)
        if known is not None:
            digest, first, last, result = known
            return repeat(request, digest, self._keyed(request), (first, last), result)
        return self._decide(request)

    def _decide(self, request: Request) -> Answer:
        context = request.context
        try:
            self._need_version(request)
            result = request.command.decide(context, self._aggregates)
        except Refusal as refusal:
            self._aggregates.discard()
            if request.refusal_stays and is_outcome(refusal):
                self._decided[context.command_id] = Decided(request, [], None, refusal=refusal)
            return Answer(context.command_id, "rejected", error=refusal)
        except (DBAPIError, Unavailable):
            raise
        except Exception as error:
            log.exception("Command %s (%s) failed", request.command.NAME, context.command_id)
            self._aggregates.discard()
            known = error if isinstance(error, GroundswellError) else InternalError()
            return Answer(context.command_id, "rejected", error=known)
        outcome = dict(result) if result else None
        one = self._decided[context.command_id] = Decided(request, self._aggregates.collect(context), outcome)
        self._note_whose(one.events)
        version = self._aggregates.version(streams[0]) if (streams := request.command.streams()) else None
        return Answer(context.command_id, "accepted", one.positions, outcome, version=version)

    def _need_version(self, request: Request) -> None:
        """Raise Conflict where the caller asked for another version of the command's first stream."""
        if request.if_match is not None and self._aggregates.version(request.command.streams()[0]) != request.if_match:
            raise Conflict(
                "command.precondition_failed", "It has changed since you read it; read it again and decide anew."
            )

    # --- plans ---

    def _carry_out(self, plan: Plan) -> Answer:
        supporter = min(self._holders(plan.address), default=plan.fresh)
        if supporter != plan.fresh and self._aggregates.version(plan.fresh):
            supporter = plan.fresh  # it was carried out before, when the address was nobody's
        answer = Answer(None, "accepted")
        try:
            requests = plan.if_new
            if supporter != plan.fresh:
                self._rehearse(plan)
                requests = plan.if_known(supporter)
        except Refusal as refusal:
            return Answer(None, "rejected", error=refusal)
        before = len(self._decided)
        for request in requests:
            error = self._answer(request).error
            if error is not None and error.code not in plan.harmless:
                self._undo(plan, list(self._decided)[before:])
                return Answer(None, "rejected", error=error)
        self._planned.append(answer)
        return answer

    def _holders(self, address: str) -> set[UUID]:
        """Return those who have given the address, to be changed when somebody else gives it or they give it up."""
        return self._whose.setdefault(address.casefold(), set())

    def _note_whose(self, decided: Sequence[Event]) -> None:
        """Note for the plans to come who has given an address now, and who has it no longer."""
        for event in decided if self._with_plans else ():
            sets, value = self._mapper.findable(event)
            if event.person is None or not (sets or event.forgets_person):
                continue
            if event.originator_version > 1:  # who is new has no earlier one
                for holders in self._whose.values():
                    holders.discard(event.person)
            if value:
                self._holders(value).add(event.person)

    def _rehearse(self, plan: Plan) -> None:
        """Decide what would be done for a new address, and undo it; raise what refuses it."""
        try:
            for request in plan.if_new:
                request.command.decide(request.context, self._aggregates)
        finally:
            self._aggregates.discard()

    def _undo(self, plan: Plan, command_ids: Sequence[str]) -> None:
        undone = [event for key in command_ids for event in self._decided.pop(key).events]
        self._aggregates.undo(undone)
        for person, value in self._findable(undone):
            self._holders(value or plan.address).discard(person)

    # --- appending ---

    def append(self, tail: int, recorded_at: datetime) -> int:
        """Append after the position ``tail``, which was recorded then; return the last position."""
        batch = self.decided
        if batch:
            tail = self._append(batch, tail, max(now(), recorded_at))
        for answer in self._planned:
            answer.positions.append(tail)
        return tail

    def _append(self, batch: Sequence[Decided], tail: int, moment: datetime) -> int:
        connection = self._connection
        keys = self._keys(batch)
        event_rows: list[dict[str, Any]] = []
        command_rows: list[dict[str, Any]] = []
        for one in batch:
            context = one.request.context
            about = circumstances(context, moment)
            for event in one.events:
                data = self._mapper.encode(event, context.reason, keys)
                tail += 1
                stored = StoredEvent(event.originator_id, event.originator_version, event.TOPIC, data)
                event_rows.append(row(tail, stored, about))
                one.positions.append(tail)
            first, last = one.first_and_last
            command_rows.append(
                {
                    "command_id": context.command_id,
                    "request_hash": self._keyed(one.request),
                    "first_position": first,
                    "last_position": last,
                    "result": outcome_json(one),
                }
            )
        if event_rows:
            insert_rows(connection, events, event_rows)
        if corrected := self._decided.keys() & self._done.keys():
            connection.execute(commands.delete().where(commands.c.command_id.in_(corrected)))
        insert_rows(connection, commands, command_rows)
        self._index(batch)
        return tail

    def _index(self, batch: Sequence[Decided]) -> None:
        """Make persons findable by what the events say, and forget those who are to be forgotten."""
        found_by: dict[UUID, str | None] = {}
        forgotten: dict[UUID, int] = {}
        for one in batch:
            found_by |= dict(self._findable(one.events))
            for event, position in zip(one.events, one.positions, strict=True):
                if event.forgets_person and event.person is not None:
                    forgotten[event.person] = position
        kept = {person: value for person, value in found_by.items() if person not in forgotten}
        self._persons.index(self._connection, kept, self._new)
        if forgotten:
            self._persons.forget(self._connection, forgotten)

    def _findable(self, decided: Sequence[Event]) -> Iterator[tuple[UUID, str | None]]:
        """Yield (person, the value they are found by from now on) of the events that set it."""
        for event in decided:
            sets, value = self._mapper.findable(event)
            if sets and event.person is not None:
                yield event.person, value

    def _keys(self, batch: Sequence[Decided]) -> dict[UUID, bytes]:
        """Return the keys of all persons whose data is about to be sealed, with new ones recorded."""
        told = [e for one in batch for e in one.events if e.person and self._mapper.personal(e)]
        persons = {event.person for event in told if event.person}
        # Whose own stream begins here has no key yet.
        begun = {
            event.person for event in told if event.originator_version == 1 and event.originator_id == event.person
        }
        keys = self._persons.keys(self._connection, persons - begun)
        self._new = persons - keys.keys()
        return keys | self._persons.make(self._connection, self._new) if self._new else keys


def circumstances(context: Context, recorded_at: datetime) -> Circumstances:
    """Return what is recorded of a command's context beside its events."""
    return Circumstances(
        context.actor.kind,
        context.actor.name,
        context.at,
        recorded_at,
        context.command_id,
        context.correlation_id,
        context.causation_id,
    )
