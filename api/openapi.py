"""What the OpenAPI document says beyond types: worked examples, and the problems that each route may answer with."""

from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel

from api.problems import MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]


class Problem(BaseModel):
    """A problem document (RFC 9457); ``code`` is stable, ``detail`` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class Answered(BaseModel):
    """What became of a write; ``position`` is the last of its positions."""

    id: str | None
    status: str
    positions: list[int]
    result: dict[str, str]
    error: dict[str, str] | None
    position: int | None


_NO: Final = HTTPStatus.UNPROCESSABLE_ENTITY
PROBLEMS: Final[dict[str, tuple[HTTPStatus, str]]] = {
    "action.unknown": (HTTPStatus.NOT_FOUND, "There is no action “letter-7”."),
    "ask.unknown": (HTTPStatus.NOT_FOUND, "The campaign has no ask “twenty-minutes”."),
    "as_of.in_future": (_NO, "The history ends at position 812."),
    "auth.forbidden": (HTTPStatus.FORBIDDEN, "Only campaign managers and auditors may see this."),
    "auth.required": (HTTPStatus.UNAUTHORIZED, "This needs a token: “Authorization: Bearer TOKEN”."),
    "campaign.unknown": (HTTPStatus.NOT_FOUND, "There is no campaign “listening-2025”."),
    "campaign.not_launched": (HTTPStatus.CONFLICT, "This campaign is paused, not launched."),
    "chapter.unknown": (HTTPStatus.NOT_FOUND, "There is no chapter “atlantis”."),
    "command.id_reused": (HTTPStatus.CONFLICT, "A command with this id and another content was executed before."),
    "command.precondition_failed": (
        HTTPStatus.PRECONDITION_FAILED,
        "It has changed since you read it; read it again and decide anew.",
    ),
    "command.too_large": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "A command has at most 1,048,576 bytes."),
    "command.unknown_field": (_NO, "data has no field “emial”."),
    "email.malformed": (_NO, "That is not an e-mail address."),
    "entry.unknown": (HTTPStatus.NOT_FOUND, "Nothing was ever scored there for “nobody”."),
    "history.no_point": (_NO, "Say since when: with from, a position or a time, or with from_occurred."),
    "log.unknown_position": (HTTPStatus.NOT_FOUND, "There is no event at position 900."),
    "log.unknown_tile": (HTTPStatus.NOT_FOUND, "The tree has no tile 0/000.p/200."),
    "mail_report.malformed": (_NO, "This is not a mail message."),
    "official.unknown": (HTTPStatus.NOT_FOUND, "There is no official “K000000”."),
    "partnership.unknown": (HTTPStatus.NOT_FOUND, "There is no partnership “radio-luna”."),
    "pledge.unknown": (HTTPStatus.NOT_FOUND, "There is no such pledge."),
    "policy.unknown": (HTTPStatus.NOT_FOUND, "There is no policy “hr-1”."),
    "request.invalid": (_NO, "query.limit: Input should be a valid integer, unable to parse string as an integer"),
    "request.invalid_utf8": (HTTPStatus.BAD_REQUEST, "The address is not UTF-8."),
    "request.invalid_json": (HTTPStatus.BAD_REQUEST, "The body is not JSON."),
    "request.nul": (HTTPStatus.BAD_REQUEST, "The address holds the character NUL."),
    "request.media_type": (
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "Send application/json, or application/x-ndjson for many.",
    ),
    "request.too_many": (
        HTTPStatus.TOO_MANY_REQUESTS,
        "That was asked too often; please wait a little and send it again.",
    ),
    "request.too_large": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body has more than 65,536 bytes."),
    "scoring.topic_unknown": (HTTPStatus.NOT_FOUND, "“campaigns.Launched” is not a kind of event about one supporter."),
    "scoring.version_not_next": (HTTPStatus.CONFLICT, "Version 3 is in force: 4 is the next."),
    "store.locked": (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Another program holds the store locked; nothing was recorded, try again.",
    ),
    "recognition.unknown": (HTTPStatus.NOT_FOUND, "There is no recognition “winter”."),
    "supporter.not_erased": (HTTPStatus.CONFLICT, "This supporter was not erased."),
    "supporter.unknown": (HTTPStatus.NOT_FOUND, "There is no supporter “nobody”."),
}
"""Problems as they stand in the documentation: an example of each code."""

EVERYWHERE: Final = ("request.invalid", "request.nul", "request.invalid_utf8", "store.locked")
STAFF: Final = ("auth.required", "auth.forbidden")


_kept: Final[dict[str, Any]] = {}


def kept(shown: Any) -> str:  # noqa: ANN401 - any JSON
    """Return what stands for an example until the document is complete: FastAPI would take its nulls out."""
    token = f"example:{len(_kept)}"
    _kept[token] = shown
    return token


def example(code: str) -> dict[str, Any]:
    """Return an example of the problem document with this code."""
    status, detail = PROBLEMS[code]
    return {
        "type": f"urn:groundswell:{code}",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
    }


def answers(
    shown: Any,  # noqa: ANN401 - any JSON
    *codes: str,
    status: int = 200,
    media: str = "application/json",
    says: str = "The answer.",
    also: Responses | None = None,
) -> Responses:
    """Return a route's ``responses``: the example of its answer, and the problems with these codes."""
    found: Responses = {status: {"description": says, "content": {media: {"example": kept(shown)}}}}
    found |= also or {}
    for code in (*codes, *EVERYWHERE):
        known, _ = PROBLEMS[code]
        one = found.setdefault(int(known), {"description": known.phrase, "content": {}})
        schema = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
        one["content"].setdefault(MEDIA_TYPE, schema)["examples"][code] = {"summary": code, "value": example(code)}
    return found


def body(schema: dict[str, Any], shown: Any, media: str = "application/json") -> dict[str, Any]:  # noqa: ANN401
    """Return the ``openapi_extra`` of a route that reads its body itself."""
    return {"requestBody": {"required": True, "content": {media: {"schema": schema, "example": kept(shown)}}}}


_POSITION: Final = {
    "X-Position": {
        "description": "The position of the history that the answer shows.",
        "schema": {"type": "integer"},
        "example": 812,
    }
}


def install(app: FastAPI) -> None:
    """Complete the document that FastAPI makes: problems, tokens, headers."""
    made = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = made()
        parts = document.setdefault("components", {})
        parts.setdefault("schemas", {}).setdefault("Problem", Problem.model_json_schema())
        for unused in ("HTTPValidationError", "ValidationError"):
            parts["schemas"].pop(unused, None)
        parts["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        for path in document["paths"].values():
            for method, operation in path.items():
                _complete(method, operation)
        return document

    app.openapi = complete  # type: ignore[method-assign]


def _complete(method: str, operation: dict[str, Any]) -> None:
    for part in (operation.get("requestBody", {}), *operation["responses"].values()):
        for content in part.get("content", {}).values():
            shown = content.get("example")
            if isinstance(shown, str) and shown in _kept:
                content["example"] = _kept[shown]
    if "401" in operation["responses"]:
        operation["security"] = [{"bearer": []}]
    names = {parameter["name"] for parameter in operation.get("parameters", [])}
    if method == "get" and "x-position-atleast" in names:
        operation["responses"]["200"]["headers"] = _POSITION
