"""Puts the pages into the application: routes, the style sheet, and problems shown to people as pages."""

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles

from api import mail_links, mail_view, preferences
from api.pages import (
    boards,
    campaigns,
    history_diff,
    mail,
    personal,
    preview,
    reference,
    scoring,
    signin,
    staff,
    timeline,
)
from api.pages.rendering import HERE, problem_page

MODULES: Final = (
    campaigns,
    boards,
    timeline,
    history_diff,
    staff,
    mail,
    preview,
    scoring,
    signin,
    mail_links,
    mail_view,
    preferences,
    reference,
)

Handler = Callable[[Request, Any], Awaitable[Response]]


def install(app: FastAPI) -> None:
    """Add the pages; call it after the problem documents were installed."""
    for module in MODULES:
        app.include_router(module.router)
    app.include_router(mail_links.one_click)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    for kind, handler in list(app.exception_handlers.items()):
        app.exception_handlers[kind] = for_people(handler)  # type: ignore[arg-type]


def wants_page(request: Request) -> bool:
    """Tell whether a person with a browser asks for a page, and not a program for data."""
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("Accept", "")


def for_people(handler: Handler) -> Handler:
    """Return a handler of errors whose problem document is shown as a page to whoever wants pages."""

    async def answer(request: Request, error: Any) -> Response:  # noqa: ANN401 - as Starlette has it
        document = await handler(request, error)
        if not wants_page(request):
            return document
        problem, status = json.loads(bytes(document.body)), HTTPStatus(document.status_code)
        if personal.is_personal(request):
            page = personal.failure_page(request, status, problem["code"])
        else:
            page = problem_page(status, problem["code"], problem["detail"])
        if retry_after := document.headers.get("Retry-After"):
            page.headers["Retry-After"] = retry_after
        return page

    return answer
