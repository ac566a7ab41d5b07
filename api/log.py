"""The verifiable log over HTTP: checkpoints, tiles and receipts (C2SP tlog-checkpoint, tlog-tiles, tlog-proof)."""

from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Path, Response
from fastapi.responses import PlainTextResponse

from api.common import Store
from api.openapi import answers
from api.paths import SLASH
from domain.kernel import Unknown, now
from history.checkpoints import how_to

router = APIRouter(prefix="/log", tags=["log"])

FRESH: Final = timedelta(minutes=1)
"""A newer checkpoint is made when somebody asks, the newest one is older than this, and something was added."""

NOTE: Final = (
    "movement.example.org/log\n812\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— movement.example.org/log "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
RECEIPT: Final = (
    "c2sp.org/tlog-proof@v1\nextra eyJhY3RvciI6InN0YWZmOmFubiJ9\nindex 16\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n" + NOTE
)
HOW_TO: Final = how_to("RECEIPT.md")
BYTES: Final = "application/octet-stream"
FOREVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}


@router.get(
    "/checkpoint",
    summary="Read the newest checkpoint",
    response_class=PlainTextResponse,
    responses=answers(NOTE, media="text/plain", says="A signed note: origin, size, root, signatures."),
)
def read_checkpoint(store: Store) -> PlainTextResponse:
    """What the log has committed itself to: its size and the root of its tree, signed."""
    newest = store.checkpoints.newest()
    old = newest is None or newest.signed_at is None or abs(now() - newest.signed_at) > FRESH
    if newest is None or (old and store.engine.log.head() > newest.size):
        newest = store.checkpoints.make()
    return PlainTextResponse(newest.note, headers={"Cache-Control": "no-cache"})


@router.get(
    "/tile/{tile:path}",
    summary="Read a tile",
    response_class=Response,
    responses={
        **answers("", "log.unknown_tile", media=BYTES),
        200: {
            "description": "Hashes of 32 bytes each; under `entries/`, entries behind their lengths (uint16).",
            "content": {BYTES: {"schema": {"type": "string", "format": "binary"}, "example": ""}},
        },
    },
)
def read_tile(
    store: Store,
    tile: Annotated[str, Path(description="`L/N` or `entries/N`, with `.p/W` if partial.", examples=["0/x001/234"])],
) -> Response:
    """The hashes of a part of the tree, or the entries of it; a full tile never changes."""
    tile = tile.replace(SLASH, "/")
    found = store.checkpoints.tile(f"tile/{tile}")
    if found is None:
        raise Unknown("log.unknown_tile", f"The tree has no tile {tile[:80]}.")
    return Response(found, media_type=BYTES, headers=FOREVER)


@router.get(
    "/receipts",
    summary="Read how to check a receipt",
    response_class=PlainTextResponse,
    responses=answers("# How to check a receipt", media="text/plain", says="What to do, with OpenSSL and a shell."),
)
def read_how_to() -> PlainTextResponse:
    """How to check a receipt offline, without this software."""
    return PlainTextResponse(HOW_TO)


@router.get(
    "/receipts/{position}",
    summary="Read the receipt of an event",
    response_class=PlainTextResponse,
    responses=answers(
        RECEIPT, "log.unknown_position", media="text/plain", says="A proof that the log holds this event."
    ),
)
def read_receipt(
    store: Store, position: Annotated[int, Path(description="The event's position.", examples=[17], ge=1, le=2**62)]
) -> PlainTextResponse:
    """The proof that an event is part of the history, which can be checked offline with the log's verifier key."""
    return PlainTextResponse(store.checkpoints.receipt(position))
