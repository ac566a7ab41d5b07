"""Receipts of a supporter's own pledges: the log's proof that the promise stands in the history."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from sqlalchemy import Connection

from api.accounts import Forbidden, Role
from api.bootstrap import Groundswell
from api.campaigns import CampaignPath
from api.common import KnownCaller, Store
from api.log import RECEIPT
from api.openapi import answers
from api.pledges import AskPath
from api.supporters import SupporterPath
from domain.kernel import Unknown, identify
from domain.pledges import Pledge, pledge_id
from history.tables import events
from notifications.language import Language
from notifications.movement import Movement
from notifications.surroundings import Surroundings
from projections.campaigns import Campaigns
from projections.pledges import Pledges
from projections.views import Views

router = APIRouter(tags=["pledges"])

PROMISED: Final = (Pledge.Made.TOPIC, Pledge.Renewed.TOPIC)


@dataclass(frozen=True)
class OwnPledge:
    """One of a supporter's pledges; ``position`` is that of the event by which it was made, or made again."""

    statement: str
    campaign: str
    made_on: date
    position: int


def promised(connection: Connection, pledges: Collection[UUID]) -> dict[UUID, int]:
    """Return the position at which each of the pledges was made, or made again last."""
    made = events.c.stream_id.in_(pledges), events.c.topic.in_(PROMISED)
    query = sa.select(events.c.stream_id, sa.func.max(events.c.position)).where(*made).group_by(events.c.stream_id)
    return {stream: position for stream, position in connection.execute(query)}  # noqa: C416 - rows, not pairs


def surroundings(store: Groundswell, views: Views) -> Surroundings:
    """Return what campaigns are called, as of the read models that are open."""
    movement = Movement(store.engine.log, views.position, views.position)
    return Surroundings(views, store.engine.log, movement, store.settings.base_url)


def own_pledges(store: Groundswell, supporter: UUID, language: Language) -> list[OwnPledge]:
    """Return a supporter's pledges, the newest first, in words of the language where there are any."""
    with store.reader.open([Pledges, Campaigns]) as views:
        rows = views[Pledges].of_supporter(views.connection, supporter)
        shared = surroundings(store, views)
        with store.engine.database.read() as connection:
            positions = promised(connection, [row.id for row in rows])
        return [
            OwnPledge(
                statement=ask.statement if (ask := shared.ask(row.campaign, row.ask)) else row.ask,
                campaign=shared.title(row.campaign, language),
                made_on=row.made_on,
                position=positions[row.id],
            )
            for row in rows
        ]


@router.get(
    "/campaigns/{campaign}/asks/{ask}/pledges/{supporter}/receipt",
    summary="Read the receipt of a supporter's pledge",
    response_class=PlainTextResponse,
    responses=answers(
        RECEIPT,
        "auth.required",
        "auth.forbidden",
        "pledge.unknown",
        media="text/plain",
        says="A proof that the log holds this pledge; it names nobody.",
    ),
)
def read_pledge_receipt(
    store: Store, caller: KnownCaller, campaign: CampaignPath, ask: AskPath, supporter: SupporterPath
) -> PlainTextResponse:
    """The proof that a pledge was made, or made again last; for programs that act for supporters, and for staff.

    Supporters themselves find it behind the links in their mails. `/log/receipts` says how it is checked offline.
    """
    if not (caller.is_staff or caller.role is Role.SUPPORTER):
        raise Forbidden("auth.forbidden", f"The role {caller.role} may not read the receipts of supporters.")
    pledge = pledge_id(identify("campaign", campaign), ask, identify("supporter", supporter))
    with store.engine.database.read() as connection:
        found = promised(connection, [pledge])
    if pledge not in found:
        raise Unknown("pledge.unknown", "There is no such pledge.")
    return PlainTextResponse(store.checkpoints.receipt(found[pledge]))
