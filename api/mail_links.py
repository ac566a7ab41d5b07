"""The pages behind the links in mails: GET shows a button, POST acts, for scanners follow links and press nothing."""

import logging
from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse

from api.bootstrap import Groundswell
from api.common import Store
from api.limits import Limiter
from api.pages.personal import FAILED, GONE, accepted, shown
from api.receipts import own_pledges
from domain.kernel import Conflict, GroundswellError
from history.envelope import Request as CommandRequest
from notifications.language import mark
from notifications.links import Link, unknown
from notifications.tokens import CHOOSING, Purpose

log = logging.getLogger(__name__)

TRY_AGAIN: Final = mark("The digests have not stopped. Please press the button again in a minute.")

ATTEMPTS: Final = 3
"""How often what a person pressed is decided anew where the supporter changed meanwhile."""

PER_CLIENT: Final = Limiter(300, 600)


def limited(request: Request) -> None:
    """Count a request of a client; raise TooMany."""
    PER_CLIENT.take(request.client.host if request.client else "")


router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, dependencies=[Depends(limited)])
one_click = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
"""What mail providers press for many people, each time from the same few addresses."""


def known(store: Groundswell, token: str, *purposes: Purpose) -> Link:
    """Return what a link stands for; raise Unknown."""
    return store.notifications.links.own(token, *purposes)


def act(store: Groundswell, asked: Callable[[], list[CommandRequest]]) -> bool:
    """Do what a person asks for, anew where they changed meanwhile; tell whether there was anything to do.

    Raises the error of the last attempt.
    """
    errors: list[GroundswellError] = []
    for _ in range(ATTEMPTS):
        requests = asked()
        answers = store.engine.write(requests)
        errors = [answer.error for answer in answers if answer.error is not None]
        if not errors:
            return bool(requests)
    raise errors[0]


@router.get("/confirm/{token}")
def ask_to_confirm(store: Store, token: str) -> HTMLResponse:
    """Ask whether the address is the visitor's own."""
    return shown("confirm", known(store, token, Purpose.CONFIRM).language, token=token)


@router.post("/confirm/{token}")
def confirm(store: Store, token: str, digest: Annotated[str, Form()] = "no") -> HTMLResponse:
    """Confirm the address, and consent to the digest or not, as the button that was pressed says.

    Who wants it may choose at once how it comes, before a first one has.
    """
    links = store.notifications.links
    language = known(store, token, Purpose.CONFIRM).language
    wanted = digest == "yes"
    act(store, lambda: links.confirm(token, digest=wanted))
    chooses = links.to_preferences(token) if wanted else None
    said = mark("Thank you. The digest comes when there is something to tell.")
    if not wanted:
        said = mark("Thank you. We send you no digest.")
    heading = language.say("Your address is confirmed")
    return shown("done", language, heading=heading, said=language.say(said), token=token, preferences=chooses)


@router.get("/unsubscribe/{token:path}")
def ask_to_unsubscribe(store: Store, token: str) -> HTMLResponse:
    """Ask whether the digests shall stop."""
    link = store.notifications.links.find(token, *CHOOSING)
    if link is None:
        raise unknown()
    return shown("unsubscribe", link.language, token=None if link.outdated else token)


@one_click.post("/unsubscribe/{token:path}")
def unsubscribe(request: Request, store: Store, token: str) -> HTMLResponse:
    """Stop the digests: by the button, or by a mail program's one click (RFC 8058 §3.2).

    It needs no cookie, reads no body, and is answered 200 for whatever link; where it could not be recorded the page
    says so.
    """
    link = store.notifications.links.find(token, *CHOOSING)
    if link is None:
        language = accepted(request)
        said = language.say("Where digests still come, the link in the newest of them stops them.")
        return shown("done", language, heading=language.say(GONE), said=said, token=None)
    language = link.language
    try:
        act(store, lambda: store.notifications.links.unsubscribe(token))
    except GroundswellError as error:
        if not (isinstance(error, Conflict) and error.code == "supporter.erased"):  # to the erased no mail goes either
            log.warning("Digests could not be stopped by a link: %s", error)
            return shown("done", language, heading=language.say(FAILED), said=language.say(TRY_AGAIN), token=None)
    heading, said = language.say("The digests have stopped"), language.say("You will get no more of them.")
    own = None if link.outdated else token
    return shown("done", language, heading=heading, said=said, token=own, preferences=own)


@router.get("/receipts/{token}")
def receipts(store: Store, token: str) -> HTMLResponse:
    """Show the pledges of whom a link was mailed to, each with its receipt; any link of ours in a mail will do.

    Nobody else is shown this: who has pledged is not for others to ask, and a form takes any address.
    """
    link = store.notifications.links.own(token, *Purpose)
    return shown("receipts", link.language, pledges=own_pledges(store, link.person.supporter, link.language))
