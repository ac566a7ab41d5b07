"""The staff overview: where the campaigns stand, who came last, what happened last, and whether all is well."""

from typing import Any, Final

import sqlalchemy as sa
from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy import Connection

from api.common import MaybeCaller, Stale, Store, shown, views
from api.pages.rendering import SECURITY, page
from history.tables import parked_events
from history.tables import projections as checkpoints
from projections.campaigns import Campaigns
from projections.chapters import Chapters
from projections.supporters import Supporters
from projections.views import Views

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

CAMPAIGNS: Final = 100
LATEST: Final = 12
HIDDEN: Final = "—"


@router.get("/staff")
def overview(store: Store, response: Response, stale: Stale, caller: MaybeCaller) -> Response:
    """The overview; whoever is not signed in is shown how to."""
    if caller is None:
        return RedirectResponse("/signin", 303, SECURITY)
    caller.need_staff()
    head = store.engine.log.head()
    facts = store.engine.log.facts(max(0, head - LATEST), LATEST)
    with views(store, response, stale) as opened:
        connection = opened.connection
        campaigns = opened[Campaigns].all(connection, limit=CAMPAIGNS)
        number, pledges = opened[Campaigns].totals(connection)
        totals = [
            ("Supporters", opened[Supporters].count(connection)),
            ("Chapters", opened[Chapters].count(connection)),
            ("Campaigns", number),
            ("Pledges made", pledges["made"]),
            ("Events", head),
        ]
        return page(
            "staff.html",
            caller,
            totals=totals,
            campaigns=campaigns,
            supporters=newest(opened, personal=caller.sees_personal),
            facts=list(reversed(facts)),
            health=health(connection, head),
            parked=connection.scalar(sa.select(sa.func.count()).select_from(parked_events)) or 0,
            position=opened.position,
            stale=stale,
        )


def newest(opened: Views, *, personal: bool) -> list[dict[str, Any]]:
    """Return who registered last; names and addresses only for those who may see them."""
    rows = opened[Supporters].newest(opened.connection)
    boxes = opened.open([row.name for row in rows] + [row.email for row in rows]) if personal else []
    names, emails = boxes[: len(rows)], boxes[len(rows) :]
    return [
        {
            "registered_at": row.registered_at,
            "name": (shown(names[i]) if personal else None) or HIDDEN,
            "email": (shown(emails[i]) if personal else None) or HIDDEN,
            "confirmed": row.email_confirmed,
        }
        for i, row in enumerate(rows)
    ]


def health(connection: Connection, head: int) -> list[dict[str, Any]]:
    """Return how far each live read model has come, and why it stands still if it does."""
    query = sa.select(checkpoints).where(checkpoints.c.live).order_by(checkpoints.c.name)
    return [
        {
            "name": row.name,
            "position": row.position,
            "behind": max(0, head - row.position),
            "state": row.trouble or ("up to date" if row.position >= head else "catching up"),
        }
        for row in connection.execute(query)
    ]
