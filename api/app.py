"""The HTTP application: JSON under /api/v1, pages beside it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api import campaigns, problems
from api.bootstrap import Groundswell

DESCRIPTION = """
Groundswell is an event-sourced campaign engine: everything is an event in one history, every number is computed from
it. Writes answer with their `position`; a read may ask for at least that with `X-Position-AtLeast`. Errors are problem
documents (RFC 9457) with a stable `code`.
"""


def create_app(groundswell: Groundswell, *, work: bool = True) -> FastAPI:
    """Make the application on an open store; ``work`` also keeps the read models up to date in this process."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if work:
            groundswell.worker.start()
        yield
        groundswell.worker.stop()

    app = FastAPI(title="Groundswell", version="1", description=DESCRIPTION, lifespan=lifespan)
    app.state.groundswell = groundswell
    problems.install(app)
    for module in (campaigns,):
        app.include_router(module.router, prefix="/api/v1")
    return app
