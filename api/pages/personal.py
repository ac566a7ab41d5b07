"""Pages for one person rather than for everybody: in their language, else in the one that their browser asks for."""

import re
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request
from fastapi.responses import HTMLResponse

from api.pages.rendering import page
from notifications.language import Language, languages, mark

PATHS: Final = ("/confirm/", "/unsubscribe/", "/preferences/", "/receipts/", "/mail/")
PRIVATE: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
"""The address of these pages is a secret of the person's."""

GONE: Final = mark("This link is no longer good")
NEWER: Final = mark("It may have expired, or been meant for another address. The links in our newest mail work.")
FAILED: Final = mark("That did not work")
FAILURES: Final = {
    HTTPStatus.NOT_FOUND: (GONE, NEWER),
    HTTPStatus.UNPROCESSABLE_ENTITY: (FAILED, mark("That is not among the choices. Please go back and choose again.")),
    HTTPStatus.TOO_MANY_REQUESTS: (
        mark("Please wait a little"),
        mark("Very much was asked for from where you are. Please try again in a few minutes."),
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        mark("Please try again in a moment"),
        mark("We cannot look that up just now. Your link stays good, and nothing is lost."),
    ),
}
PASSING: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
"""What is over when it is asked for again."""
OTHERWISE: Final = (FAILED, mark("Please go back, and try again in a few minutes."))

TAG: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def accepted(request: Request) -> Language:
    """Return the language of ours that a browser likes best (RFC 9110 §12.5.4), English where it names none."""
    wanted: list[tuple[float, str]] = []
    for part in request.headers.get("Accept-Language", "").split(",")[:20]:
        tag, _, parameter = (piece.strip() for piece in part.partition(";"))
        if TAG.fullmatch(tag) and tag.split("-")[0].lower() in languages():
            wanted.append((_weight(parameter), tag))
    weight, best = max(wanted, key=lambda found: found[0], default=(0.0, ""))
    return Language(best if weight > 0 else None)


def _weight(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0


def is_personal(request: Request) -> bool:
    """Tell whether a page is asked for that a link in a mail leads to."""
    return request.url.path.startswith(PATHS)


def failure_page(request: Request, status: HTTPStatus, code: str) -> HTMLResponse:
    """Say what went wrong to whoever followed a link in a mail; whose it is may not be known then."""
    language = accepted(request)
    heading, said = (language.say(text) for text in FAILURES.get(status, OTHERWISE))
    again = request.url.path.removesuffix("/again") if status in PASSING else None
    return shown("done", language, status, heading=heading, said=said, token=None, again=again, code=code)


def shown(
    template: str,
    language: Language,
    status: HTTPStatus = HTTPStatus.OK,
    **values: Any,  # noqa: ANN401 - as page takes them
) -> HTMLResponse:
    """Render a page in the person's language that keeps its own address to itself."""
    answer = page(f"mail_links/{template}.html", None, status, lang=language.tag, language=language, **values)
    answer.headers.update(PRIVATE)
    return answer
