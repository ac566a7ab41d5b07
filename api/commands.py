"""Commands over HTTP: one envelope, or many that are streamed in and answered line by line."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from api.accounts import Caller, Forbidden, Role
from api.bodies import JSON, Lines, media_type, read_body
from api.bootstrap import Groundswell
from api.common import KnownCaller, Store, answer_json, expected_version, known_caller, optional_caller, submit
from api.direct import gathered_by
from api.metrics import Metrics
from api.openapi import Answered, Responses, answers, kept
from api.problems import of_error
from domain.kernel import MAX_REFERENCE, GroundswellError, Invalid
from history.answers import Answer
from history.codec import check_reference
from history.envelope import Request as CommandRequest

router = APIRouter(tags=["commands"])

LARGEST: Final = 1 << 20
BATCH: Final = 500
NDJSON: Final = "application/x-ndjson"

IdempotencyKey = Annotated[
    str | None,
    Header(
        description="Stands for the `id` that an envelope does not have (of many: key, colon, line number).",
        examples=["0b6f2a54-1f0e-4a64-9f25-9d1b8d0f7f7e"],
    ),
]
IfMatch = Annotated[
    str | None,
    Header(description="The ETag of a read: the command is refused if that has changed since.", examples=['"3"']),
]

ENVELOPE: Final[dict[str, Any]] = {
    "id": "petition-7:sig-19",
    "command": "pledges.make",
    "at": "2016-12-13T18:00:00Z",
    "actor": "import:petition-7",
    "reason": None,
    "data": {"campaign": "petition-7", "ask": "sign", "supporter": "anna", "referral": None},
}
ANSWER: Final[dict[str, Any]] = {
    "id": "petition-7:sig-19",
    "status": "accepted",
    "positions": [813],
    "result": {},
    "error": None,
    "position": 813,
}
REFUSED: Final[dict[str, Any]] = {
    "id": "petition-7:sig-20",
    "status": "rejected",
    "positions": [],
    "result": {},
    "error": {"code": "pledge.already_active", "message": "This pledge is already made and active."},
    "position": None,
    "line": 2,
}
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["command"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "minLength": 1, "maxLength": MAX_REFERENCE},
        "command": {"type": "string"},
        "at": {"type": ["string", "null"], "format": "date-time"},
        "actor": {"type": ["string", "null"]},
        "reason": {"type": ["string", "null"]},
        "data": {"type": "object"},
    },
}


def _lines(*objects: dict[str, Any]) -> str:
    return "".join(msgspec.json.encode(one).decode() + "\n" for one in objects)


BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": SCHEMA, "example": kept(ENVELOPE)},
            NDJSON: {
                "schema": {"type": "string", "description": "One envelope per line (JSON Lines)."},
                "example": _lines(ENVELOPE, {**ENVELOPE, "id": "petition-7:sig-20"}),
            },
        },
    }
}


def _responses() -> Responses:
    found = answers(
        {**ANSWER, "status": "repeated"},
        "auth.required",
        "auth.forbidden",
        "campaign.unknown",
        "command.id_reused",
        "command.precondition_failed",
        "command.too_large",
        "command.unknown_field",
        "request.invalid_json",
        "request.media_type",
        says="One command that was executed before: its first outcome again. For many: one answer per line, in order.",
        also={
            201: {
                "description": "The command was executed now.",
                "model": Answered,
                "content": {JSON: {"example": kept(ANSWER)}},
            }
        },
    )
    found[200]["content"][NDJSON] = {"schema": {"type": "string"}, "example": _lines(ANSWER | {"line": 1}, REFUSED)}
    return found


async def _of_command(request: Request) -> dict[str, Any]:
    store: Groundswell = request.app.state.groundswell
    return {
        "request": request,
        "store": store,
        "caller": await known_caller(await optional_caller(request, store)),
        "idempotency_key": request.headers.get("Idempotency-Key"),
        "if_match": request.headers.get("If-Match"),
    }


@router.post(
    "/commands",
    summary="Give one command, or many",
    response_model=Answered,
    responses=_responses(),
    openapi_extra=BODY,
)
@gathered_by(_of_command)
async def post_commands(
    request: Request,
    store: Store,
    caller: KnownCaller,
    idempotency_key: IdempotencyKey = None,
    if_match: IfMatch = None,
) -> Response:
    """Execute a command envelope, or a stream of them.

    One (`application/json`) is answered with its outcome, or with a problem document whose `code` says why it was
    refused. Many (`application/x-ndjson`) are answered while they come, a line for each line that is not blank, in
    order; a refused line stops nothing.
    """
    expected = expected_version(if_match)
    key = idempotency(idempotency_key)
    metrics: Metrics = request.app.state.metrics
    if media_type(request) == NDJSON:
        if expected is not None:
            raise Invalid("request.if_match", "If-Match goes with one command, not with many.")
        return Many(request, Batches(store, caller, key, metrics))
    if media_type(request) not in {JSON, ""}:
        raise Invalid("request.media_type", f"Send {JSON}, or {NDJSON} for many.")
    body = await read_body(request, LARGEST, "command.too_large")
    known_id: list[str] = []
    try:
        one = read(store, caller, body, key, known_id)
        one.if_match = expected
        answer = await submit(store, one)
        if answer.error is not None:
            raise answer.error
        if answer.version is None and answer.positions:
            stream = one.command.streams()[0]
            answer.version = await run_in_threadpool(store.engine.log.version, stream, answer.positions[-1])
    except GroundswellError as error:
        metrics.commands(["rejected"])
        return of_error(error, **({"id": known_id[0]} if known_id else {}))
    metrics.commands([answer.status])
    return answer_json(answer, 201 if answer.status == "accepted" else 200)


def idempotency(given: str | None) -> str | None:
    """Return the idempotency key; raise Invalid where it cannot be an id."""
    if given is None:
        return None
    if not 1 <= len(given) <= MAX_REFERENCE:
        raise Invalid("request.idempotency_key", f"Idempotency-Key takes 1 to {MAX_REFERENCE} characters.")
    return check_reference(given)


def read(
    store: Groundswell, caller: Caller, line: bytes, default_id: str | None, known_id: list[str] | None = None
) -> CommandRequest:
    """Read an envelope that the caller may give; raise a Refusal or Forbidden, its id noted in ``known_id``."""
    catalogue = store.engine.catalogue
    envelope = catalogue.open(line, default_id)
    if known_id is not None:
        known_id.append(envelope.id)
    caller.need(catalogue.find(envelope.command).NAME)
    if envelope.actor is not None and caller.role is not Role.MANAGER and envelope.actor != str(caller.actor):
        raise Forbidden(
            "auth.actor_forbidden", f"Only campaign managers may name another actor than their own, {caller.actor}."
        )
    return catalogue.request(envelope, caller.actor)


class Batches:
    """Executes batches of lines as one caller."""

    def __init__(self, store: Groundswell, caller: Caller, key: str | None, metrics: Metrics) -> None:
        self._store, self._caller, self._key, self._metrics = store, caller, key, metrics

    def settle(self, lines: Sequence[tuple[int, bytes | None]]) -> bytes:
        """Execute a batch; return one answer per line as NDJSON."""
        found = [self._read(number, line) for number, line in lines]
        requests = [one for one in found if isinstance(one, CommandRequest)]
        try:
            written = iter(self._store.engine.write(requests))
        except GroundswellError as error:  # nothing of the batch was recorded
            written = iter([Answer(one.context.command_id, "rejected", error=error) for one in requests])
        final = [next(written) if isinstance(one, CommandRequest) else one for one in found]
        self._metrics.commands(answer.status for answer in final)
        return b"".join(
            msgspec.json.encode(
                answer.as_json() | {"position": answer.positions[-1] if answer.positions else None, "line": number}
            )
            + b"\n"
            for (number, _), answer in zip(lines, final, strict=True)
        )

    def _read(self, number: int, line: bytes | None) -> CommandRequest | Answer:
        known_id: list[str] = []
        try:
            if line is None:
                raise Invalid("command.too_large", f"The line is longer than {LARGEST:,} bytes.")
            default = f"{self._key}:{number}" if self._key else None
            # As in a file that is imported: the same lines again lead to the same answers.
            request = read(self._store, self._caller, line, default, known_id)
        except GroundswellError as error:
            return Answer(known_id[0] if known_id else None, "rejected", error=error)
        request.refusal_stays = True
        return request


class Many(StreamingResponse):
    """Reads lines and answers them at the same time.

    Reading never waits for the answers to be taken, because most clients send everything before they read anything.
    """

    def __init__(self, request: Request, batches: Batches) -> None:
        super().__init__(content=(), media_type=NDJSON)
        self._request, self._batches = request, batches
        self._answered: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer; what a client that goes away has sent as whole lines is executed or not, as its ids will tell."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        reading = asyncio.create_task(self._read())
        try:
            while (part := await self._answered.get()) is not None:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            with contextlib.suppress(ClientDisconnect):
                await reading
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            reading.cancel()

    async def _read(self) -> None:
        lines = Lines(LARGEST)
        try:
            async for chunk in self._request.stream():
                await self._settle(list(lines.feed(chunk)))
            await self._settle(list(lines.end()))
        finally:
            self._answered.put_nowait(None)

    async def _settle(self, lines: Sequence[tuple[int, bytes | None]]) -> None:
        for start in range(0, len(lines), BATCH):
            part = await run_in_threadpool(self._batches.settle, lines[start : start + BATCH])
            self._answered.put_nowait(part)
