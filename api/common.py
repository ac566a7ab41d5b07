"""What the routes share: who asks, as of when, how far the read models must be, pages of lists, answers to writes."""

import asyncio
import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from api.accounts import Caller, Unauthenticated
from api.bootstrap import Groundswell
from domain.kernel import Actor, Command, Context, Erased, Invalid, now
from history.envelope import Request as CommandRequest
from history.envelope import new_id, own_request, read_moment
from history.writer import Answer
from projections.projection import Projection
from projections.views import PRESENT, AsOf, Views

PAGE_SIZE: Final = 50
LARGEST_PAGE: Final = 500
PUBLIC: Final = Actor("supporter", "public")
SESSION_COOKIE: Final = "groundswell_session"


# --- who asks ---


def groundswell(request: Request) -> Groundswell:
    """Return the application's store."""
    found: Groundswell = request.app.state.groundswell
    return found


Store = Annotated[Groundswell, Depends(groundswell)]


def optional_caller(request: Request, store: Store) -> Caller | None:
    """Return who asks, by bearer token or session; None for the public. Raises Unauthenticated for a bad token."""
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer" and secret:
        return store.accounts.bearer(secret.strip())
    if kind:
        raise Unauthenticated("auth.scheme", "Authenticate with “Authorization: Bearer TOKEN”.")
    session = request.cookies.get(SESSION_COOKIE)
    return store.accounts.session(session) if session else None


MaybeCaller = Annotated[Caller | None, Depends(optional_caller)]


def known_caller(caller: MaybeCaller) -> Caller:
    """Return who asks; raise Unauthenticated where nobody says so."""
    if caller is None:
        raise Unauthenticated("auth.required", "This needs a token: “Authorization: Bearer TOKEN”.")
    return caller


KnownCaller = Annotated[Caller, Depends(known_caller)]


def staff(caller: KnownCaller) -> Caller:
    """Return who asks; raise Forbidden where it is not staff."""
    caller.need_staff()
    return caller


Staff = Annotated[Caller, Depends(staff)]


# --- as of when ---


def point(
    store: Store,
    as_of: Annotated[
        str | None,
        Query(description="A position, or an RFC 3339 time meaning what was recorded by then.", examples=["1200"]),
    ] = None,
    occurred_by: Annotated[
        str | None,
        Query(description="RFC 3339: count only what had happened by then.", examples=["2026-05-01T00:00:00Z"]),
    ] = None,
) -> AsOf:
    """Return the point of history that is asked for."""
    by = read_moment(occurred_by, "occurred_by") if occurred_by else None
    if as_of is None:
        return AsOf(None, by)
    if as_of.isdecimal():
        return AsOf(min(int(as_of), 2**62), by)
    return AsOf(store.reader.known_by(read_moment(as_of, "as_of")), by)


Point = Annotated[AsOf, Depends(point)]


def at_least(
    store: Store,
    x_position_atleast: Annotated[
        int | None, Header(description="Answer from a state that includes this position; waits up to 2 s.", ge=0)
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

Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="How many at most.")]
Cursor = Annotated[str | None, Query(description="The `next` of the page before.")]


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
    if len(found) != parts:
        raise Invalid("cursor.malformed", "This cursor is not one that a list here gave.")
    return found


# --- writes ---


def etag(store: Groundswell, response: Response, stream: UUID, as_of: AsOf) -> None:
    """Give the version of what was read as ETag, for If-Match on a write; not for the past, which cannot be changed."""
    if as_of.live:
        response.headers["ETag"] = f'"{store.engine.log.version(stream)}"'


_ETAG = re.compile(r'(?:W/)?"(\d+)"|(\d+)')


def expected_version(if_match: str | None) -> int | None:
    """Return the version that If-Match asks for; None where any will do. Raises Invalid."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = _ETAG.fullmatch(if_match.strip())
    if not found:
        raise Invalid("request.if_match", "If-Match takes an ETag as a read gave it.")
    return int(found[1] or found[2])


def request_of(
    command: Command,
    actor: Actor,
    *,
    command_id: str | None = None,
    reason: str | None = None,
    at: Any = None,  # noqa: ANN401
) -> CommandRequest:
    """Make the request of a command that a page or a form gives."""
    chosen = command_id or new_id()
    context = Context(actor=actor, at=at or now(), command_id=chosen, correlation_id=chosen, reason=reason)
    return own_request(command, context)


async def submit(store: Groundswell, request: CommandRequest) -> Answer:
    """Hand a command to the writer and await its answer, without holding a thread."""
    return await asyncio.wrap_future(store.engine.writer.submit(request))


async def accepted(store: Groundswell, request: CommandRequest) -> Answer:
    """Await the answer; raise the refusal where there is one."""
    answer = await submit(store, request)
    if answer.error is not None:
        raise answer.error
    return answer


def answer_json(answer: Answer, status: int = 200) -> JSONResponse:
    """Answer a write: with its position, and the new version of what it changed as ETag."""
    body = answer.as_json()
    body["position"] = answer.positions[-1] if answer.positions else None
    headers = {"ETag": f'"{answer.version}"'} if answer.version is not None else {}
    return JSONResponse(body, status, headers)
