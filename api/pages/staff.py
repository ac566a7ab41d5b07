"""The staff overview: where the campaigns stand, who came last, what happened last, and whether all is well."""

from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from api.common import MaybeCaller, Stale, Store, shown, views
from api.operations import ReadModel, standing
from api.pages.rendering import SECURITY, page
from projections.campaigns import Campaigns
from projections.chapters import Chapters
from projections.parked import parked
from projections.supporters import Supporters
from projections.views import Views

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

CAMPAIGNS: Final = 100
LATEST: Final = 12
WAITING: Final = 10
"""How many parked events are shown; the command line lists all."""
HIDDEN: Final = "—"


@router.get("/staff")
def overview(store: Store, response: Response, stale: Stale, caller: MaybeCaller) -> Response:
    """The overview; whoever is not signed in is shown how to."""
    if caller is None:
        return RedirectResponse("/signin", 303, SECURITY)
    caller.need_staff()
    found = standing(store)
    head = found.head
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
            health=health(found.models),
            parked=sum(model.parked for model in found.models),
            retrying=sum(model.retrying for model in found.models),
            waiting=parked(store.runner, limit=WAITING),
            mails=store.notifications.desk.gauges(),
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


def health(models: Sequence[ReadModel]) -> list[dict[str, Any]]:
    """Return how far each live read model has come, in words that say whether somebody must see to it."""
    return [
        {
            "name": model.name,
            "position": model.position,
            "behind": model.lag,
            "parked": model.parked,
            "well": model.moving,
            "state": _state(model),
        }
        for model in models
    ]


def _state(model: ReadModel) -> str:
    if not model.lag:
        return "up to date"
    if model.moving:
        return "catching up"
    since = f"has stood still for {age(model.lag_seconds)}"
    return f"{since}: {model.trouble}" if model.trouble else f"{since}: no “groundswell up” or “work” moves it"


def age(seconds: float) -> str:
    """Return a duration as “12 seconds”, “3 minutes”, “5 hours” or “2 days”."""
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}s"
    return "1 second" if int(seconds) == 1 else f"{seconds:.0f} seconds"
