"""A mail in the browser: what was sent, exactly, behind an address that only the mail itself names."""

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from api.common import Store
from api.mail_links import known
from api.pages.personal import PRIVATE, shown
from api.pages.rendering import SECURITY
from domain.kernel import now
from notifications import browsing
from notifications.messages import KEPT
from notifications.tokens import Purpose

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

CSP: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors {ancestors}"
)
"""A mail's styles stand in its elements, its pictures in the page; it loads nothing and runs nothing."""


def as_mailed(html: str, *, ancestors: str = "'none'") -> HTMLResponse:
    """Return a mail's HTML as a page of its own, which says to nobody where it was read."""
    policy = {"Content-Security-Policy": CSP.format(ancestors=ancestors)}
    return HTMLResponse(html, headers=SECURITY | PRIVATE | policy)


@router.get("/mail/{token}")
def in_the_browser(store: Store, token: str) -> Response:
    """Show the mail that the link came with; once it is no longer kept, say so."""
    link = known(store, token, Purpose.MAIL)
    engine = store.engine
    message = None
    if link.token.mail is not None:
        with engine.database.read() as connection:
            message = browsing.frozen(connection, engine.persons, link.token.mail, now())
    if message is not None:
        return as_mailed(browsing.opened(message).html)
    language = link.language
    heading = language.say("This mail is no longer kept")
    said = language.count(
        "What we sent is kept here for %(count)s day, and then forgotten.",
        "What we sent is kept here for %(count)s days, and then forgotten.",
        KEPT.days,
    )
    return shown("done", language, HTTPStatus.GONE, heading=heading, said=said, token=token)
