"""What all digests of a run share: campaigns, asks, policies and chapters, each read once, and how they moved."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote
from uuid import UUID

from domain.slices import Fact
from history.reading import Log
from history.tables import events
from notifications.digest import one_line
from notifications.language import Language
from notifications.movement import Movement, Range
from projections.campaigns import Campaigns
from projections.chapters import Chapters
from projections.policies import Policies
from projections.views import Views


class Surroundings:
    """One consistent state of the read models."""

    def __init__(self, views: Views, log: Log, movement: Movement, base_url: str) -> None:
        self.views, self.movement = views, movement
        self._log, self._base = log, base_url
        self._connection = views.connection
        self._campaigns: dict[UUID, Any] = {}
        self._framings: dict[UUID, dict[str, str]] = {}
        self._asks: dict[UUID, dict[str, Any]] = {}
        self._policies: dict[UUID, Any] = {}
        self._chapters: dict[UUID, Any] = {}

    def campaign(self, key: UUID) -> Any | None:  # noqa: ANN401 - a row of campaigns
        """Return a campaign."""
        if key not in self._campaigns:
            model = self.views[Campaigns]
            self._campaigns[key] = model.find(self._connection, key)
            self._framings[key] = {row.locale: row.title for row in model.framings_of(self._connection, [key])}
            self._asks[key] = {row.ask: row for row in model.asks_of(self._connection, [key])}
        return self._campaigns[key]

    def title(self, key: UUID, language: Language) -> str:
        """Return a campaign's title in the words of the person's language, where it has them."""
        row = self.campaign(key)
        framings = self._framings[key]
        for tag, framed in framings.items():
            if tag.lower() == language.tag.lower():
                return one_line(framed)
        for tag, framed in framings.items():
            if tag.lower().split("-")[0] == language.code:
                return one_line(framed)
        return one_line(row.title or "") if row else ""

    def ask(self, campaign: UUID, slug: str) -> Any | None:  # noqa: ANN401 - a row of asks
        """Return an ask of a campaign."""
        self.campaign(campaign)
        return self._asks[campaign].get(slug)

    def policy(self, key: UUID) -> Any | None:  # noqa: ANN401 - a row of policies
        """Return a policy."""
        if key not in self._policies:
            self._policies[key] = self.views[Policies].find(self._connection, key)
        return self._policies[key]

    def chapter(self, key: UUID) -> Any | None:  # noqa: ANN401 - a row of chapters
        """Return a chapter."""
        if key not in self._chapters:
            self._chapters[key] = self.views[Chapters].find(self._connection, key)
        return self._chapters[key]

    def campaign_url(self, key: UUID) -> str:
        """Return the address of a campaign's page."""
        row = self.campaign(key)
        return f"{self._base}/campaigns/{quote((row.reference if row else None) or str(key), safe='')}"

    def board_url(self) -> str:
        """Return the address of the movement's board."""
        return f"{self._base}/boards/movement"

    def told_of(self, streams: Sequence[UUID], of: Range) -> list[Fact]:
        """Return the events of some streams in a range, oldest first."""
        if not streams:
            return []
        where = events.c.stream_id.in_(streams), events.c.position <= of[1]
        return list(self._log.follow(*where, after=of[0]))
