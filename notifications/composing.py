"""Composes one person's digest from the read models and the range of the log since the last one."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from domain.actions import Action
from domain.campaigns import Campaign
from domain.kernel import Event, Unavailable
from domain.pledges import Pledge
from domain.policies import Outcome, Policy
from domain.recognitions import Recognition
from domain.slices import Fact
from notifications.digest import Content, Figure, Item, Subject, Weight, clip, one_line, ordered
from notifications.language import Language, mark
from notifications.movement import CHECK_INS, MEMBERSHIPS, Range
from notifications.recipients import Recipient
from notifications.surroundings import Surroundings
from projections.actions import Actions
from projections.boards import Board, Scope
from projections.campaigns import Campaigns
from projections.chapters import Chapters
from projections.counts import STATES
from projections.leaderboards import Leaderboards
from projections.pledges import Pledges
from projections.policies import Policies
from projections.projection import Projection

KINDS: Final[tuple[type[Projection], ...]] = (Campaigns, Pledges, Actions, Policies, Chapters, Leaderboards)
"""The read models a digest is composed from."""

ACTIONS: Final = 500
"""Of how many of a person's latest actions the policies are followed."""


def compose(shared: Surroundings, person: Recipient, told: tuple[int, int | None] | None, now: datetime) -> Content:
    """Return what there is to say to a person since the last digest, up to the position of the read models.

    ``told`` is (the position, the rank) that the last one told, None before the first: it begins with the person.
    """
    after, known_rank = told or (person.first_position - 1, None)
    first, of = told is None, (after, shared.views.position)
    shared.movement.cover(*of)
    one = _Person(shared, person, of, now)
    rank, board = one.board(known_rank)
    items = (
        *one.today(),
        *one.recognitions(),
        *one.answers(),
        *one.pledges(),
        *one.policies(),
        *one.campaigns(),
        *one.chapters(),
        *board,
    )
    return Content(one.language, person.name, of, items, rank, first)


def compose_all(
    shared: Surroundings, people: Sequence[tuple[Recipient, tuple[int, int | None] | None]], now: datetime
) -> dict[UUID, Content | Exception]:
    """Return what there is to say to each of a batch of people, or the error that one person's data led to.

    Raises Unavailable where the store cannot be read.
    """
    found: dict[UUID, Content | Exception] = {}
    for person, told in people:
        try:
            found[person.supporter] = compose(shared, person, told, now)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one person's data must not stop everybody's mail
            found[person.supporter] = error
    return found


class _Person:
    """What there is to say to one person, subject by subject."""

    def __init__(self, shared: Surroundings, person: Recipient, of: Range, now: datetime) -> None:
        self._shared, self._person, self._of = shared, person, of
        self._views, self._connection = shared.views, shared.views.connection
        self.language = Language(person.locale, person.time_zone)
        self._today = self.language.today(now)
        self._pledges = self._views[Pledges].of_supporter(self._connection, person.supporter)
        self._told: defaultdict[UUID, list[Fact]] = defaultdict(list)
        for fact in shared.told_of([row.id for row in self._pledges], of):
            self._told[fact.stream].append(fact)
        self._personal = shared.movement.facts(person.supporter, of)

    def _statement(self, pledge: Any) -> str:  # noqa: ANN401 - a row of pledges
        ask = self._shared.ask(pledge.campaign, pledge.ask)
        return one_line(ask.statement if ask else pledge.ask)

    # --- today ---

    def today(self) -> Iterable[Item]:
        """Challenges not yet checked in on the person's own day, with the day's prompt."""
        for pledge in self._pledges:
            if pledge.state != "active" or not pledge.days or pledge.last_check_in == self._today:
                continue
            campaign = self._shared.campaign(pledge.campaign)
            day = (self._today - pledge.made_on).days + 1
            if not 1 <= day <= pledge.days or campaign is None or campaign.state not in {"launched", "paused"}:
                continue
            ask = self._shared.ask(pledge.campaign, pledge.ask)
            prompts = ask.prompts if ask and ask.prompts else []
            values = {"day": self.language.number(day), "days": self.language.number(pledge.days)}
            yield Item(
                Subject.TODAY,
                self.language.say("Day %(day)s of %(days)s: %(ask)s", **values, ask=self._statement(pledge)),
                (pledge.position,),
                Weight.TODAY,
                detail=clip(prompts[day - 1]) if day <= len(prompts) else None,
                link=self._shared.campaign_url(pledge.campaign),
            )

    # --- own pledges ---

    def pledges(self) -> Iterable[Item]:
        """What became of each of the person's pledges, in one item."""
        for pledge in self._pledges:
            if facts := self._told[pledge.id]:
                yield self._pledge(pledge, facts)

    def _pledge(self, pledge: Any, facts: Sequence[Fact]) -> Item:  # noqa: ANN401
        say, ask = self.language.say, self._statement(pledge)
        checked = sum(isinstance(fact.event, Pledge.CheckedIn) for fact in facts)
        turns = [fact.event for fact in facts if not isinstance(fact.event, Pledge.CheckedIn | Pledge.Amended)]
        detail, weight, headline = self._streak(pledge) if checked else None, Weight.PLEDGE, None
        match turns[-1] if turns else None:
            case Pledge.Kept():
                text, weight = say("You kept your pledge: %(ask)s", ask=ask), Weight.KEPT
            case Pledge.Lapsed():
                text = say("Your pledge lapsed; you can make it again: %(ask)s", ask=ask)
            case Pledge.Withdrawn():
                text = say("You withdrew your pledge: %(ask)s", ask=ask)
            case Pledge.Made() | Pledge.Renewed():
                text = say("You pledged: %(ask)s", ask=ask)
            case _ if checked:
                text = self.language.count(
                    "You checked in once: %(ask)s", "You checked in %(count)s times: %(ask)s", checked, ask=ask
                )
            case _:
                text = say("You changed your note: %(ask)s", ask=ask)
        if checked and weight == Weight.PLEDGE and pledge.streak > 1 and self._runs(pledge):
            weight = Weight.STREAK
            headline = self.language.count(
                "A streak of %(count)s day: %(ask)s", "A streak of %(count)s days: %(ask)s", pledge.streak, ask=ask
            )
        return Item(
            Subject.PLEDGES,
            text,
            ordered(fact.position for fact in facts),
            weight,
            detail=detail,
            link=self._shared.campaign_url(pledge.campaign),
            headline=headline,
            alone=any(not isinstance(fact.event, Pledge.Amended) for fact in facts),
        )

    def _runs(self, pledge: Any) -> bool:  # noqa: ANN401
        last: date | None = pledge.last_check_in
        return last is not None and self._today - last <= timedelta(days=(pledge.rest_days or 0) + 1)

    def _streak(self, pledge: Any) -> str | None:  # noqa: ANN401
        count = self.language.count
        if pledge.state == "active" and self._runs(pledge):
            return count("Your streak is %(count)s day.", "Your streak is %(count)s days.", pledge.streak)
        if pledge.longest_streak:
            return count(
                "Your longest streak was %(count)s day.",
                "Your longest streak was %(count)s days.",
                pledge.longest_streak,
            )
        return None

    # --- what others gave ---

    def recognitions(self) -> Iterable[Item]:
        """Awards given and revoked; of one that was both, what it came to."""
        latest: dict[UUID, list[Fact]] = defaultdict(list)
        for fact in self._personal:
            if isinstance(fact.event, Recognition.Event):
                latest[fact.stream].append(fact)
        for facts in latest.values():
            event: Event = facts[-1].event
            assert isinstance(event, Recognition.Event)  # noqa: S101 - chosen above
            given = isinstance(event, Recognition.Awarded)
            message = mark("You were awarded “%(title)s”") if given else mark("The award “%(title)s” was revoked")
            yield Item(
                Subject.RECOGNITIONS,
                self.language.say(message, title=one_line(event.title)),
                ordered(fact.position for fact in facts),
                Weight.AWARD if given else Weight.REVOKED,
            )

    def answers(self) -> Iterable[Item]:
        """Responses to what the person did."""
        for fact in self._personal:
            if not isinstance(fact.event, Action.ResponseRecorded):
                continue
            policy = self._shared.policy(fact.event.policy)
            text = self.language.say(
                "An answer to what you did for “%(policy)s”", policy=one_line(policy.title or "") if policy else ""
            )
            said = f"{self.language.day(fact.event.on)}: {clip(fact.event.summary)}"
            yield Item(Subject.ANSWERS, text, (fact.position,), Weight.ANSWER, detail=said)

    def policies(self) -> Iterable[Item]:
        """News of the policies for which the person did something."""
        rows = self._views[Actions].of_supporter(self._connection, self._person.supporter, limit=ACTIONS)
        for key in dict.fromkeys(row.policy for row in rows if row.state in {"logged", "verified"}):
            facts = self._shared.movement.facts(key, self._of)
            policy = self._shared.policy(key)
            if facts and policy is not None:
                yield self._policy(policy, facts)

    def _policy(self, policy: Any, facts: Sequence[Fact]) -> Item:  # noqa: ANN401
        say, title = self.language.say, one_line(policy.title)
        positions = ordered(fact.position for fact in facts)
        match facts[-1].event:
            case Policy.Concluded(outcome=outcome, on=on):
                message = {
                    Outcome.WON: mark("Won: “%(policy)s”"),
                    Outcome.LOST: mark("Lost: “%(policy)s”"),
                    Outcome.WITHDRAWN: mark("Withdrawn: “%(policy)s”"),
                }[outcome]
                text, weight, detail = say(message, policy=title), Weight.OUTCOME, self.language.day(on)
            case Policy.Advanced(stage=stage):
                text = say("“%(policy)s” moved on to “%(stage)s”", policy=title, stage=one_line(stage))
                weight = Weight.STAGE
                detail = say("What is asked for: %(ask)s", ask=clip(policy.ask)) if policy.ask else ""
            case _:
                msg = f"A policy does not tell {facts[-1].topic}"
                raise TypeError(msg)
        return Item(Subject.POLICIES, text, positions, weight, detail=detail or None)

    # --- how the surroundings moved ---

    def campaigns(self) -> Iterable[Item]:
        """The campaigns the person pledged to, where their numbers or their state changed."""
        moved = self._shared.movement
        for key in dict.fromkeys(row.campaign for row in self._pledges):
            campaign = self._shared.campaign(key)
            told = moved.facts(key, self._of)
            behind = moved.behind(key, self._of)
            if campaign is None or campaign.title is None or not (behind or told):
                continue
            changes = {state: moved.change(key, state, self._of) for state in STATES}
            now = {state: getattr(campaign, state) for state in STATES}
            text = self._state(key, told) or self._shared.title(key, self.language)
            figures = [self._figure(mark("Pledges made"), sum(now.values()), sum(changes.values()))]
            figures += [self._figure(label, now[state], changes[state]) for state, label in _LABELS.items()]
            if check_ins := moved.change(key, CHECK_INS, self._of):
                label = self.language.say("Check-ins since then")
                figures.append(Figure(label, self.language.number(check_ins)))
            yield Item(
                Subject.CAMPAIGNS,
                text,
                ordered((*behind, *(fact.position for fact in told))),
                Weight.STATE if told else Weight.CAMPAIGN,
                link=self._shared.campaign_url(key),
                figures=tuple(figures),
                headline=None if told else self._headline(key, sum(changes.values())),
            )

    def _state(self, key: UUID, told: Sequence[Fact]) -> str | None:
        if not told:
            return None
        title = self._shared.title(key, self.language)
        match told[-1].event:
            case Campaign.Paused():
                return self.language.say("“%(campaign)s” is paused", campaign=title)
            case Campaign.Completed():
                return self.language.say("“%(campaign)s” is completed", campaign=title)
            case _:
                return self.language.say("“%(campaign)s” is open for pledges", campaign=title)

    def _headline(self, key: UUID, made: int) -> str | None:
        title = self._shared.title(key, self.language)
        if made <= 0:
            return self.language.say("News of “%(campaign)s”", campaign=title)
        return self.language.count(
            "%(count)s new pledge to “%(campaign)s”", "%(count)s new pledges to “%(campaign)s”", made, campaign=title
        )

    def _figure(self, label: str, value: int, change: int) -> Figure:
        said = self.language.change(change) if change else None
        return Figure(self.language.say(label), self.language.number(value), said)

    def chapters(self) -> Iterable[Item]:
        """The person's chapters, where members came or went."""
        for key in self._person.chapters:
            row = self._shared.chapter(key)
            behind = self._shared.movement.behind(key, self._of)
            if row is None or not behind:
                continue
            change = self._shared.movement.change(key, MEMBERSHIPS, self._of)
            yield Item(
                Subject.CHAPTERS,
                one_line(row.name or ""),
                behind,
                Weight.CHAPTER,
                figures=(self._figure(mark("Members"), row.members, change),),
                alone=len(behind) > 1,
            )

    def board(self, known: int | None) -> tuple[int | None, tuple[Item, ...]]:
        """Return (the person's rank, what to say of it): only to those who chose to be shown on boards."""
        if not self._person.public:
            return None, ()
        board, model = Board(Scope.MOVEMENT), self._views[Leaderboards]
        standing = model.standing(self._connection, board, self._person.supporter)
        if standing is None or standing.rank == known:
            return known, ()
        entries = model.entries_of(self._connection, board, self._person.supporter)
        say, number = self.language.say, self.language.number
        size = model.size(self._connection, board)
        text = say("You are number %(rank)s of %(size)s", rank=number(standing.rank), size=number(size))
        detail = say("Last time you were number %(rank)s.", rank=number(known)) if known else None
        behind = ordered(entry.position for entry in entries if entry.position > self._of[0])
        item = Item(
            Subject.BOARD,
            text,
            behind,
            Weight.BOARD,
            detail=detail,
            link=self._shared.board_url(),
            figures=(Figure(say("Points"), number(standing.points)),),
            alone=known is not None,
        )
        return standing.rank, (item,)


_LABELS: Final = {
    "active": mark("active"),
    "kept": mark("kept"),
    "lapsed": mark("lapsed"),
    "withdrawn": mark("withdrawn"),
}
