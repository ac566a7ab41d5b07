"""What a digest says of the person's own doings: what is due, pledges and streaks, recognition, answers."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from domain.pledges import Pledge
from domain.recognitions import Recognition
from domain.slices import Fact
from notifications.digest import Item, Subject, Weight, one_line, ordered, paragraphs
from notifications.gathering import Gathered, Reader
from notifications.language import Language, mark
from notifications.surroundings import Surroundings

OPEN = frozenset({"launched", "paused"})
"""The states of campaigns whose challenges go on."""


class Own:
    """What there is to say to one person of themselves, subject by subject."""

    def __init__(
        self, shared: Surroundings, gathered: Gathered, reader: Reader, language: Language, now: datetime
    ) -> None:
        self._shared, self._gathered, self._reader, self._language = shared, gathered, reader, language
        self._today = language.today(now)
        muted = reader.person.muted
        own = gathered.pledges.get(reader.person.supporter, ())
        self._pledges = [row for row in own if row.campaign not in muted] if muted else own

    def _facts(self, stream: UUID) -> list[Fact]:
        after, upto = self._reader.of
        return [fact for fact in self._gathered.facts.get(stream, ()) if after < fact.position <= upto]

    def _statement(self, pledge: Any) -> str:  # noqa: ANN401 - a row of pledges
        ask = self._shared.ask(pledge.campaign, pledge.ask)
        return self._language.isolated(one_line(ask.statement if ask else pledge.ask))

    # --- today ---

    def today(self) -> Iterable[Item]:
        """Challenges not yet checked in on the person's own day, with the day's prompt."""
        for pledge in self._pledges:
            if pledge.state != "active" or not pledge.days or pledge.last_check_in == self._today:
                continue
            campaign = self._shared.campaign(pledge.campaign)
            day = (self._today - pledge.made_on).days + 1
            if 1 <= day <= pledge.days and campaign is not None and campaign.state in OPEN:
                yield self._due(pledge, day)

    def _due(self, pledge: Any, day: int) -> Item:  # noqa: ANN401
        language = self._language
        ask = self._shared.ask(pledge.campaign, pledge.ask)
        prompts = ask.prompts if ask and ask.prompts else []
        values = {"day": language.number(day), "days": language.number(pledge.days)}
        return Item(
            Subject.TODAY,
            language.say("Day %(day)s of %(days)s: %(ask)s", **values, ask=self._statement(pledge)),
            (pledge.position,),
            Weight.TODAY,
            detail=language.isolated(paragraphs(prompts[day - 1])) if day <= len(prompts) else None,
            link=self._shared.campaign_url(pledge.campaign),
        )

    # --- pledges ---

    def pledges(self) -> Iterable[Item]:
        """What became of each of the person's pledges, in one item: many changes of it are one piece of news."""
        for pledge in self._pledges:
            if facts := self._facts(pledge.id):
                yield self._pledge(pledge, facts)

    def _pledge(self, pledge: Any, facts: Sequence[Fact]) -> Item:  # noqa: ANN401
        say, ask = self._language.say, self._statement(pledge)
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
                text = self._language.count(
                    "You checked in once: %(ask)s", "You checked in %(count)s times: %(ask)s", checked, ask=ask
                )
            case _:
                text = say("You changed your note: %(ask)s", ask=ask)
        if checked and weight == Weight.PLEDGE and pledge.streak > 1 and self._runs(pledge):
            weight = Weight.STREAK
            headline = self._language.count(
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
        count = self._language.count
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
        """Awards given and revoked, to the person and to their chapters; of one that was both, what it came to."""
        person = self._reader.person
        for recipient in (person.supporter, *person.chapters):
            for key in self._gathered.recognitions.get(recipient, ()):
                turns = [f for f in self._facts(key) if isinstance(f.event, Recognition.Awarded | Recognition.Revoked)]
                if turns:
                    yield self._recognition(turns, None if recipient == person.supporter else recipient)

    def _recognition(self, turns: Sequence[Fact], chapter: UUID | None) -> Item:
        event = turns[-1].event
        assert isinstance(event, Recognition.Event)  # noqa: S101 - chosen by whom it is called
        given = isinstance(event, Recognition.Awarded)
        title = self._language.isolated(one_line(event.title))
        positions, weight = ordered(fact.position for fact in turns), Weight.AWARD if given else Weight.REVOKED
        if chapter is None:
            message = mark("You were awarded “%(title)s”") if given else mark("The award “%(title)s” was revoked")
            return Item(Subject.RECOGNITIONS, self._language.say(message, title=title), positions, weight)
        row = self._shared.chapter(chapter)
        name = self._language.isolated(one_line(row.name or "" if row else ""))
        message = mark("%(chapter)s was awarded “%(title)s”")
        if not given:
            message = mark("The award “%(title)s” of %(chapter)s was revoked")
        text = self._language.say(message, title=title, chapter=name)
        weight = Weight.CHAPTER_AWARD if given else Weight.REVOKED
        return Item(Subject.CHAPTERS, text, positions, weight, link=self._shared.chapter_url(chapter))

    def answers(self) -> Iterable[Item]:
        """Responses to what the person did."""
        language, after = self._language, self._reader.of[0]
        for row in self._gathered.answers.get(self._reader.person.supporter, ()):
            if row.position <= after:
                continue
            policy = self._shared.policy(row.policy)
            title = language.isolated(one_line(policy.title or "") if policy else "")
            text = language.say("An answer to what you did for “%(policy)s”", policy=title)
            said = f"{language.day(row.on)}: {language.isolated(paragraphs(row.summary))}"
            yield Item(Subject.ANSWERS, text, (row.position,), Weight.ANSWER, detail=said)
