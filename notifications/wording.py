"""What went wrong with a connection, in words for people: without the numbers and names that only programs know."""

import re
from typing import Final

_MARKS: Final = re.compile(r"\[(?:Errno|SSL|WinError)[^\]]*\]\s*|\s*\(_ssl\.c:\d+\)")
_NOBODY: Final = (ConnectionRefusedError, TimeoutError)


def worded(error: Exception, where: str | None = None) -> str:
    """Return why a connection (to ``host:port``) failed, as the end of a sentence."""
    if where is not None and isinstance(error, _NOBODY):
        return f"nothing answers at {where}"
    said = error.args[-1] if error.args else error
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    return " ".join(_MARKS.sub("", text).split()).rstrip(".") or type(error).__name__
