"""The pages behind the links in mails: GET shows a button, POST acts, for scanners follow links and press nothing."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse

from api.bootstrap import Groundswell
from api.common import Store
from api.pages.rendering import page
from api.receipts import own_pledges
from domain.kernel import Unknown
from history.envelope import Request
from notifications.language import Language, mark
from notifications.service import Link
from notifications.tokens import Purpose

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

ATTEMPTS: Final = 3
"""How often a confirmation is decided anew where the supporter changed meanwhile."""

PRIVATE: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
"""The address of these pages is a secret of the person's."""


def shown(template: str, language: Language, **values: Any) -> HTMLResponse:  # noqa: ANN401 - as page takes them
    """Render a page in the person's language that keeps its own address to itself."""
    answer = page(f"mail_links/{template}.html", None, lang=language.tag, language=language, **values)
    answer.headers.update(PRIVATE)
    return answer


def known(store: Groundswell, purpose: Purpose, token: str) -> Link:
    """Return what a link stands for; raise Unknown."""
    link = store.notifications.link(purpose, token)
    if link is None or link.outdated:
        raise Unknown("mail_link.unknown", "This link is not known here, or no longer good.")
    return link


@router.get("/confirm/{token}")
def ask_to_confirm(store: Store, token: str) -> HTMLResponse:
    """Ask whether the address is the visitor's own."""
    return shown("confirm", known(store, Purpose.CONFIRM, token).language, token=token)


@router.post("/confirm/{token}")
def confirm(store: Store, token: str, digest: Annotated[str, Form()] = "no") -> HTMLResponse:
    """Confirm the address, and consent to the digest or not, as the button that was pressed says."""
    language = known(store, Purpose.CONFIRM, token).language
    wanted = digest == "yes"
    for attempt in range(ATTEMPTS):
        requests = store.notifications.confirm(token, digest=wanted)
        if decided(store, requests, last=attempt == ATTEMPTS - 1):
            break
    said = mark("Thank you. The first digest comes when there is something to tell.")
    if not wanted:
        said = mark("Thank you. We send you no digest.")
    heading = language.say("Your address is confirmed")
    return shown("done", language, heading=heading, said=language.say(said), token=token)


def decided(store: Groundswell, requests: list[Request], *, last: bool) -> bool:
    """Have the commands decided; tell whether they were, raise the refusal where it is the last attempt."""
    for answer in store.engine.write(requests):
        if answer.error is not None:
            if last:
                raise answer.error
            return False
    return True


@router.get("/unsubscribe/{token}")
def ask_to_unsubscribe(store: Store, token: str) -> HTMLResponse:
    """Ask whether the digests shall stop."""
    return shown("unsubscribe", known(store, Purpose.MAIL, token).language, token=token)


@router.post("/unsubscribe/{token}")
def unsubscribe(store: Store, token: str) -> HTMLResponse:
    """Stop the digests: by the button, or by a mail program's one click (RFC 8058), which is always answered 200."""
    link = store.notifications.link(Purpose.MAIL, token)
    language = link.language if link else Language(None)
    if link is not None:
        decided(store, store.notifications.unsubscribe(token), last=True)
    heading, said = language.say("The digests have stopped"), language.say("You will get no more of them.")
    return shown("done", language, heading=heading, said=said, token=token if link else None)


@router.get("/receipts/{token}")
def receipts(store: Store, token: str) -> HTMLResponse:
    """Show the pledges of whom a link was mailed to, each with its receipt; any link of ours in a mail will do.

    Nobody else is shown this: who has pledged is not for others to ask, and a form takes any address.
    """
    link = store.notifications.link(Purpose.CONFIRM, token) or store.notifications.link(Purpose.MAIL, token)
    if link is None or link.outdated:
        raise Unknown("mail_link.unknown", "This link is not known here, or no longer good.")
    return shown("receipts", link.language, pledges=own_pledges(store, link.person.supporter, link.language))
