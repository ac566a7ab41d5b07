"""Renders what is said to a person: HTML with inlined CSS, and a text that says the same."""

from typing import Any, Final

from notifications import templating
from notifications.digest import Content, Digest, Links
from notifications.language import Language, mark
from notifications.mime import Letter

LARGEST: Final = 100_000
"""Bytes of HTML; above 102 KB mail programs cut a message off."""

ROOM: Final = (12, 6, 3, 1)
"""How many items of each subject are shown, tried in turn until the digest is small enough."""

CONFIRM_DAYS: Final = 14

RLM: Final = "\N{RIGHT-TO-LEFT MARK}"
NOW, CHANGE = mark("now"), mark("change")


def digest(content: Content, links: Links) -> Digest:
    """Render a digest, with fewer items where it would become too large."""
    for most in ROOM:
        values = values_of(content, links, most)
        html = templating.html("digest.html", values)
        if len(html.encode()) <= LARGEST:
            break
    text = directed(templating.text("digest.txt", values), content.language)
    return Digest(content.subject, html, text, content.items, content.images(most))


def letter(digest: Digest, content: Content, links: Links | None, period: str) -> Letter:
    """Return a digest as it is mailed; without links, as one that nobody subscribed to."""
    return Letter(
        digest.subject,
        digest.html,
        digest.text,
        content.language.tag,
        links.unsubscribe if links else None,
        period=period,
        images=digest.images,
    )


def values_of(content: Content, links: Links, most: int) -> dict[str, Any]:
    """Return what the templates of a digest put in, of each subject at most so many items."""
    language = content.language
    return {
        "language": language,
        "subject": content.subject,
        "heading": content.heading,
        "greeting": content.greeting,
        "sections": content.sections(most),
        "covers": content.covers,
        "base_url": links.base_url,
        "links": links,
        "words": {"now": language.say(NOW), "change": language.say(CHANGE)},
        "start": "left" if language.direction == "ltr" else "right",
    }


def confirmation(language: Language, base_url: str, confirm_url: str) -> Letter:
    """Render the mail that asks whether an address is the person's own. It repeats nothing that was typed in a form."""
    values: dict[str, Any] = {
        "language": language,
        "subject": language.say("Please confirm your address"),
        "base_url": base_url,
        "confirm_url": confirm_url,
        "days": CONFIRM_DAYS,
    }
    text = directed(templating.text("confirm.txt", values), language)
    return Letter(values["subject"], templating.html("confirm.html", values), text, language.tag, kind="confirm")


def directed(text: str, language: Language) -> str:
    """Return a text whose lines run as the language does, whatever they begin with; addresses stay as they are."""
    if language.direction == "ltr":
        return text
    lines = text.split("\n")
    return "\n".join(line if not line or line.lstrip().startswith("http") else f"{RLM}{line}" for line in lines)
