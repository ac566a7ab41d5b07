"""A real store for tests: commands go in by name, read models come out.

with Store(database_url, tmp_path) as store:
    store.run("supporters.register", supporter="anna", name="Anna")
    store.catch_up()
    with store.views() as views:
        views[Supporters].find(views.connection, identify("supporter", "anna"))
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from sqlalchemy import Connection

from domain import (
    actions,
    awards,
    campaigns,
    chapters,
    mails,
    officials,
    partnerships,
    pledges,
    policies,
    preferences,
    recognitions,
    scoring,
    supporters,
)
from domain.kernel import Actor, Refusal
from domain.slices import Slice
from history.answers import Answer
from history.engine import open_store
from history.envelope import Envelope, Request, new_id
from projections.actions import Actions
from projections.campaigns import Campaigns
from projections.chapters import Chapters
from projections.leaderboards import Leaderboards
from projections.officials import Officials
from projections.partnerships import Partnerships
from projections.pledges import Pledges
from projections.policies import Policies
from projections.projection import Projection
from projections.recognitions import Recognitions
from projections.runner import Runner
from projections.subscriptions import Subscriptions
from projections.supporters import Supporters
from projections.timeline import Timeline
from projections.views import PRESENT, AsOf, Reader, Views

SLICES: Final[tuple[Slice, ...]] = (
    chapters.SLICE,
    campaigns.SLICE,
    supporters.SLICE,
    preferences.SLICE,
    pledges.SLICE,
    officials.SLICE,
    policies.SLICE,
    actions.SLICE,
    partnerships.SLICE,
    recognitions.SLICE,
    scoring.SLICE,
    awards.SLICE,
    mails.SLICE,
)
KINDS: Final[tuple[type[Projection], ...]] = (
    Campaigns,
    Pledges,
    Chapters,
    Supporters,
    Officials,
    Policies,
    Actions,
    Partnerships,
    Recognitions,
    Subscriptions,
)
EVERY_KIND: Final[tuple[type[Projection], ...]] = (*KINDS, Leaderboards, Timeline)
STAFF: Final = "staff:test"
START: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)
"""When the first command happens if nothing else is said; each later one happens a minute after the one before."""

Moment = datetime | str | None
P = TypeVar("P", bound=Projection)


class Store:
    """A store with its writer, its runner and its reader; to be closed, as a context manager or by ``close``."""

    def __init__(
        self, url: str, folder: Path, *, kinds: Sequence[type[Projection]] = KINDS, batch: int = 1_000
    ) -> None:
        self.engine = open_store(url, folder, SLICES)
        self.runner = Runner(self.engine.log, kinds, batch=batch)
        self.runner.prepare()
        self.reader = Reader(self.runner)
        self._clock = START

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store."""
        self.reader.close()
        self.engine.close()

    # --- commands ---

    def run(
        self,
        command: str,
        /,
        *,
        at: Moment = None,
        actor: str = STAFF,
        reason: str | None = None,
        id: str | None = None,  # noqa: A002 - as in the envelope
        **data: Any,  # noqa: ANN401 - the command types them
    ) -> Answer:
        """Run one command; raise what it was refused with."""
        (answer,) = self.write([self.request(command, data, at=at, actor=actor, reason=reason, id=id)])
        return answer

    def run_all(self, commands: Iterable[tuple[str, dict[str, Any]]]) -> list[Answer]:
        """Run many commands (name, data) in one batch; raise what the first refused one was refused with."""
        return self.write([self.request(command, data) for command, data in commands])

    def request(
        self,
        command: str,
        data: dict[str, Any],
        *,
        at: Moment = None,
        actor: str = STAFF,
        reason: str | None = None,
        id: str | None = None,  # noqa: A002
    ) -> Request:
        """Make the request of one command."""
        if at is None:
            at, self._clock = self._clock, self._clock + timedelta(minutes=1)
        moment = at if isinstance(at, str) else at.isoformat()
        envelope = Envelope(id=id or new_id(), command=command, at=moment, actor=actor, reason=reason, data=data)
        return self.engine.catalogue.request(envelope, Actor.parse(STAFF))

    def write(self, requests: Sequence[Request]) -> list[Answer]:
        """Write requests in one batch; raise what the first refused one was refused with."""
        answers = self.engine.write(requests)
        for answer in answers:
            if answer.error is not None:
                raise answer.error
        return answers

    def refused(self, command: str, /, **data: Any) -> str:  # noqa: ANN401
        """Run one command that must be refused; return the code it was refused with."""
        try:
            self.run(command, **data)
        except Refusal as refusal:
            return refusal.code
        msg = f"{command} was not refused"
        raise AssertionError(msg)

    def react(self) -> None:
        """Run the reactions until nothing more follows."""
        self.engine.react()

    # --- read models ---

    @property
    def head(self) -> int:
        """The newest position."""
        return self.engine.log.head()

    def catch_up(self) -> int:
        """Bring the read models to the head of the history; return the position reached."""
        return self.runner.catch_up()

    def views(self, as_of: AsOf = PRESENT, kinds: Sequence[type[Projection]] = ()) -> AbstractContextManager[Views]:
        """Open the read models, live or (those of ``kinds``, all if none are named) as of a point of history."""
        if not as_of.live and not kinds:
            kinds = self.runner.kinds
        return self.reader.open(kinds, as_of)

    @contextmanager
    def seen(self, kind: type[P]) -> Iterator[tuple[P, Connection]]:
        """Give one read model, caught up, with a connection for its questions."""
        self.catch_up()
        with self.views() as views:
            yield views[kind], views.connection
