"""Pledges over HTTP: the public form, and the list for staff."""

import uuid
from datetime import date, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from api.bodies import read_form
from api.bootstrap import Groundswell
from api.campaigns import CampaignPath
from api.commands import IdempotencyKey, idempotency
from api.common import (
    PAGE_SIZE,
    PUBLIC,
    Cursor,
    Limit,
    Named,
    Point,
    Staff,
    Stale,
    Store,
    Written,
    cursor_id,
    next_cursor,
    read_reference,
    shown,
    submit,
    views,
)
from api.direct import gathered_by
from api.limits import Limiter
from api.openapi import STAFF, answers, body
from domain.addresses import check_email
from domain.kernel import Invalid, Unknown, identify
from history.envelope import Envelope, new_id
from history.envelope import Request as CommandRequest
from history.plans import Plan
from projections.campaigns import Campaigns
from projections.pledges import Pledges

router = APIRouter(tags=["pledges"])

SOURCE: Final = "pledge-form"
HARMLESS: Final = frozenset(
    {"pledge.already_active", "pledge.already_kept", "supporter.already_consented", "supporter.cannot_be_asked"}
)
"""Refusals that would tell whether the address is known; they are answered like a new pledge."""

PER_ADDRESS: Final = Limiter(10, 600)
PER_CLIENT: Final = Limiter(300, 600)
"""A hall full of people may share one network address."""


class PledgeForm(BaseModel):
    """What somebody fills in to pledge; ``website`` is left empty by people and filled in by machines."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ask: str
    email: str
    name: str | None = None
    locale: str | None = None
    time_zone: str | None = None
    referral: str | None = None
    note: str | None = None
    chapter: str | None = None
    consent: bool = Field(default=False, description="Whether digests are wanted; a mail asks whose address it is.")
    wording: str | None = Field(None, description="The words beside the box that was ticked; needed with consent.")
    website: str | None = Field(None, description="Leave this empty.")


class Received(BaseModel):
    """The same for everybody: whether an address is known is nobody else's business."""

    status: str
    message: str
    position: int


RECEIVED: Final[dict[str, Any]] = {
    "status": "received",
    "message": "Thank you. If your address or your wish for the digest is still to be confirmed, a mail asks for that.",
    "position": 814,
}
FORM: Final[dict[str, Any]] = {
    "ask": "ten-minutes",
    "email": "anna@example.org",
    "name": "Anna",
    "locale": "pt",
    "time_zone": "Europe/Lisbon",
    "referral": "LUNA",
    "note": "For my neighbours.",
    "consent": True,
    "wording": "Send me a digest of what happens. I can end it with one click, any time.",
}


async def _of_form(request: Request) -> dict[str, Any]:
    return {
        "request": request,
        "store": request.app.state.groundswell,
        "campaign": read_reference(request.path_params["campaign"]),
        "idempotency_key": request.headers.get("Idempotency-Key"),
    }


@router.post(
    "/campaigns/{campaign}/pledges",
    status_code=202,
    response_model=Received,
    summary="Pledge, without an account",
    responses=answers(
        RECEIVED,
        "ask.unknown",
        "campaign.not_launched",
        "campaign.unknown",
        "command.id_reused",
        "email.malformed",
        "request.invalid_json",
        "request.media_type",
        "request.too_many",
        status=202,
        says="Received. The answer is the same whether the address is known, and whether the pledge was made before.",
    ),
    openapi_extra=body(PledgeForm.model_json_schema(), FORM),
)
@gathered_by(_of_form)
async def post_pledge(
    request: Request, store: Store, campaign: CampaignPath, idempotency_key: IdempotencyKey = None
) -> Response:
    """The public pledge form: makes or finds a supporter by e-mail address and makes the pledge.

    A confirmation mail goes to an address that is new, and to one that gets no digests when they are wanted there: only
    a button behind its link makes them come. `position` lets a read show the pledge (`X-Position-AtLeast`).
    """
    form = await read_form(request, PledgeForm)
    client = request.client.host if request.client else ""
    position = await take_pledge(store, campaign, form, key=idempotency(idempotency_key), client=client)
    return Written(RECEIVED | {"position": position}, HTTPStatus.ACCEPTED)


async def take_pledge(
    store: Groundswell, campaign: str, form: PledgeForm, *, key: str | None = None, client: str = ""
) -> int:
    """Make a pledge as the form says; return the newest position, whatever was recorded.

    Raises what the rules refuse to a new supporter, and TooMany. Nothing that is raised or returned tells whether the
    address is known.
    """
    PER_CLIENT.take(client)
    if form.website:
        return await run_in_threadpool(store.engine.log.head)
    email = check_email(form.email)
    PER_ADDRESS.take(store.engine.persons.blind(email))
    if form.consent and not (form.wording and form.wording.strip()):
        raise Invalid("consent.wording_missing", "Consent needs the words that it was given to.")
    # Keyed, for command ids are public: who sent the form cannot look there whether it made a supporter.
    key = store.engine.persons.keyed(f"{identify('campaign', campaign)}:{key or new_id()}".encode()).hex()
    try:
        answer = await submit(store, plan(store, campaign, form, email, key))
        if answer.error is not None:
            raise answer.error
    except Invalid as error:
        raise Invalid(error.code, error.message.removeprefix("data.")) from None
    return answer.positions[-1]


def plan(store: Groundswell, campaign: str, form: PledgeForm, email: str, key: str) -> Plan:
    """Return what the form asks for: another thing of somebody new than of somebody who is known."""
    particulars = {
        "name": form.name,
        "locale": form.locale,
        "time_zone": form.time_zone,
        "chapter": form.chapter,
        "source": SOURCE,
    }
    promise = {"campaign": campaign, "ask": form.ask, "referral": form.referral or None, "note": form.note}

    def request(command: str, supporter: UUID, data: dict[str, Any]) -> CommandRequest:
        envelope = Envelope(id=f"{SOURCE}:{key}:{command}", command=command, data={"supporter": str(supporter)} | data)
        return store.engine.catalogue.request(envelope, PUBLIC)

    def asked(supporter: UUID) -> list[CommandRequest]:
        making = request("pledges.make", supporter, promise)
        if not form.consent:
            return [making]
        return [making, request("supporters.request_digest", supporter, {"wording": form.wording})]

    fresh = uuid.uuid5(uuid.NAMESPACE_OID, f"pledge-form:{key}")
    registering = request("supporters.register", fresh, {"email": email} | particulars)
    return Plan(email, fresh, [registering, *asked(fresh)], asked, HARMLESS)


# --- for staff ---

AskPath = Annotated[str, Named, Path(description="The ask's slug.", examples=["ten-minutes"])]


class Pledge(BaseModel):
    """One pledge; check-ins and streaks only for a challenge. The note is shown to campaign managers only."""

    id: UUID
    supporter: UUID
    state: str
    made_at: datetime
    made_on: date
    changed_at: datetime
    referral: str | None
    note: str | None
    check_ins: int
    streak: int
    longest_streak: int
    last_check_in: date | None


class PledgeList(BaseModel):
    """A page of pledges; ``next`` is the cursor of the page after it."""

    pledges: list[Pledge]
    next: str | None
    position: int


EXAMPLE: Final[dict[str, Any]] = {
    "id": "3d5f9a35-9f2c-5f2e-9f0c-8f3d8d3c6b11",
    "supporter": "7c3c2f43-0b6f-4f5b-8a7e-5e6f2f9c1d22",
    "state": "active",
    "made_at": "2026-03-02T18:00:00Z",
    "made_on": "2026-03-02",
    "changed_at": "2026-03-02T18:00:00Z",
    "referral": "LUNA",
    "note": None,
    "check_ins": 9,
    "streak": 4,
    "longest_streak": 5,
    "last_check_in": "2026-03-12",
}


@router.get(
    "/campaigns/{campaign}/asks/{ask}/pledges",
    summary="List the pledges to one ask (staff)",
    responses=answers({"pledges": [EXAMPLE], "next": None, "position": 812}, *STAFF, "ask.unknown", "as_of.in_future"),
)
def list_pledges(
    store: Store,
    response: Response,
    stale: Stale,
    as_of: Point,
    caller: Staff,
    campaign: CampaignPath,
    ask: AskPath,
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
) -> PledgeList:
    """All pledges to one ask with their state, check-ins and streaks, page by page."""
    key, after = identify("campaign", campaign), cursor_id(cursor)
    with views(store, response, stale, [Campaigns, Pledges], as_of) as opened:
        if ask not in {row.ask for row in opened[Campaigns].asks_of(opened.connection, [key])}:
            raise Unknown("ask.unknown", f"There is no ask “{ask}” in a campaign “{campaign}”.")
        rows = opened[Pledges].of_ask(opened.connection, key, ask, after=after, limit=limit + 1)
        page = rows[:limit]
        notes = opened.open([row.note for row in page]) if caller.sees_personal else [None] * len(page)
        return PledgeList(
            pledges=[
                Pledge(**{name: getattr(row, name) for name in Pledge.model_fields if name != "note"}, note=shown(note))
                for row, note in zip(page, notes, strict=True)
            ],
            next=next_cursor(rows, limit),
            position=opened.position,
        )
