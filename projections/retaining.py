"""Making the pages of large boards that were folded in bulk: the ledger is walked once for each of them.

Memory does not grow with the number of supporters: the totals on the way are kept in a scratch database.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import islice
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from domain.scoring import Applies
from history.database import Database
from history.statements import run, select_among
from projections.boards import Board, Scope, Window
from projections.drafts import Overtaken
from projections.leaderboards import Leaderboards
from projections.pages import COMPLETE, Page
from projections.replay import scratch

BLOCK: Final = 10_000
"""How many supporters are added at a time."""
WRITTEN: Final = 20
"""How many pages are written at a time."""


def complete(database: Database, model: Leaderboards) -> Iterator[int]:
    """Make the missing pages of all large boards; yield the positions reached, so that it can be left at any time.

    Others may go on writing meanwhile. Where no page is missing it costs one query.
    """
    with database.read() as connection:
        boards = _incomplete(connection, model)
    for board in boards:
        with suppress(Overtaken, IntegrityError):  # an event came late, or another process walks the same board
            yield from walk(database, model, board)


def _incomplete(connection: Connection, model: Leaderboards) -> list[Board]:
    """Return the large boards that were never walked, the smallest first."""
    named, page = model.totals.boards, model.pages.table.c
    walked = sa.select(page.board).where(page.position == COMPLETE)
    query = sa.select(named).where(named.c.entries >= model.pages.EVERY, named.c.id.not_in(walked))
    rows = connection.execute(query.order_by(named.c.entries, named.c.id))
    return [Board(Scope(row.scope), row.scope_id, Window(row.window), row.window_start) for row in rows]


def walk(database: Database, model: Leaderboards, board: Board) -> Iterator[int]:
    """Make the pages of one board anew; yield the positions reached."""
    with database.write() as connection:
        token = model.pages.begin(connection, board.id)
        head = connection.scalar(sa.select(sa.func.max(model.entries.c.position))) or 0
    pages: list[Page] = []
    written = -1
    with closing(_Way(database, model, board)) as way:
        for page in way.pages(head):
            pages.append(page)
            if len(pages) == WRITTEN:
                written = _write(database, model, board, token, pages, written)
                pages = []
            yield page.position
    _write(database, model, board, token, pages, written, head)


def _write(
    database: Database,
    model: Leaderboards,
    board: Board,
    token: int,
    pages: list[Page],
    after: int,
    head: int | None = None,
) -> int:
    """Write pages instead of those that are there after a position; return the position that is reached.

    It is that of the last page, or the ``head``, with which the board is complete.
    """
    page, by = model.pages.table.c, pages[-1].position if head is None else head
    with database.write() as connection:
        if not model.pages.going_on(connection, board.id, token):
            raise Overtaken("An event came late, or somebody else makes these pages.")
        old = page.board == board.id, page.position > max(after, -1), page.position <= by
        connection.execute(model.pages.table.delete().where(*old))
        model.pages.keep(connection, ((board.id, each) for each in pages))
        if head is not None:
            model.pages.end(connection, board.id)
    return by


class _Way:
    """The way of one board through the ledger: its totals as they were, in a scratch database.

    How many have which points is kept in memory: there are far fewer different points than supporters.
    """

    def __init__(self, database: Database, model: Leaderboards, board: Board) -> None:
        self._database, self._model, self._board = database, model, board
        self._engine, self._counts = scratch(), Counter[int]()

    def close(self) -> None:
        """Leave nothing behind."""
        self._engine.dispose()

    def pages(self, head: int) -> Iterator[Page]:
        """Yield the pages of the board up to a position."""
        with self._engine.begin() as totals:
            run(totals, "CREATE TABLE totals (entity TEXT PRIMARY KEY, points INTEGER) WITHOUT ROWID")
            run(totals, "CREATE INDEX totals_top ON totals (points DESC, entity)")
            rescored = self._rescored(head)
            for since, end in zip([0, *rescored], [*(each - 1 for each in rescored), head], strict=True):
                yield from self._between(totals, since, end)

    def _rescored(self, head: int) -> list[int]:
        rules = self._model.rules.c
        query = sa.select(rules.position).where(rules.applies == Applies.TO_ALL_HISTORY.value, rules.position <= head)
        with self._database.read() as connection:
            return list(connection.scalars(query.order_by(rules.position)))

    def _between(self, totals: Connection, since: int, end: int) -> Iterator[Page]:
        """Yield the pages between two rules for all history; entries that these wrote anew are all at ``since``."""
        run(totals, "DELETE FROM totals")
        self._counts.clear()
        reached = since
        self._take(totals, since, since)
        if since:
            yield self._page(totals, since)
        while (upper := self._next(reached + 1, end)) is not None:
            self._take(totals, reached + 1, upper)
            yield self._page(totals, upper)
            reached = upper

    def _next(self, since: int, end: int) -> int | None:
        """Return the position by which enough entries count on the board for another page."""
        where = self._model.past.counting(self._board, since, end)
        position = self._model.entries.c.position
        query = sa.select(position).where(*where).order_by(position).offset(self._model.pages.EVERY - 1).limit(1)
        with self._database.read() as connection:
            found: int | None = connection.scalar(query)
        return found

    def _take(self, totals: Connection, since: int, by: int) -> None:
        """Add what counted on the board at some positions."""
        with (
            self._database.read() as connection,
            closing(self._model.past.each_amount(connection, self._board, since, by)) as amounts,
        ):
            while block := dict(islice(amounts, BLOCK)):
                self._add(totals, block)

    def _add(self, totals: Connection, amounts: dict[str, int]) -> None:
        column = sa.Column("entity", sa.Text)
        before = dict(select_among(totals, "SELECT entity, points FROM totals", column, amounts))
        after = {entity: before.get(entity, 0) + points for entity, points in amounts.items()}
        run(totals, "INSERT OR REPLACE INTO totals VALUES (?, ?)", list(after.items()), many=True)
        self._counts.subtract(before.values())
        self._counts.update(after.values())

    def _page(self, totals: Connection, position: int) -> Page:
        head = "SELECT entity, points FROM totals WHERE points > 0 ORDER BY points DESC, entity LIMIT ?"
        counts = [(points, number) for points, number in self._counts.items() if points > 0 and number]
        return Page(position, run(totals, head, [self._model.pages.KEPT]).fetchall(), counts)
