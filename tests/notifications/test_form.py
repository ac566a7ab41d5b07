"""The form of mails: structure, direction, dark mode, and how they look in a browser."""

import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image as Picture

from notifications import browsing, render, templating
from notifications.digest import Links
from notifications.language import FSI, PDI, Language
from notifications.previewing import Preview
from projections.leaderboards import Leaderboards
from tests.support.chromium import chromium
from tests.support.mails import ANNA, BASE, service, tell
from tests.support.store import KINDS, Store

DARK, LIGHT = 60, 200
LINKS = Links.of(BASE, "secret")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    kinds = tuple(dict.fromkeys((*KINDS, Leaderboards)))
    with Store(f"sqlite:///{tmp_path / 's.sqlite3'}", tmp_path, kinds=kinds) as opened:
        tell(opened)
        opened.run("campaigns.frame", campaign="listen", locale="ar", title="واحد وعشرون يومًا من الإصغاء")
        opened.run("supporters.set_visibility", supporter="anna", public=True, display_name="Anna")
        opened.run("officials.register", official="silva", name="Maria Silva")
        opened.run("policies.add_target", policy="bill", official="silva")
        opened.run("policies.record_position", policy="bill", official="silva", stance="leans_support")
        for number, day in enumerate((1, 1, 2, 4, 4, 4, 7)):
            opened.run("supporters.register", supporter=f"s{number}")
            at = f"2026-03-0{day}T10:00:00Z"
            opened.run("pledges.make", campaign="listen", ask="circle", supporter=f"s{number}", at=at)
        yield opened


def preview(store: Store, folder: Path, locale: str = "en") -> Preview:
    if locale != "en":
        store.run("supporters.amend", supporter="anna", locale=locale)
    store.catch_up()
    return service(store, folder).previews.of(ANNA)


class Outline(HTMLParser):
    """What a page consists of: elements with their attributes, and text, without what is only for the eye."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.parts: list[object] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.parts.append((tag, sorted(dict(attrs).items())))

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.parts.append(" ".join(data.split()))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.mark.parametrize("locale", ["en", "es", "pt", "ar"])
def test_css_inlined_once_is_the_same_as_in_each_mail(store: Store, tmp_path: Path, locale: str) -> None:
    content = preview(store, tmp_path, locale).content
    for most in (12, 1):
        values = render.values_of(content, LINKS, most)
        fast = templating.html("digest.html", values)
        slow = templating.inline(templating.HTML.from_string(templating.whole("digest.html")).render(values))
        assert Outline(fast).parts == Outline(slow).parts
        assert fast.count(" style=") > 20
    letter = render.confirmation(Language(locale), BASE, f"{BASE}/confirm/secret")
    assert Outline(letter.html).parts == Outline(templating.inline(letter.html)).parts
    assert "jinja" not in letter.html + fast


@pytest.mark.parametrize("locale", ["en", "ar"])
def test_the_structure_can_be_read_aloud(store: Store, tmp_path: Path, locale: str) -> None:
    found = preview(store, tmp_path, locale)
    outline = Outline(found.digest.html)
    tags = Counter(tag for tag, _ in outline.elements)
    assert (tags["main"], tags["h1"], tags["title"]) == (1, 1, 1)
    sections = found.content.sections(12)
    assert tags["h2"] == len(sections) == 8
    assert tags["li"] == sum(len(section.items) for section in sections)
    (html,) = outline.all("html")
    assert html == {"lang": locale, "dir": "rtl" if locale == "ar" else "ltr"}
    assert all(cell.get("scope") in {"row", "col"} for cell in outline.all("th"))
    assert tags["table"] == 3
    (image,) = outline.all("img")
    assert (image["width"], image["height"]) == ("280", "60")
    assert len(str(image["alt"])) > 40
    assert found.digest.html.index("<meta charset=") < found.digest.html.index("<style>")
    for _, href in ((a, str(a["href"])) for a in outline.all("a")):
        assert href.startswith(BASE)
    assert not tags["script"] + tags["form"] + tags["link"] + tags["iframe"]


def test_right_to_left_is_mirrored_and_what_others_wrote_stands_apart(store: Store, tmp_path: Path) -> None:
    english, arabic = preview(store, tmp_path), preview(store, tmp_path, "ar")
    assert english.digest.images != arabic.digest.images
    assert 'align="left"' in english.digest.html
    assert re.search(r'<th scope="row" align="right"', arabic.digest.html)
    assert f"{FSI}Ten minutes of listening a day{PDI}" in arabic.digest.html
    assert "\u2068" not in english.digest.html + english.digest.text
    for line in arabic.digest.text.splitlines():
        assert not line or line.startswith(render.RLM) or line.strip().startswith("https://")
    assert render.RLM not in english.digest.text
    assert not re.search("[\u200e\u200f\u2066-\u2069]", arabic.digest.subject)


def test_it_says_for_the_dark_what_every_color_becomes(store: Store, tmp_path: Path) -> None:
    html = preview(store, tmp_path).digest.html
    assert '<meta name="color-scheme" content="light dark">' in html
    sheet = html[html.index("<style>") : html.index("</style>")]
    dark = sheet[sheet.index("prefers-color-scheme: dark") :]
    light = sheet[: sheet.index("@media")] + "".join(re.findall(r'style="([^"]*)"', html))
    assert "!important" in dark
    for about in ("body", ".card", "h1", "h2", "p.detail", ".foot", "p.what a", "td.change", "p.caption"):
        assert about in dark, about
    assert "#ffffff" in light


def test_the_text_says_what_the_html_says(store: Store, tmp_path: Path) -> None:
    found = preview(store, tmp_path)
    shown = " ".join(part for part in Outline(found.digest.html).parts if isinstance(part, str))
    for item in found.digest.items:
        for said in (item.text, *(item.detail or "").split("\n"), *(f.value for f in item.figures), item.link or ""):
            assert said in found.digest.text
            assert said in shown + found.digest.html
    (chart,) = [item.chart for item in found.digest.items if item.chart]
    assert chart.alt in found.digest.text
    assert chart.alt in found.digest.html


# --- in a browser ---


def brightness(path: Path, x: int, y: int) -> int:
    with Picture.open(path) as picture:
        return picture.convert("L").crop((x, y, x + 1, y + 1)).tobytes()[0]


@pytest.mark.parametrize("locale", ["en", "ar"])
def test_it_looks_right_in_the_light_and_in_the_dark(store: Store, tmp_path: Path, locale: str) -> None:
    browser = chromium(tmp_path)
    html = browsing.opened(preview(store, tmp_path, locale).message).html
    direction = "rtl" if locale == "ar" else "ltr"
    for width in (360, 1_280):
        light = browser.picture(f"digest-{direction}-light-{width}", html, width=width)
        dark = browser.picture(f"digest-{direction}-dark-{width}", html, width=width, dark=True)
        for at in ((2, 2), (width // 2, 64)):  # the ground, and the card on it
            assert brightness(light, *at) > LIGHT
            assert brightness(dark, *at) < DARK
    for width in (320, 360):
        assert browser.width(html, width=width) <= width
