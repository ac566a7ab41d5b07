"""What all digests of a run share: campaigns, asks, policies and chapters, each read once, and how they moved."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit
from uuid import UUID

from history.reading import Log
from notifications.digest import one_line
from notifications.language import Language
from notifications.movement import Movement
from projections.campaigns import Campaigns
from projections.chapters import Chapters
from projections.officials import Officials
from projections.policies import Policies
from projections.views import Views

T = TypeVar("T")


class Surroundings:
    """One consistent state of the read models.

    ``prefetch`` reads what a batch will ask for in a few queries; what was not fetched is read when it is asked for.
    ``said`` keeps what was once said of them, to be said to others.
    """

    def __init__(self, views: Views, log: Log, movement: Movement, base_url: str) -> None:
        self.views, self.movement, self.log = views, movement, log
        self.said: dict[Hashable, Any] = {}
        self._base = base_url
        self._connection = views.connection
        self._campaigns: dict[UUID, Any] = {}
        self._framings: defaultdict[UUID, dict[str, str]] = defaultdict(dict)
        self._asks: defaultdict[UUID, dict[str, Any]] = defaultdict(dict)
        self._policies: dict[UUID, Any] = {}
        self._targets: defaultdict[UUID, list[Any]] = defaultdict(list)
        self._officials: dict[UUID, Any] = {}
        self._chapters: dict[UUID, Any] = {}

    # --- campaigns ---

    def fetch_campaigns(self, keys: Iterable[UUID]) -> None:
        """Read campaigns with their asks and framings."""
        if not (new := sorted(set(keys) - self._campaigns.keys())):
            return
        model = self.views[Campaigns]
        found = model.several(self._connection, new)
        self._campaigns |= {key: found.get(key) for key in new}
        for row in model.framings_of(self._connection, new):
            self._framings[row.campaign][row.locale] = row.title
        for row in model.asks_of(self._connection, new):
            self._asks[row.campaign][row.ask] = row

    def campaign(self, key: UUID) -> Any | None:  # noqa: ANN401 - a row of campaigns
        """Return a campaign."""
        self.fetch_campaigns([key])
        return self._campaigns[key]

    def title(self, key: UUID, language: Language) -> str:
        """Return a campaign's title in the words of the person's language, where it has them."""
        row = self.campaign(key)
        framings = self._framings[key]
        for tag, framed in framings.items():
            if tag.lower() == language.tag.lower():
                return language.isolated(one_line(framed))
        for tag, framed in framings.items():
            if tag.lower().split("-")[0] == language.code:
                return language.isolated(one_line(framed))
        return language.isolated(one_line(row.title or "")) if row else ""

    def ask(self, campaign: UUID, slug: str) -> Any | None:  # noqa: ANN401 - a row of asks
        """Return an ask of a campaign."""
        self.fetch_campaigns([campaign])
        return self._asks[campaign].get(slug)

    # --- policies ---

    def fetch_policies(self, keys: Iterable[UUID]) -> None:
        """Read policies with the officials who decide on them."""
        if not (new := sorted(set(keys) - self._policies.keys())):
            return
        model = self.views[Policies]
        found = model.several(self._connection, new)
        self._policies |= {key: found.get(key) for key in new}
        targets = model.targets_of(self._connection, new)
        for row in targets:
            self._targets[row.policy].append(row)
        if targets:
            self._officials |= self.views[Officials].several(
                self._connection, sorted({row.official for row in targets})
            )

    def policy(self, key: UUID) -> Any | None:  # noqa: ANN401 - a row of policies
        """Return a policy."""
        self.fetch_policies([key])
        return self._policies[key]

    def targets(self, policy: UUID) -> Sequence[Any]:
        """Return the officials whose decision is sought (official, stance), in order of name."""
        self.fetch_policies([policy])
        return self._targets[policy]

    def is_target(self, policy: UUID, official: UUID) -> bool:
        """Tell whether an official's decision on a policy is sought."""
        return any(row.official == official for row in self.targets(policy))

    def official(self, key: UUID) -> Any | None:  # noqa: ANN401 - a row of officials
        """Return an official whose decision is sought on one of the policies that were fetched."""
        return self._officials.get(key)

    # --- chapters ---

    def fetch_chapters(self, keys: Iterable[UUID]) -> None:
        """Read chapters."""
        if new := sorted(set(keys) - self._chapters.keys()):
            found = self.views[Chapters].several(self._connection, new)
            self._chapters |= {key: found.get(key) for key in new}

    def chapter(self, key: UUID) -> Any | None:  # noqa: ANN401 - a row of chapters
        """Return a chapter."""
        self.fetch_chapters([key])
        return self._chapters[key]

    # --- addresses ---

    def campaign_url(self, key: UUID) -> str:
        """Return the address of a campaign's page."""
        row = self.campaign(key)
        return f"{self._base}/campaigns/{quote((row.reference if row else None) or str(key), safe='')}"

    def chapter_url(self, key: UUID) -> str:
        """Return the address of a chapter's own board."""
        row = self.chapter(key)
        return f"{self._base}/boards/chapters/{quote((row.reference if row else None) or str(key), safe='')}"

    def board_url(self) -> str:
        """Return the address of the movement's board."""
        return f"{self._base}/boards/movement"


def web_address(given: str | None) -> str | None:
    """Return the address that somebody gave, where a link may lead there: over HTTP or HTTPS, to a host."""
    try:
        parts = urlsplit(given or "")
    except ValueError:
        return None
    good = parts.scheme in {"http", "https"} and parts.hostname and given and given.isprintable() and " " not in given
    return given if good else None
