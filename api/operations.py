"""For whoever runs it: alive, ready, and measured."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel
from sqlalchemy import Connection

from api import metrics
from api.bootstrap import Groundswell
from api.common import Store
from api.openapi import answers, kept
from domain.kernel import now
from history.recorder import last_position
from history.tables import events, parked_events
from history.tables import projections as checkpoints

router = APIRouter(tags=["operations"])


class Alive(BaseModel):
    """The process answers."""

    status: str


class ReadModel(BaseModel):
    """How far a read model has come, and why it stands still, if it does.

    ``lag`` counts the events it has not taken, ``lag_seconds`` says how old the first of them is; ``parked`` counts
    those it could not take and what follows them, ``retrying`` those that will be tried again by themselves.
    """

    name: str
    position: int
    lag: int
    lag_seconds: float
    parked: int
    retrying: int
    moving: bool
    trouble: str | None


class Readiness(BaseModel):
    """Whether the store answers and the read models are live and moving."""

    status: str
    position: int
    lag: int
    lag_seconds: float
    parked: int
    projections: list[ReadModel]


READY: Final[dict[str, Any]] = {
    "status": "ready",
    "position": 812,
    "lag": 0,
    "lag_seconds": 0.0,
    "parked": 0,
    "projections": [
        {
            "name": "campaigns",
            "position": 812,
            "lag": 0,
            "lag_seconds": 0.0,
            "parked": 0,
            "retrying": 0,
            "moving": True,
            "trouble": None,
        }
    ],
}
STUCK: Final[dict[str, Any]] = {
    "status": "unready",
    "position": 812,
    "lag": 40,
    "lag_seconds": 31.4,
    "parked": 0,
    "projections": [
        {
            "name": "campaigns",
            "position": 772,
            "lag": 40,
            "lag_seconds": 31.4,
            "parked": 0,
            "retrying": 0,
            "moving": False,
            "trouble": "history.unknown_topic: This release does not know events of the topic pledges.Sung.",
        }
    ],
}


STALE: Final = "projection.stale: This release has other tables for it, which “up” or “work” builds beside these."


@dataclass(frozen=True)
class Standing:
    """The head of the history, and where the live read models stand."""

    head: int
    models: list[ReadModel]


def standing(store: Groundswell) -> Standing:
    """Return where the live read models stand; one is moving if it is at the head, or was moved a moment ago.

    The lease says when it was moved last; until then, it is behind only since the first event it has not taken. For as
    long as a lease it may stand still before it counts as not moving.
    """
    moment, lease = now(), store.runner.lease
    with store.engine.database.read() as connection:
        head = last_position(connection)
        parked = _parked(connection)
        live = connection.execute(sa.select(checkpoints).where(checkpoints.c.live).order_by(checkpoints.c.name)).all()
        first = sa.select(events.c.position, events.c.recorded_at).where(
            events.c.position.in_({row.position + 1 for row in live})
        )
        waiting: dict[int, datetime] = {position - 1: recorded for position, recorded in connection.execute(first)}
    versions = {kind.name: kind.version for kind in store.runner.kinds}
    models = []
    for row in live:
        recorded = waiting.get(row.position)
        since = max(filter(None, (recorded, row.leased_until and row.leased_until - lease)), default=None)
        moving = row.position >= head or (row.trouble is None and since is not None and moment - since < lease)
        number, retrying = parked.get(row.name, (0, 0))
        models.append(
            ReadModel(
                name=row.name,
                position=row.position,
                lag=max(0, head - row.position),
                lag_seconds=round(max(0.0, (moment - recorded).total_seconds()), 3) if recorded else 0.0,
                parked=number,
                retrying=retrying,
                moving=moving,
                trouble=row.trouble or (STALE if row.version != versions.get(row.name, row.version) else None),
            )
        )
    return Standing(head, models)


def _parked(connection: Connection) -> dict[str, tuple[int, int]]:
    """Return by read model how many events are parked, and how many of them will be tried again by themselves."""
    numbers = sa.func.count().label("number"), sa.func.count(parked_events.c.retry_at).label("retrying")
    query = sa.select(parked_events.c.projection, *numbers).group_by(parked_events.c.projection)
    return {row.projection: (row.number, row.retrying) for row in connection.execute(query)}


@router.get("/healthz", summary="Ask whether the process is alive", responses=answers({"status": "alive"}))
async def healthz() -> Alive:
    """Alive, whatever the store does."""
    return Alive(status="alive")


@router.get(
    "/readyz",
    summary="Ask whether the store answers and the read models move",
    response_model=Readiness,
    responses=answers(
        READY,
        also={
            503: {
                "description": "Unready.",
                "model": Readiness,
                "content": {"application/json": {"example": kept(STUCK)}},
            }
        },
    ),
)
def readyz(store: Store) -> Response:
    """Ready unless a live read model is behind and does not move, or the store cannot be reached."""
    found = standing(store)
    ready = all(model.moving for model in found.models)
    body = Readiness(
        status="ready" if ready else "unready",
        position=found.head,
        lag=max((model.lag for model in found.models), default=0),
        lag_seconds=max((model.lag_seconds for model in found.models), default=0.0),
        parked=sum(model.parked for model in found.models),
        projections=found.models,
    )
    return JSONResponse(body.model_dump(), 200 if ready else 503, {} if ready else {"Retry-After": "5"})


METRICS: Final = (
    "# HELP groundswell_events Events in the history.\n# TYPE groundswell_events gauge\ngroundswell_events 812\n"
)


@router.get(
    "/metrics",
    summary="Measure",
    response_class=PlainTextResponse,
    responses=answers(METRICS, media="text/plain", says="Text format of Prometheus."),
)
def read_metrics(request: Request, store: Store) -> PlainTextResponse:
    """Events, commands by what became of them and how many wait, read models, mails, and how long answers took."""
    found = standing(store)
    lines = [*_of_store(found), *_of_runner(store), *_of_writer(store), *_of_mails(store)]
    lines += request.app.state.metrics.lines()
    return PlainTextResponse("\n".join(lines) + "\n", media_type=metrics.MEDIA_TYPE)


def _of_writer(store: Groundswell) -> Iterator[str]:
    text = "Commands of this process that wait to be recorded."
    yield from metrics.family("groundswell_commands_waiting", "gauge", text, [((), store.engine.writer.unanswered)])


def _of_store(found: Standing) -> Iterator[str]:
    yield from metrics.family("groundswell_events", "gauge", "Events in the history.", [((), found.head)])
    for name, text in (
        ("lag", "Events that a read model has not taken yet."),
        ("lag_seconds", "Age of the first event that a read model has not taken yet."),
        ("moving", "Whether a read model is at the head or was moved a moment ago."),
        ("parked", "Events that a read model could not take, and what follows them."),
        ("retrying", "Parked events that will be tried again by themselves."),
    ):
        samples = [((("projection", model.name),), +getattr(model, name)) for model in found.models]  # +True is 1
        yield from metrics.family(f"groundswell_projection_{name}", "gauge", text, samples)


def _of_runner(store: Groundswell) -> Iterator[str]:
    text = "Times that this process tried again what a read model could not take, or the store failed it at."
    samples = [((("projection", kind.name),), store.runner.retries[kind.name]) for kind in store.runner.kinds]
    yield from metrics.family("groundswell_projection_retries_total", "counter", text, samples)


def _of_mails(store: Groundswell) -> Iterator[str]:
    found = store.notifications.desk.gauges()
    text = "Mails that ended within the last 24 hours, by what became of them."
    samples = [((("outcome", outcome),), count) for outcome, count in found.outcomes.counts().items()]
    yield from metrics.family("groundswell_mails_last_day", "gauge", text, samples)
    text = "Mails not sent within the last 24 hours that were to be, by reason."
    samples = [((("reason", reason),), count) for reason, count in found.outcomes.reasons.items()]
    yield from metrics.family("groundswell_mails_suppressed_last_day", "gauge", text, samples)
    for name, text, value in (
        ("waiting", "Mails that wait for their turn or for another attempt.", found.waiting.waiting),
        ("deferred", "Mails of these that wait for another attempt.", found.waiting.deferred),
        ("oldest_seconds", "How long the oldest of these has waited.", found.oldest_seconds),
        ("unknown", "Mails that are held because nobody knows whether they went out.", found.unknown),
        ("due", "Digests that are due and not planned yet, which a worker does each minute.", found.due),
        ("held", "Digests that are due and more than a worker may send unasked.", found.held),
        ("halted", "Whether all mails are halted.", +found.halted),
    ):
        yield from metrics.family(f"groundswell_mails_{name}", "gauge", text, [((), value)])
