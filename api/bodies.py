"""Reading what a request carries: within bounds, and with a clear refusal of what cannot be read."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any, Final, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from domain.kernel import Invalid

M = TypeVar("M", bound=BaseModel)
LARGEST_FORM: Final = 1 << 16
JSON: Final = "application/json"


def media_type(request: Request) -> str:
    """Return what the request says its body is, without parameters."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, largest: int, code: str = "request.too_large") -> bytes:
    """Return the body; raise Invalid with the code where it is larger."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > largest:
            raise Invalid(code, f"The body has more than {largest:,} bytes.")
    return bytes(body)


async def read_form(request: Request, kind: type[M]) -> M:
    """Return the JSON object in the body as a form; raise Invalid or RequestValidationError."""
    if media_type(request) not in {JSON, ""}:
        raise Invalid("request.media_type", f"Send {JSON}.")
    body = await read_body(request, LARGEST_FORM)
    with contextlib.suppress(ValidationError):
        return kind.model_validate_json(body)
    try:
        found: Any = json.loads(body.decode())
    except UnicodeDecodeError as error:
        raise Invalid("request.invalid_utf8", f"Byte {error.start + 1} of the body is not UTF-8.") from None
    except (ValueError, RecursionError):
        raise Invalid("request.invalid_json", "The body is not JSON.") from None
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in error.errors()]) from None


class Lines:
    """Cuts a stream of bytes into numbered lines; a line that is too long comes as None, a blank one not at all."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._rest = b""
        self._skipping = False
        self._number = 0

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes | None]]:
        """Yield the lines that the chunk completes."""
        *whole, rest = (self._rest + chunk).split(b"\n")
        self._rest = b""
        for line in whole:
            yield from self._line(line)
        self._rest = rest
        if len(rest) > self._longest:
            self._rest, self._skipping = b"", True

    def end(self) -> Iterator[tuple[int, bytes | None]]:
        """Yield the last line where nothing ends it."""
        if self._rest or self._skipping:
            yield from self._line(self._rest)

    def _line(self, line: bytes) -> Iterator[tuple[int, bytes | None]]:
        self._number += 1
        too_long, self._skipping = self._skipping or len(line) > self._longest, False
        if too_long:
            yield self._number, None
        elif line.strip():
            yield self._number, line.removesuffix(b"\r")
