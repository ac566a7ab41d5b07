"""The short way to the endpoints that write for many.

FastAPI takes longer to find an endpoint and to gather its arguments than the writer takes to decide and append what it
asks for. These endpoints stand in the API like any other, and their signatures document them; a function of their own
gathers their arguments.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, APIRouter
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import of_error, of_validation
from domain.kernel import GroundswellError

Gather = Callable[[Request], Awaitable[dict[str, Any]]]
E = TypeVar("E", bound=Callable[..., Any])
_gathering: dict[Callable[..., Any], Gather] = {}


def gathered_by(gather: Gather) -> Callable[[E], E]:
    """Mark an endpoint that returns a Response and whose arguments, all of them, the function gathers."""

    def mark(endpoint: E) -> E:
        _gathering[endpoint] = gather
        return endpoint

    return mark


class Direct:
    """Middleware that calls the marked endpoints of routers, which hang under a prefix, and passes on all else."""

    def __init__(self, app: ASGIApp, routers: Sequence[APIRouter], prefix: str) -> None:
        self.app, self._under = app, f"{prefix}/"
        routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
        self._routes = [(route, _gathering[route.endpoint]) for route in routes if route.endpoint in _gathering]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request if it is for one of the endpoints."""
        if scope["type"] == "http" and scope["path"].startswith(self._under):
            path = scope["path"][len(self._under) - 1 :]
            for route, gather in self._routes:
                if scope["method"] in (route.methods or ()) and (found := route.path_regex.match(path)):
                    scope["route"], scope["path_params"] = route, found.groupdict()
                    answer = await _answer(route.endpoint, gather, Request(scope, receive, send))
                    return await answer(scope, receive, send)
        return await self.app(scope, receive, send)


async def _answer(endpoint: Callable[..., Any], gather: Gather, request: Request) -> Response:
    try:
        answer: Response = await endpoint(**await gather(request))
    except GroundswellError as error:
        return of_error(error)
    except RequestValidationError as error:
        return of_validation(error)
    return answer
