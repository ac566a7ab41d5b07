"""What people promise and what becomes of it: uneven check-ins, streaks, lapses, and a wave that turns back."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from random import Random
from typing import Final

from api.demo.campaigns import ASKS, DOOR, Ask, open_on
from api.demo.script import END, Person, Script, day_after, noon

CODES: Final = {"es": "CLARA", "pt": "ALVORADA"}
SCANDAL: Final = "NIMBUS"
SCANDAL_ON: Final = date(2026, 5, 19)
KEPT_FROM: Final = 17
"""With how many of its days a challenge is kept, in this movement."""

NOTES: Final = {
    "en": (
        "My brother talked for an hour.",
        "Harder than I thought.",
        "We laughed a lot.",
        "Only silence, and it was fine.",
    ),
    "es": ("Mi hija habló primero.", "Me costó no aconsejar.", "Nos reímos mucho.", "Hoy solo escuché."),
    "pt": ("A D. Alzira contou tudo.", "Foi difícil ficar calado.", "Rimos muito.", "Hoje só ouvi."),
}
WITHDRAWN: Final = {
    "en": "I came because of Nimbus Studio, and after what they did I do not want to be counted with them.",
    "es": "Vine por Nimbus Studio y, después de lo que hicieron, no quiero figurar a su lado.",
    "pt": "Vim por causa da Nimbus Studio e, depois do que fizeram, não quero contar ao lado deles.",
}


def pledges(script: Script) -> None:
    """Let everybody promise what is theirs to promise, and live with it."""
    for person in script.people:
        dice = script.dice(f"pledges/{person.reference}")
        for ask in ASKS:
            if person.language in ask.languages and dice.random() < ask.draw:
                _promise(script, dice, person, ask)
    _wave(script)


def _promise(script: Script, dice: Random, person: Person, ask: Ask) -> None:
    earliest = max(person.since.date(), ask.opens)
    day = day_after(earliest, 1 + round(dice.expovariate(1 / 8)))
    if not open_on(ask, day) or day >= END:
        return
    made = person.at(day, dice.uniform(7, 21.5))
    referral = CODES.get(person.language) if dice.random() < 0.3 and noon(2, 20) < made < noon(5, 20) else None
    note = dice.choice(NOTES[person.language]) if dice.random() < 0.08 else None
    _make(script, person, ask, made, referral=referral, note=note)
    if ask.is_challenge:
        _live(script, dice, person, ask, made)
    else:
        _settle(script, dice, person, ask, made)


def _make(
    script: Script, person: Person, ask: Ask, at: datetime, referral: str | None = None, note: str | None = None
) -> None:
    person.pledged.add((ask.campaign, ask.ask))
    data = {"campaign": ask.campaign, "ask": ask.ask, "supporter": person.reference}
    script.add("pledges.make", at, person.actor, **data, referral=referral, note=note)


def _end(script: Script, person: Person, ask: Ask, at: datetime, how: str, reason: str | None = None) -> None:
    data = {"campaign": ask.campaign, "ask": ask.ask, "supporter": person.reference}
    script.add(f"pledges.{how}", at, person.actor, reason, **data)


def _settle(script: Script, dice: Random, person: Person, ask: Ask, made: datetime) -> None:
    """A promise for once: kept by more than half, forgotten by some, open with the rest."""
    later = made + timedelta(days=dice.randint(4, 45), hours=dice.randint(0, 5))
    roll = dice.random()
    if roll < 0.35 + 0.4 * person.diligence:
        _end(script, person, ask, later, "keep")
    elif roll > 0.95:
        _end(script, person, ask, later, "withdraw", "I promised too much this spring.")
    elif roll > 0.85:
        _end(script, person, ask, later, "lapse")


def _live(script: Script, dice: Random, person: Person, ask: Ask, made: datetime, *, again: bool = False) -> None:
    """A challenge, day by day: kept, let go by, or still under way when the half year ends."""
    first = person.day(made)
    done = 0
    last = first
    for day, at in _days(dice, person, ask, made, first):
        note = dice.choice(NOTES[person.language]) if dice.random() < 0.05 else None
        data = {"campaign": ask.campaign, "ask": ask.ask, "supporter": person.reference, "on": day.isoformat()}
        script.add("pledges.check_in", at, person.actor, **data, note=note)
        done, last = done + 1, day
    finished = day_after(first, len(ask.prompts) + 2)
    if finished >= END:
        return
    if done >= KEPT_FROM:
        _end(script, person, ask, person.at(finished, dice.uniform(8, 20)), "keep")
        return
    if dice.random() < 0.06:
        _end(script, person, ask, person.at(finished, 9), "withdraw", "A hard month at home; another time.")
        return
    lapsed = person.at(max(finished, day_after(last, 6)), 12)
    _end(script, person, ask, lapsed, "lapse")
    tomorrow = day_after(person.day(lapsed), dice.randint(3, 30))
    if not again and dice.random() < 0.3 and open_on(ask, tomorrow) and tomorrow < END:
        person.diligence = min(0.97, person.diligence + 0.25)
        renewed = person.at(tomorrow, dice.uniform(8, 20))
        _make(script, person, ask, renewed)
        _live(script, dice, person, ask, renewed, again=True)


def _days(dice: Random, person: Person, ask: Ask, made: datetime, first: date) -> Iterator[tuple[date, datetime]]:
    """Yield (day, moment of the check-in); some days are told a day late, some people tire."""
    will = person.diligence
    for number in range(len(ask.prompts)):
        day = day_after(first, number)
        if day >= END or dice.random() > will:
            will -= 0.04 if person.diligence < 0.6 else 0
            if will < 0.25:
                return
            continue
        if dice.random() < 0.08 and day_after(day, 1) < END:
            yield day, person.at(day_after(day, 1), dice.uniform(6.5, 9))
        else:
            evening = person.at(day, dice.uniform(17, 23.4))
            yield day, max(evening, made + timedelta(minutes=1)) if number else max(evening, made)


def _wave(script: Script) -> None:
    """Those who came by a partner whose conduct came out promise, and turn back within a week."""
    dice = script.dice("wave")
    ask = next(ask for ask in ASKS if ask.campaign == DOOR and not ask.is_challenge)
    free = [p for p in script.people if (ask.campaign, ask.ask) not in p.pledged and p.since < noon(5, 14)]
    for person in dice.sample(free, k=min(len(free), max(8, len(script.people) // 6))):
        earliest = max(person.since + timedelta(hours=2), noon(4, 27))
        made = earliest + (noon(5, 17) - earliest) * dice.random()
        _make(script, person, ask, made, referral=SCANDAL)
        if dice.random() < 0.85:
            turned = person.at(day_after(SCANDAL_ON, dice.choice((0, 0, 1, 1, 1, 2, 3, 5))), dice.uniform(10, 22))
            _end(script, person, ask, turned, "withdraw", WITHDRAWN[person.language])
        elif dice.random() < 0.6:
            _end(script, person, ask, person.at(date(2026, 6, 10), dice.uniform(9, 21)), "keep")
