"""Endpoints called directly: FastAPI takes longer to gather their arguments than the writer takes over a pledge."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute

Gather = Callable[[Request], Awaitable[dict[str, Any]]]
E = TypeVar("E", bound=Callable[..., Any])
_gathering: dict[Callable[..., Any], Gather] = {}


def gathered_by(gather: Gather) -> Callable[[E], E]:
    """Have the arguments of an endpoint gathered by a function of its own; its signature still documents them.

    The function must give all of them, and the endpoint return a Response.
    """

    def mark(endpoint: E) -> E:
        _gathering[endpoint] = gather
        return endpoint

    return mark


class DirectRoute(APIRoute):
    """A route like any other, unless its endpoint is marked by ``gathered_by``."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        endpoint, gather = self.endpoint, _gathering.get(self.endpoint)
        if gather is None:
            return super().get_route_handler()

        async def handle(request: Request) -> Response:
            answer: Response = await endpoint(**await gather(request))
            return answer

        return handle
