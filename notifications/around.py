"""What a digest says of what is around a person: policies, campaigns, chapters, the movement's board.

What is the same for all who read one language about one range is said once and kept.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from domain.campaigns import Campaign
from domain.policies import Outcome, Policy, Stance
from domain.slices import Fact
from notifications.charts import chart
from notifications.digest import Chart, Figure, Item, Subject, Weight, one_line, ordered, paragraphs
from notifications.gathering import Gathered, Reader
from notifications.language import Language, mark
from notifications.movement import CHECK_INS, EVIDENCE, MEMBERSHIPS
from notifications.surroundings import Surroundings, web_address
from projections.counts import STATES

TARGETS: Final = 5
"""How many of the officials who decide on a policy are named."""

LABELS: Final = {
    "active": mark("active"),
    "kept": mark("kept"),
    "lapsed": mark("lapsed"),
    "withdrawn": mark("withdrawn"),
}
OUTCOMES: Final = {
    Outcome.WON: mark("Won: “%(policy)s”"),
    Outcome.LOST: mark("Lost: “%(policy)s”"),
    Outcome.WITHDRAWN: mark("Withdrawn: “%(policy)s”"),
}
STANCES: Final = {
    Stance.SUPPORTS: mark("supports"),
    Stance.LEANS_SUPPORT: mark("leans towards support"),
    Stance.UNDECIDED: mark("undecided"),
    Stance.LEANS_OPPOSE: mark("leans towards opposing"),
    Stance.OPPOSES: mark("opposes"),
}


class Around:
    """What there is to say to one person of their surroundings, subject by subject."""

    def __init__(self, shared: Surroundings, gathered: Gathered, reader: Reader, language: Language) -> None:
        self._shared, self._gathered, self._reader, self._language = shared, gathered, reader, language
        self._of = reader.of

    def _once(self, what: str, about: UUID, make: Callable[[UUID], Any]) -> Any:  # noqa: ANN401 - what it makes
        """Return what is said about something in this language and range, made only the first time."""
        key = (what, about, self._of, self._language.tag)
        if key not in self._shared.said:
            self._shared.said[key] = make(about)
        return self._shared.said[key]

    # --- policies ---

    def policies(self) -> Iterable[Item]:
        """News of the policies for which the person did something."""
        for key in self._gathered.policies.get(self._reader.person.supporter, ()):
            item: Item | None = self._once("policy", key, self._policy)
            if item is not None:
                yield item

    def _policy(self, key: UUID) -> Item | None:
        policy = self._shared.policy(key)
        facts = [fact for fact in self._shared.movement.facts(key, self._of) if self._is_news(key, fact)]
        if policy is None or not facts:
            return None
        say, title = self._language.say, self._language.isolated(one_line(policy.title or ""))
        turns = [fact for fact in facts if not isinstance(fact.event, Policy.PositionRecorded)]
        details: list[str] = []
        match (turns or facts)[-1].event:
            case Policy.Concluded(outcome=outcome, on=on):
                text, weight = say(OUTCOMES[outcome], policy=title), Weight.OUTCOME
                details = [self._language.day(on)]
            case Policy.Advanced(stage=stage):
                stage = self._language.isolated(one_line(stage))
                text, weight = say("“%(policy)s” moved on to “%(stage)s”", policy=title, stage=stage), Weight.STAGE
                details = [*self._asked(policy), *self._deciding(policy)]
            case _:
                text, weight = say("Who decides on “%(policy)s” took a stand", policy=title), Weight.STANCE
                details = [*self._stances(facts), *self._asked(policy)]
        positions = ordered(fact.position for fact in facts)
        detail, link = "\n".join(details) or None, web_address(policy.url)
        return Item(Subject.POLICIES, text, positions, weight, detail=detail, link=link)

    def _is_news(self, key: UUID, fact: Fact) -> bool:
        event = fact.event
        return not isinstance(event, Policy.PositionRecorded) or self._shared.is_target(key, event.official)

    def _stances(self, facts: Sequence[Fact]) -> list[str]:
        """Return what each official who decides said last."""
        latest: dict[UUID, Stance] = {}
        for fact in facts:
            if isinstance(fact.event, Policy.PositionRecorded):
                latest[fact.event.official] = fact.event.stance
        return [self._stance(who, stance) for who, stance in latest.items()]

    def _stance(self, official: UUID, stance: Stance) -> str:
        """Say where an official stands, and by which number they are called."""
        say, isolated, row = self._language.say, self._language.isolated, self._shared.official(official)
        named = [one_line(each) for each in (row.name, row.office) if each] if row else []
        said = say("%(official)s: %(stance)s", official=isolated(", ".join(named)), stance=say(STANCES[stance]))
        return f"{said} ({isolated(one_line(row.phone))})" if row and row.phone else said

    def _asked(self, policy: Any) -> list[str]:  # noqa: ANN401 - a row of policies
        """Say what can be done next: what the movement asks of those who decide."""
        if not policy.ask:
            return []
        return [self._language.say("What is asked for: %(ask)s", ask=self._language.isolated(paragraphs(policy.ask)))]

    def _deciding(self, policy: Any) -> list[str]:  # noqa: ANN401
        """Say who decides, and where each of them stands."""
        targets = self._shared.targets(policy.id)[:TARGETS]
        named = [self._stance(row.official, Stance(row.stance or Stance.UNDECIDED)) for row in targets]
        return [self._language.say("Who decides: %(officials)s", officials=" · ".join(named))] if named else []

    # --- campaigns ---

    def campaigns(self) -> Iterable[Item]:
        """The campaigns the person pledged to, where their numbers or their state changed."""
        person = self._reader.person
        for key in dict.fromkeys(row.campaign for row in self._gathered.pledges.get(person.supporter, ())):
            item: Item | None = None if key in person.muted else self._once("campaign", key, self._campaign)
            if item is not None:
                yield item

    def _campaign(self, key: UUID) -> Item | None:
        campaign = self._shared.campaign(key)
        told = self._shared.movement.facts(key, self._of)
        move = self._shared.movement.move(key, self._of)
        if campaign is None or campaign.title is None or not (move.events or told):
            return None
        title = self._shared.title(key, self._language)
        now = {state: getattr(campaign, state) for state in STATES}
        made = sum(move.changes.get(state, 0) for state in STATES)
        figures = [self._figure(mark("Pledges made"), sum(now.values()), made)]
        figures += [self._figure(label, now[state], move.changes.get(state, 0)) for state, label in LABELS.items()]
        if check_ins := move.changes.get(CHECK_INS):
            figures.append(Figure(self._language.say("Check-ins since then"), self._language.number(check_ins)))
        return Item(
            Subject.CAMPAIGNS,
            self._state(title, told) or title,
            ordered((*move.positions, *(fact.position for fact in told)))[-EVIDENCE:],
            Weight.STATE if told else Weight.CAMPAIGN,
            link=self._shared.campaign_url(key),
            figures=tuple(figures),
            headline=None if told else self._headline(title, made),
            events=move.events + len(told),
            key=key,
        )

    def _state(self, title: str, told: Sequence[Fact]) -> str | None:
        if not told:
            return None
        match told[-1].event:
            case Campaign.Paused():
                return self._language.say("“%(campaign)s” is paused", campaign=title)
            case Campaign.Completed():
                return self._language.say("“%(campaign)s” is completed", campaign=title)
            case _:
                return self._language.say("“%(campaign)s” is open for pledges", campaign=title)

    def _headline(self, title: str, made: int) -> str:
        if made <= 0:
            return self._language.say("News of “%(campaign)s”", campaign=title)
        return self._language.count(
            "%(count)s new pledge to “%(campaign)s”", "%(count)s new pledges to “%(campaign)s”", made, campaign=title
        )

    def _figure(self, label: str, value: int, change: int) -> Figure:
        said = self._language.change(change) if change else None
        return Figure(self._language.say(label), self._language.number(value), said)

    def illustrated(self, items: Sequence[Item]) -> list[Item]:
        """Return campaigns with a chart of the new pledges beside the newest, if there is enough to draw."""
        newest = max(items, key=lambda item: item.newest, default=None)
        if newest is None or newest.key is None:
            return list(items)
        drawn: Item = self._once("charted", newest.key, lambda key: replace(newest, chart=self._chart(key)))
        return [drawn if item is newest else item for item in items]

    def _chart(self, campaign: UUID) -> Chart | None:
        made = self._shared.movement.made(campaign, self._of)
        return chart(self._shared.title(campaign, self._language), made, self._language)

    # --- chapters ---

    def chapters(self) -> Iterable[Item]:
        """The person's chapters, where members came or went."""
        for key in self._reader.person.chapters:
            item: Item | None = self._once("chapter", key, self._chapter)
            if item is not None:
                yield item

    def _chapter(self, key: UUID) -> Item | None:
        row, move = self._shared.chapter(key), self._shared.movement.move(key, self._of)
        if row is None or not move.events:
            return None
        change = move.changes.get(MEMBERSHIPS, 0)
        return Item(
            Subject.CHAPTERS,
            self._language.isolated(one_line(row.name or "")),
            move.positions,
            Weight.CHAPTER,
            link=self._shared.chapter_url(key),
            figures=(self._figure(mark("Members"), row.members, change),),
            headline=self._language.say("News of your chapter"),
            alone=move.events > 1,
            events=move.events,
        )

    # --- the board ---

    def board(self) -> tuple[int | None, Iterable[Item]]:
        """Return (the person's rank, what to say of it): only to those who chose to be shown on boards."""
        person, known = self._reader.person, self._reader.known_rank
        if not person.public:
            return None, ()
        standing = self._gathered.standings.get(person.supporter)
        if standing is None or standing.rank == known:
            return known, ()
        say, number = self._language.say, self._language.number
        size = number(self._gathered.board_size)
        behind = [position for position in self._gathered.scored.get(person.supporter, ()) if position > self._of[0]]
        item = Item(
            Subject.BOARD,
            say("You are number %(rank)s of %(size)s", rank=number(standing.rank), size=size),
            ordered(behind[-EVIDENCE:]),
            Weight.BOARD,
            detail=say("Last time you were number %(rank)s.", rank=number(known)) if known else None,
            link=self._shared.board_url(),
            figures=(Figure(say("Points"), number(standing.points)),),
            alone=known is not None,
            events=len(behind),
        )
        return standing.rank, (item,)
