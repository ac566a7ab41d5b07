"""The HTTP application: JSON under /api/v1, pages beside it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api import (
    actions,
    behind,
    campaigns,
    chapters,
    commands,
    history,
    history_diff,
    leaderboards,
    log,
    mail_reports,
    officials,
    openapi,
    operations,
    partnerships,
    pledges,
    policies,
    problems,
    receipts,
    recognitions,
    scoring,
    supporters,
    timeline,
)
from api.bootstrap import Groundswell
from api.direct import Direct
from api.metrics import PREFIX, Metrics, Timing
from api.pages.install import install as install_pages
from api.paths import Paths

ROUTES = (
    commands,
    pledges,
    receipts,
    campaigns,
    chapters,
    officials,
    policies,
    actions,
    partnerships,
    behind,
    recognitions,
    supporters,
    leaderboards,
    scoring,
    history,
    history_diff,
    timeline,
    mail_reports,
)
AT_THE_ROOT_TOO = (operations, log)

DESCRIPTION = """
Groundswell is an event-sourced campaign engine: everything is an event in one history, every number is computed from
it. Writes answer with their `position`; a read may ask for at least that with `X-Position-AtLeast`. Errors are problem
documents (RFC 9457) with a stable `code`.
"""


def create_app(groundswell: Groundswell, *, work: bool = True) -> FastAPI:
    """Make the application on an open store; ``work`` also keeps the read models up to date in this process."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        groundswell.worker.start(follow=work)
        yield
        groundswell.worker.stop()

    app = FastAPI(
        title="Groundswell",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # asked for with every request; see metrics.py
        docs_url=None,  # pages/reference.py draws it without scripts from elsewhere
        redoc_url=None,
    )
    app.state.groundswell = groundswell
    app.state.metrics = Metrics()
    app.add_middleware(Direct, routers=[module.router for module in ROUTES], prefix=PREFIX)
    app.add_middleware(Paths)
    app.add_middleware(Timing, metrics=app.state.metrics)
    problems.install(app)
    for module in (*ROUTES, *AT_THE_ROOT_TOO):
        app.include_router(module.router, prefix=PREFIX)
    for module in AT_THE_ROOT_TOO:
        app.include_router(module.router, include_in_schema=False)
    install_pages(app)
    openapi.install(app)
    return app
