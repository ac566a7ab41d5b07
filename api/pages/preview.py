"""A preview of one person's digest for campaign managers: exactly what would go out, and why each item is in it."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from api.accounts import Caller, Forbidden
from api.bootstrap import Groundswell
from api.common import MaybeCaller, Staff, Store, read_reference
from api.mail_view import as_mailed
from api.pages.mail import REASONS
from api.pages.rendering import SECURITY, page
from api.problems import status_of
from domain.addresses import check_email
from domain.kernel import GroundswellError, Invalid, identify
from history.envelope import read_moment
from notifications import browsing
from notifications.outbox import State
from notifications.previewing import WHY, Preview

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

POLICY: Final = {"Content-Security-Policy": SECURITY["Content-Security-Policy"] + "; frame-src 'self'"}
SHOWN: Final = 12
"""How many of the events behind an item are linked to, the newest."""

Asked = Annotated[str, Query(max_length=200)]
At = Annotated[str, Query(max_length=40)]


@router.get("/staff/preview")
def show(store: Store, caller: MaybeCaller, supporter: Asked = "", at: At = "") -> Response:
    """The preview, or the form that asks whose; whoever is not signed in is shown how to."""
    if caller is None:
        return RedirectResponse("/signin", HTTPStatus.SEE_OTHER, SECURITY)
    need_personal(caller)
    return _page(store, caller, supporter, at)


@router.get("/staff/preview/mail")
def mail(store: Store, caller: Staff, supporter: Asked, at: At = "") -> Response:
    """The HTML of the mail alone, to be framed by the preview."""
    need_personal(caller)
    found = previewed(store, supporter, at)
    return as_mailed(browsing.opened(found.message).html, ancestors="'self'")


@router.post("/staff/preview/send")
def send(
    store: Store, caller: Staff, supporter: Annotated[str, Form(max_length=200)], at: Annotated[str, Form()] = ""
) -> Response:
    """Mail the preview to who is signed in, and to nobody else."""
    need_personal(caller)
    try:
        outcome = store.notifications.previews.send(previewed(store, supporter, at), own_address(caller))
    except GroundswellError as error:
        return _page(store, caller, supporter, at, problem=error)
    if outcome.state is not State.ACCEPTED:
        problem = Invalid("mail.not_accepted", f"The mail server did not take it: {outcome.said}")
        return _page(store, caller, supporter, at, problem=problem)
    return _page(store, caller, supporter, at, said=f"The preview was mailed to {own_address(caller)}.")


def need_personal(caller: Caller) -> None:
    """Raise Forbidden where the caller may not see names and addresses."""
    caller.need_staff()
    if not caller.sees_personal:
        raise Forbidden("auth.forbidden", f"The role {caller.role} may not see what is mailed to one person.")


def own_address(caller: Caller) -> str:
    """Return the address that the caller signed in with; raise Invalid where there is none, as of a token."""
    if caller.actor.kind != "staff" or "@" not in caller.actor.name:
        raise Invalid("preview.no_address", "Only who is signed in by a link to an address can have a preview mailed.")
    return check_email(caller.actor.name)


def previewed(store: Groundswell, supporter: str, at: str) -> Preview:
    """Return the preview that is asked for; raise Invalid, or Unknown where there is no such supporter."""
    reference = read_reference(supporter.strip()) or ""
    return store.notifications.previews.of(identify("supporter", reference), _moment(at))


def _moment(at: str) -> datetime | None:
    return read_moment(at.strip(), "at") if at.strip() else None


def _page(
    store: Groundswell,
    caller: Caller,
    supporter: str,
    at: str,
    said: str | None = None,
    problem: GroundswellError | None = None,
) -> HTMLResponse:
    shown: dict[str, Any] | None = None
    if supporter.strip():
        try:
            shown = _shown(previewed(store, supporter, at), supporter.strip())
        except GroundswellError as error:
            problem = problem or error
    status = status_of(problem) if problem else HTTPStatus.OK
    values = {"supporter": supporter.strip(), "at": at.strip(), "said": said, "problem": problem, "shown": shown}
    answer = page("staff_preview.html", caller, HTTPStatus(status), **values)
    answer.headers.update(POLICY)
    return answer


def _shown(found: Preview, supporter: str) -> dict[str, Any]:
    """Return what the page shows of a preview; the frame asks for the same moment."""
    message = browsing.opened(found.message)
    items = [
        {
            "text": item.text,
            "why": WHY[item.about],
            "alone": item.alone,
            "positions": item.positions[-SHOWN:],
            "more": (item.events or len(item.positions)) - len(item.positions[-SHOWN:]),
        }
        for section in found.content.sections(len(found.content.items))
        for item in section.items
    ]
    return {
        "frame": "/staff/preview/mail?" + urlencode({"supporter": supporter, "at": found.at.isoformat()}),
        "subject": found.digest.subject,
        "withheld": REASONS.get(found.withheld, found.withheld) if found.withheld else None,
        "headers": message.headers,
        "text": message.text,
        "size": message.size,
        "html_size": len(found.digest.html.encode()),
        "language": found.content.language,
        "covers": found.content.covers,
        "items": items,
        "at": found.at,
    }
