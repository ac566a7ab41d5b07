"""Whether one order of events explains every answer: Herlihy and Wing's linearizability, with the log as the order.

An accepted command took effect at its positions. A refused one must have been illegal after some position between
those that its sender could know of when it asked, and those that began only after it was told.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tests.support.contention import ASKS, CAMPAIGNS, SUPPORTERS, Told, Try

PREPARED: Final = 4
"""Events of a campaign that is drafted, has two asks, and is launched."""

TOPICS: Final = {
    "pause": "campaigns.Paused",
    "resume": "campaigns.Resumed",
    "check_in": "pledges.CheckedIn",
    "keep": "pledges.Kept",
    "lapse": "pledges.Lapsed",
    "withdraw": "pledges.Withdrawn",
}


@dataclass(frozen=True)
class State:
    """What the rules say about one stream; a pledge that was never made is ``none``."""

    version: int
    stands: str
    days: frozenset[int] = frozenset()


def refusal(tried: Try, own: State, campaign: State) -> str | None:
    """Return the code with which the rules refuse a command, None where they take it."""
    if tried.if_match not in {None, own.version}:
        return "command.precondition_failed"
    if needed := {"pause": "launched", "resume": "paused", "make": "launched"}.get(tried.verb):
        if campaign.stands != needed:
            return f"campaign.not_{needed}"
        return f"pledge.already_{own.stands}" if own.stands in {"active", "kept"} else None
    return _refusal_of_deed(tried, own)


def _refusal_of_deed(tried: Try, own: State) -> str | None:
    if own.stands == "none":
        return "pledge.unknown"
    if tried.verb == "check_in" and tried.ask != "listen":
        return "pledge.not_a_challenge"
    if own.stands != "active":
        return "pledge.not_active"
    return "pledge.already_checked_in" if tried.day in own.days else None


def after(tried: Try, own: State) -> State:
    """Return the state that an accepted command leads to."""
    version = own.version + 1
    match tried.verb:
        case "pause" | "keep" | "lapse" | "withdraw":
            stands = {"pause": "paused", "keep": "kept", "lapse": "lapsed", "withdraw": "withdrawn"}[tried.verb]
            return replace(own, version=version, stands=stands)
        case "resume":
            return replace(own, version=version, stands="launched")
        case "check_in":
            return replace(own, version=version, days=own.days | {tried.day})
    return State(version, "active")


@dataclass
class Explanation:
    """A log explained: the state of each stream after each position."""

    start: int
    end: int
    _places: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _states: dict[str, list[State]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for campaign in CAMPAIGNS:
            self._put(campaign, 0, State(PREPARED, "launched"))
            for ask in ASKS:
                for supporter in SUPPORTERS:
                    self._put(f"{campaign}/{ask}/{supporter}", 0, State(0, "none"))

    def _put(self, stream: str, position: int, state: State) -> None:
        self._places[stream].append(position)
        self._states[stream].append(state)

    def at(self, stream: str, position: int) -> State:
        """Return the state of a stream after a position."""
        return self._states[stream][bisect_right(self._places[stream], position) - 1]

    def refusal(self, tried: Try, position: int) -> str | None:
        """Return the code with which a command would have been refused after a position."""
        return refusal(tried, self.at(tried.stream, position), self.at(tried.campaign, position))

    def apply(self, tried: Try, position: int, topic: str) -> None:
        """Explain the event at a position by its command, which must have been legal there."""
        code = self.refusal(tried, position - 1)
        assert code is None, f"position {position}: {tried} was accepted, and should have been {code}"
        before = self.at(tried.stream, position - 1)
        made = "pledges.Made" if before.stands == "none" else "pledges.Renewed"
        assert topic == TOPICS.get(tried.verb, made), f"position {position}: {tried} became {topic}"
        self._put(tried.stream, position, after(tried, before))


def explain(start: int, log: Sequence[tuple[str, str]], history: Iterable[Told]) -> None:
    """Explain a log, as (command id, topic) after the position ``start``, and all answers; raise AssertionError."""
    answers = list(history)
    explanation = Explanation(start, start + len(log))
    _explain_log(explanation, log, answers)
    _explain_order(explanation, answers)


def _explain_log(explanation: Explanation, log: Sequence[tuple[str, str]], answers: list[Told]) -> None:
    """Each event belongs to an accepted command, and each accepted command to the event that it was told."""
    accepted = {told.tried.id: told for told in answers if told.status == "accepted"}
    assert len(accepted) == sum(told.status == "accepted" for told in answers), "an id was accepted twice"
    for position, (command_id, topic) in enumerate(log, explanation.start + 1):
        told = accepted.get(command_id)
        assert told is not None, f"position {position}: {command_id} was accepted by nobody"
        assert told.positions == (position,), f"position {position}: {command_id} was told {told.positions}"
        explanation.apply(told.tried, position, topic)
    assert len(accepted) == len(log), "more was accepted than is in the log"
    for told in answers:
        if told.status == "repeated":
            assert told.positions == accepted[told.tried.id].positions, f"{told} is no repeat of the first answer"


def _explain_order(explanation: Explanation, answers: list[Told]) -> None:
    """Go through time: nobody's answer may rest on less than what was known when it was asked for."""
    moments = sorted(
        [(told.asked, 0, n) for n, told in enumerate(answers)] + [(told.told, 1, n) for n, told in enumerate(answers)]
    )
    ceilings = _ceilings(explanation, answers)
    known = explanation.start
    """The position up to which everything has happened for whoever asks now."""
    places: dict[int, int] = {}
    for _, ended, n in moments:
        told = answers[n]
        if ended:
            known = max(known, places[n])
        elif told.status == "accepted":
            assert told.positions[0] > known, f"{told} stands before {known}, which was known when it was asked"
            places[n] = told.positions[0]
        elif told.status == "repeated":
            places[n] = told.positions[0]
        else:
            places[n] = _place_of_refusal(explanation, told, known, ceilings[n])


def _ceilings(explanation: Explanation, answers: list[Told]) -> list[int]:
    """Return for each answer the last position that cannot have begun after it was told."""
    accepted = sorted((told.asked, told.positions[0]) for told in answers if told.status == "accepted")
    first_from = [explanation.end + 1]
    for _, position in reversed(accepted):
        first_from.append(min(first_from[-1], position))
    first_from.reverse()
    asked = [moment for moment, _ in accepted]
    return [first_from[bisect_right(asked, told.told)] - 1 for told in answers]


def _place_of_refusal(explanation: Explanation, told: Told, known: int, ceiling: int) -> int:
    """Return the first position after which it is rightly refused: later ones would only make it harder for others."""
    for position in range(known, ceiling + 1):
        if explanation.refusal(told.tried, position) == told.code:
            return position
    msg = f"{told.tried} was refused with {told.code}, and was not so after any position from {known} to {ceiling}"
    raise AssertionError(msg)
