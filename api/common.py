"""What the routes share: who asks, as of when, how far the read models must be, pages of lists, answers to writes."""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BeforeValidator
from starlette.concurrency import run_in_threadpool

from api.accounts import Caller, Unauthenticated
from api.bootstrap import Groundswell
from api.inbox import inbox
from api.paths import SLASH
from domain.kernel import MAX_REFERENCE, Actor, Erased, Invalid
from history.answers import Answer
from history.codec import check_reference
from history.envelope import read_moment
from history.plans import Wanted
from projections.projection import Projection
from projections.views import PRESENT, AsOf, Views

PAGE_SIZE: Final = 50
LARGEST_PAGE: Final = 500
LONGEST_POINT: Final = 40
LONGEST_NUMBER: Final = 19
PUBLIC: Final = Actor("supporter", "public")
SESSION_COOKIE: Final = "groundswell_session"


# --- who asks ---


async def groundswell(request: Request) -> Groundswell:
    """Return the application's store."""
    found: Groundswell = request.app.state.groundswell
    return found


Store = Annotated[Groundswell, Depends(groundswell)]


async def optional_caller(request: Request, store: Store) -> Caller | None:
    """Return who asks, by bearer token or session; None for the public. Raises Unauthenticated for a bad token."""
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer" and secret:
        known = store.accounts.seen(secret.strip())
        return known or await run_in_threadpool(store.accounts.bearer, secret.strip())
    if kind:
        raise Unauthenticated("auth.scheme", "Authenticate with “Authorization: Bearer TOKEN”.")
    session = request.cookies.get(SESSION_COOKIE)
    return await run_in_threadpool(store.accounts.session, session) if session else None


MaybeCaller = Annotated[Caller | None, Depends(optional_caller)]


async def known_caller(caller: MaybeCaller) -> Caller:
    """Return who asks; raise Unauthenticated where nobody says so."""
    if caller is None:
        raise Unauthenticated("auth.required", "This needs a token: “Authorization: Bearer TOKEN”.")
    return caller


KnownCaller = Annotated[Caller, Depends(known_caller)]


async def staff(caller: KnownCaller) -> Caller:
    """Return who asks; raise Forbidden where it is not staff."""
    caller.need_staff()
    return caller


Staff = Annotated[Caller, Depends(staff)]


# --- what a path or a query names ---


def read_reference(given: object) -> str | None:
    """Return the reference that stands in a path or a query, if any; raise Invalid where it cannot be one."""
    if given is None:
        return None
    reference = str(given).replace(SLASH, "/")
    if not 1 <= len(reference) <= MAX_REFERENCE:
        raise Invalid("reference.wrong_length", f"A reference has 1 to {MAX_REFERENCE} characters.")
    try:
        return check_reference(reference)
    except Invalid as error:
        raise Invalid(error.code, f"A reference {error.message}") from None


Named = BeforeValidator(read_reference)
"""Marks a path or query parameter that is a reference."""


# --- as of when ---

Names = tuple[str, str]
NAMES: Final[Names] = ("as_of", "occurred_by")


def read_recorded(text: str, where: str) -> datetime:
    """Read an RFC 3339 time that stands where a position could; raise Invalid, which says so."""
    try:
        return read_moment(text, where)
    except Invalid as error:
        plus = " In an address, + is written %2B." if " " in text else ""
        raise Invalid(error.code, f"{error.message} A position would do too, such as 1200.{plus}") from None


def point(
    store: Store,
    as_of: Annotated[
        str | None,
        Query(
            description="What was known: only what was recorded up to a position, by an RFC 3339 time, or by the end "
            "of a day (UTC).",
            examples=["1200"],
            max_length=LONGEST_POINT,
        ),
    ] = None,
    occurred_by: Annotated[
        str | None,
        Query(
            description="What had happened: only what occurred by an RFC 3339 time, or by the end of a day (UTC), "
            "whenever it was recorded. A pledge of 1 May that was entered on 9 May is part of "
            "`occurred_by=2026-05-05T00:00:00Z`, and no part of `as_of=2026-05-05T00:00:00Z`: it had happened, and "
            "nobody knew. Both together: what was known to have happened.",
            examples=["2026-05-01T00:00:00Z"],
            max_length=LONGEST_POINT,
        ),
    ] = None,
) -> AsOf:
    """Return the point of history that is asked for."""
    return read_point(store, as_of, occurred_by)


def read_point(store: Groundswell, as_of: str | None, occurred_by: str | None, names: Names = NAMES) -> AsOf:
    """Return the point of history that is asked for under these names; a day means its end. Raises Invalid."""
    by = _end_of(occurred_by) or read_moment(occurred_by, names[1]) if occurred_by else None
    if not as_of:
        return AsOf(None, by)
    if as_of.isascii() and as_of.isdigit():
        return AsOf(min(int(as_of), 2**62), by)
    moment = _end_of(as_of) or read_recorded(as_of, names[0])
    return AsOf(store.reader.known_by(moment), by, moment)


def _end_of(text: str) -> datetime | None:
    """Return the last moment of a day, by UTC; None where the text is no day."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    return day.replace(hour=23, minute=59, second=59, microsecond=999_999)


Point = Annotated[AsOf, Depends(point)]


def at_least(
    store: Store,
    x_position_atleast: Annotated[
        int | None,
        Header(description="Answer from a state that includes this position; waits up to 2 s.", ge=0, examples=[812]),
    ] = None,
) -> bool:
    """Wait for the read models to come to a position; tell whether the answer will be stale."""
    return x_position_atleast is not None and not store.reader.wait(x_position_atleast)


Stale = Annotated[bool, Depends(at_least)]


@contextmanager
def views(
    store: Groundswell, response: Response, stale: Stale, kinds: Sequence[type[Projection]] = (), as_of: AsOf = PRESENT
) -> Iterator[Views]:
    """Open views, and say in the answer's headers which position they show."""
    with store.reader.open(kinds, as_of) as opened:
        response.headers["X-Position"] = str(opened.position)
        if stale:
            response.headers["X-Position-Stale"] = "true"
        yield opened


def shown(value: str | Erased | None) -> str | None:
    """Return personal data as an answer shows it: erased is null."""
    return None if value is None or isinstance(value, Erased) else value


# --- pages of a list ---

Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="How many at most.", examples=[50])]
Cursor = Annotated[
    str | None,
    Query(description="The `next` of the page before.", max_length=1_000, examples=["WyIxMjAwIl0"]),
]


def encode_cursor(*parts: object) -> str:
    """Return an opaque cursor of the place after which the next page begins."""
    return base64.urlsafe_b64encode(msgspec.json.encode([str(part) for part in parts])).decode().rstrip("=")


def decode_cursor(cursor: str | None, parts: int = 1) -> list[str] | None:
    """Read a cursor; raise Invalid where it is not one of ours."""
    if cursor is None:
        return None
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=list[str])
    except (msgspec.DecodeError, ValueError, binascii.Error):
        found = []
    if len(found) != parts or any("\0" in part for part in found):
        raise malformed_cursor()
    return found


def malformed_cursor() -> Invalid:
    """Say that a cursor is none of ours."""
    return Invalid("cursor.malformed", "This cursor is not one that a list here gave.")


def cursor_id(cursor: str | None) -> UUID | None:
    """Read the cursor of a list in order of id; raise Invalid."""
    found = decode_cursor(cursor)
    try:
        return UUID(found[0]) if found else None
    except ValueError:
        raise malformed_cursor() from None


def cursor_position(cursor: str | None) -> int | None:
    """Read the cursor of a list in order of position; raise Invalid."""
    found = decode_cursor(cursor)
    if found is None:
        return None
    if not (found[0].isascii() and found[0].isdigit() and len(found[0]) < LONGEST_NUMBER):
        raise malformed_cursor()
    return int(found[0])


def next_cursor(rows: Sequence[Any], limit: int, by: str = "id") -> str | None:
    """Return the cursor of the page after these rows, of which one more was asked for than is shown."""
    return encode_cursor(getattr(rows[limit - 1], by)) if len(rows) > limit else None


# --- writes ---


def etag(store: Groundswell, response: Response, stream: UUID, as_of: AsOf) -> None:
    """Give the version of what was read as ETag, for If-Match on a write; not for the past, which cannot be changed."""
    if as_of.live:
        response.headers["ETag"] = f'"{store.engine.log.version(stream)}"'


_ETAG = re.compile(r'(?:W/)?"([0-9]{1,18})"|([0-9]{1,18})')


def expected_version(if_match: str | None) -> int | None:
    """Return the version that If-Match asks for; None where any will do. Raises Invalid."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = _ETAG.fullmatch(if_match.strip())
    if not found:
        raise Invalid("request.if_match", "If-Match takes an ETag as a read gave it.")
    return int(found[1] or found[2])


async def submit(store: Groundswell, item: Wanted) -> Answer:
    """Hand a command or a plan to the writer and await its answer, without holding a thread."""
    return await inbox().wait(store.engine.writer.submit(item))


class Written(JSONResponse):
    """The answer to a write; written out as quickly as it came about."""

    def render(self, content: Any) -> bytes:  # noqa: ANN401 - as in the base
        """Return the content as JSON."""
        return msgspec.json.encode(content)


def answer_json(answer: Answer, status: int = 200) -> JSONResponse:
    """Answer a write: with its position, and the new version of what it changed as ETag."""
    body = answer.as_json()
    body["position"] = answer.positions[-1] if answer.positions else None
    headers = {"ETag": f'"{answer.version}"'} if answer.version is not None else {}
    return Written(body, status, headers)
