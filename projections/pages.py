"""Pages: the first standings of a large board as they stood at some positions, so that its past is found quickly.

They are a cache beside the ledger, which says the same. A board gets a page whenever so many more entries count on it.
"""

import secrets
import struct
from collections.abc import Iterable, Sequence
from typing import ClassVar, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Column, Connection, LargeBinary, Table

from history.tables import BigInt
from projections.projection import Projection
from projections.totals import Totals

COMPLETE: Final = -1
"""The position of a page that only says that a board has all the pages it should have."""
WALKING: Final = -2
"""The position of a page that only says that the missing ones are being made."""

_STANDING: Final = struct.Struct(">16sq")
_COUNT: Final = struct.Struct(">qq")


Written = tuple[str, int]
"""Who, as the 32 hexadecimal digits of the id, and how many hundredths of points; in order as ids are."""


class Page(NamedTuple):
    """A board at a position: its first standings, and how many have each number of points, as (points, number)."""

    position: int
    standings: Sequence[Written]
    counts: Sequence[tuple[int, int]]

    @property
    def complete(self) -> bool:
        """Whether all are named who stood on the board."""
        return len(self.standings) == sum(number for _, number in self.counts)

    def above(self, points: int) -> tuple[int, int]:
        """Return how many had more points than these, and how many had as many."""
        more = sum(number for each, number in self.counts if each > points)
        return more, sum(number for each, number in self.counts if each == points)


class Pages:
    """The pages of all boards; those who find none sum up the ledger instead.

    A page holds at most ``KEPT`` standings; between two of a board at least ``EVERY`` more entries count on it.
    """

    KEPT: ClassVar[int] = 200
    EVERY: ClassVar[int] = 2_000

    def __init__(self, table: Table) -> None:
        self.table = table

    @classmethod
    def declare(cls, projection: Projection) -> "Pages":
        """Declare the table in a projection."""
        return cls(
            projection.table(
                "score_pages",
                Column("board", BigInt, primary_key=True, autoincrement=False),
                Column("position", BigInt, primary_key=True, autoincrement=False),
                Column("standings", LargeBinary, nullable=False),
                Column("counts", LargeBinary, nullable=False),
                index=[("position",)],
                cache=True,
            )
        )

    def keep(self, connection: Connection, pages: Iterable[tuple[int, Page]]) -> None:
        """Keep pages of boards, each with the number of its board."""
        rows = [
            {
                "board": board,
                "position": page.position,
                "standings": b"".join(
                    _STANDING.pack(bytes.fromhex(entity), points) for entity, points in page.standings
                ),
                "counts": b"".join(_COUNT.pack(*each) for each in page.counts),
            }
            for board, page in pages
        ]
        if rows:
            connection.execute(self.table.insert(), rows)

    def newest(self, connection: Connection, board: int, since: int, by: int) -> Page | None:
        """Return the newest page of a board within a range of positions."""
        page = self.table.c
        query = sa.select(page.position, page.standings, page.counts)
        query = query.where(page.board == board, page.position.between(since, by))
        row = connection.execute(query.order_by(page.position.desc()).limit(1)).first()
        if row is None:
            return None
        standings = [(entity.hex(), points) for entity, points in _STANDING.iter_unpack(row.standings)]
        return Page(row.position, standings, list(_COUNT.iter_unpack(row.counts)))

    def forget(self, connection: Connection, position: int) -> None:
        """Drop the pages from a position on; no board has all that it should have then.

        The marks go first: that waits for whoever is writing pages, and what they wrote is dropped too.
        """
        page = self.table.c.position
        connection.execute(self.table.delete().where(page < 0))
        connection.execute(self.table.delete().where(page >= position))

    def begin(self, connection: Connection, board: int) -> int:
        """Mark that the missing pages of a board are being made; return what tells this mark from others."""
        page, token = self.table.c, secrets.randbits(62)
        connection.execute(self.table.delete().where(page.board == board, page.position < 0))
        self.keep(connection, [(board, Page(WALKING, (), ((token, 0),)))])
        return token

    def going_on(self, connection: Connection, board: int, token: int) -> bool:
        """Tell whether the mark still stands, and hold it to the end of the transaction: nobody drops pages then."""
        page = self.table.c
        query = sa.select(page.counts).where(page.board == board, page.position == WALKING).with_for_update()
        return connection.scalar(query) == _COUNT.pack(token, 0)

    def end(self, connection: Connection, board: int) -> None:
        """Mark that a board has all the pages it should have; a mark that is gone meanwhile stays so."""
        page = self.table.c
        mine = page.board == board, page.position == WALKING
        connection.execute(self.table.update().where(*mine).values(position=COMPLETE))

    def make(self, connection: Connection, totals: Totals, board: int, position: int) -> Page:
        """Return the page of a board that the totals make, which stand at a position."""
        standings = [(entity.hex, points) for entity, points in totals.top(connection, board, self.KEPT)]
        return Page(position, standings, totals.distinct(connection, board))

    def due(self, entries: int, added: int) -> bool:
        """Tell whether a board on which so many entries count, so many of them new, is to get a page."""
        return entries // self.EVERY > (entries - added) // self.EVERY
