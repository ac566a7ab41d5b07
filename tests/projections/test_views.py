import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

from domain.chapters import Chapter
from domain.kernel import ERASED, Event, Invalid, identify, now
from domain.slices import Fact
from projections import past
from projections.campaigns import Campaigns
from projections.changes import Changes
from projections.chapters import Chapters
from projections.projection import Projection, on
from projections.supporters import Supporters
from projections.views import AsOf, Reader
from tests.support.clock import Clock
from tests.support.movement import live_contents
from tests.support.store import START, Store

CHAPTER = identify("chapter", "c")
TICK = timedelta(microseconds=1)


def name_at(store: Store, as_of: AsOf) -> str | None:
    with store.views(as_of, [Chapters]) as views:
        found = views[Chapters].find(views.connection, CHAPTER)
        return found.name if found else None


def test_a_view_is_as_of_a_position_or_a_time(store: Store) -> None:
    day = timedelta(days=1)
    store.run("chapters.found", chapter="c", name="First", at=START)
    store.run("chapters.amend", chapter="c", name="Second", at=START + 5 * day)
    store.run("chapters.amend", chapter="c", name="Third", at=START + 2 * day)
    assert name_at(store, AsOf(position=0)) is None
    assert [name_at(store, AsOf(position=n)) for n in (1, 2, 3)] == ["First", "Second", "Third"]
    assert name_at(store, AsOf(occurred_by=START - day)) is None
    assert name_at(store, AsOf(occurred_by=START + day)) == "First"
    assert name_at(store, AsOf(position=2, occurred_by=START + 3 * day)) == "First"


def test_there_is_no_view_of_the_future(store: Store) -> None:
    with pytest.raises(Invalid, match="ends at position 0"), store.views(AsOf(position=1), [Chapters]):
        pass


def test_a_view_of_the_present_says_how_far_it_has_come(store: Store) -> None:
    store.run("chapters.found", chapter="c", name="C")
    with store.views() as views:
        assert views.position == 0
    store.catch_up()
    store.run("chapters.close", chapter="c")
    with store.views() as views:
        assert views.position == 1


def test_what_was_recorded_by_a_moment_is_known_by_it(store: Store) -> None:
    assert store.reader.known_by(now()) == 0
    before = now()
    for chapter in "cdefghi":
        store.run("chapters.found", chapter=chapter, name="C")
    facts = store.engine.log.facts()
    assert store.reader.known_by(before) == 0
    assert store.reader.known_by(now()) == len(facts) == 7
    for fact in facts:
        moment = fact.recorded_at
        for by in (moment - TICK, moment, moment + TICK):
            assert store.reader.known_by(by) == sum(other.recorded_at <= by for other in facts)


def test_events_recorded_at_the_same_moment_are_known_together(store: Store, clock: Clock) -> None:
    store.run("chapters.found", chapter="c", name="C")
    clock.step(-timedelta(hours=1))
    for chapter in "def":
        store.run("chapters.found", chapter=chapter, name="C")
    (moment,) = {fact.recorded_at for fact in store.engine.log.facts()}
    assert store.reader.known_by(moment) == 4
    assert store.reader.known_by(moment - TICK) == 0


def test_personal_data_opens_in_any_view_until_the_person_is_erased(store: Store) -> None:
    store.run("supporters.register", supporter="anna", name="Anna")
    anna = identify("supporter", "anna")
    with store.views(AsOf(position=1), [Supporters]) as views:
        row = views[Supporters].several(views.connection, [anna])[anna]
        assert views.open([row.name, row.email]) == ["Anna", None]
        assert views.open([row.email]) == [None]
    store.run("supporters.erase", supporter="anna", reason="asked for it")
    with store.views(AsOf(position=1), [Supporters]) as views:
        row = views[Supporters].several(views.connection, [anna])[anna]
        assert views.open([row.name]) == [ERASED]


def test_a_reader_waits_until_the_position_is_reached_but_not_for_ever(store: Store) -> None:
    store.run("chapters.found", chapter="c", name="C")
    begun = time.monotonic()
    assert not store.reader.wait(1, seconds=0.2)
    assert time.monotonic() - begun < 5
    later = threading.Timer(0.1, store.catch_up)
    later.start()
    assert store.reader.wait(1, seconds=30)
    later.join()
    assert not store.reader.wait(2, seconds=0)


class Slow(Projection, name="slow"):
    """Its fold waits where the test wants it to."""

    folding = threading.Event()
    go_on = threading.Event()
    times = 0

    def define(self) -> None:
        pass

    @on(Chapter.Founded)
    def founded(self, _fact: Fact, _event: Event, _changes: Changes) -> None:
        pass

    def fold(self, facts: Sequence[Fact], changes: Changes) -> None:  # noqa: ARG002
        Slow.times += 1
        self.folding.set()
        assert self.go_on.wait(30)


@pytest.fixture
def slow() -> Iterator[type[Slow]]:
    Slow.times = 0
    Slow.folding.clear()
    Slow.go_on.clear()
    yield Slow
    Slow.go_on.set()


def test_one_folds_the_past_for_all_who_ask_and_others_do_not_wait(store: Store, slow: type[Slow]) -> None:
    store.run("chapters.found", chapter="c", name="C")
    positions: list[int] = []

    def ask() -> None:
        with store.views(AsOf(position=1), [slow]) as views:
            positions.append(views.position)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert slow.folding.wait(30)
    assert name_at(store, AsOf(position=1)) == "C"
    slow.go_on.set()
    for thread in threads:
        thread.join()
    assert (positions, slow.times) == ([1, 1, 1], 1)


def test_the_past_is_not_folded_with_the_models_that_run_live(store: Store) -> None:
    """Else a fold as of some point would overwrite what a running batch has prepared."""
    store.run("chapters.found", chapter="c", name="C")
    live = store.runner.instance(Chapters, 1)
    before = dict(vars(live))
    assert name_at(store, AsOf(position=1)) == "C"
    assert vars(live) == before


def test_only_some_pasts_are_kept_and_never_one_that_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "KEPT", 2)
    store.run("chapters.found", chapter="c", name="1")
    for number in range(2, 7):
        store.run("chapters.amend", chapter="c", name=str(number))
    reader = Reader(store.runner)
    with reader.open([Chapters], AsOf(position=1)) as first:
        for position in range(2, 7):
            with reader.open([Chapters], AsOf(position=position)) as views:
                assert views[Chapters].several(views.connection, [CHAPTER])[CHAPTER].name == str(position)
        assert first[Chapters].several(first.connection, [CHAPTER])[CHAPTER].name == "1"
    assert reader.kept == 2
    reader.close()
    assert reader.kept == 0


def test_a_view_is_one_consistent_state(store: Store) -> None:
    store.run("campaigns.draft", campaign="c", title="Before")
    store.catch_up()
    key = identify("campaign", "c")
    with store.views() as views:
        assert views[Campaigns].find(views.connection, key) is not None
        store.run("campaigns.amend", campaign="c", title="After")
        store.catch_up()
        found = views[Campaigns].find(views.connection, key)
        assert found is not None
        assert (found.title, views.position) == ("Before", 1)
    assert live_contents(store, Campaigns)["campaigns"][0]["title"] == "After"
