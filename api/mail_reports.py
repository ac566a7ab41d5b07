"""Reports of mails over HTTP: a mail server or a provider hands over what came back."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from api.bodies import media_type, read_body
from api.common import KnownCaller, Store
from api.openapi import answers, body
from domain.kernel import MAX_TITLE, Invalid
from notifications.reports import LARGEST

router = APIRouter(tags=["mails"])

MESSAGES: Final = ("message/rfc822", "message/global")
EXAMPLE_MAIL: Final = "9b2f0f63-6f0a-4f57-8d7e-2f4f3c5a1e10"
EXAMPLE: Final = f"""To: bounces+{EXAMPLE_MAIL.replace("-", "")}@groundswell.example.org
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; anna@example.org
Action: failed
Status: 5.1.1

--b--
"""

Arrived = Annotated[
    str | None,
    Query(
        description="The address to which the report came, where the mail server knows it and its headers do not.",
        max_length=MAX_TITLE,
        examples=[f"bounces+{EXAMPLE_MAIL.replace('-', '')}@groundswell.example.org"],
    ),
]


class ReturnedMail(BaseModel):
    """What became of a report.

    ``verdict`` is ``bounced`` (the address takes no mail), ``undelivered`` (given up for now), ``blocked`` (by a server
    that takes nothing of ours, or not this), ``complained``, ``delayed``, ``ignored`` (it says nothing of that kind) or
    ``unmatched`` (it is about no mail of ours); ``cause`` a code or a word; ``suppressed`` whether the address gets no
    more mail.
    """

    verdict: str
    mail: UUID | None
    cause: str | None
    suppressed: bool


@router.post(
    "/mail/reports",
    summary="Hand over what came back of a mail (managers)",
    openapi_extra=body({"type": "string"}, EXAMPLE, MESSAGES[0]),
    responses=answers(
        {"verdict": "bounced", "mail": EXAMPLE_MAIL, "cause": "5.1.1", "suppressed": True},
        "auth.required",
        "auth.forbidden",
        "mail_report.malformed",
        "request.media_type",
        "request.too_large",
    ),
)
async def report(store: Store, request: Request, caller: KnownCaller, recipient: Arrived = None) -> ReturnedMail:
    """Take a whole message: a delivery status (RFC 3464) or a complaint (RFC 5965). The same again changes nothing.

    A hard bounce or a complaint ends all mail to the address at once; several mails in a row that were given up over
    at least a week do too.
    """
    caller.need("mails.record")
    if media_type(request) not in MESSAGES:
        raise Invalid("request.media_type", f"Send {' or '.join(MESSAGES)}.")
    raw = await read_body(request, LARGEST)
    found = await run_in_threadpool(store.notifications.returns.take, raw, caller.actor, recipient)
    return ReturnedMail(verdict=found.verdict, mail=found.mail, cause=found.cause, suppressed=found.suppressed)
