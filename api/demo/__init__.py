"""The demonstration: half a year of an empathy movement in three languages, told through ordinary commands."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from api.demo import advocacy, campaigns, partners, people, pledges, recognitions
from api.demo.script import Script
from domain.kernel import Actor, Conflict
from history.engine import Engine
from history.envelope import Envelope

SUPPORTERS: Final = 300
FEWEST: Final = 30
SEED: Final = 7
BATCH: Final = 500
_NARRATOR: Final = Actor("system", "demo")


def story(supporters: int = SUPPORTERS, seed: int = SEED) -> Iterator[dict[str, Any]]:
    """Yield the command envelopes of the story in the order in which they happened; same seed, same story."""
    script = Script(seed)
    people.chapters(script)
    people.supporters(script, supporters)
    people.departures(script)
    campaigns.campaigns(script)
    recognitions.scoring(script)
    partners.partnerships(script)
    pledges.pledges(script)
    advocacy.policies(script)
    advocacy.actions(script)
    recognitions.recognitions(script)
    return script.told()


def fill(
    engine: Engine,
    supporters: int = SUPPORTERS,
    seed: int = SEED,
    progress: Callable[[int, int], Any] = lambda _done, _all: None,
) -> int:
    """Fill an empty store with the story; return the number of commands. Raises Conflict where it is not empty."""
    if engine.log.head():
        raise Conflict("store.not_empty", "The store is not empty; the demonstration only fills an empty one.")
    envelopes = list(story(supporters, seed))
    for start in range(0, len(envelopes), BATCH):
        part = envelopes[start : start + BATCH]
        for answer in engine.write([engine.catalogue.request(Envelope(**one), _NARRATOR) for one in part]):
            if answer.error is not None:
                raise answer.error
        engine.react()
        progress(start + len(part), len(envelopes))
    return len(envelopes)
