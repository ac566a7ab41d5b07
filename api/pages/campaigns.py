"""The movement's campaigns, and one campaign with its progress and pledge form."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

from babel import Locale, UnknownLocaleError
from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.campaigns import CampaignPath
from api.common import Cursor, MaybeCaller, Point, Stale, Store, decode_cursor, encode_cursor, views
from api.limits import TooMany
from api.pages.past import past
from api.pages.rendering import SECURITY, page, urlpath
from api.pledges import PledgeForm, take_pledge
from api.problems import status_of
from domain.kernel import GroundswellError, Refusal, Unknown, identify
from history.envelope import new_id
from projections.campaigns import Campaigns
from projections.timeline import Timeline
from projections.views import PRESENT, AsOf

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

CARDS: Final = 24
OWN_TONGUE: Final = "en"
"""What a campaign's own words are taken to be in."""
LATELY: Final = 6
WORDING: Final = "Send me a digest of what happens. I can end it with one click, any time."
NO_FORM: Final[dict[str, Any]] = {"email": "", "name": "", "ask": "", "referral": "", "consent": False}


class Filled(BaseModel):
    """The pledge form as a browser sends it."""

    ask: str = ""
    email: str = ""
    name: str = ""
    referral: str = ""
    lang: str = ""
    key: str = Field("", max_length=100)
    consent: str = ""
    website: str = ""


@router.get("/")
def home(
    store: Store, response: Response, stale: Stale, caller: MaybeCaller, as_of: Point, cursor: Cursor = None
) -> HTMLResponse:
    """All campaigns that were launched, open ones first, and what happened lately."""
    after = decode_cursor(cursor)
    with views(store, response, stale, [Campaigns, Timeline], as_of) as opened:
        shown = ("launched", "paused", "completed") if caller is None or not caller.is_staff else ()
        rows = opened[Campaigns].all(
            opened.connection, states=shown, after=UUID(after[0]) if after else None, limit=CARDS + 1
        )
        milestones = [] if after else opened[Timeline].milestones(opened.connection)[-LATELY:]
        page_rows = sorted(rows[:CARDS], key=lambda row: row.state != "launched")
        point = past(store, as_of, opened.position, "/")
        return page(
            "home.html",
            caller,
            past=point,
            campaigns=page_rows,
            next=point.link(cursor=encode_cursor(rows[CARDS - 1].id)) if len(rows) > CARDS else None,
            milestones=list(reversed(milestones)),
            position=opened.position,
            stale=stale,
        )


def language_name(code: str) -> str:
    """Return the language's own name for itself, or its code where that is not known."""
    try:
        return Locale.parse(code.replace("-", "_")).get_display_name() or code
    except (UnknownLocaleError, ValueError):
        return code


def chosen_language(request: Request, asked: str | None, offered: Iterable[str]) -> str | None:
    """Return the framing to show: the one asked for, else the first the browser accepts; None: its own words."""
    accepted = request.headers.get("Accept-Language", "").split(",")
    by_tongue = {tongue(code): code for code in offered}
    for code in [asked] if asked else [part.partition(";")[0].strip() for part in accepted]:
        if tongue(code) in by_tongue:
            return by_tongue[tongue(code)]
        if tongue(code) == OWN_TONGUE:
            return None
    return None


def tongue(code: str) -> str:
    """Return the language of a tag without its region: es of es-MX."""
    return code.lower().replace("_", "-").partition("-")[0]


@router.get("/campaigns/{campaign}")
def read_campaign(
    request: Request,
    store: Store,
    stale: Stale,
    caller: MaybeCaller,
    as_of: Point,
    campaign: CampaignPath,
    lang: str | None = None,
    ref: Annotated[str, Query(max_length=200)] = "",
    thanks: int | None = None,
) -> HTMLResponse:
    """One campaign; its form only in the present."""
    if thanks is not None:
        stale = not store.reader.wait(thanks, kinds=[Campaigns])
    form, thanked = NO_FORM | {"referral": ref}, thanks is not None
    return campaign_page(
        request, store, caller, campaign, stale=stale, lang=lang, form=form, thanks=thanked, as_of=as_of
    )


def campaign_page(
    request: Request,
    store: Store,
    caller: MaybeCaller,
    campaign: str,
    *,
    form: dict[str, Any],
    stale: bool = False,
    lang: str | None = None,
    thanks: bool = False,
    problem: str | None = None,
    status: int = 200,
    as_of: AsOf = PRESENT,
) -> HTMLResponse:
    """Render one campaign, with the form as it was filled in and what was wrong with it, if anything."""
    key = identify("campaign", campaign)
    with views(store, Response(), stale, [Campaigns], as_of) as opened:
        model = opened[Campaigns]
        row = model.find(opened.connection, key)
        if row is None or row.state is None:
            there = "There is no" if as_of.live else "By then there was no"
            raise Unknown("campaign.unknown", f"{there} campaign “{campaign}”.")
        framings = {f.locale: f for f in model.framings_of(opened.connection, [key])}
        asks = model.asks_of(opened.connection, [key])
        position = opened.position
    language = chosen_language(request, lang, framings)
    framed = framings.get(language or "")
    chosen = {"lang": lang} if lang else {}
    point = past(store, as_of, position, f"/campaigns/{urlpath(campaign)}", **chosen)
    answer = page(
        "campaign.html",
        caller,
        past=point,
        campaign=row,
        title=framed.title if framed else row.title,
        summary=(framed.summary if framed and framed.summary else row.summary),
        lang=language or OWN_TONGUE,
        page_lang=OWN_TONGUE,
        framings=framings,
        languages=[
            (code, point.link(lang=code), name)
            for code, name in [("en", "English"), *((code, language_name(code)) for code in framings if code != "en")]
        ],
        asks=asks,
        path=row.reference or str(row.id),
        form=form,
        form_key=new_id(),
        wording=WORDING,
        thanks=thanks,
        problem=problem,
        position=position,
        stale=stale,
    )
    answer.status_code = status
    return answer


@router.post("/campaigns/{campaign}/pledges")
async def pledge(
    request: Request, store: Store, caller: MaybeCaller, campaign: CampaignPath, filled: Annotated[Filled, Form()]
) -> Response:
    """Take the pledge form; what was wrong with it is said above it, with everything still filled in."""
    form = PledgeForm(
        ask=filled.ask,
        email=filled.email.strip(),
        name=filled.name.strip() or None,
        locale=filled.lang or None,
        referral=filled.referral or None,
        consent=filled.consent == "yes",
        wording=WORDING if filled.consent else None,
        website=filled.website or None,
    )
    client = request.client.host if request.client else ""
    try:
        position = await take_pledge(store, campaign, form, key=filled.key or None, client=client)
    except (Refusal, TooMany) as refused:
        return await run_in_threadpool(_again, request, store, caller, campaign, filled, refused)
    query = urlencode({"thanks": position} | ({"lang": filled.lang} if filled.lang else {}))
    return RedirectResponse(f"/campaigns/{urlpath(campaign)}?{query}", HTTPStatus.SEE_OTHER, SECURITY)


def _again(
    request: Request, store: Store, caller: MaybeCaller, campaign: str, filled: Filled, refused: GroundswellError
) -> HTMLResponse:
    return campaign_page(
        request,
        store,
        caller,
        campaign,
        lang=filled.lang or None,
        form=filled.model_dump() | {"consent": filled.consent == "yes"},
        problem=refused.message,
        status=status_of(refused),
    )
