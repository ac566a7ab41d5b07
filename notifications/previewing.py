"""Previews: the digest that one person would get, exactly as it would go out, and why each item is in it."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from domain.kernel import Unknown
from domain.schedule import latest
from history.engine import Engine
from notifications import ranges, render
from notifications.composing import KINDS, compose
from notifications.digest import Content, Digest, Links, Subject
from notifications.mailer import Envelope, Mailer, Outcome
from notifications.mime import Sender, build
from notifications.movement import Movements
from notifications.recipients import Recipient, load
from notifications.surroundings import Surroundings
from notifications.switch import Halted, halt
from projections.views import Reader

SAMPLE: Final = "preview"
"""Stands where the secret of the links would be: what is shown to others must not act for the person."""
MARK: Final = "[Preview] "
NOWHERE: Final = "nobody@invalid"
"""Whom a preview is addressed to where a person has no address (RFC 2606 §2)."""

WHY: Final[Mapping[Subject, str]] = {
    Subject.TODAY: "An active challenge of this person, without a check-in on the person's own day.",
    Subject.RECOGNITIONS: "Given to this person, or revoked.",
    Subject.ANSWERS: "Came back to an action of this person.",
    Subject.PLEDGES: "A pledge of this person, to a campaign that is not muted, to which something happened.",
    Subject.POLICIES: "A policy that this person acted for, of which there is news.",
    Subject.CAMPAIGNS: "A campaign that this person pledged to and did not mute, whose numbers or state changed.",
    Subject.CHAPTERS: "A chapter of this person, where members came or went, or an award was given or revoked.",
    Subject.BOARD: "This person chose to be shown on boards, and the rank is not the one last told.",
}
"""Why an item is in a digest, by what it is about, for whoever looks at a preview."""


@dataclass(frozen=True)
class Preview:
    """The digest of one person as it would be sent at a moment."""

    at: datetime
    person: Recipient
    content: Content
    digest: Digest
    message: bytes
    withheld: str | None
    """Why it would not be sent, by the reason that would be recorded; None where it would."""


def name(supporter: UUID) -> str:
    """Return what the previews of a person's digest are called on their way; where they are files, the last stays."""
    return f"preview-{supporter}"


class Previews:
    """Makes previews; none of them is planned, counted or recorded as anybody's digest."""

    def __init__(
        self,
        engine: Engine,
        reader: Reader,
        movements: Movements,
        mailer: Mailer,
        sender: Sender,
        clock: Callable[[], datetime],
    ) -> None:
        self._engine, self._reader, self._movements = engine, reader, movements
        self._mailer, self._sender, self._clock = mailer, sender, clock

    def of(self, supporter: UUID, at: datetime | None = None) -> Preview:
        """Return the digest that the person would get at a moment, now if none is given; nothing is recorded.

        Raises Unknown where there is no such supporter, or an erased one.
        """
        person, moment = load(self._engine.log, supporter), at or self._clock()
        if person is None or person.erased:
            raise Unknown("supporter.unknown", "There is no such supporter.")
        base = self._sender.base_url
        with self._reader.open(KINDS) as views, self._movements.upto(views.position) as movement:
            told = ranges.known(views, [supporter]).get(supporter)
            content = compose(Surroundings(views, self._engine.log, movement, base), person, told, moment)
        links = Links.of(base, SAMPLE)
        digest = render.digest(content, links)
        period = latest(person.wish, moment)
        letter = render.letter(digest, content, links, period.key if period else "")
        message = build(self._sender, person.email or NOWHERE, letter, self._message_id(), moment)
        withheld = person.hindrance_at(moment) or (None if content.worth_sending else "nothing_to_say")
        return Preview(moment, person, content, digest, message, withheld)

    def send(self, preview: Preview, to: str) -> Outcome:
        """Mail a preview to whoever looks at it, marked as one; its links do nothing, and it is nobody's digest.

        Raises Halted while mails are halted, and Unavailable where the mail server cannot be used.
        """
        if standing := halt(self._engine.log):
            raise Halted(standing)
        letter = render.letter(preview.digest, preview.content, None, "")
        marked = replace(letter, subject=f"{MARK}{letter.subject}")
        message = build(self._sender, to, marked, self._message_id(), self._clock())
        with self._mailer.session() as session:
            return session.send(Envelope(name(preview.person.supporter), self._sender.address, to, message))

    def _message_id(self) -> str:
        return f"<preview.{uuid.uuid4().hex}@{self._sender.host}>"
