"""Collects what is said to people from the source; run as a module, it brings the catalogues up to it.

Messages are found by Babel wherever ``say``, ``count`` or ``mark`` is called with them: in modules that speak a
person's language, and in the templates of mails and of the pages behind their links.
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

from notifications.language import LOCALES, SOURCE, languages

ROOT: Final = Path(__file__).parent.parent
KEYWORDS: Final[dict[str, Any]] = {"say": None, "mark": None, "count": (1, 2)}
SPEAKS: Final = "notifications.language import"
TEMPLATES: Final = ("notifications/templates/*", "api/templates/base.html", "api/templates/mail_links/*")
_CODE: Final = re.compile(r"{[{%](.*?)[%}]}", re.DOTALL)


def sources() -> Iterator[tuple[str, str]]:
    """Yield (path within the project, Python code in it) of all that may say something, templates' code included."""
    modules = [*ROOT.glob("notifications/*.py"), *ROOT.glob("api/*.py"), *ROOT.glob("api/pages/*.py")]
    for path in sorted(modules):
        source = path.read_text("utf-8")
        if path.parent.name == "notifications" or SPEAKS in source:
            yield str(path.relative_to(ROOT)), source
    for wanted in TEMPLATES:
        for path in sorted(ROOT.glob(wanted)):
            yield str(path.relative_to(ROOT)), "\n".join(_CODE.findall(path.read_text("utf-8")))


def messages() -> Catalog:
    """Return all messages, in the order of the files they are found in."""
    found = Catalog(fuzzy=False)
    for name, source in sources():
        for _, message, _, _ in extract("python", io.BytesIO(source.encode()), KEYWORDS):
            found.add(message, locations=[(name, 0)])
    return found


def known(code: str) -> Catalog:
    """Return one language's catalogue as it stands."""
    with (LOCALES / code / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file, locale=code)


def updated(code: str) -> Catalog:
    """Return one language's catalogue with the messages of the source and no others; new ones are not translated.

    Its rule for plurals is that of the file: for Arabic GNU gettext's, whose forms are in the order of CLDR's
    categories (zero, one, two, few, many, other); Babel's own has the last two the other way round.
    """
    before, found = known(code), Catalog(locale=code, fuzzy=False)
    found.mime_headers = before.mime_headers
    for message in messages():
        if message.id:
            old = before.get(message.id)
            found.add(message.id, old.string if old else None)
    return found


def written(catalogue: Catalog) -> bytes:
    """Return a catalogue as a file."""
    file = io.BytesIO()
    write_po(file, catalogue, width=0, no_location=True, omit_header=True)
    catalogue_head = (
        'msgid ""\nmsgstr ""\n'
        f'"Language: {catalogue.locale}\\n"\n"MIME-Version: 1.0\\n"\n'
        '"Content-Type: text/plain; charset=utf-8\\n"\n"Content-Transfer-Encoding: 8bit\\n"\n'
        f'"Plural-Forms: {catalogue.plural_forms}\\n"\n\n'
    )
    return catalogue_head.encode() + file.getvalue().strip() + b"\n"


def main() -> None:
    """Write the catalogues anew, and say of how many messages a translation is missing."""
    for code in languages():
        if code != SOURCE:
            catalogue = updated(code)
            missing = [message.id for message in catalogue if message.id and not _translated(message.string)]
            (LOCALES / code / "LC_MESSAGES" / "messages.po").write_bytes(written(catalogue))
            print(f"{code}: {len(catalogue)} messages, {len(missing)} not translated")  # noqa: T201 - for who runs it
            for message in missing:
                print(f"  {message}")  # noqa: T201


def _translated(string: Any) -> bool:  # noqa: ANN401 - Babel's: a text, a tuple of texts, or nothing
    return all(string) if isinstance(string, tuple | list) else bool(string)


if __name__ == "__main__":
    main()
