"""The page of mail preferences: behind a link, without signing in, and nothing changes on GET."""

import re
from datetime import date, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from api import preferences
from api.pages.rendering import HERE
from domain.kernel import identify, now
from domain.supporters import Undeliverable
from history.tables import events
from notifications.recipients import Recipient, load
from notifications.tokens import Purpose, Token, keep, new
from tests.api.conftest import Api
from tests.support.chromium import chromium

ANNA = identify("supporter", "anna")
LISTEN, WALK = (str(identify("campaign", name)) for name in ("listen", "walk"))
HTML = {"Accept": "text/html"}


@pytest.fixture
def anna(api: Api) -> Api:
    """A store in which Anna gets digests and has pledged to one of two campaigns."""
    for campaign in ("listen", "walk"):
        api.run("campaigns.draft", campaign=campaign, title=f"We {campaign} <together>")
        api.run("campaigns.add_ask", campaign=campaign, ask="circle", statement="A circle", kind="once")
        api.run("campaigns.launch", campaign=campaign)
    api.run("supporters.register", supporter="anna", email="anna@example.org", name="Anna", time_zone="Asia/Tokyo")
    api.run("supporters.confirm_email", supporter="anna")
    api.run("supporters.consent", supporter="anna", topic="digest", granted=True, wording="Yes.")
    api.run("supporters.set_visibility", supporter="anna", public=False, display_name="A.")
    api.run("pledges.make", campaign="listen", ask="circle", supporter="anna")
    return api


def person(api: Api) -> Recipient:
    found = load(api.groundswell.engine.log, ANNA)
    assert found is not None
    return found


def link(api: Api) -> str:
    """Return the path of Anna's preferences."""
    secret = new()
    with api.groundswell.engine.database.write() as connection:
        keep(connection, {secret: Token(Purpose.MAIL, ANNA, person(api).email_version)}, now())
    return f"/preferences/{secret}"


def filled(page: str) -> dict[str, Any]:
    """Return what a browser would send of the page's form."""
    form = re.findall(r'<form method="post" action="/preferences/[^/"]+">(.*?)</form>', page, re.DOTALL)[0]
    sent: dict[str, Any] = {}
    for name, options in re.findall(r'<select [^>]*name="(\w+)"[^>]*>(.*?)</select>', form, re.DOTALL):
        (sent[name],) = re.findall(r'<option value="([^"]*)" selected>', options)
    for given in re.findall(r"<input ([^>]*)>", form):
        attributes = dict(re.findall(r'(\w+)="([^"]*)"', given))
        if attributes["type"] != "checkbox":
            sent.setdefault(attributes["name"], []).append(attributes.get("value", ""))
        elif given.endswith(" checked"):
            sent.setdefault(attributes["name"], []).append(attributes["value"])
    return sent


def topics(api: Api, after: int) -> list[str]:
    """Return what happened to Anna since a version, each done by herself."""
    facts = api.groundswell.engine.log.facts(0, 100, events.c.stream_id == ANNA, events.c.version > after)
    assert {str(fact.actor) for fact in facts} <= {f"supporter:{ANNA}"}
    return [fact.topic for fact in facts]


def test_what_is_shown_is_what_holds_and_saving_it_changes_nothing(anna: Api) -> None:
    path, before = link(anna), person(anna).version
    for _ in range(3):  # scanners
        page = anna.client.get(path, headers=HTML)
        assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "<script" not in page.text
    form = filled(page.text)
    assert form == {
        "frequency": "weekly", "weekday": "", "hour": "8", "time_zone": "Asia/Tokyo", "language": "en",
        "paused_until": [""], "shown": [LISTEN],
    }  # fmt: skip
    assert "We listen &lt;together&gt;" in page.text
    answer = anna.client.post(path, data=form)
    assert (answer.status_code, "Your choice is saved." in answer.text) == (200, True)
    assert person(anna).version == before


@pytest.mark.parametrize(
    ("choice", "topic", "holds"),
    [
        ({"frequency": "daily"}, "DigestSet", {"frequency": "daily", "hour": 8, "weekday": None}),
        ({"weekday": "5"}, "DigestSet", {"frequency": "weekly", "weekday": 5}),
        ({"hour": "19"}, "DigestSet", {"hour": 19}),
        ({"frequency": "off"}, "DigestSet", {"frequency": "off", "hindrance": "frequency_off"}),
        ({"time_zone": "Europe/Lisbon"}, "Amended", {"time_zone": "Europe/Lisbon", "email": "anna@example.org"}),
        ({"language": "es"}, "Amended", {"locale": "es", "name": "Anna"}),
        ({"paused_until": "2090-01-01"}, "DigestPaused", {"paused_until": date(2090, 1, 1)}),
        ({"public": "yes"}, "VisibilitySet", {"public": True, "display_name": "A."}),
        ({"muted": LISTEN}, "CampaignMuted", {"muted": {identify("campaign", "listen")}}),
    ],
)
def test_each_choice_is_one_event_of_the_persons_own_and_can_be_taken_back(
    anna: Api, choice: dict[str, str], topic: str, holds: dict[str, Any]
) -> None:
    path, before = link(anna), person(anna).version
    form = filled(anna.client.get(path).text)
    page = anna.client.post(path, data=form | choice)
    assert page.status_code == 200
    assert topics(anna, before) == [f"supporters.{topic}"]
    assert {name: getattr(person(anna), name) for name in holds} == holds
    assert filled(page.text).items() >= {name: value if name in form and name != "paused_until" else [value]
                                         for name, value in choice.items()}.items()  # fmt: skip
    assert anna.client.post(path, data=form).status_code == 200
    assert filled(anna.client.get(path).text) == form
    assert len(topics(anna, before)) == 2


def test_all_at_once_and_in_the_persons_language(anna: Api) -> None:
    path, before = link(anna), person(anna).version
    form = filled(anna.client.get(path).text)
    page = anna.client.post(
        path, data=form | {"frequency": "monthly", "weekday": "2", "language": "ar", "muted": LISTEN}
    )
    assert '<html lang="ar" dir="rtl">' in page.text
    assert "الثلاثاء" in page.text
    assert topics(anna, before) == ["supporters.DigestSet", "supporters.Amended", "supporters.CampaignMuted"]


def test_a_campaign_that_is_not_on_the_page_stays_muted(anna: Api) -> None:
    path = link(anna)
    form = filled(anna.client.get(path).text)
    anna.run("supporters.mute_campaign", supporter="anna", campaign="walk")
    assert anna.client.post(path, data=form | {"muted": LISTEN}).status_code == 200
    assert {str(one) for one in person(anna).muted} == {LISTEN, WALK}


def test_a_locale_that_is_finer_than_our_language_is_kept(anna: Api) -> None:
    anna.run("supporters.amend", supporter="anna", locale="es-MX")
    path, before = link(anna), person(anna).version
    page = anna.client.get(path).text
    assert '<html lang="es-MX" dir="ltr">' in page
    anna.client.post(path, data=filled(page))
    assert person(anna).version == before


@pytest.mark.parametrize("days", [-1, 0])
def test_a_pause_that_would_be_over_is_said_to_be_so(anna: Api, days: int) -> None:
    path, before = link(anna), person(anna).version
    until = now().astimezone(ZoneInfo("Asia/Tokyo")).date() + timedelta(days=days)
    form = filled(anna.client.get(path).text)
    page = anna.client.post(path, data=form | {"paused_until": str(until), "frequency": "monthly", "language": "es"})
    assert page.status_code == 422
    assert "A pause must end on a day after today." in page.text
    assert person(anna).version == before
    assert "A pause must" in anna.client.post(path, data=form | {"paused_until": "tomorrow"}).text


@pytest.mark.parametrize(
    "choice",
    [
        {"frequency": "hourly"},
        {"weekday": "8"},
        {"weekday": "x"},
        {"hour": "24"},
        {"hour": "x"},
        {"time_zone": "Mars/Base"},
        {"language": "xx"},
        {"muted": "x"},
        {"muted": str(identify("campaign", "nowhere"))},
    ],
)
def test_what_the_page_does_not_offer_is_refused_and_nothing_changes(anna: Api, choice: dict[str, str]) -> None:
    path, before = link(anna), person(anna).version
    form = filled(anna.client.get(path).text)
    assert anna.client.post(path, data=form | choice).status_code in {404, 422}
    assert person(anna).version == before


def test_who_stopped_everything_can_have_it_come_again(anna: Api) -> None:
    path = link(anna)
    stop = path.replace("preferences", "unsubscribe")
    assert f'action="{stop}"' in anna.client.get(path).text
    assert path in anna.client.post(stop).text
    assert person(anna).hindrance == "no_consent"
    page = anna.client.get(path).text
    assert "You get no digests." in unescape(page)
    assert f'action="{path}/again"' in page
    assert "The digests come again." in anna.client.post(f"{path}/again").text
    assert person(anna).hindrance is None
    version = person(anna).version
    assert anna.client.post(f"{path}/again").status_code == 200
    assert person(anna).version == version


@pytest.mark.parametrize("cause", list(Undeliverable))
def test_whoever_reads_mail_at_an_address_it_came_back_from_can_have_it_again(anna: Api, cause: Undeliverable) -> None:
    path = link(anna)
    anna.run("supporters.suppress_mail", supporter="anna", cause=str(cause))
    assert "our mail to" in anna.client.get(path).text
    anna.client.post(f"{path}/again")
    assert person(anna).hindrance is None


def test_the_links_of_others_change_nothing(anna: Api) -> None:
    confirm = new()
    with anna.groundswell.engine.database.write() as connection:
        keep(connection, {confirm: Token(Purpose.CONFIRM, ANNA, person(anna).email_version)}, now())
    for secret in ("nonsense", confirm):
        assert anna.client.get(f"/preferences/{secret}").status_code == 404
        assert anna.client.post(f"/preferences/{secret}/again").status_code == 404
        form = {"frequency": "off", "hour": "8", "time_zone": "UTC", "language": "en"}
        assert anna.client.post(f"/preferences/{secret}", data=form).status_code == 404


def test_every_zone_of_a_person_can_be_chosen() -> None:
    assert {"Europe/Lisbon", "America/Argentina/Ushuaia", "Pacific/Auckland", "UTC"} <= set(preferences.places())
    assert preferences.zones("EST5EDT")[0] == "EST5EDT"
    assert len(preferences.zones("UTC")) == len(set(preferences.zones("UTC")))


@pytest.mark.parametrize("locale", ["en", "es", "ar", "pt"])
def test_it_fits_a_phone(anna: Api, tmp_path: Path, locale: str) -> None:
    browser = chromium(tmp_path)
    anna.run("supporters.amend", supporter="anna", locale=locale)
    css = f"<style>{(HERE / 'static' / 'groundswell.css').read_text()}</style>"
    page = re.sub(r"<link [^>]*groundswell.css[^>]*>", lambda _: css, anna.client.get(link(anna)).text)
    assert "<style>" in page
    assert browser.width(page, width=360) <= 360
    for width in (500, 1_280):
        assert browser.picture(f"preferences-{locale}-{width}", page, width=width).stat().st_size > 10_000
