"""The mail desk for staff: how the mails stand, letting go what is due, halting them all, and settling the unknown.

GET shows; only buttons act, and only a campaign manager's. No address is shown, and supporters only by their ids.
"""

from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Form, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from api.accounts import Caller, Forbidden, Role
from api.bootstrap import Groundswell
from api.common import MaybeCaller, Staff, Store
from api.mails import nothing_sent
from api.pages.rendering import SECURITY, page
from api.problems import status_of
from api.words import counted
from domain.kernel import Actor, Conflict, GroundswellError, Invalid, Refusal
from notifications.caps import MailRole, cap
from notifications.desk import Desk, Status
from notifications.standing import SPANS

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

ALL: Final = "all"
Mail = UUID | Literal["all"]
Decision = Callable[[Desk, UUID, Actor], None]

UNSETTLED: Final = 50
"""How many mails of unknown fate are shown; the command line lists all."""

OUTCOMES: Final = (
    ("accepted", "Sent"),
    ("bounced", "of these bounced"),
    ("undelivered", "of these given up by a server"),
    ("blocked", "of these blocked by a server"),
    ("complained", "of these complained about"),
    ("refused", "Refused"),
    ("unknown", "Unknown"),
    ("suppressed", "Suppressed"),
)
REASONS_OF: Final = {"suppressed": "reasons", "refused": "refusals"}
REASONS: Final[Mapping[str, str]] = {
    "erased": "erased",
    "no_address": "no address",
    "unconfirmed": "address not confirmed",
    "no_consent": "no consent",
    "frequency_off": "wants no digest",
    "paused": "paused",
    "bounced": "a mail bounced before",
    "complained": "complained before",
    "address_changed": "address changed",
    "already_confirmed": "confirmed already",
    "consented_later": "consented later",
    "nothing_to_say": "nothing to say",
    "superseded": "a newer digest took its place",
    "gave_up": "given up after many attempts",
    "no_mailbox": "no such mailbox",
}
DONE: Final[Mapping[str, str]] = {
    "halted": "Mails are halted.",
    "resumed": "Mails go out again.",
    "accepted": "What was of unknown fate counts as sent.",
    "resent": "What was of unknown fate is sent again within a minute.",
}


@router.get("/staff/mail")
def show(store: Store, caller: MaybeCaller, done: str = "", let_go: int = 0) -> Response:
    """How the mails stand; whoever is not signed in is shown how to."""
    if caller is None:
        return RedirectResponse("/signin", HTTPStatus.SEE_OTHER, SECURITY)
    caller.need_staff()
    said = DONE.get(done)
    if let_go:
        when = (
            "they go out when mails are resumed"
            if store.notifications.desk.halt()
            else "a worker sends them within a minute"
        )
        said = f"{counted(let_go, 'digest')} let go: {when}."
    return _page(store, caller, said=said)


@router.post("/staff/mail/send")
def send(store: Store, caller: Staff, audience: Annotated[str, Form(max_length=20)] = "") -> Response:
    """Let go what is due: the number typed in stands in place of the cap; a worker sends it."""
    _need_manager(caller)
    try:
        named = read_number(audience) if audience.strip() else None
        planned = store.notifications.desk.let_go(MailRole.MANAGER, named)
    except Refusal as refused:
        return _page(store, caller, problem=refused)
    return _back(f"let_go={planned}")


@router.post("/staff/mail/halt")
def halt(store: Store, caller: Staff, reason: Annotated[str, Form(max_length=300)] = "") -> Response:
    """Let no mail go out."""
    return _act(store, caller, lambda: store.notifications.desk.turn_off(caller.actor, reason.strip()), "halted")


@router.post("/staff/mail/resume")
def resume(store: Store, caller: Staff) -> Response:
    """Let mails go out again."""
    return _act(store, caller, lambda: store.notifications.desk.turn_on(caller.actor), "resumed")


@router.post("/staff/mail/unknown/{mail}/accept")
def accept(store: Store, caller: Staff, mail: Mail) -> Response:
    """Take it that a mail went out, or that all of unknown fate did."""
    return _settle(store, caller, mail, Desk.accept, "accepted")


@router.post("/staff/mail/unknown/{mail}/resend")
def resend(store: Store, caller: Staff, mail: Mail) -> Response:
    """Let a mail be sent again, or all of unknown fate."""
    return _settle(store, caller, mail, Desk.resend, "resent")


def _settle(store: Groundswell, caller: Caller, mail: Mail, act: Decision, done: str) -> Response:
    """Decide about one mail, or about all of unknown fate: what cannot be done with one of these stops no other."""
    desk = store.notifications.desk

    def one_or_all() -> None:
        if mail != ALL:
            act(desk, mail, caller.actor)
            return
        refused = []
        for each in desk.unsettled():
            try:
                act(desk, each.id, caller.actor)
            except Refusal as refusal:
                refused.append(refusal)
        if refused:
            raise Conflict(refused[0].code, f"{counted(len(refused), 'mail')} stayed: {refused[0].message}")

    return _act(store, caller, one_or_all, done)


def _act(store: Groundswell, caller: Caller, act: Callable[[], None], done: str) -> Response:
    """Do what a button asks for, and show the page with what became of it."""
    _need_manager(caller)
    try:
        act()
    except Refusal as refused:
        return _page(store, caller, problem=refused)
    return _back(f"done={done}")


def _back(query: str) -> Response:
    return RedirectResponse(f"/staff/mail?{query}", HTTPStatus.SEE_OTHER, SECURITY)


def _need_manager(caller: Caller) -> None:
    if caller.role is not Role.MANAGER:
        raise Forbidden("auth.forbidden", "Only campaign managers may decide about mails.")


def read_number(given: str) -> int:
    """Return a number as people type it, with or without separators between thousands; raise Invalid."""
    digits = given.strip().translate({ord(mark): None for mark in " ,.'\u00a0\u2009\u202f"})
    if not (digits.isascii() and digits.isdigit()):
        raise Invalid("arguments.invalid", "Type the number of digests, such as 1200.")
    return int(digits)


# --- the page ---


def _page(
    store: Groundswell, caller: Caller, *, said: str | None = None, problem: GroundswellError | None = None
) -> HTMLResponse:
    desk = store.notifications.desk
    status = desk.status()
    limit = cap(store.settings.mail_caps, MailRole.MANAGER)
    return page(
        "staff_mail.html",
        caller,
        HTTPStatus.OK if problem is None else status_of(problem),
        mails=status,
        rows=list(_rows(status)),
        runs=[_run(run.counts) for run in status.runs],
        nothing=None if status.runs else nothing_sent(store),
        unsettled=desk.unsettled(UNSETTLED),
        limit=limit,
        beyond=limit is not None and status.audience.new > limit,
        may_decide=caller.role is Role.MANAGER,
        said=said,
        problem=problem.message if problem else None,
        position=store.engine.log.head(),
        stale=False,
    )


def _rows(status: Status) -> Iterator[tuple[str, bool, list[int]]]:
    """Yield the table of outcomes: what each is called, whether it is part of the one before, and its counts."""
    spans = [status.outcomes[span] for span in SPANS]
    for name, label in OUTCOMES:
        yield label, label[0].islower(), [getattr(one, name) for one in spans]
        if name in REASONS_OF:
            counts = [getattr(one, REASONS_OF[name]) for one in spans]
            for reason in sorted({reason for one in counts for reason in one}):
                yield REASONS.get(reason, reason), True, [one.get(reason, 0) for one in counts]


def _run(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{state} {count:,}" for state, count in counts.items())
