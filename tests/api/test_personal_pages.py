"""The pages that links in mails lead to: in whose language they are, what they say when something fails, their look."""

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from pathlib import Path

import pytest
from fastapi import Request
from httpx2 import Response

from api.limits import Limiter
from api.pages.personal import accepted
from api.pages.rendering import HERE
from domain.kernel import identify, now
from notifications.recipients import Recipient, load
from notifications.tokens import Purpose, Token, keep, new
from tests.api.conftest import Api
from tests.support.chromium import chromium
from tests.support.postgres import running_server

ANNA = identify("supporter", "anna")
DEAD = ("/confirm/nothing", "/unsubscribe/nothing", "/preferences/nothing", "/receipts/nothing", "/mail/nothing")


def register(api: Api, locale: str | None = None) -> None:
    api.run("supporters.register", supporter="anna", email="anna@example.org", locale=locale, source="pledge-form")


def person(api: Api) -> Recipient:
    found = load(api.groundswell.engine.log, ANNA)
    assert found is not None
    return found


def secret(api: Api, purpose: Purpose, *, ago: timedelta = timedelta()) -> str:
    made = new()
    with api.groundswell.engine.database.write() as connection:
        keep(connection, {made: Token(purpose, ANNA, person(api).email_version)}, now() - ago)
    return made


def get(api: Api, path: str, languages: str = "") -> Response:
    return api.client.get(path, headers={"Accept": "text/html", "Accept-Language": languages})


def post(api: Api, path: str, languages: str = "", **data: str) -> Response:
    return api.client.post(path, data=data, headers={"Accept": "text/html", "Accept-Language": languages})


# --- languages ---


@pytest.mark.parametrize(
    ("header", "tag"),
    [
        ("", "en"),
        ("ar", "ar"),
        ("es-MX,es;q=0.9,en;q=0.8", "es-MX"),
        ("de, fr;q=0.9, pt;q=0.5, *;q=0.1", "pt"),
        ("en;q=0.2, pt-BR;q=0.7", "pt-BR"),
        ("es;q=0, *", "en"),
        ("es;q=x, ar;q=0.1", "ar"),
        ("de-DE, *;q=0.5", "en"),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}s; <b>, es\0", "en"),
        ("es," * 10_000, "es"),
    ],
)
def test_a_page_is_in_the_language_that_the_browser_likes_best(header: str, tag: str) -> None:
    request = Request({"type": "http", "headers": [(b"accept-language", header.encode("latin-1"))]})
    assert accepted(request).tag == tag


@pytest.mark.parametrize("path", DEAD)
def test_a_dead_link_speaks_the_browsers_language(sqlite_api: Api, path: str) -> None:
    page = get(sqlite_api, path, "ar-EG, en;q=0.5")
    assert page.status_code == 404
    assert '<html lang="ar-EG" dir="rtl">' in page.text
    assert "لم تعد هذه الوصلة صالحة" in page.text
    assert "أحدث رسائلنا" in page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "This link is no longer good" in get(sqlite_api, path).text


def test_a_dead_link_that_is_pressed_speaks_the_browsers_language(sqlite_api: Api) -> None:
    assert "Esta ligação já não é válida" in post(sqlite_api, "/unsubscribe/nothing", "pt").text
    assert "Esta ligação já não é válida" in post(sqlite_api, "/confirm/nothing", "pt").text


def test_all_around_the_page_is_in_the_persons_language_too(sqlite_api: Api) -> None:
    register(sqlite_api, "ar")
    for path in (f"/confirm/{secret(sqlite_api, Purpose.CONFIRM)}", f"/preferences/{secret(sqlite_api, Purpose.MAIL)}"):
        page = get(sqlite_api, path, "es").text
        assert '<html lang="ar" dir="rtl">' in page
        around = re.sub(r"<main.*</main>|<[^>]*>|Groundswell|API", " ", page.partition("<body>")[2], flags=re.DOTALL)
        assert not re.search("[A-Za-z]", unescape(around)), around
        assert 'aria-label="الموقع"' in page


def test_programs_are_answered_as_ever(sqlite_api: Api) -> None:
    answer = sqlite_api.client.get("/confirm/nothing", headers={"Accept-Language": "ar"})
    assert (answer.status_code, answer.json()["code"]) == (404, "mail_link.unknown")


# --- choosing before the first digest ---


def to_preferences(page: Response) -> str:
    (path,) = re.findall(r'href="(/preferences/[\w-]+)"', page.text)
    return str(path)


def test_who_confirms_may_choose_at_once_how_digests_come(api: Api) -> None:
    register(api, "es")
    link = f"/confirm/{secret(api, Purpose.CONFIRM)}"
    path = to_preferences(post(api, link, digest="yes"))
    assert get(api, path).status_code == 200
    form = {"frequency": "daily", "weekday": "", "hour": "19", "time_zone": "Asia/Tokyo", "language": "ar"}
    assert "rtl" in post(api, path, **form).text
    chosen = person(api)
    assert (chosen.frequency, chosen.hour, chosen.time_zone, chosen.locale) == ("daily", 19, "Asia/Tokyo", "ar")
    assert get(api, path.replace("preferences", "unsubscribe")).status_code == 200
    assert get(api, path.replace("preferences", "receipts")).status_code == 200
    assert person(api).hindrance is None
    assert post(api, path.replace("preferences", "unsubscribe")).status_code == 200
    assert person(api).hindrance == "no_consent"
    assert post(api, f"{path}/again").status_code == 200
    assert person(api).hindrance is None
    assert to_preferences(post(api, link, digest="yes")) != path


def test_who_wants_no_digest_is_not_asked_how_it_shall_come(sqlite_api: Api) -> None:
    register(sqlite_api)
    page = post(sqlite_api, f"/confirm/{secret(sqlite_api, Purpose.CONFIRM)}", digest="no")
    assert page.status_code == 200
    assert "/preferences/" not in page.text


def test_that_link_is_good_for_a_day_and_neither_confirms_nor_shows_a_mail(sqlite_api: Api) -> None:
    api = sqlite_api
    register(api)
    fresh = secret(api, Purpose.PREFERENCES, ago=timedelta(hours=23))
    assert get(api, f"/preferences/{fresh}").status_code == 200
    assert get(api, f"/confirm/{fresh}").status_code == 404
    assert get(api, f"/mail/{fresh}").status_code == 404
    assert get(api, f"/preferences/{secret(api, Purpose.PREFERENCES, ago=timedelta(hours=25))}").status_code == 404
    api.run("supporters.amend", supporter="anna", email="other@example.org")
    assert get(api, f"/preferences/{fresh}").status_code == 404


# --- failures ---

LIVES = {"confirm": (Purpose.CONFIRM, Purpose.MAIL, 14), "preferences": (Purpose.MAIL, Purpose.CONFIRM, 400)}
FORM = {"frequency": "daily", "weekday": "", "hour": "9", "time_zone": "UTC", "language": "en", "digest": "yes"}


@pytest.mark.parametrize("page", LIVES)
def test_an_expired_link_one_for_something_else_and_a_wrong_one_say_so_and_change_nothing(api: Api, page: str) -> None:
    register(api)
    purpose, other, days = LIVES[page]
    before = person(api).version
    almost = secret(api, purpose, ago=timedelta(days=days, minutes=-1))
    assert get(api, f"/{page}/{almost}").status_code == 200
    for wrong in (
        secret(api, purpose, ago=timedelta(days=days, minutes=1)),
        secret(api, other),
        f"{almost}x",
        "x" * 5_000,
    ):
        for answer in (get(api, f"/{page}/{wrong}"), post(api, f"/{page}/{wrong}", **FORM)):
            assert answer.status_code == 404
            assert "This link is no longer good" in answer.text
            assert "The links in our newest mail work." in answer.text
            assert "mail_link.unknown" in answer.text
            assert "anna" not in answer.text.lower()
    assert person(api).version == before


@pytest.mark.parametrize("page", LIVES)
def test_a_link_that_was_used_can_be_used_again_and_does_nothing_twice(api: Api, page: str) -> None:
    register(api)
    path = f"/{page}/{secret(api, LIVES[page][0])}"
    assert post(api, path, **FORM).status_code == 200
    version = person(api).version
    assert version > 1
    assert (get(api, path).status_code, post(api, path, **FORM).status_code) == (200, 200)
    assert person(api).version == version


@pytest.mark.parametrize("page", LIVES)
def test_while_the_store_is_away_the_page_says_so_and_nothing_is_lost(new_api: Callable[[str], Api], page: str) -> None:
    with running_server(durable=True) as server, server.new_database() as url:
        api = new_api(url)
        register(api)
        path = f"/{page}/{secret(api, LIVES[page][0])}"
        with server.away():
            for answer in (get(api, path, "es"), post(api, path, "es", **FORM)):
                assert answer.status_code == 503
                assert answer.headers["Retry-After"] == "1"
                assert '<html lang="es" dir="ltr">' in answer.text
                assert "Tu enlace sigue sirviendo" in answer.text
                assert f'href="{path}"' in answer.text
        assert get(api, path).status_code == 200
        assert person(api).version == 1
        assert post(api, path, **FORM).status_code == 200
        assert person(api).version > 1


def test_who_asks_too_often_is_asked_to_wait(sqlite_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.mail_links.PER_CLIENT", Limiter(1, 60))
    assert get(sqlite_api, "/preferences/nothing").status_code == 404
    answer = post(sqlite_api, "/preferences/nothing/again", "es")
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert "espera un poco" in answer.text
    assert 'href="/preferences/nothing"' in answer.text


def test_what_the_page_does_not_offer_is_said_in_the_browsers_language(sqlite_api: Api) -> None:
    register(sqlite_api)
    path = f"/preferences/{secret(sqlite_api, Purpose.MAIL)}"
    for wrong in ({"hour": "25"}, {"hour": "x"}):
        answer = post(sqlite_api, path, "pt", **FORM | wrong)
        assert answer.status_code == 422
        assert "Isso não está entre as opções" in answer.text


@pytest.mark.parametrize("locale", ["en", "ar"])
def test_they_fit_a_phone(sqlite_api: Api, tmp_path: Path, locale: str) -> None:
    api, browser = sqlite_api, chromium(tmp_path)
    register(api, locale)
    css = f"<style>{(HERE / 'static' / 'groundswell.css').read_text()}</style>"
    confirm = f"/confirm/{secret(api, Purpose.CONFIRM)}"
    pages = {
        "dead-link": get(api, "/confirm/nothing", locale),
        "confirm": get(api, confirm),
        "confirmed": post(api, confirm, digest="yes"),
        "stopped": post(api, f"/unsubscribe/{secret(api, Purpose.MAIL)}"),
    }
    for name, answer in pages.items():
        page = re.sub(r"<link [^>]*groundswell.css[^>]*>", lambda _: css, answer.text)
        assert "<style>" in page
        assert browser.width(page, width=360) <= 360
        for width in (500, 1_280):
            path = browser.picture(f"{name}-{locale}-{width}", page, width=width, height=900)
            assert path.stat().st_size > 5_000
