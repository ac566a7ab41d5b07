"""The templates of mails: their CSS is inlined once, when a template is loaded, and not in each mail.

What Jinja2 would put in is hidden from the inliner meanwhile: statements behind comments, which may stand between any
two elements, and values behind words without a meaning in HTML. Rendering then gives what inlining the rendered mail
would give, at a hundredth of the time; a test holds the two together.
"""

import functools
import re
from pathlib import Path
from typing import Any, Final

import css_inline
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

FOLDER: Final = Path(__file__).parent / "templates"
LAYOUT: Final = "layout.html"

_BLOCK: Final = re.compile(r"{% block (\w+) %}(.*?){% endblock %}", re.DOTALL)
_JINJA: Final = re.compile(r"{%.*?%}|{{.*?}}", re.DOTALL)
_STYLE_FIRST: Final = re.compile(r"<head>(<style>.*?</style>)(.*?)</head>", re.DOTALL)
_HIDDEN: Final = re.compile(r"<!--jinja(\d+)-->|jinja(\d+)x")

_loader: Final = FileSystemLoader(FOLDER)
HTML: Final = Environment(
    loader=_loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_text: Final = Environment(
    loader=_loader,
    autoescape=False,  # noqa: S701 - plain text has nothing to escape
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_inliner: Final = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)


def html(template: str, values: dict[str, Any]) -> str:
    """Render a mail's HTML with inlined CSS."""
    return _inlined(template).render(values)


def text(template: str, values: dict[str, Any]) -> str:
    """Render a mail's text, without spaces at the ends of lines."""
    lines = _text.get_template(template).render(values).replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).strip() + "\n"


def inline(document: str) -> str:
    """Return an HTML document with its CSS in the elements; what only a style sheet can say stays in one.

    It stands last in the head: the inliner puts it first, before the declaration of the character set.
    """
    return _STYLE_FIRST.sub(r"<head>\2\1</head>", _inliner.inline(document), count=1)


def whole(template: str) -> str:
    """Return the source of a template with the layout around it."""
    layout, own = ((FOLDER / name).read_text("utf-8") for name in (LAYOUT, template))
    blocks = {name: body.strip("\n") for name, body in _BLOCK.findall(own)}
    return _BLOCK.sub(lambda block: blocks[block[1]], layout)


@functools.cache
def _inlined(template: str) -> Template:
    hidden: list[str] = []

    def hide(found: re.Match[str]) -> str:
        hidden.append(found[0])
        number = len(hidden) - 1
        return f"<!--jinja{number}-->" if found[0].startswith("{%") else f"jinja{number}x"

    document = inline(_JINJA.sub(hide, whole(template)))
    return HTML.from_string(_HIDDEN.sub(lambda found: hidden[int(found[1] or found[2])], document))
