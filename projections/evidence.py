"""The pledges behind a count: which they are, and at which position each came into the state it is counted in."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from projections.partnerships import Partnerships
from projections.pledges import Pledges


def behind_campaign(
    connection: Connection,
    model: Pledges,
    campaign: UUID,
    *,
    ask: str | None = None,
    states: Sequence[str] = (),
    after: tuple[str, UUID] | None = None,
    limit: int = 50,
) -> Sequence[Any]:
    """Return pledges (id, campaign, ask, supporter, state, position) in order of ask and id, after one of them."""
    table = model.pledges
    query = sa.select(table).where(table.c.campaign == campaign)
    if ask is not None:
        query = query.where(table.c.ask == ask)
    if states:
        query = query.where(table.c.state.in_(states))
    if after is not None:
        query = query.where(sa.tuple_(table.c.ask, table.c.id) > after)
    return connection.execute(query.order_by(table.c.ask, table.c.id).limit(limit)).all()


def behind_partnership(
    connection: Connection,
    model: Partnerships,
    pledges: Pledges,
    partnership: UUID,
    *,
    states: Sequence[str] = (),
    after: UUID | None = None,
    limit: int = 50,
) -> Sequence[Any]:
    """Return the attributed pledges (as above, in the state in which they are attributed) in order of id."""
    attributed, pledge = model.attributed.c, pledges.pledges.c
    columns = (pledge.id, pledge.campaign, pledge.ask, pledge.supporter, attributed.state, attributed.position)
    query = sa.select(*columns).where(attributed.partnership == partnership, pledge.id == attributed.pledge)
    if states:
        query = query.where(attributed.state.in_(states))
    if after is not None:
        query = query.where(attributed.pledge > after)
    return connection.execute(query.order_by(attributed.pledge).limit(limit)).all()
