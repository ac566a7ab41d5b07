"""Signing in with a one-time link: the link shows a button, the button signs in; scanners that follow links do not."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Cookie
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.accounts import SESSION_VALID, Unauthenticated
from api.common import SESSION_COOKIE, MaybeCaller, Store
from api.pages.rendering import SECURITY, page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/signin")
def ask(caller: MaybeCaller) -> HTMLResponse:
    """Say how to sign in."""
    return page("signin.html", caller, secret=None, problem=None)


@router.get("/signin/{secret}")
def show(caller: MaybeCaller, secret: str) -> HTMLResponse:
    """Show the button."""
    answer = page("signin.html", caller, secret=secret, problem=None)
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


@router.post("/signin/{secret}")
def sign_in(store: Store, secret: str) -> Response:
    """Use the link up and open a session."""
    try:
        session = store.accounts.sign_in(secret)
    except Unauthenticated as refused:
        return page("signin.html", None, HTTPStatus.UNAUTHORIZED, secret=None, problem=refused.message)
    answer = RedirectResponse("/staff", HTTPStatus.SEE_OTHER, SECURITY)
    answer.set_cookie(
        SESSION_COOKIE,
        session,
        max_age=int(SESSION_VALID.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=store.settings.base_url.startswith("https://"),
    )
    return answer


@router.post("/signout")
def sign_out(store: Store, groundswell_session: Annotated[str | None, Cookie()] = None) -> Response:
    """End the session."""
    if groundswell_session:
        store.accounts.sign_out(groundswell_session)
    answer = RedirectResponse("/", HTTPStatus.SEE_OTHER, SECURITY)
    answer.delete_cookie(SESSION_COOKIE)
    return answer
