"""Renders what is said to a person: HTML with inlined CSS, and a text that says the same."""

from pathlib import Path
from typing import Any, Final

import css_inline
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from notifications.digest import Content, Digest, Links
from notifications.language import Language
from notifications.mime import Letter

LARGEST: Final = 100_000
"""Bytes of HTML; above 102 KB mail programs cut a message off."""

ROOM: Final = (12, 6, 3, 1)
"""How many items of each subject are shown, tried in turn until the digest is small enough."""

CONFIRM_DAYS: Final = 14

_folder: Final = FileSystemLoader(Path(__file__).parent / "templates")
_html: Final = Environment(
    loader=_folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_text: Final = Environment(
    loader=_folder,
    autoescape=False,  # noqa: S701 - plain text has nothing to escape
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_inliner: Final = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)


def digest(content: Content, links: Links) -> Digest:
    """Render a digest, with fewer items where it would become too large."""
    for most in ROOM:
        values: dict[str, Any] = {
            "language": content.language,
            "subject": content.subject,
            "greeting": content.greeting,
            "sections": content.sections(most),
            "covers": content.covers,
            "base_url": links.base_url,
            "links": links,
        }
        html = _inlined("digest.html", values)
        if len(html.encode()) <= LARGEST:
            break
    return Digest(content.subject, html, _plain("digest.txt", values), content.items)


def confirmation(language: Language, base_url: str, confirm_url: str) -> Letter:
    """Render the mail that asks whether an address is the person's own. It repeats nothing that was typed in a form."""
    values: dict[str, Any] = {
        "language": language,
        "subject": language.say("Please confirm your address"),
        "base_url": base_url,
        "confirm_url": confirm_url,
        "days": CONFIRM_DAYS,
    }
    html, text = _inlined("confirm.html", values), _plain("confirm.txt", values)
    return Letter(values["subject"], html, text, language.tag, kind="confirm")


def _inlined(template: str, values: dict[str, Any]) -> str:
    return _inliner.inline(_html.get_template(template).render(values))


def _plain(template: str, values: dict[str, Any]) -> str:
    lines = _text.get_template(template).render(values).replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).strip() + "\n"
