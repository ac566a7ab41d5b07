"""Asking for boards: as of which point of history, in which window; and how the answers come about.

What is shown of whom: of everybody on a board the rank, the points, and the id that the history has for them, a
pseudonym; the name of a supporter only where they chose to be named, and only as long as they do: as of the past too.
An explanation shows of somebody above or below no more than that, with their points by kind of event, which their own
explanation sums up for anyone. A reference, which may be a name, is taken but never given.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Annotated, Any, Final
from urllib.parse import quote
from uuid import UUID

import sqlalchemy as sa
from fastapi import Depends, Query, Response
from sqlalchemy import Connection

from api.boards import (
    Explained,
    Leaderboard,
    Neighbour,
    Score,
    Standing,
    TeamBoard,
    TeamStanding,
    TopicDifference,
    TopicPoints,
)
from api.bootstrap import Groundswell
from api.common import (
    Cursor,
    Point,
    Stale,
    Store,
    cursor_id,
    decode_cursor,
    encode_cursor,
    malformed_cursor,
    next_cursor,
    views,
)
from api.evidence import Evidence, evidence
from api.names import names_on
from domain.campaigns import Campaign
from domain.chapters import Chapter
from domain.kernel import Aggregate, Invalid, Unknown, identify, now
from history.tables import events
from projections.boards import Board, Scope, Window
from projections.explaining import Neighbour as NeighbourFound
from projections.explaining import reasons
from projections.leaderboards import Leaderboards, ScoreEntry
from projections.ledger import Rules
from projections.teams import Sort, teams
from projections.views import AsOf

WindowQuery = Annotated[
    Window, Query(description="All days, or the calendar month or ISO week that `on` lies in.", examples=["month"])
]
OnQuery = Annotated[
    date | None,
    Query(
        description="A day in the window; by default that of the point asked for, else today (UTC).",
        examples=["2026-03-15"],
    ),
]
SortQuery = Annotated[
    Sort, Query(description="By the sum of points, or by the mean per active member.", examples=["mean"])
]
KINDS: Final = {Scope.CHAPTERS: "chapter", Scope.PARTNERSHIPS: "partnership"}


@dataclass(frozen=True)
class Opened:
    """The boards to be asked: ``by`` is to be given with every question, ``position`` is what they show."""

    model: Leaderboards
    connection: Connection
    position: int
    by: int | None

    @cached_property
    def rules(self) -> Rules:
        """The rules in force."""
        return self.model.rules_in_force(self.connection, self.by)


class Asked:
    """What all boards are asked for: as of when, in which window, which page."""

    def __init__(
        self,
        store: Store,
        response: Response,
        stale: Stale,
        as_of: Point,
        window: WindowQuery = Window.ALL,
        on: OnQuery = None,
        cursor: Cursor = None,
    ) -> None:
        self.store, self.response, self.stale, self.as_of = store, response, stale, as_of
        self.window, self.cursor = window, cursor
        self.on, self.today = on or _day(store, as_of), on is None and as_of.live

    def board(self, scope: Scope, key: UUID | None = None) -> Board:
        """Return the board in the window asked for."""
        return Board(scope, key, self.window, None if self.window is Window.ALL else self.on)

    @contextmanager
    def opened(self) -> Iterator[Opened]:
        """Open the boards as of the point asked for: of a position from the ledger, of a time by folding anew."""
        position = self.as_of.position
        if position is not None and self.as_of.occurred_by is None:
            head = self.store.engine.log.head()
            if position > head:
                raise Invalid("as_of.in_future", f"The history ends at position {head}.")
            self.store.reader.wait(position, kinds=[Leaderboards])
            with views(self.store, self.response, self.stale, [Leaderboards]) as present:
                if present.position >= position:
                    self.response.headers["X-Position"] = str(position)
                    yield Opened(present[Leaderboards], present.connection, position, position)
                    return
        with views(self.store, self.response, self.stale, [Leaderboards], self.as_of) as found:
            yield Opened(found[Leaderboards], found.connection, found.position, None)

    def names(self, scope: Scope, keys: Sequence[UUID]) -> dict[UUID, str | None]:
        """Return the names that may be shown now, whatever the past showed."""
        with self.store.reader.open() as present:
            return names_on(present, scope, keys)

    def evidence(self, board: Board, opened: Opened, more: str = "", sort: Sort | None = None) -> Evidence:
        """Return what the answer rests on; ``more`` is what follows in its path."""
        timeless = board.window is Window.ALL
        return evidence(
            f"/leaderboards/{path_of(board)}{more}",
            opened.position,
            self.as_of.occurred_by,
            not_counted(board, opened.rules),
            rules_version=opened.rules.version,
            window=board.window.value,
            on=None if timeless else board.start.isoformat(),
            sort=sort.value if sort else None,
        )


Question = Annotated[Asked, Depends(Asked)]


def known(store: Groundswell, kind: type[Aggregate], reference: str) -> UUID:
    """Return the id of what a reference names; raise Unknown where it was never there."""
    key = identify(kind.noun, reference)
    opening = sa.select(events.c.topic).where(events.c.stream_id == key, events.c.version == 1)
    with store.engine.database.read() as connection:
        if connection.scalar(opening) not in kind.events:
            raise Unknown(f"{kind.noun}.unknown", f"There is no {kind.noun} “{reference}”.")
    return key


def _day(store: Store, as_of: AsOf) -> date:
    moment = as_of.occurred_by or as_of.recorded_by
    if moment is not None:
        return moment.astimezone(UTC).date()
    if as_of.position is not None:
        recorded = recorded_at(store, as_of.position)
        if recorded is not None:
            return recorded.date()
    return now().date()


def recorded_at(store: Store, position: int) -> datetime | None:
    """Return when the event at a position was recorded; None where there is none."""
    with store.engine.database.read() as connection:
        query = sa.select(events.c.recorded_at).where(events.c.position == position)
        found: datetime | None = connection.scalar(query)
        return found


def path_of(board: Board) -> str:
    """Return the path of a board, below that of all boards."""
    match board.scope:
        case Scope.CAMPAIGN:
            return f"campaigns/{board.scope_id}"
        case Scope.CHAPTER:
            return f"chapters/{board.scope_id}"
        case _:
            return board.scope.value


def board_at(store: Groundswell, path: str) -> Board:
    """Return the board of all days at a path below that of all boards; raise Unknown where there is none."""
    kind, of, reference = path.partition("/")
    match kind, of:
        case "campaigns", "/":
            return Board(Scope.CAMPAIGN, known(store, Campaign, reference))
        case "chapters", "/":
            return Board(Scope.CHAPTER, known(store, Chapter, reference))
        case ((Scope.MOVEMENT | Scope.CHAPTERS | Scope.PARTNERSHIPS), ""):
            return Board(Scope(kind))
    places = "movement, chapters, partnerships, campaigns/… or chapters/…"
    raise Unknown("board.unknown", f"There is no board “{path}”; say {places}.")


def not_counted(board: Board, rules: Rules) -> dict[str, str]:
    """Return what a board does not count, and whom it does not show or name."""
    found = {
        "no_points": "Whoever has no points, or fewer than none, does not stand here.",
        "taken_back": "The points of what was withdrawn, rejected, retracted or revoked.",
    }
    if rules.daily_cap is not None:
        cap = rules.daily_cap / 100
        found["capped"] = f"What one supporter would get beyond {cap:g} points for one of their days."
    if board.window is not Window.ALL:
        found["other_days"] = f"What happened before {board.start} or after {board.end}, in each supporter's own days."
    match board.scope:
        case Scope.CHAPTERS | Scope.CHAPTER:
            found["not_a_member"] = "What happened while the supporter did not belong to the chapter."
        case Scope.PARTNERSHIPS:
            found["not_referred"] = "What did not come by a partnership's referral code."
        case Scope.CAMPAIGN:
            found["elsewhere"] = "What belongs to no campaign, or to another."
    if board.scope not in KINDS:
        found["names"] = "The names of supporters who did not choose to be shown; they count all the same."
    return found


def read_board(asked: Asked, board: Board, limit: int) -> Leaderboard:
    """Return one page of a board."""
    after = cursor_id(asked.cursor)
    with asked.opened() as opened:
        rows = opened.model.top(opened.connection, board, limit=limit + 1, after=after, by=opened.by)
        head = _head(asked, board, opened)
    names = asked.names(board.scope, [row.id for row in rows[:limit]])
    return Leaderboard(
        **head,
        entries=[Standing(rank=row.rank, id=row.id, name=names.get(row.id), points=row.points) for row in rows[:limit]],
        next=next_cursor(rows, limit),
    )


def read_teams(asked: Asked, board: Board, sort: Sort, limit: int) -> TeamBoard:
    """Return one page of the board of chapters as teams."""
    after = cursor_id(asked.cursor)
    with asked.opened() as opened:
        rows = teams(opened.connection, opened.model, board, sort=sort, limit=limit + 1, after=after, by=opened.by)
        head = _head(asked, board, opened, sort)
    names = asked.names(board.scope, [row.id for row in rows[:limit]])
    return TeamBoard(
        **head,
        sort=sort,
        entries=[
            TeamStanding(
                rank=row.rank, id=row.id, name=names.get(row.id), points=row.points, active=row.active, mean=row.mean
            )
            for row in rows[:limit]
        ],
        next=next_cursor(rows, limit),
    )


def _head(asked: Asked, board: Board, opened: Opened, sort: Sort | None = None) -> dict[str, Any]:
    timeless = board.window is Window.ALL
    return {
        "as_of": opened.position,
        "rules_version": opened.rules.version,
        "scope": board.scope,
        "window": board.window,
        "since": None if timeless else board.start,
        "until": None if timeless else board.end,
        "size": opened.model.size(opened.connection, board, by=opened.by),
        "evidence": asked.evidence(board, opened, sort=sort),
    }


def explain(asked: Asked, board: Board, reference: str, limit: int) -> Explained:
    """Return why somebody stands where they do; raise Unknown where nothing was ever scored for them there."""
    key = identify(KINDS.get(board.scope, "supporter"), reference)
    after = _last_entry(asked.cursor)
    with asked.opened() as opened:
        model, connection, by = opened.model, opened.connection, opened.by
        rows = model.entries_of(connection, board, key, after=after, limit=limit + 1, by=by)
        standing = model.standing(connection, board, key, by=by)
        if not rows and standing is None and after is None:
            scored = "Nothing was ever scored there" if asked.as_of.live else "Nothing had been scored there by then"
            raise Unknown("entry.unknown", f"{scored} for “{reference}”.")
        why = reasons(connection, model, board, key, by)
        version = opened.rules.version
        rests_on = asked.evidence(board, opened, f"/entries/{quote(str(key))}")
    beside = [each for each in (why.above, why.below) if each is not None]
    names = asked.names(board.scope, [key, *(each.standing.id for each in beside)])
    points = standing.points if standing else sum(each.points for each in why.topics)
    page = rows[:limit]
    return Explained(
        as_of=opened.position,
        rules_version=version,
        rank=standing.rank if standing else None,
        id=key,
        name=names.get(key),
        points=points,
        topics=[TopicPoints.model_validate(each, from_attributes=True) for each in why.topics],
        above=_neighbour(why.above, points, names),
        below=_neighbour(why.below, points, names),
        entries=[Score.model_validate(row, from_attributes=True) for row in page],
        next=encode_cursor(page[-1].position, page[-1].of or 0) if len(rows) > limit else None,
        evidence=rests_on,
    )


def _neighbour(found: NeighbourFound | None, points: float, names: dict[UUID, str | None]) -> Neighbour | None:
    if found is None:
        return None
    other = found.standing
    return Neighbour(
        rank=other.rank,
        id=other.id,
        name=names.get(other.id),
        points=other.points,
        difference=less(other.points, points),
        topics=[
            TopicDifference(
                topic=each.topic,
                mine=each.mine,
                theirs=each.theirs,
                difference=less(each.theirs, each.mine),
                my_events=each.my_events,
                their_events=each.their_events,
            )
            for each in found.topics
        ],
    )


def less(one: float, other: float) -> float:
    """Return one number of points less another, both of at most two decimals."""
    found = round(one - other, 2)
    return int(found) if found == int(found) else found


def _last_entry(cursor: str | None) -> ScoreEntry | None:
    """Return as much of the entry that a cursor names as tells what comes after it."""
    found = decode_cursor(cursor, 2)
    if found is None:
        return None
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in found):  # noqa: PLR2004 - 64 bits
        raise malformed_cursor()
    position, of = int(found[0]), int(found[1])
    nothing = UUID(int=0)
    return ScoreEntry(position, "", 0, 0, datetime.min.replace(tzinfo=UTC), date.min, nothing, nothing, of or None, 0)
