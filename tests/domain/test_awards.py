import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pytest

from domain import awards, officials
from domain.actions import ActionKind, Log, Reject, Retract, Verify
from domain.campaigns import AddAsk, AskKind, Draft, Launch
from domain.kernel import identify
from domain.pledges import CheckIn, Keep, Lapse, Make, Withdraw
from domain.policies import PolicyKind, Track
from domain.recognitions import Award, Nominate, Recipient, RecipientKind, Recognition, RecognitionState, Revoke
from domain.scoring import Applies, AwardRule, Ground, Publish
from domain.slices import Command, Fact, Follow
from domain.supporters import Erase, Register
from tests.domain.story import NOON, Step, Story, given

ANNA = identify("supporter", "anna")
FIRST_DAY = date(2024, 5, 15)
WEEK = AwardRule(award="week", title="A week of listening", when=Ground(streak=7))
TEN = AwardRule(award="ten", title="Ten actions", when=Ground(verified_actions=10))
KEEPER = AwardRule(award="keeper", title="Keeper", when=Ground(kept=2))
KEY = str(ANNA)


def challenge(name: str, rest_days: int = 0) -> AddAsk:
    return AddAsk(
        campaign="spring",
        ask=name,
        statement="s",
        kind=AskKind.CHALLENGE,
        days=21,
        backdating_days=99,
        rest_days=rest_days,
    )


WORLD = (
    Draft(campaign="spring", title="Spring"),
    challenge("listen"),
    challenge("walk"),
    challenge("rest", rest_days=1),
    AddAsk(campaign="spring", ask="circle", statement="s", kind=AskKind.ONCE),
    AddAsk(campaign="spring", ask="letter", statement="s", kind=AskKind.ONCE),
    Launch(campaign="spring"),
    Track(policy="hr1", title="Listening Act", kind=PolicyKind.BILL),
    Register(supporter="anna"),
    Register(supporter="ben"),
)


def publish(*rules: AwardRule, version: int = 1, applies: Applies = Applies.TO_ALL_HISTORY) -> Publish:
    return Publish(version=version, points={}, awards=rules, applies=applies)


def make(ask: str = "listen", supporter: str = "anna") -> Command:
    return Make(campaign="spring", ask=ask, supporter=supporter)


def check_ins(*numbers: int, ask: str = "listen", supporter: str = "anna") -> list[Step]:
    days = [FIRST_DAY + timedelta(days=number) for number in numbers]
    return [
        Step(CheckIn(campaign="spring", ask=ask, supporter=supporter, on=day), NOON + timedelta(days=number))
        for number, day in zip(numbers, days, strict=True)
    ]


def week(ask: str = "listen", supporter: str = "anna") -> list[Step]:
    return check_ins(*range(7), ask=ask, supporter=supporter)


def keep(ask: str) -> Command:
    return Keep(campaign="spring", ask=ask, supporter="anna")


WITHDRAW = Withdraw(campaign="spring", ask="listen", supporter="anna")
LAPSE = Lapse(campaign="spring", ask="listen", supporter="anna")


def verified(first: int, last: int) -> list[Command]:
    log = [
        Log(action=f"a{number}", policy="hr1", supporter="anna", kind=ActionKind.CALL, on=FIRST_DAY)
        for number in range(first, last + 1)
    ]
    return [*log, *(Verify(action=f"a{number}") for number in range(first, last + 1))]


@dataclass
class Engine:
    """Runs the reaction as the history does: states as JSON, follows as commands whose effects are facts again."""

    story: Story
    reaction: awards.AutomaticAwards = field(default_factory=awards.AutomaticAwards)
    states: dict[str, str] = field(default_factory=dict)
    shared: str = "{}"
    position: int = 0
    follows: list[Follow] = field(default_factory=list)

    def step(self, fact: Fact) -> None:
        shared: dict[str, Any] = json.loads(self.shared)
        self.reaction.share(fact, shared)
        for key in self.reaction.keys(fact, lambda: sorted(self.states)):
            state: dict[str, Any] = json.loads(self.states.get(key, "{}"))
            follows = self.reaction.react(fact, key, state, shared)
            assert len({follow.key for follow in follows}) == len(follows)
            for follow in follows:
                self.story.run(Step(follow.command, fact.occurred_at, follow.reason))
            self.follows += follows
            self.states[key] = json.dumps(state)
        self.shared = json.dumps(shared)

    def catch_up(self) -> "Engine":
        while self.position < len(self.story.facts):
            fact = self.story.facts[self.position]
            self.position += 1
            if fact.topic in self.reaction.topics:
                self.step(fact)
        return self


def after(*steps: Command | Step) -> Engine:
    return Engine(given(*WORLD, *steps)).catch_up()


def go_on(engine: Engine, *steps: Command | Step) -> Engine:
    engine.story.and_given(*steps)
    return engine.catch_up()


def standing(engine: Engine, supporter: str = "anna") -> dict[str, RecognitionState]:
    """The state of each automatic award of the supporter, by award and running number."""
    prefix, key = "auto:", str(identify("supporter", supporter))
    found = {}
    for fact in engine.story.facts:
        if isinstance(fact.event, Recognition.Nominated) and (fact.event.reference or "").startswith(prefix):
            _, award, whose, number = (fact.event.reference or "").split(":")
            if whose == key:
                found[f"{award}:{number}"] = engine.story.stage.get(Recognition, fact.stream).state
    return found


AWARDED, REVOKED = RecognitionState.AWARDED, RecognitionState.REVOKED


def test_a_streak_of_seven_days_is_awarded_once() -> None:
    engine = after(publish(WEEK), make(), *check_ins(*range(6)))
    assert standing(engine) == {}
    go_on(engine, *check_ins(6, 7, 8))
    assert standing(engine) == {"week:1": AWARDED}
    reference = f"auto:week:{ANNA}:1"
    assert engine.follows == [
        Follow(
            Nominate(
                recognition=reference,
                title="A week of listening",
                recipient=Recipient(kind=RecipientKind.SUPPORTER, id=KEY),
                citation="By the published rules (a streak of 7).",
            ),
            "nominate:week",
        ),
        Follow(Award(recognition=reference), "award:week"),
    ]


def test_it_is_revoked_after_withdrawal_and_given_again_when_the_ground_returns() -> None:
    engine = after(publish(WEEK), make(), *week(), WITHDRAW)
    assert standing(engine) == {"week:1": REVOKED}
    pledge = next(fact.stream for fact in engine.story.facts if fact.topic == "pledges.Made")
    assert engine.follows[-1] == Follow(
        Revoke(recognition=f"auto:week:{ANNA}:1"),
        "revoke:week",
        f"The pledge {pledge} was withdrawn, and with it went what the award was given for (a streak of 7).",
    )
    go_on(engine, make(), *check_ins(*range(6)))
    assert standing(engine) == {"week:1": REVOKED}
    go_on(engine, *check_ins(6))
    assert standing(engine) == {"week:1": REVOKED, "week:2": AWARDED}
    go_on(engine, WITHDRAW)
    assert standing(engine) == {"week:1": REVOKED, "week:2": REVOKED}


def test_another_pledge_upholds_the_award() -> None:
    assert standing(after(publish(WEEK), make(), make("walk"), *week(), *week("walk"), WITHDRAW)) == {"week:1": AWARDED}


def test_days_of_two_pledges_make_no_streak() -> None:
    engine = after(publish(WEEK), make(), make("walk"), *check_ins(0, 1, 2, 3), *check_ins(4, 5, 6, ask="walk"))
    assert standing(engine) == {}


def test_a_lapsed_pledge_keeps_its_award_even_when_it_is_renewed() -> None:
    engine = after(publish(WEEK), make(), *week(), LAPSE, Step(make(), NOON + timedelta(days=9)))
    assert standing(engine) == {"week:1": AWARDED}
    assert standing(go_on(engine, WITHDRAW)) == {"week:1": REVOKED}


def test_a_broken_streak_of_the_past_still_counts() -> None:
    assert standing(after(make(), *week(), *check_ins(9, 10), publish(WEEK))) == {"week:1": AWARDED}


@pytest.mark.parametrize(("ask", "expected"), [("listen", {}), ("rest", {"week:1": AWARDED})])
def test_rest_days_are_those_of_the_ask(ask: str, expected: dict[str, RecognitionState]) -> None:
    assert standing(after(publish(WEEK), make(ask), *check_ins(*range(0, 14, 2), ask=ask))) == expected


def test_each_supporter_for_themselves() -> None:
    engine = after(publish(WEEK), make(), make(supporter="ben"), *week(), *check_ins(0, supporter="ben"))
    assert standing(engine, "ben") == {}
    go_on(engine, *check_ins(*range(1, 7), supporter="ben"), WITHDRAW)
    assert (standing(engine), standing(engine, "ben")) == ({"week:1": REVOKED}, {"week:1": AWARDED})


@pytest.mark.parametrize("gone", [Reject(action="a3"), Retract(action="a3")])
def test_ten_verified_actions(gone: Command) -> None:
    engine = after(publish(TEN), *verified(1, 9))
    assert standing(engine) == {}
    assert standing(go_on(engine, *verified(10, 11))) == {"ten:1": AWARDED}
    assert standing(go_on(engine, gone)) == {"ten:1": AWARDED}
    assert standing(go_on(engine, Reject(action="a4"))) == {"ten:1": REVOKED}
    assert engine.follows[-1].reason == (
        f"The action {identify('action', 'a4')} was rejected, "
        "and with it went what the award was given for (verified actions: 10)."
    )
    assert standing(go_on(engine, Verify(action="a4"))) == {"ten:1": REVOKED, "ten:2": AWARDED}


def test_a_retraction_is_named_in_the_reason() -> None:
    engine = after(publish(TEN), *verified(1, 10), Retract(action="a3"))
    assert "was retracted" in (engine.follows[-1].reason or "")


def test_only_kept_challenges_count() -> None:
    engine = after(publish(KEEPER), make(), make("circle"), make("letter"), keep("circle"), keep("letter"))
    go_on(engine, keep("listen"))
    assert standing(engine) == {}
    assert standing(go_on(engine, make("walk"), keep("walk"))) == {"keeper:1": AWARDED}


def test_rules_that_apply_to_all_history_reward_everybody_at_once() -> None:
    engine = after(make(), make(supporter="ben"), *week(), *week(supporter="ben"), publish(WEEK))
    assert (standing(engine), standing(engine, "ben")) == ({"week:1": AWARDED}, {"week:1": AWARDED})


@pytest.mark.parametrize(
    ("rule", "before", "enough"),
    [
        (WEEK, [make(), *check_ins(*range(6))], [*check_ins(*range(6, 13))]),
        (TEN, verified(1, 9), verified(10, 19)),
        (KEEPER, [make(), keep("listen")], [make("walk"), make("rest"), keep("walk"), keep("rest")]),
    ],
)
def test_rules_from_now_count_only_what_comes_after(
    rule: AwardRule, before: Sequence[Command | Step], enough: Sequence[Command | Step]
) -> None:
    engine = after(*before, publish(rule, applies=Applies.FROM_NOW), *enough[:-1])
    assert standing(engine) == {}
    assert standing(go_on(engine, enough[-1])) == {f"{rule.award}:1": AWARDED}


def test_from_now_does_not_reward_what_was_reached_before() -> None:
    engine = after(make(), *week(), publish(WEEK, applies=Applies.FROM_NOW), make("walk"))
    assert standing(engine) == {}


def test_new_rules_revoke_nothing() -> None:
    stricter = AwardRule(award="week", title="Two weeks", when=Ground(streak=14))
    for rules in ((), (stricter,)):
        for applies in Applies:
            engine = after(publish(WEEK), make(), *week(), publish(*rules, version=2, applies=applies), make("walk"))
            assert standing(engine) == {"week:1": AWARDED}
            assert standing(go_on(engine, WITHDRAW)) == {"week:1": REVOKED}


def test_without_a_rule_in_force_the_award_does_not_return() -> None:
    engine = after(publish(WEEK), make(), *week(), publish(version=2), WITHDRAW, make(), *week())
    assert standing(engine) == {"week:1": REVOKED}


def test_what_the_rules_in_force_still_warrant_is_not_taken_back() -> None:
    easier = AwardRule(award="week", title="Three days", when=Ground(streak=3))
    engine = after(publish(WEEK), make(), make("walk"), *week(), *check_ins(0, 1, 2, ask="walk"))
    go_on(engine, publish(easier, version=2), WITHDRAW)
    assert standing(engine) == {"week:1": AWARDED}
    assert standing(go_on(engine, Withdraw(campaign="spring", ask="walk", supporter="anna"))) == {"week:1": REVOKED}


def test_a_fact_that_comes_twice_changes_nothing() -> None:
    engine = after(publish(WEEK, TEN, KEEPER), make(), *week(), *verified(1, 10), LAPSE, make(), WITHDRAW)
    once = list(engine.follows)
    twice = Engine(given(*WORLD))
    for fact in engine.story.facts:
        if fact.topic in twice.reaction.topics:
            for _ in range(2):
                shared = json.loads(twice.shared)
                twice.reaction.share(fact, shared)
                for key in twice.reaction.keys(fact, lambda: sorted(twice.states)):
                    state = json.loads(twice.states.get(key, "{}"))
                    twice.follows += twice.reaction.react(fact, key, state, shared)
                    twice.states[key] = json.dumps(state)
                twice.shared = json.dumps(shared)
    assert twice.follows == once
    assert twice.states == engine.states


def test_the_erased_get_no_more_awards_but_may_lose_them() -> None:
    engine = after(publish(WEEK, TEN), make(), *week(), *verified(1, 9))
    log = Log(action="a10", policy="hr1", supporter="anna", kind=ActionKind.CALL, on=FIRST_DAY)
    go_on(engine, log, Erase(supporter="anna"), Verify(action="a10"))
    assert standing(engine) == {"week:1": AWARDED}
    assert standing(go_on(engine, WITHDRAW)) == {"week:1": REVOKED}


def test_it_never_reacts_to_its_own_effects() -> None:
    assert not [topic for topic in awards.AutomaticAwards.topics if topic.startswith("recognitions.")]


def test_other_facts_do_not_touch_it() -> None:
    engine = after(publish(WEEK), officials.Register(official="maria", name="Maria"))
    assert engine.states == {}


@pytest.mark.parametrize("seed", range(20))
def test_what_an_award_is_given_for_is_as_much_as_was_counted(seed: int) -> None:
    dice = random.Random(seed)
    positions = iter(dice.sample(range(1, 1_000), 400))

    def a_round() -> dict[str, Any]:
        days = {str(FIRST_DAY + timedelta(days=dice.randrange(30))): next(positions) for _ in range(dice.randrange(15))}
        kept = dice.choice([None, next(positions)])
        return {"challenge": dice.random() < 0.7, "rest_days": dice.randrange(3), "days": days, "kept": kept}

    state = {
        "pledges": {f"p{n}": {str(next(positions)): a_round() for _ in range(2)} for n in range(3)},
        "actions": {f"a{n}": next(positions) for n in range(5)},
    }
    for ground, count in awards.COUNTS.items():
        for since in (0, 300, 2_000):
            found = awards.ground_of({"when": {ground: 1}, "since": since}, state)
            assert len(found) == len(set(found)) == count(state, since)
            assert all(position > since for position in found)
