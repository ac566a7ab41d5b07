"""The kill switch, as those who send read it: from the history itself, so that it holds for every process at once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.kernel import Actor, Conflict
from domain.mails import SWITCH, MailSwitch
from history.reading import Log
from history.tables import events

_LAST: Final = sa.select(events.c.topic).where(events.c.stream_id == SWITCH).order_by(events.c.version.desc()).limit(1)


@dataclass(frozen=True)
class Halt:
    """Since when no mail goes out, by whom, why, and the position of the event."""

    since: datetime
    by: Actor
    reason: str | None
    position: int


class Halted(Conflict):
    """No mail goes out now, because somebody said so."""

    def __init__(self, halt: Halt) -> None:
        why = f": {halt.reason}" if halt.reason else ""
        super().__init__("mail.halted", f"Mails are halted since {halt.since:%Y-%m-%d %H:%M} UTC by {halt.by}{why}")
        self.halt = halt


def halted(connection: Connection) -> bool:
    """Tell whether no mail may go out now."""
    return connection.scalar(_LAST) == MailSwitch.Halted.TOPIC


def halt(log: Log) -> Halt | None:
    """Return the halt that holds now; None where mails may go out."""
    where = events.c.stream_id == SWITCH, events.c.version == log.version(SWITCH)
    for fact in log.facts(0, 1, *where):
        if isinstance(fact.event, MailSwitch.Halted):
            return Halt(fact.recorded_at, fact.actor, fact.reason, fact.position)
    return None
