"""What the pages share that can be seen as of a point of history: the banner, the form, and links that keep it."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from api.bootstrap import Groundswell
from api.standings import recorded_at
from projections.views import AsOf


@dataclass(frozen=True)
class Past:
    """The point that a page shows; ``recorded`` is when the event at its position was."""

    as_of: AsOf
    position: int
    recorded: datetime | None
    here: str
    kept: dict[str, str]

    @property
    def point(self) -> dict[str, str]:
        """The query that asks for it, empty for the present."""
        found = {}
        if self.as_of.position is not None:
            found["as_of"] = str(self.as_of.position)
        if self.as_of.occurred_by is not None:
            found["occurred_by"] = self.as_of.occurred_by.isoformat().replace("+00:00", "Z")
        return found

    @property
    def present(self) -> str:
        """The same page as it is now."""
        return self._link(self.kept)

    @property
    def keep(self) -> str:
        """What a link to another page ends with, so that it keeps the point."""
        return f"?{urlencode(self.point)}" if self.point else ""

    def link(self, **changed: str) -> str:
        """The same page with something changed, at the same point."""
        return self._link(self.kept | changed | self.point)

    def _link(self, query: dict[str, str]) -> str:
        return f"{self.here}?{urlencode(query)}" if query else self.here


def past(store: Groundswell, as_of: AsOf, position: int, here: str, **kept: str) -> Past:
    """Return what a page at the address ``here`` says of the point it shows; ``kept`` is the rest of its query."""
    recorded = None if as_of.position is None else recorded_at(store, position)
    return Past(as_of, position, recorded, here, kept)
