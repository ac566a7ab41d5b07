"""A load of real commands: the same for the same seed, in lanes whose order matters, each command with its own id."""

import random
from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from domain.kernel import Actor
from history.engine import Engine
from history.envelope import Envelope, Request

LANES: Final = 24
ACTOR: Final = Actor("import", "load")
_ASKS: Final = (
    {"ask": "sign", "statement": "Sign", "kind": "once"},
    {"ask": "listen", "statement": "Listen", "kind": "challenge", "days": 30, "backdating_days": 30},
)


@dataclass(frozen=True, slots=True)
class Order:
    """A command to give; accepted it makes so many events, refused it stays so or may be sent again."""

    id: str
    command: str
    at: str
    data: dict[str, Any]
    events: int = 1
    refusal_stays: bool = False

    def request(self, engine: Engine) -> Request:
        """Read it as if it had come from outside."""
        envelope = Envelope(id=self.id, command=self.command, at=self.at, reason="a load", data=self.data)
        request = engine.catalogue.request(envelope, ACTOR)
        request.refusal_stays = self.refusal_stays
        return request


@dataclass(frozen=True)
class Load:
    """What one process sends: the preparations first and in order, then the lanes, in any order among each other."""

    preparations: list[Order]
    lanes: list[list[Order]]

    @property
    def orders(self) -> list[Order]:
        """All of them."""
        return [*self.preparations, *(order for lane in self.lanes for order in lane)]

    def without(self, done: Container[str]) -> "Load":
        """Return what is left of it."""
        left = [[order for order in lane if order.id not in done] for lane in self.lanes]
        return Load([order for order in self.preparations if order.id not in done], [lane for lane in left if lane])


def plan(sender: str, size: int, seed: int) -> Load:
    """Plan a load of so many commands; another sender's meets it in the campaign, the chapter and some persons."""
    dice = random.Random(f"{sender} {seed}")
    preparations = [
        _order(f"{sender}:prepare:{n}", command, 0, data)
        for n, (command, data) in enumerate(
            (
                ("chapters.found", {"chapter": "everybody", "name": "Everybody"}),
                ("campaigns.draft", {"campaign": "spring", "title": "Spring"}),
                *(("campaigns.add_ask", {"campaign": "spring"} | ask) for ask in _ASKS),
                ("campaigns.launch", {"campaign": "spring"}),
            )
        )
    ]
    lanes: list[list[Order]] = [[] for _ in range(LANES)]
    for order in islice(_lives(sender, dice), size - len(preparations)):
        person = int(order.id.split(":")[1])
        lanes[person % LANES].append(order)
    return Load(preparations, lanes)


def _lives(sender: str, dice: random.Random) -> Iterator[Order]:
    """Tell the lives of person after person."""
    person = 0
    while True:
        who = f"shared-{person}" if dice.random() < 0.15 else f"{sender}-{person}"
        for step, (command, data, events) in enumerate(_life(who, dice)):
            order_id = f"{sender}:{person}:{step}"
            yield _order(order_id, command, step, data, events, refusal_stays=dice.random() < 0.5)
        person += 1


def _life(who: str, dice: random.Random) -> Iterator[tuple[str, dict[str, Any], int]]:
    """Tell what one person does, day after day; what is done twice is refused the second time."""
    supporter = {"supporter": who}
    sign, listen = ({"campaign": "spring", "ask": ask} | supporter for ask in ("sign", "listen"))
    joins = dice.random() < 0.5
    data = supporter | {"name": f"Name of {who}", "email": f"{who}@example.org"}
    yield ("supporters.register", data | ({"chapter": "everybody"} if joins else {}), 2 if joins else 1)
    yield ("pledges.make", sign | {"note": f"Note of {who}"}, 1)
    yield ("pledges.make", listen, 1)
    for day in (4, 5, dice.choice((5, 6))):
        yield ("pledges.check_in", listen | {"on": f"2026-03-{day:02d}"}, 1)
    yield ("supporters.amend", supporter | {"email": f"new-{who}@example.org"}, 1)
    yield ("pledges.keep", sign, 1)
    yield ("pledges.withdraw", listen, 1)
    yield ("pledges.make", listen | {"note": "once more"}, 1)
    if dice.random() < 0.25:
        yield ("supporters.erase", supporter, 1)
        yield ("pledges.check_in", listen | {"on": "2026-03-12"}, 1)


def _order(
    order_id: str, command: str, step: int, data: dict[str, Any], events: int = 1, *, refusal_stays: bool = False
) -> Order:
    return Order(order_id, command, f"2026-03-{step + 1:02d}T12:00:00Z", data, events, refusal_stays)
