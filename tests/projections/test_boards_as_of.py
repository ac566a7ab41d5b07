"""The head of a board from a page and what came after it, against the sums of the whole ledger."""

import random
from collections import Counter
from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from projections.boards import Board, Scope
from projections.leaderboards import Leaderboards
from projections.ledger import Entry, Happening, row_of
from projections.pages import Page
from projections.replay import scratch

MOVEMENT = Board(Scope.MOVEMENT)
AT = datetime(2026, 1, 5, 12, tzinfo=UTC)
LENGTH, MOVES = 40, (-200, -100, 100, 100, 200, 300)


def happening(position: int, supporter: UUID) -> Happening:
    return Happening(position, supporter, supporter, "pledges.Made", AT, date(2026, 1, 5), None, (), None)


def page_of(sums: Counter[UUID], position: int, kept: int) -> Page:
    standing = sorted(((-points, entity.hex) for entity, points in sums.items() if points > 0))[:kept]
    counts = Counter(points for points in sums.values() if points > 0)
    return Page(position, [(entity, -points) for points, entity in standing], list(counts.items()))


@pytest.mark.parametrize("seed", range(15))
def test_a_page_and_what_came_after_it_tell_the_same_as_the_ledger(seed: int) -> None:
    dice = random.Random(seed)
    moves = [(UUID(int=dice.randint(1, 8)), dice.choice(MOVES)) for _ in range(LENGTH)]
    kept, engine, model = dice.randint(1, 5), scratch(), Leaderboards(1)
    with engine.begin() as connection:
        model.create(connection)
        names = list(model.entries.c.keys())
        entries = [Entry(at, 0, happening(at, who), None, points, 0) for at, (who, points) in enumerate(moves, start=1)]
        rows = [dict(zip(names, row_of(entry), strict=True)) for entry in entries]
        connection.execute(model.entries.insert(), rows)
        sums: list[Counter[UUID]] = [Counter()]
        for who, points in moves:
            sums.append(Counter(sums[-1]))
            sums[-1][who] += points
        positions = sorted(dice.sample(range(LENGTH), 6))
        model.pages.keep(connection, [(MOVEMENT.id, page_of(sums[at], at, kept)) for at in positions])
        for by, reached in enumerate(sums):
            standing = sorted(((-each, entity) for entity, each in reached.items() if each > 0))
            for limit in range(1, 7):
                top = model.past.top(connection, MOVEMENT, 0, by, limit)
                assert top == [(entity, -each) for each, entity in standing[:limit]]
            for mine in range(0, 800, 100):
                found = sum(each > mine for each in reached.values()), sum(each == mine for each in reached.values())
                above = model.past.above(connection, MOVEMENT, 0, by, mine)
                assert above == found if mine else above[0] == found[0]
    engine.dispose()
