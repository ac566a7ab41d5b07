"""Paths as they were sent: a reference may hold an encoded slash; NUL and what is not UTF-8 are refused.

Only a one-click unsubscription is never refused (RFC 8058): whatever is no UTF-8 there is a link that is not known.
"""

from http import HTTPStatus
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import problem

SLASH: Final = "\udc2f"
"""Stands for an encoded slash until the route is found; half a surrogate pair, so nothing that is UTF-8 contains it."""

ALWAYS_ANSWERED: Final = b"/unsubscribe/"


class Paths:
    """Middleware that decodes paths itself, because servers decode ``%2F`` too soon and mend what is not UTF-8."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its path decoded, or answer with a problem document."""
        if scope["type"] == "http":
            raw: bytes = scope.get("raw_path") or scope["path"].encode()
            if raw.startswith(ALWAYS_ANSWERED):
                path = unquote_to_bytes(raw).decode(errors="replace")
                scope["path"] = "".join(character if character.isprintable() else "?" for character in path)
                return await self.app(scope, receive, send)
            try:
                parts = [unquote_to_bytes(part).decode() for part in raw.replace(b"%2f", b"%2F").split(b"%2F")]
                query = unquote_to_bytes(scope["query_string"]).decode()
            except UnicodeDecodeError:
                answer = problem(HTTPStatus.BAD_REQUEST, "request.invalid_utf8", "The address is not UTF-8.")
                return await answer(scope, receive, send)
            if "\0" in query or any("\0" in part for part in parts):
                answer = problem(HTTPStatus.BAD_REQUEST, "request.nul", "The address holds the character NUL.")
                return await answer(scope, receive, send)
            scope["path"] = SLASH.join(parts)
        return await self.app(scope, receive, send)
