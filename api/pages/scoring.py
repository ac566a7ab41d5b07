"""The scoring rules for staff: what is in force, what other numbers would change, and publishing them, apart from that.

Weighing rules changes nothing. They are published by a button of their own below what was weighed, by whoever may.
"""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from api.accounts import Caller, Forbidden
from api.bootstrap import Groundswell
from api.common import MaybeCaller, Staff, Store, submit
from api.pages.rendering import SECURITY, page
from api.problems import status_of
from api.scoring import Rules, board_of, published, read_proposed, weigh
from api.standings import path_of
from api.weighing import ScoringPreview, WouldMove
from api.words import WORDS, kind, signed
from domain.kernel import GroundswellError, Invalid, Refusal
from domain.scoring import Applies, Publish
from history.envelope import Envelope, new_id
from projections.boards import Board, Scope

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

COMMAND: Final = Publish.NAME
USUAL: Final = ("pledges.Made", "pledges.Renewed", "pledges.CheckedIn", "pledges.Kept", "actions.Logged",
                "actions.Verified", "recognitions.Awarded")  # fmt: skip
"""The topics that are offered first."""
GROUNDS: Final = (
    ("streak", "check-ins in a row"),
    ("kept", "challenges kept"),
    ("verified_actions", "verified actions"),
)
SPARE: Final = 1
"""How many empty rows there are for further awards."""

Filled = Mapping[str, Any]


class Wanted(BaseModel):
    """What the button that publishes sends."""

    rules: str = Field(max_length=60_000)
    key: str = Field(max_length=100)


@router.get("/staff/scoring")
def show(store: Store, caller: MaybeCaller, published: int | None = None) -> Response:
    """The rules in force, and a form to weigh others."""
    if caller is None:
        return RedirectResponse("/signin", HTTPStatus.SEE_OTHER, SECURITY)
    caller.need_staff()
    if published is not None:
        store.reader.wait(published)
    return rules_page(store, caller, done=published)


@router.post("/staff/scoring")
async def weighed(request: Request, store: Store, caller: Staff) -> HTMLResponse:
    """Weigh the rules that were filled in or pasted; what is wrong with them is said above them."""
    async with request.form(max_fields=300) as form:
        return await run_in_threadpool(_weighed, store, caller, form)


def _weighed(store: Groundswell, caller: Caller, form: FormData) -> HTMLResponse:
    campaign, chapter = text(form, "campaign") or None, text(form, "chapter") or None
    filled = as_filled(form)
    try:
        data = read_proposed_data(form, next_version(store))
        proposed = read_proposed(json.dumps(data))
        found = weigh(store, proposed, board_of(store, campaign, chapter))
    except Refusal as refused:
        return rules_page(store, caller, filled=filled, problem=refused)
    return rules_page(store, caller, filled=filled_by(data) | places(form), found=found, data=data)


@router.post("/staff/scoring/publish")
async def publish(store: Store, caller: Staff, wanted: Annotated[Wanted, Form()]) -> Response:
    """Publish rules as they were weighed; sent twice it publishes once."""
    caller.need(COMMAND)
    try:
        data = json.loads(wanted.rules)
        envelope = Envelope(id=wanted.key or new_id(), command=COMMAND, data=data if isinstance(data, dict) else {})
        answer = await submit(store, store.engine.catalogue.request(envelope, caller.actor))
        if answer.error is not None:
            raise answer.error
    except ValueError:
        raise Invalid("request.invalid_json", "The rules are not JSON.") from None
    except Refusal as refused:
        return await run_in_threadpool(rules_page, store, caller, problem=refused)
    return RedirectResponse(f"/staff/scoring?published={answer.positions[-1]}", HTTPStatus.SEE_OTHER, SECURITY)


# --- the form ---


def text(form: FormData, name: str) -> str:
    """Return what was filled in, nothing for a file."""
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def texts(form: FormData, name: str) -> list[str]:
    """Return what was filled in, in each row."""
    return [value.strip() if isinstance(value, str) else "" for value in form.getlist(name)]


def read_number(value: str, what: str) -> float:
    """Return a number as people write it: 2, 2.5 or 2,5; raise Invalid."""
    try:
        found = float(value.replace(",", "."))
    except ValueError:
        raise Invalid("scoring.points_malformed", f"“{value[:40]}” for {what} is not a number.") from None
    return int(found) if found.is_integer() else found


def read_proposed_data(form: FormData, version: int) -> dict[str, Any]:
    """Return the data of scoring.publish, as pasted or as filled in; raise Invalid."""
    if pasted := text(form, "rules"):
        try:
            data = json.loads(pasted)
        except (ValueError, RecursionError):
            raise Invalid("request.invalid_json", "What was pasted is not JSON.") from None
        if not isinstance(data, dict):
            raise Invalid("command.wrong_type", "What was pasted is not a JSON object, the data of scoring.publish.")
        return data
    points = {topic: read_number(given, kind(topic)) for topic in WORDS if (given := text(form, f"points.{topic}"))}
    cap = text(form, "daily_cap")
    rows = zip(*(texts(form, name) for name in ("award", "title", "ground", "least")), strict=False)
    return {
        "version": version,
        "points": points,
        "daily_cap": read_number(cap, "the daily cap") if cap else None,
        "awards": [
            {"award": award, "title": title or award, "when": {ground: read_number(least or "0", f"“{award}”")}}
            for award, title, ground, least in rows
            if award
        ],
        "applies": text(form, "applies"),
    }


def as_filled(form: FormData) -> Filled:
    """Return the form as it was filled in, to be shown again."""
    rows = zip(*(texts(form, name) for name in ("award", "title", "ground", "least")), strict=False)
    return {
        "points": {topic: text(form, f"points.{topic}") for topic in WORDS},
        "daily_cap": text(form, "daily_cap"),
        "awards": [dict(zip(("award", "title", "ground", "least"), row, strict=True)) for row in rows],
        "applies": text(form, "applies"),
        "pasted": text(form, "rules"),
        **places(form),
    }


def places(form: FormData) -> dict[str, str]:
    """Return which board the rules are weighed on."""
    return {name: text(form, name) for name in ("campaign", "chapter")}


def filled_by(data: Filled) -> dict[str, Any]:
    """Return the form filled with the data of scoring.publish."""
    cap = data.get("daily_cap")
    return {
        "points": {topic: f"{value:g}" for topic, value in data["points"].items()},
        "daily_cap": "" if cap is None else f"{cap:g}",
        "awards": [
            {"award": each["award"], "title": each["title"], "ground": ground, "least": least}
            for each in data.get("awards", ())
            for ground, least in each["when"].items()
            if least is not None
        ],
        "applies": data["applies"],
        "pasted": "",
        "campaign": "",
        "chapter": "",
    }


def next_version(store: Groundswell) -> int:
    """Return the version that can be published next."""
    return published(store)[0].version + 1


# --- the page ---


def rules_page(
    store: Groundswell,
    caller: Caller,
    *,
    filled: Filled | None = None,
    found: ScoringPreview | None = None,
    data: Filled | None = None,
    problem: GroundswellError | None = None,
    done: int | None = None,
) -> HTMLResponse:
    """Render the rules, the form as it was filled in, and what was weighed or what was wrong."""
    versions = published(store)
    form = filled or filled_by(versions[0].model_dump() | {"applies": str(Applies.FROM_NOW)})
    others = [topic for topic in WORDS if topic not in USUAL]
    rows = [*form["awards"], *({"award": "", "title": "", "ground": "streak", "least": ""} for _ in range(SPARE))]
    return page(
        "scoring.html",
        caller,
        HTTPStatus.OK if problem is None else status_of(problem),
        versions=[_version(each) for each in versions],
        next=versions[0].version + 1,
        form=form,
        usual=[(topic, kind(topic, 1).capitalize()) for topic in USUAL],
        others=[(topic, kind(topic, 1).capitalize()) for topic in others],
        others_open=any(form["points"].get(topic) for topic in others),
        awards=rows,
        grounds=GROUNDS,
        found=found,
        top=_movers(found, found.top) if found else [],
        movers=_movers(found, found.movers) if found else [],
        topics=[(kind(each.topic).capitalize(), each.before, each.after) for each in found.topics] if found else [],
        data=json.dumps(data, ensure_ascii=False) if data else "",
        key=new_id(),
        may_publish=_may_publish(caller),
        problem=problem.message if problem else None,
        done=done,
        position=found.as_of if found else store.engine.log.head(),
        stale=False,
    )


def _version(rules: Rules) -> dict[str, Any]:
    return {
        "version": rules.version,
        "published_at": rules.published_at,
        "applies": "to all history" if rules.applies == Applies.TO_ALL_HISTORY else "from then on",
        "points": [(kind(topic, 1), value) for topic, value in rules.points.items()],
        "daily_cap": rules.daily_cap,
        "awards": [rule.title for rule in rules.awards],
    }


def _movers(found: ScoringPreview, movers: Sequence[WouldMove]) -> list[dict[str, Any]]:
    board = path_of(Board(Scope(found.board.scope), found.board.id))
    return [
        {
            "name": each.name,
            "link": f"/boards/{board}/entries/{each.id}",
            "rank": each.rank,
            "points": each.points,
            "reasons": [
                *(
                    f"{kind(t.topic)} {signed(round(t.after - t.before, 2))}"
                    for t in each.topics
                    if t.after != t.before
                ),
                *([f"the cap keeps back {each.capped:,}"] if each.capped else []),
                *(f"award {award}" for award in each.awards),
            ]
            or ["the points of others"],
        }
        for each in movers
    ]


def _may_publish(caller: Caller) -> bool:
    try:
        caller.need(COMMAND)
    except Forbidden:
        return False
    return True
