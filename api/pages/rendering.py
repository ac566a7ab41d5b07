"""Rendering of pages: one Jinja2 environment, and how numbers, days and addresses are shown."""

from datetime import date, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.accounts import Caller
from api.milestones import sentence
from notifications.language import Language

HERE: Final = Path(__file__).resolve().parent.parent
STATE_WORDS: Final = {
    "drafted": "being prepared",
    "launched": "open for pledges",
    "paused": "resting",
    "completed": "completed",
    "archived": "archived",
}
SECURITY: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def number(value: float) -> str:
    """Return a number with thin spaces between thousands, as ISO 80000 has it."""
    return f"{value:,}".replace(",", "\u202f")


def day(value: date | datetime) -> str:
    """Return a day as “3 March 2026”."""
    return f"{value.day} {value:%B %Y}"


def moment(value: datetime) -> str:
    """Return a moment in UTC as “3 March 2026, 14:05 UTC”."""
    return f"{day(value)}, {value:%H:%M} UTC"


def urlpath(value: object) -> str:
    """Return a reference as one segment of a path."""
    return quote(str(value), safe="")


def environment() -> Environment:
    """Make the environment of the templates."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    made.filters.update(number=number, day=day, moment=moment, urlpath=urlpath, milestone=sentence)
    made.globals.update(state_words=STATE_WORDS, english=Language(None))
    return made


TEMPLATES: Final = environment()


def page(
    template: str,
    caller: Caller | None,
    status: HTTPStatus = HTTPStatus.OK,
    **values: Any,  # noqa: ANN401
) -> HTMLResponse:
    """Render a page."""
    html = TEMPLATES.get_template(template).render(caller=caller, **values)
    headers = dict(SECURITY)
    if caller is not None:
        headers["Cache-Control"] = "no-store"
    return HTMLResponse(html, status, headers)


def problem_page(status: HTTPStatus, code: str, detail: str) -> HTMLResponse:
    """Say on a page what went wrong."""
    headings = {
        HTTPStatus.NOT_FOUND: "This page is not here",
        HTTPStatus.UNAUTHORIZED: "Please sign in",
        HTTPStatus.FORBIDDEN: "This is not open to you",
        HTTPStatus.SERVICE_UNAVAILABLE: "Please try again in a moment",
    }
    heading = headings.get(status, "That did not work")
    return page("problem.html", None, status, heading=heading, detail=detail, code=code)
