"""A clock that is set back an hour and then forward: the past, checkpoints and mails are as they should be."""

import threading
from datetime import timedelta

from api.loop import LONGEST_PAUSE, pause
from notifications.ticker import Ticker
from tests.api.conftest import Api
from tests.support.clock import Clock

HOUR = timedelta(hours=1)


def test_as_of_a_time_is_what_was_known_by_then(api: Api, clock: Clock) -> None:
    for n, step in enumerate((timedelta(), -HOUR, 2 * HOUR)):
        clock.step(step)
        api.run("chapters.found", chapter=f"c{n}", name=f"Chapter {n}")
    events = api.get("/history")["events"]
    moments = [event["recorded_at"] for event in events]
    assert moments == sorted(moments)
    for moment in moments:
        known = [e["data"]["name"] for e in events if e["recorded_at"] <= moment]
        seen = api.get("/chapters", {"as_of": moment})["chapters"]
        assert sorted(chapter["name"] for chapter in seen) == known
        assert [e["data"]["name"] for e in api.get("/history", {"to": moment})["events"]] == known


def test_checkpoints_are_made_anew_after_the_clock_was_set_back(api: Api, clock: Clock) -> None:
    def size() -> int:
        return int(api.client.get("/log/checkpoint").text.splitlines()[1])

    for n, step in enumerate((timedelta(), -HOUR, 2 * HOUR)):
        clock.step(step)
        api.run("chapters.found", chapter=f"c{n}", name=f"Chapter {n}")
        assert size() == n + 1


def test_mails_go_on_after_the_clock_was_set_back(clock: Clock) -> None:
    """The scheduler waits for a time of day; an hour earlier, that is an hour away."""
    ticked = threading.Event()
    ticker = Ticker(ticked.set, seconds=1_000)
    ticker.start()
    try:
        ticker.keep_time()
        assert not ticked.is_set()
        clock.step(-HOUR)
        ticker.keep_time()
        assert ticked.wait(60)
    finally:
        ticker.stop()
    ticker.keep_time()


def test_the_worker_rests_longer_from_failure_to_failure_but_never_for_long() -> None:
    rests = [pause(failures) for failures in (0, 1, 2, 6, 1_000_000)]
    assert rests == [0.5, 1.0, 2.0, LONGEST_PAUSE, LONGEST_PAUSE]
