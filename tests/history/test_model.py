"""The writer against a plain model: whatever the order and the batches, both say the same."""

import itertools
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.campaigns import AddAsk, AskKind, Draft, Launch
from domain.pledges import Keep, Make, Pledge, Withdraw
from domain.slices import Command
from domain.supporters import Register
from history.engine import Engine
from history.envelope import Request
from tests.support.rooms import ask, engine_at

_numbers = itertools.count()


@dataclass
class Model:
    """What the rules say, in dictionaries."""

    supporters: set[str] = field(default_factory=set)
    pledges: dict[tuple[str, str], str] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)

    def decide(self, command: Command) -> str:
        match command:
            case Register(supporter=who):
                if who in self.supporters:
                    return "supporter.exists"
                self.supporters.add(who)
                return "accepted"
            case Make(supporter=who, ask=slug):
                return self._make(who, slug)
            case Keep(supporter=who, ask=slug):
                return self._end(who, slug, "kept")
            case Withdraw(supporter=who, ask=slug):
                return self._end(who, slug, "withdrawn")
        raise AssertionError(command)

    def _make(self, who: str, slug: str) -> str:
        state = self.pledges.get((who, slug))
        if who not in self.supporters:
            return "supporter.unknown"
        if state in {"active", "kept"}:
            return f"pledge.already_{state}"
        self.events["Renewed" if state else "Made"] += 1
        self.pledges[who, slug] = "active"
        return "accepted"

    def _end(self, who: str, slug: str, state: str) -> str:
        if who not in self.supporters:
            return "supporter.unknown"
        if (who, slug) not in self.pledges:
            return "pledge.unknown"
        if self.pledges[who, slug] != "active":
            return "pledge.not_active"
        self.events[state.title()] += 1
        self.pledges[who, slug] = state
        return "accepted"


_who, _slug = st.sampled_from(["anna", "ben"]), st.sampled_from(["sign", "call"])
_on_pledge = st.sampled_from([Make, Make, Keep, Withdraw])
_command: st.SearchStrategy[Command] = st.one_of(
    st.builds(lambda who: Register(supporter=who), _who),
    st.builds(lambda cls, who, slug: cls(campaign="c", ask=slug, supporter=who), _on_pledge, _who, _slug),
)
_batches = st.lists(st.tuples(st.booleans(), st.lists(_command, min_size=1, max_size=6)), max_size=6)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_writer_agrees_with_the_model(kind: str, request: pytest.FixtureRequest) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if kind == "sqlite":
            url = f"sqlite:///{folder}/x.sqlite3"
        else:
            new_database: Callable[[], str] = request.getfixturevalue("new_database")
            url = new_database()
        with engine_at(url, Path(folder)) as one, engine_at(url, Path(folder)) as two:

            @settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
            @given(_batches)
            def agree(batches: list[tuple[bool, list[Command]]]) -> None:
                run(one, two, batches)

            agree()


def run(one: Engine, two: Engine, batches: list[tuple[bool, list[Command]]]) -> None:
    """Run batches on two processes in turn; everything in a world of its own within the one store."""
    world, model, start = f"w{next(_numbers)}", Model(), one.log.head()
    prepare(one, world)
    sent: dict[str, tuple[Request, str]] = {}
    for first, commands in batches:
        engine = one if first else two
        requests = [ask(renamed(command, world)) for command in commands]
        expected = [model.decide(command) for command in commands]
        answers = engine.write(requests)
        assert [a.error.code if a.error else a.status for a in answers] == expected
        for request, answer in zip(requests, answers, strict=True):
            if answer.error is None:
                sent[request.context.command_id] = (request, str(answer.positions))
    again = (two if batches and batches[-1][0] else one).write([request for request, _ in sent.values()])
    assert [(a.status, str(a.positions)) for a in again] == [("repeated", positions) for _, positions in sent.values()]
    facts = list(one.log.follow(after=start))
    assert [fact.position for fact in facts] == list(range(start + 1, start + 1 + len(facts)))
    assert Counter(type(f.event).__name__ for f in facts if isinstance(f.event, Pledge.Event)) == model.events


def prepare(engine: Engine, world: str) -> None:
    campaign = f"{world}:c"
    asks = [AddAsk(campaign=campaign, ask=slug, statement=slug, kind=AskKind.ONCE) for slug in ("sign", "call")]
    commands = [Draft(campaign=campaign, title="C"), *asks, Launch(campaign=campaign)]
    assert {a.status for a in engine.write([ask(command) for command in commands])} == {"accepted"}


def renamed(command: Command, world: str) -> Command:
    names = {name: f"{world}:{vars(command)[name]}" for name in ("supporter", "campaign") if name in vars(command)}
    return type(command)(**vars(command) | names)
