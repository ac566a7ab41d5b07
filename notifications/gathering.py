"""Reads all that a batch of digests is composed from, in a few queries however many people are in it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from domain.slices import Fact
from history.mapper import RAW
from history.statements import select_among, uuid_of
from history.tables import events
from notifications.movement import Range
from notifications.recipients import Recipient
from notifications.surroundings import Surroundings
from projections.actions import Actions
from projections.boards import Board, Scope, Standing
from projections.campaigns import Campaigns
from projections.chapters import Chapters
from projections.leaderboards import Leaderboards
from projections.officials import Officials
from projections.pledges import Pledges
from projections.policies import Policies
from projections.projection import Projection
from projections.recognitions import Recognitions
from projections.subscriptions import Subscriptions

KINDS: Final[tuple[type[Projection], ...]] = (
    Campaigns,
    Pledges,
    Actions,
    Policies,
    Officials,
    Chapters,
    Recognitions,
    Leaderboards,
    Subscriptions,
)
"""The read models a digest is composed from."""

MOVEMENT: Final = Board(Scope.MOVEMENT)
_STREAMS: Final = f"SELECT {', '.join(RAW)} FROM events"  # noqa: S608 - names

STANDING: Final = ("logged", "verified")
"""The states of actions that count as something done for a policy."""
GIVEN: Final = ("awarded", "revoked")

Told = tuple[int, int | None] | None
"""(the position, the rank) that a person's last digest told; None before the first."""


@dataclass(frozen=True)
class Reader:
    """One person of the batch, and the range of history that is told."""

    person: Recipient
    of: Range
    known_rank: int | None
    first: bool


@dataclass(frozen=True)
class Gathered:
    """What was read: by supporter, ``facts`` by stream and oldest first, ``recognitions`` by recipient."""

    pledges: Mapping[UUID, Sequence[Any]]
    facts: Mapping[UUID, Sequence[Fact]]
    recognitions: Mapping[UUID, Sequence[UUID]]
    answers: Mapping[UUID, Sequence[Any]]
    policies: Mapping[UUID, Sequence[UUID]]
    standings: Mapping[UUID, Standing]
    board_size: int
    scored: Mapping[UUID, Sequence[int]]


def reader(shared: Surroundings, person: Recipient, told: Told) -> Reader:
    """Return a person with the range to be told: from where the last digest ended, or where the person begins."""
    after, known = told or (person.first_position - 1, None)
    return Reader(person, (after, shared.views.position), known, told is None)


def gather(shared: Surroundings, readers: Sequence[Reader]) -> Gathered:
    """Read everything for these people."""
    earliest = min(each.of[0] for each in readers)
    shared.movement.cover(earliest, shared.views.position)
    people = [each.person.supporter for each in readers]
    since = _since(readers)
    views, connection = shared.views, shared.views.connection

    pledges = _by(views[Pledges].of_supporters(connection, people), "supporter")
    recognitions: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for row in views[Recognitions].decided_for(connection, sorted(since), GIVEN):
        recognitions[row.recipient].append(row.id)
    streams = {row.id: since[who] for who, own in pledges.items() for row in own}
    streams |= {key: since[who] for who, own in recognitions.items() for key in own}
    answers = _by(views[Actions].answers_to(connection, people, earliest), "supporter")
    policies = _policies(shared, people)
    standings, scored = _board(shared, readers, earliest)

    shared.fetch_campaigns(row.campaign for own in pledges.values() for row in own)
    shared.fetch_policies({*(key for own in policies.values() for key in own), *_answered(answers)})
    shared.fetch_chapters(chapter for each in readers for chapter in each.person.chapters)
    return Gathered(
        pledges=pledges,
        facts=_facts(shared, streams, shared.views.position),
        recognitions=recognitions,
        answers=answers,
        policies=policies,
        standings=standings,
        board_size=views[Leaderboards].size(connection, MOVEMENT) if standings else 0,
        scored=scored,
    )


def _by(rows: Iterable[Any], name: str) -> Mapping[UUID, list[Any]]:
    found: defaultdict[UUID, list[Any]] = defaultdict(list)
    for row in rows:
        found[getattr(row, name)].append(row)
    return found


def _answered(answers: Mapping[UUID, Sequence[Any]]) -> set[UUID]:
    return {row.policy for own in answers.values() for row in own}


def _since(readers: Sequence[Reader]) -> Mapping[UUID, int]:
    """Return after which position there is news of these people and of their chapters."""
    since: dict[UUID, int] = {}
    for each in readers:
        for key in (each.person.supporter, *each.person.chapters):
            since[key] = min(each.of[0], since.get(key, each.of[0]))
    return since


def _facts(shared: Surroundings, streams: Mapping[UUID, int], upto: int) -> Mapping[UUID, list[Fact]]:
    """Return the events of streams, each after a position of its own and none after the last, oldest first.

    They are looked up by their streams: a database that went along the positions would read what all others did.
    """
    found: defaultdict[UUID, list[Fact]] = defaultdict(list)
    if not streams:
        return found
    between = f"AND position + 0 > {min(streams.values())} AND position + 0 <= {upto} ORDER BY position + 0"
    with shared.log.database.read() as connection:
        rows = select_among(connection, _STREAMS, events.c.stream_id, streams, between)
    for row in rows:
        position, stream = row[0], uuid_of(row[1])
        if position > streams[stream]:
            found[stream].append(shared.log.mapper.raw_fact(row))
    return found


def _policies(shared: Surroundings, people: Sequence[UUID]) -> Mapping[UUID, list[UUID]]:
    """Return for whom which policies have news: those for which they did something."""
    found: defaultdict[UUID, list[UUID]] = defaultdict(list)
    if told := shared.movement.told():
        actions = shared.views[Actions]
        for row in actions.policies_of(shared.views.connection, people, told, STANDING):
            found[row.supporter].append(row.policy)
    return found


def _board(
    shared: Surroundings, readers: Sequence[Reader], earliest: int
) -> tuple[Mapping[UUID, Standing], Mapping[UUID, list[int]]]:
    """Return the standings of those who chose to be shown, and the events that gave points to those who moved."""
    public = {each.person.supporter: each for each in readers if each.person.public}
    scored: defaultdict[UUID, list[int]] = defaultdict(list)
    if not public:
        return {}, scored
    model, connection = shared.views[Leaderboards], shared.views.connection
    standings = model.standings(connection, MOVEMENT, sorted(public))
    moved = [key for key, standing in standings.items() if standing.rank != public[key].known_rank]
    if moved:
        for row in model.scored_by(connection, moved, earliest):
            scored[row.supporter].append(row.event)
    return standings, scored
