"""Automatic awards: given when history gives the ground that the published rules ask for, revoked when it goes away."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final

from domain.actions import Action
from domain.pledges import Pledge, streaks
from domain.recognitions import Award, Nominate, Recipient, RecipientKind, Revoke
from domain.scoring import Applies, AwardRule, ScoringRules
from domain.slices import Fact, Follow, Slice
from domain.supporters import Supporter

State = dict[str, Any]
"""What is known of one supporter, as plain JSON; positions say when a fact was recorded.

``pledges``: by pledge, its rounds (from being made or renewed on), each by the position it began at:
{``challenge``: bool, ``rest_days``: int, ``days``: {day: position}, ``kept``: position | null};
``actions``: {verified action: position}; ``erased``: true once the supporter is;
``awards``: by award, {``number``: how often it was given, ``held``: the rule it was last given by | null}.
"""

Rule = dict[str, Any]
"""{``award``, ``title``, ``when``: {one ground: n}, ``since``: the position after which what is recorded counts}."""

GONE: Final = {
    "pledges.Withdrawn": "The pledge {} was withdrawn",
    "actions.Rejected": "The action {} was rejected",
    "actions.Retracted": "The action {} was retracted",
}


class AutomaticAwards:
    """Nominates and awards by rule; revokes with a reason that names what went away.

    An award is held to the rule by which it was given: later rules give awards, they revoke none.
    """

    name = "automatic-awards"
    topics = frozenset(
        event.TOPIC
        for event in (
            Pledge.Made,
            Pledge.Renewed,
            Pledge.CheckedIn,
            Pledge.Kept,
            Pledge.Withdrawn,
            Action.Verified,
            Action.Rejected,
            Action.Retracted,
            Supporter.Erased,
            ScoringRules.Published,
        )
    )

    def share(self, fact: Fact, shared: dict[str, Any]) -> None:
        """Keep the rules in force."""
        if isinstance(fact.event, ScoringRules.Published):
            since = fact.position if fact.event.applies is Applies.FROM_NOW else 0
            shared["rules"] = [plain(rule, since) for rule in fact.event.awards]

    def keys(self, fact: Fact, known: Callable[[], Sequence[str]]) -> Sequence[str]:
        """The supporter whom the fact is about; everybody, where rules count all history anew."""
        if isinstance(fact.event, ScoringRules.Published):
            return known() if fact.event.applies is Applies.TO_ALL_HISTORY else ()
        return (str(fact.event.person),)

    def react(self, fact: Fact, key: str, state: State, shared: Mapping[str, Any]) -> Sequence[Follow]:
        """Take the fact in, then give what is newly earned and revoke what no longer is."""
        absorb(fact, state)
        follows: list[Follow] = []
        awards = state.setdefault("awards", {})
        rules = {rule["award"]: rule for rule in shared.get("rules", ())}
        for award in sorted({*awards, *rules}):
            given = awards.get(award, {"number": 0, "held": None})
            rule = rules.get(award)
            earned = rule is not None and reached(rule, state)
            if given["held"] is None and earned and not state.get("erased"):
                awards[award] = {"number": given["number"] + 1, "held": rule}
                follows += give(awards[award], key)
            elif given["held"] is not None and not reached(given["held"], state):
                if not earned:
                    follows.append(take_back(given, key, fact))
                given["held"] = rule if earned else None
        return follows


def plain(rule: AwardRule, since: int) -> Rule:
    """Return the rule as plain JSON."""
    when = {name: least for name, least in vars(rule.when).items() if least is not None}
    return {"award": rule.award, "title": rule.title, "when": when, "since": since}


def absorb(fact: Fact, state: State) -> None:
    """Take into the state what the fact says; a repeat changes nothing."""
    stream = str(fact.stream)
    pledges, actions = state.setdefault("pledges", {}), state.setdefault("actions", {})
    match fact.event:
        case Pledge.Made() | Pledge.Renewed() as begun:
            rounds = pledges.setdefault(stream, {})
            challenge, rest_days = begun.days is not None, begun.rest_days or 0
            rounds.setdefault(
                str(fact.position), {"challenge": challenge, "rest_days": rest_days, "days": {}, "kept": None}
            )
        case Pledge.CheckedIn() as check_in:
            latest(pledges[stream])["days"].setdefault(check_in.on.isoformat(), fact.position)
        case Pledge.Kept():
            latest(pledges[stream])["kept"] = fact.position
        case Pledge.Withdrawn():
            pledges.pop(stream, None)
        case Action.Verified():
            actions.setdefault(stream, fact.position)
        case Action.Rejected() | Action.Retracted():
            actions.pop(stream, None)
        case Supporter.Erased():
            state["erased"] = True


def latest(rounds: dict[str, Any]) -> dict[str, Any]:
    """Return the round of a pledge that began last."""
    found: dict[str, Any] = rounds[max(rounds, key=int)]
    return found


def reached(rule: Rule, state: State) -> bool:
    """Whether the supporter has what the rule asks for."""
    when: dict[str, int] = rule["when"]
    ((ground, least),) = when.items()
    return COUNTS[ground](state, rule["since"]) >= least


def newly_earned(rules: Iterable[AwardRule], state: State) -> list[AwardRule]:
    """Return those of the rules, published for all history, whose award the supporter would get; in order of award."""
    if not state or state.get("erased"):
        return []
    awards = state.get("awards", {})
    return [
        rule
        for rule in sorted(rules, key=lambda rule: rule.award)
        if awards.get(rule.award, {"held": None})["held"] is None and reached(plain(rule, 0), state)
    ]


def longest_streak(state: State, since: int) -> int:
    """Return the longest streak of any pledge that is not withdrawn."""
    return max(
        (
            streaks((date.fromisoformat(on) for on, at in each["days"].items() if at > since), each["rest_days"])[1]
            for rounds in state["pledges"].values()
            for each in rounds.values()
        ),
        default=0,
    )


def kept_challenges(state: State, since: int) -> int:
    """Return the number of challenges kept."""
    return sum(
        each["challenge"] and each["kept"] is not None and each["kept"] > since
        for rounds in state["pledges"].values()
        for each in rounds.values()
    )


def verified_actions(state: State, since: int) -> int:
    """Return the number of actions that are verified."""
    return sum(at > since for at in state["actions"].values())


COUNTS: Final[Mapping[str, Callable[[State, int], int]]] = {
    "streak": longest_streak,
    "kept": kept_challenges,
    "verified_actions": verified_actions,
}


def ground_of(rule: Rule, state: State) -> list[int]:
    """Return the positions of what fulfils a rule: the days of the longest streak, what was kept, what was verified."""
    ((ground, _),) = rule["when"].items()
    since, rounds = rule["since"], [each for pledge in state["pledges"].values() for each in pledge.values()]
    match ground:
        case "streak":
            runs = [run for each in rounds for run in runs_of(each, since)]
            return max(runs, key=len) if runs else []
        case "kept":
            return sorted(each["kept"] for each in rounds if each["challenge"] and (each["kept"] or 0) > since)
        case _:
            return sorted(at for at in state["actions"].values() if at > since)


def runs_of(each: dict[str, Any], since: int) -> list[list[int]]:
    """Return the streaks of one round, each as the positions of its check-ins."""
    runs: list[list[int]] = []
    last: date | None = None
    for day, at in sorted((date.fromisoformat(on), at) for on, at in each["days"].items() if at > since):
        if last is None or (day - last).days > each["rest_days"] + 1:
            runs.append([])
        runs[-1].append(at)
        last = day
    return runs


SAID: Final = {"streak": "a streak of {}", "kept": "kept challenges: {}", "verified_actions": "verified actions: {}"}


def said(rule: Rule) -> str:
    """Say what the rule asks for."""
    ((ground, least),) = rule["when"].items()
    return SAID[ground].format(least)


def reference(rule: Rule, key: str, number: int) -> str:
    """Return the reference of an automatic award, a new one each time it is given."""
    return f"auto:{rule['award']}:{key}:{number}"


def give(given: dict[str, Any], key: str) -> tuple[Follow, Follow]:
    """Nominate the supporter and give the award."""
    rule = given["held"]
    recognition = reference(rule, key, given["number"])
    nominate = Nominate(
        recognition=recognition,
        title=rule["title"],
        recipient=Recipient(kind=RecipientKind.SUPPORTER, id=key),
        citation=f"By the published rules ({said(rule)}).",
    )
    return (
        Follow(nominate, f"nominate:{rule['award']}"),
        Follow(Award(recognition=recognition), f"award:{rule['award']}"),
    )


def take_back(given: dict[str, Any], key: str, fact: Fact) -> Follow:
    """Revoke the award, and say what went away."""
    rule = given["held"]
    gone = GONE[fact.topic].format(fact.stream)
    revoke = Revoke(recognition=reference(rule, key, given["number"]))
    return Follow(
        revoke, f"revoke:{rule['award']}", f"{gone}, and with it went what the award was given for ({said(rule)})."
    )


SLICE = Slice("awards", (), (), (AutomaticAwards(),))
