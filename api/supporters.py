"""Supporters over HTTP: the list for staff."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel

from api.accounts import Caller
from api.campaigns import Counts
from api.common import (
    PAGE_SIZE,
    Cursor,
    Limit,
    Named,
    Point,
    Staff,
    Stale,
    Store,
    cursor_id,
    etag,
    next_cursor,
    shown,
    views,
)
from api.erasures import BEYOND, erasure
from api.openapi import STAFF, answers
from domain.kernel import Unknown, identify
from projections.counts import counts
from projections.supporters import PERSONAL, Supporters, Which
from projections.views import Views

router = APIRouter(tags=["supporters"])

SupporterPath = Annotated[str, Named, Path(description="The supporter's id or reference.", examples=["anna"])]


class Supporter(BaseModel):
    """A supporter; e-mail, name and display name are shown to campaign managers only, and null once erased."""

    id: UUID
    email: str | None
    email_confirmed: bool
    name: str | None
    display_name: str | None
    public: bool
    locale: str | None
    time_zone: str | None
    chapter: UUID | None
    source: str | None
    digest_frequency: str | None
    registered_at: datetime | None
    erased_at: datetime | None
    last_seen: datetime | None
    pledges: Counts


class Consent(BaseModel):
    """What a supporter consented to, or no longer does."""

    topic: str
    granted: bool
    at: datetime


class Membership(BaseModel):
    """A chapter that a supporter belongs to."""

    chapter: UUID
    since: datetime


class SupporterWithChoices(Supporter):
    """A supporter with consents and chapters."""

    consents: list[Consent]
    chapters: list[Membership]


class SupporterList(BaseModel):
    """A page of supporters, how many there are in all, and the cursor of the page after it."""

    supporters: list[Supporter]
    total: int
    next: str | None
    position: int


class ErasureReceipt(BaseModel):
    """What an erasure destroyed, by kind, and what survives it.

    `survives` counts the events that name the person by id, `positions` lists them; `personal_fields_erased` of them
    nobody can open, `open_texts` are the words of others. `purged_at` is null while copies are still being purged.
    """

    supporter: UUID
    position: int
    erased_at: datetime
    purged_at: datetime | None
    receipt: str
    destroyed: dict[str, int]
    personal_fields_erased: int
    survives: dict[str, int]
    positions: list[int]
    open_texts: int
    mails_sent: int
    beyond_reach: list[str]


EXAMPLE: Final[dict[str, Any]] = {
    "id": "7c3c2f43-0b6f-4f5b-8a7e-5e6f2f9c1d22",
    "email": "anna@example.org",
    "email_confirmed": True,
    "name": "Anna",
    "display_name": None,
    "public": True,
    "locale": "pt",
    "time_zone": "Europe/Lisbon",
    "chapter": "5b1c0c5e-6a0d-5f0e-9f3e-0a8a6c0b7d22",
    "source": "pledge-form",
    "digest_frequency": "weekly",
    "registered_at": "2026-03-02T18:00:00Z",
    "erased_at": None,
    "last_seen": "2026-03-12T20:14:00Z",
    "pledges": {"made": 2, "active": 1, "kept": 1, "lapsed": 0, "withdrawn": 0},
}


def as_supporters(opened: Views, rows: list[Any], caller: Caller) -> list[Supporter]:
    """Return rows of the read model as the caller may see them."""
    texts: dict[str, list[Any]] = {
        name: [shown(text) for text in opened.open([getattr(row, name) for row in rows])]
        if caller.sees_personal
        else [None] * len(rows)
        for name in PERSONAL
    }
    plain = Supporter.model_fields.keys() - {*PERSONAL, "pledges"}
    return [
        Supporter(
            **{name: getattr(row, name) for name in plain},
            **{name: texts[name][number] for name in PERSONAL},
            pledges=Counts(**counts(row)),
        )
        for number, row in enumerate(rows)
    ]


@router.get(
    "/supporters",
    summary="List supporters (staff)",
    responses=answers({"supporters": [EXAMPLE], "total": 1, "next": None, "position": 812}, *STAFF, "as_of.in_future"),
)
def list_supporters(
    store: Store,
    response: Response,
    stale: Stale,
    as_of: Point,
    caller: Staff,
    chapter: Annotated[
        str | None, Named, Query(description="Only members of this chapter.", examples=["lisbon"])
    ] = None,
    state: Annotated[
        Literal["present", "erased", "all"], Query(description="Which supporters.", examples=["present"])
    ] = "present",
    email_confirmed: Annotated[
        bool | None, Query(description="Whether the address is theirs.", examples=[True])
    ] = None,
    consents_to: Annotated[
        str | None, Query(description="Only those who consent to this.", examples=["digest"], max_length=300)
    ] = None,
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
) -> SupporterList:
    """All supporters, page by page."""
    after = cursor_id(cursor)
    which = Which(
        chapter=identify("chapter", chapter) if chapter else None,
        present=None if state == "all" else state == "present",
        email_confirmed=email_confirmed,
        consents_to=consents_to,
    )
    with views(store, response, stale, [Supporters], as_of) as opened:
        model = opened[Supporters]
        rows = model.all(opened.connection, which, after=after, limit=limit + 1)
        return SupporterList(
            supporters=as_supporters(opened, list(rows[:limit]), caller),
            total=model.count(opened.connection, which),
            next=next_cursor(rows, limit),
            position=opened.position,
        )


@router.get(
    "/supporters/{supporter}",
    summary="Read one supporter (staff)",
    responses=answers(
        EXAMPLE
        | {
            "consents": [{"topic": "digest", "granted": True, "at": "2026-03-02T18:00:00Z"}],
            "chapters": [{"chapter": "5b1c0c5e-6a0d-5f0e-9f3e-0a8a6c0b7d22", "since": "2026-03-05T19:00:00Z"}],
        },
        *STAFF,
        "supporter.unknown",
        "as_of.in_future",
    ),
)
def read_supporter(
    store: Store, response: Response, stale: Stale, as_of: Point, caller: Staff, supporter: SupporterPath
) -> SupporterWithChoices:
    """One supporter with consents and chapters."""
    key = identify("supporter", supporter)
    with views(store, response, stale, [Supporters], as_of) as opened:
        model, connection = opened[Supporters], opened.connection
        row = model.find(connection, key)
        if row is None:
            raise Unknown("supporter.unknown", f"There is no supporter “{supporter}”.")
        etag(store, response, key, as_of)
        return SupporterWithChoices(
            **as_supporters(opened, [row], caller)[0].model_dump(),
            consents=[Consent.model_validate(one, from_attributes=True) for one in model.consents_of(connection, key)],
            chapters=[
                Membership.model_validate(one, from_attributes=True) for one in model.chapters_of(connection, key)
            ],
        )


@router.get(
    "/supporters/{supporter}/erasure",
    summary="Read the receipt of an erasure (staff)",
    responses=answers(
        {
            "supporter": EXAMPLE["id"],
            "position": 812,
            "erased_at": "2026-04-01T10:00:00Z",
            "purged_at": "2026-04-01T10:00:01Z",
            "receipt": "/log/receipts/812",
            "destroyed": {"keys": 1, "index_entries": 1, "mail_bodies": 2, "mail_links": 2},
            "personal_fields_erased": 3,
            "survives": {"pledges.Made": 2, "supporters.Registered": 1},
            "positions": [5, 6, 17],
            "open_texts": 0,
            "mails_sent": 2,
            "beyond_reach": [BEYOND[0]],
        },
        *STAFF,
        "supporter.unknown",
        "supporter.not_erased",
    ),
)
def read_erasure(store: Store, _caller: Staff, supporter: SupporterPath) -> ErasureReceipt:
    """What was destroyed of an erased supporter, what survives, and the log's own receipt that proves it."""
    return ErasureReceipt(**erasure(store, identify("supporter", supporter)).as_json())
