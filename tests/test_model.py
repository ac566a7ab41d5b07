"""Two processes on one store against a plain model: whatever is done in whatever order, all answers are the same.

After every step the model is compared with the answers, with the aggregates as they load from the log, with the read
models, and with what can be read of each person; the histories are replayed in between and at the end.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from domain.campaigns import AddAsk, AskKind, Draft, Launch, Pause, Resume
from domain.kernel import Actor, Context, Erased, identify
from domain.pledges import Amend, CheckIn, Keep, Lapse, Make, Pledge, Withdraw, pledge_id
from domain.slices import Command
from domain.supporters import Erase, Register, Supporter
from history.answers import Answer
from history.engine import Engine, open_store
from history.envelope import Request, new_id, own_request
from history.stage import Aggregates
from history.tables import person_index, person_keys
from projections.campaigns import Campaigns
from projections.counts import counts
from projections.pledges import Pledges
from projections.rebuild import compare, rebuild
from projections.supporters import Supporters
from projections.views import Views
from tests.support.model import ASKS, BACKDATING, Model, Promise
from tests.support.store import SLICES, Store

START: Final = date(2026, 1, 5)
KINDS: Final = (Campaigns, Pledges, Supporters)
WHO: Final = ("anna", "ben", "cleo")
MANY: Final = 8
"""So many commands are accepted before anybody is erased."""
NOTES: Final = (None, "for my son", "ção", "")


SEED: Final = st.integers(0, 2**32)

BY_KIND: Final = (CheckIn, Make, Register, Amend, (Keep, Lapse, Withdraw))
"""What is drawn alike often, where there is any."""


def possible(today: date) -> Iterator[Command]:
    """Every command that this world knows, but those that are seldom given; days of check-ins lie around today."""
    for who in WHO:
        yield Register(supporter=who, name=who.title(), email=f"{who}@example.org")
        for ask in ASKS:
            promise = {"campaign": "c", "ask": ask, "supporter": who}
            for note in NOTES:
                yield Make(**promise, note=note)
                yield Amend(**promise, note=note)
            for days in range(-BACKDATING - 2, 2):
                yield CheckIn(**promise, on=today + timedelta(days=days), note=NOTES[days % len(NOTES)])
            for end in (Keep, Lapse, Withdraw):
                yield end(**promise)


def chosen(dice: Random, model: Model) -> Command:
    """Return a command; two times of three one that the model accepts."""
    choice = list(possible(model.today))
    if dice.randrange(3):
        choice = [command for command in choice if model.refusal(command) is None] or choice
    kind = dice.choice([kind for kind in BY_KIND if any(isinstance(command, kind) for command in choice)])
    return dice.choice([command for command in choice if isinstance(command, kind)])


class Processes:
    """Two processes on one store, of which the first keeps the read models; either can be started again."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder = url, folder
        self.store = self._store()
        self.other = self._engine()
        self.worlds = itertools.count()

    def _store(self) -> Store:
        return Store(self._url, self._folder, kinds=KINDS)

    def _engine(self) -> Engine:
        return open_store(self._url, self._folder, SLICES)

    def restart(self, *, first: bool) -> None:
        """End one of them, and start it again."""
        if first:
            self._end_first()
            self.store = self._store()
        else:
            self.other.close()
            self.other = self._engine()

    def _end_first(self) -> None:
        self.store.runner.release()
        self.store.close()

    def close(self) -> None:
        """End both."""
        self._end_first()
        self.other.close()


class Movement(RuleBasedStateMachine):
    """Everything that is done in one world of its own, within one store that all worlds share."""

    processes: Processes

    @initialize()
    def begin(self) -> None:
        """Launch a campaign with a promise for once and a challenge."""
        self.world = f"w{next(self.processes.worlds)}"
        self.model = Model(START)
        self.sent: list[tuple[Request, Answer]] = []
        self.start = self.store.head
        terms: dict[str, Any] = {"days": ASKS["daily"], "backdating_days": BACKDATING}
        opening = [
            Draft(campaign="c", title="C"),
            AddAsk(campaign="c", ask="once", statement="Once.", kind=AskKind.ONCE),
            AddAsk(campaign="c", ask="daily", statement="Daily.", kind=AskKind.CHALLENGE, **terms),
            Launch(campaign="c"),
        ]
        answers = self.store.engine.write([self.request(command) for command in opening])
        assert {answer.status for answer in answers} == {"accepted"}
        self.execute([Register(supporter="anna", name="Anna", email="anna@example.org")], first=True)

    # --- what is done ---

    @rule(seeds=st.lists(SEED, min_size=3, max_size=12), days=st.integers(0, 2), first=st.booleans())
    def give(self, seeds: list[int], days: int, first: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        """Give one of the processes a batch of commands, most of which fit what those before them have done."""
        self.model.today += timedelta(days=days)
        ahead, given = deepcopy(self.model), list[Command]()
        for seed in seeds:
            given.append(chosen(Random(seed), ahead))
            ahead.decide(given[-1])
        self.execute(given, first=first)

    @precondition(lambda self: len(self.sent) > MANY)
    @rule(who=st.sampled_from([None, *WHO]), first=st.booleans())
    def change(self, who: str | None, first: bool) -> None:  # noqa: FBT001
        """Erase somebody, or pause the campaign, try to pledge, and resume it."""
        if who is None:
            tried = Make(campaign="c", ask="once", supporter="anna")
            self.execute([Pause(campaign="c"), tried, Pause(campaign="c"), Resume(campaign="c")], first=first)
        else:
            self.execute([Erase(supporter=who)], first=first)

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), first=st.booleans())
    def repeat(self, data: st.DataObject, first: bool) -> None:  # noqa: FBT001
        """Send again what was accepted before: it is answered as then, and nothing happens."""
        request, before = data.draw(st.sampled_from(self.sent))
        head = self.store.head
        (answer,) = self.engine(first=first).write([request])
        assert (answer.status, answer.positions) == ("repeated", before.positions)
        assert self.store.head == head

    @rule(what=st.sampled_from(["first", "other", "read models"]))
    def replay(self, what: str) -> None:
        """Start a process again, or compute the read models again: everything comes from the log once more."""
        self.store.catch_up()
        if what == "read models":
            rebuild(self.store.runner, KINDS)
        else:
            self.processes.restart(first=what == "first")
        self.check()

    def execute(self, given: list[Command], *, first: bool) -> None:
        requests = [self.request(command) for command in given]
        expected = [self.model.decide(command) for command in given]
        answers = self.engine(first=first).write(requests)
        assert [answer.error.code if answer.error else answer.status for answer in answers] == expected
        self.sent += [pair for pair in zip(requests, answers, strict=True) if pair[1].status == "accepted"]
        self.check()

    # --- what must be so ---

    def check(self) -> None:
        """Hold the store to the model."""
        self.store.catch_up()
        self.check_history()
        self.check_aggregates()
        with self.store.views() as views:
            self.check_campaign(views)
            self.check_promises(views)
            self.check_people(views)

    def check_campaign(self, views: Views) -> None:
        """The published counts."""
        campaign: Any = views[Campaigns].find(views.connection, self.id("campaign", "c"))
        asks = views[Campaigns].asks_of(views.connection, [campaign.id])
        assert {row.ask: counts(row) for row in asks} == {ask: self.model.counts(ask=ask) for ask in ASKS}
        assert counts(campaign) == self.model.counts()
        assert campaign.state == ("launched" if self.model.open else "paused")

    def check_promises(self, views: Views) -> None:
        """Every pledge with its days and notes."""
        table, days = views[Pledges].pledges, views[Pledges].check_ins
        own = sa.select(table).where(table.c.campaign == self.id("campaign", "c"))
        rows = {row.id: row for row in views.connection.execute(own)}
        assert len(rows) == len(self.model.promises)
        for (who, ask), promise in self.model.promises.items():
            row = rows[self.pledge(who, ask)]
            told = (row.state, row.check_ins, row.streak, row.longest_streak, row.last_check_in)
            assert told == (promise.state, len(promise.days), *promise.streaks(), max(promise.days, default=None))
            checked = views.connection.execute(sa.select(days).where(days.c.pledge == row.id)).all()
            texts = views.open([row.note, *(day.note for day in checked)])
            note, *notes = self.readable(texts, erased=self.model.people[who].erased)
            assert note == promise.note
            assert dict(zip((day.day for day in checked), notes, strict=True)) == promise.days

    def check_people(self, views: Views) -> None:
        """Every supporter with what can be read of them."""
        for who, person in self.model.people.items():
            row: Any = views[Supporters].find(views.connection, self.id("supporter", who))
            assert views.open([row.name, row.email]) == [person.name, person.email]
            assert (row.erased_at is not None) is person.erased
            assert counts(row) == self.model.counts(who=who)

    @staticmethod
    def readable(texts: list[Any], *, erased: bool) -> list[Any]:
        """What can be read; of the erased, nothing that was sealed may come open."""
        assert not erased or all(text is None or isinstance(text, Erased) for text in texts)
        return [None if isinstance(text, Erased) else text for text in texts]

    def check_history(self) -> None:
        facts = list(self.store.engine.log.follow(after=self.start))
        assert [fact.position for fact in facts] == list(range(self.start + 1, self.start + 1 + len(facts)))
        told = Counter(fact.topic for fact in facts[4:])
        assert told == self.model.events

    def check_aggregates(self) -> None:
        """Load every aggregate from the log, as a process does that was just started."""
        engine = self.store.engine
        with engine.database.read() as connection:
            stage = Aggregates(engine.mapper, engine.persons)
            stage.begin(connection)
            for (who, ask), promise in self.model.promises.items():
                pledge = stage.find(Pledge, self.pledge(who, ask))
                assert pledge is not None
                self.check_pledge(pledge, promise, erased=self.model.people[who].erased)
            for who, person in self.model.people.items():
                key = self.id("supporter", who)
                supporter = stage.find(Supporter, key)
                assert supporter is not None
                assert (supporter.name, supporter.email, supporter.erased) == (person.name, person.email, person.erased)
                keys = connection.execute(person_keys.select().where(person_keys.c.person_id == key)).all()
                index = connection.execute(person_index.select().where(person_index.c.person_id == key)).all()
                assert (len(keys), len(index)) == ((0, 0) if person.erased else (1, 1))

    def check_pledge(self, pledge: Pledge, promise: Promise, *, erased: bool) -> None:
        assert (str(pledge.state), pledge.made_on) == (promise.state, promise.made_on)
        assert pledge.checked_in == set(promise.days)
        assert self.readable([pledge.note], erased=erased) == [promise.note]

    # --- names ---

    @property
    def store(self) -> Store:
        return self.processes.store

    def engine(self, *, first: bool) -> Engine:
        return self.store.engine if first else self.processes.other

    def name(self, reference: str) -> str:
        return f"{self.world}:{reference}"

    def id(self, kind: str, reference: str) -> UUID:
        return identify(kind, self.name(reference))

    def pledge(self, who: str, ask: str) -> UUID:
        return pledge_id(self.id("campaign", "c"), ask, self.id("supporter", who))

    def request(self, command: Command) -> Request:
        """The command in this world, at noon of today."""
        names = {name: self.name(vars(command)[name]) for name in ("supporter", "campaign") if name in vars(command)}
        at = datetime.combine(self.model.today, time(12), UTC)
        key = new_id()
        context = Context(actor=Actor("system", "model"), at=at, command_id=key, correlation_id=key, reason="Because.")
        return own_request(replace(command, **names), context)  # type: ignore[type-var]


@pytest.fixture
def processes(database_url: str, tmp_path: Path) -> Iterator[Processes]:
    both = Processes(database_url, tmp_path)
    yield both
    both.close()


def test_the_store_agrees_with_the_model(processes: Processes) -> None:
    machine: type[Movement] = type("Movement", (Movement,), {"processes": processes})
    size: dict[str, Any] = {"max_examples": 15, "stateful_step_count": 20, "suppress_health_check": list(HealthCheck)}
    how = settings(**size, phases=[Phase.reuse, Phase.generate])  # to make a failure smaller would take minutes
    run_state_machine_as_test(machine, settings=how)
    assert processes.store.head > 100
    processes.store.catch_up()
    assert compare(processes.store.runner, KINDS) == []
