"""Streams as long as you like, made by the database at once."""

from typing import Final
from uuid import UUID

import sqlalchemy as sa

from domain.campaigns import AddAsk, AskKind, Draft, Frame, Launch
from domain.kernel import identify
from history.engine import Engine
from history.recorder import last_position
from history.tables import events
from tests.support.rooms import ask, outcomes

CAMPAIGN: Final = identify("campaign", "long")


def long_campaign(engine: Engine, length: int, name: str = "long") -> UUID:
    """Make a launched campaign whose stream has so many events, at least 4; return its id."""
    commands = [
        Draft(campaign=name, title="Listening"),
        AddAsk(campaign=name, ask="listen", statement="I listen.", kind=AskKind.ONCE),
        Launch(campaign=name),
        Frame(campaign=name, locale="pt", title="Escutar"),
    ]
    assert outcomes(engine, *map(ask, commands)) == ["accepted"] * len(commands)
    lengthen(engine, identify("campaign", name), length)
    return identify("campaign", name)


def lengthen(engine: Engine, stream: UUID, length: int) -> None:
    """Repeat the last event of a stream until it has so many; they are no leaves of a tree that could be verified."""
    with engine.database.append() as connection:
        version = connection.scalar(sa.select(sa.func.max(events.c.version)).where(events.c.stream_id == stream))
        more = sa.select(sa.literal(1).label("n")).cte("more", recursive=True)
        more = more.union_all(sa.select(more.c.n + 1).where(more.c.n < length - version))
        moved = {"position": last_position(connection) + more.c.n, "version": events.c.version + more.c.n}
        rows = sa.select(*(moved.get(column.name, column) for column in events.c)).join(more, sa.true())
        rows = rows.where(events.c.stream_id == stream, events.c.version == version)
        if length > version:
            connection.execute(events.insert().from_select([column.name for column in events.c], rows))
