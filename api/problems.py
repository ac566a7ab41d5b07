"""Errors as RFC 9457 problem documents; the one place where codes become HTTP statuses."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.accounts import Forbidden, Unauthenticated
from api.limits import TooMany
from domain.kernel import Conflict, GroundswellError, Invalid, Unavailable, Unknown

MEDIA_TYPE = "application/problem+json"

BY_CODE = {
    "command.precondition_failed": HTTPStatus.PRECONDITION_FAILED,
    "command.invalid_json": HTTPStatus.BAD_REQUEST,
    "command.invalid_utf8": HTTPStatus.BAD_REQUEST,
    "internal.error": HTTPStatus.INTERNAL_SERVER_ERROR,
    "command.too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "mail_report.too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "request.too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "request.invalid_json": HTTPStatus.BAD_REQUEST,
    "request.invalid_utf8": HTTPStatus.BAD_REQUEST,
    "request.media_type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
}

BY_CLASS: tuple[tuple[type[GroundswellError], HTTPStatus], ...] = (
    (Unknown, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (Invalid, HTTPStatus.UNPROCESSABLE_ENTITY),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (Unauthenticated, HTTPStatus.UNAUTHORIZED),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (TooMany, HTTPStatus.TOO_MANY_REQUESTS),
)


def status_of(error: GroundswellError) -> HTTPStatus:
    """Return the HTTP status of an error."""
    if error.code in BY_CODE:
        return BY_CODE[error.code]
    return next((status for kind, status in BY_CLASS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


def problem(status: HTTPStatus, code: str, detail: str, **more: Any) -> JSONResponse:  # noqa: ANN401 - members are of any type
    """Return a problem document (RFC 9457) with the stable code beside its own members."""
    body = {
        "type": f"urn:groundswell:{code}",
        "title": status.phrase,
        "status": int(status),
        "detail": detail.encode(errors="backslashreplace").decode(),
        "code": code,
        **more,
    }
    headers = {}
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="groundswell"'
    return JSONResponse(body, status, headers, MEDIA_TYPE)


def of_error(error: GroundswellError, **more: Any) -> JSONResponse:  # noqa: ANN401 - members are of any type
    """Return the problem document of an error of ours, with what is known beside it as members of its own."""
    answer = problem(status_of(error), error.code, error.message, **more)
    if isinstance(error, TooMany):
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer


def of_validation(error: RequestValidationError) -> JSONResponse:
    """Return the problem document of values that are not of the form that was asked for."""
    errors = [{"where": ".".join(str(part) for part in found["loc"]), "what": found["msg"]} for found in error.errors()]
    said = "; ".join(f"{e['where']}: {e['what']}" for e in errors)
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "request.invalid", said, errors=errors)


def install(app: FastAPI) -> None:
    """Answer every error with a problem document."""

    @app.exception_handler(GroundswellError)
    async def ours(_request: Request, error: GroundswellError) -> JSONResponse:
        return of_error(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return of_validation(error)

    @app.exception_handler(HTTPException)
    async def http(_request: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        code = {404: "route.unknown", 405: "route.method_not_allowed"}.get(error.status_code, "request.refused")
        said = "There is nothing at this address." if code == "route.unknown" else str(error.detail)
        return problem(status, code, said)

    @app.exception_handler(Exception)
    async def unexpected(_request: Request, _error: Exception) -> JSONResponse:
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR, "internal.error", "Something went wrong on our side; it has been logged."
        )
