"""The page of a person's mail preferences, behind a link in each mail: nobody signs in, and nothing changes on GET."""

import functools
from collections.abc import Sequence
from datetime import date, timedelta
from http import HTTPStatus
from typing import Annotated, Final, NamedTuple
from uuid import UUID
from zoneinfo import available_timezones

from babel import Locale
from fastapi import APIRouter, Depends, Form
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from api.bootstrap import Groundswell
from api.common import Store
from api.mail_links import act, known, limited
from api.pages.personal import shown
from api.receipts import surroundings
from domain.kernel import Invalid, check_zone, now
from domain.schedule import Frequency
from notifications.language import Language, languages, mark
from notifications.links import Link
from notifications.preferences import Preferences
from notifications.tokens import CHOOSING
from projections.campaigns import Campaigns
from projections.pledges import Pledges

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, dependencies=[Depends(limited)])

FREQUENCIES: Final = {
    Frequency.DAILY: mark("Every day"),
    Frequency.WEEKLY: mark("Every week"),
    Frequency.MONTHLY: mark("Every month"),
    Frequency.OFF: mark("Never"),
}
WHY_NONE: Final = {
    "bounced": mark("You get no digests: our mail to your address came back."),
    "complained": mark("You get no digests: our mail to you was reported as unwanted."),
    "no_consent": mark("You get no digests."),
    "unconfirmed": mark("You get no digests: your address is not confirmed."),
}
"""What is said where nothing that can be chosen on the page would bring a digest."""

PAUSE_OVER: Final = mark("A pause must end on a day after today.")
MARS: Final = ("Etc/", "SystemV/", "US/", "posix/", "right/")
"""Names of zones that are no places to live in, or another name of one that is."""


class Choices(BaseModel):
    """What the form holds; ``shown`` are the campaigns that could be muted on the page that was filled in."""

    frequency: Frequency
    weekday: str = ""
    hour: int
    time_zone: str
    language: str
    paused_until: str = ""
    public: bool = False
    shown: list[UUID] = []
    muted: list[UUID] = []


class Choice(NamedTuple):
    """One thing that can be chosen: its value, what it is called, and whether it is so."""

    value: str
    name: str
    is_so: bool


@router.get("/preferences/{token}")
def preferences(store: Store, token: str) -> HTMLResponse:
    """Show what a person has chosen."""
    return filled_in(store, known(store, token, *CHOOSING), token)


@router.post("/preferences/{token}")
def prefer(store: Store, token: str, form: Annotated[Choices, Form()]) -> HTMLResponse:
    """Do what a person chooses, each change by a command of their own; what is not changed is left alone."""
    link = known(store, token, *CHOOSING)
    try:
        wanted = chosen(link, form)
        act(store, lambda: store.notifications.links.prefer(token, wanted))
    except Invalid as error:
        if error.code != "supporter.pause_over":
            raise
        return filled_in(store, known(store, token, *CHOOSING), token, problem=PAUSE_OVER)
    return filled_in(store, known(store, token, *CHOOSING), token, said=mark("Your choice is saved."))


@router.post("/preferences/{token}/again")
def again(store: Store, token: str) -> HTMLResponse:
    """Let digests come again to a person who had stopped them, or whose mail came back."""
    act(store, lambda: store.notifications.links.resubscribe(token))
    link = known(store, token, *CHOOSING)
    return filled_in(store, link, token, said=mark("The digests come again."))


def chosen(link: Link, form: Choices) -> Preferences:
    """Return what the form asks for; raise Invalid where it holds what the page does not offer."""
    offered = form.language in languages() and form.weekday in {"", *"1234567"} and form.hour in range(24)
    if not offered:
        raise Invalid("preferences.not_offered", "That is not among the choices.")
    check_zone(form.time_zone)
    try:
        until = date.fromisoformat(form.paused_until) if form.paused_until else None
    except ValueError:
        raise Invalid("supporter.pause_over", PAUSE_OVER) from None
    if until is not None and until <= Language(None, form.time_zone).today(now()):
        raise Invalid("supporter.pause_over", PAUSE_OVER)  # before anything else on the form is done
    return Preferences(
        frequency=form.frequency,
        weekday=int(form.weekday) if form.weekday else None,
        hour=form.hour,
        time_zone=form.time_zone,
        language=form.language,
        paused_until=until,
        public=form.public,
        muted=frozenset(link.person.muted - {*form.shown} | {*form.muted}),
    )


def filled_in(store: Groundswell, link: Link, token: str, *, said: str = "", problem: str = "") -> HTMLResponse:
    """Return the page with what holds now, above it what was done or what is wrong."""
    person, language, moment = link.person, link.language, now()
    present = Preferences.of(person, moment)
    hindrance = person.hindrance
    return shown(
        "preferences",
        language,
        HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK,
        token=token,
        said=language.say(said) if said else None,
        problem=language.say(problem) if problem else None,
        why_none=language.say(WHY_NONE[hindrance]) if hindrance in WHY_NONE else None,
        may_return=hindrance in {"bounced", "complained", "no_consent"} and person.email_confirmed,
        frequencies=[Choice(one, language.say(name), one == present.frequency) for one, name in FREQUENCIES.items()],
        weekdays=weekdays(language, present.weekday),
        hours=[Choice(str(hour), f"{hour:02d}:00", hour == present.hour) for hour in range(24)],
        zones=[Choice(name, name.replace("_", " "), name == present.time_zone) for name in zones(present.time_zone)],
        languages=[Choice(code, called(code), code == present.language) for code in languages()],
        tomorrow=language.today(moment) + timedelta(days=1),
        paused_until=present.paused_until,
        public=present.public,
        campaigns=campaigns(store, link, present.muted),
    )


def weekdays(language: Language, present: int | None) -> Sequence[Choice]:
    """Return the days of the week; none means Monday, or the first of the month."""
    names = language.locale.days["stand-alone"]["wide"]
    any_day = Choice("", language.say("No matter which"), present is None)
    return [any_day, *(Choice(str(day), names[day - 1], day == present) for day in range(1, 8))]


@functools.cache
def places() -> tuple[str, ...]:
    """Return the time zones that people live in."""
    named = (name for name in available_timezones() if "/" in name and not name.startswith(MARS))
    return (*sorted(named), "UTC")


def zones(present: str) -> Sequence[str]:
    """Return the time zones to choose from, the present one among them."""
    return places() if present in places() else (present, *places())


@functools.cache
def called(code: str) -> str:
    """Return what a language calls itself."""
    return str(Locale.parse(code).get_display_name() or code)


def campaigns(store: Groundswell, link: Link, muted: frozenset[UUID]) -> Sequence[Choice]:
    """Return the campaigns that can be muted: those of the person's pledges, and those that are."""
    with store.reader.open([Pledges, Campaigns]) as views:
        rows = views[Pledges].of_supporter(views.connection, link.person.supporter)
        shared = surroundings(store, views)
        keys = dict.fromkeys([*(row.campaign for row in rows), *sorted(muted)])
        return [Choice(str(key), shared.title(key, link.language), key in muted) for key in keys]
