"""The links in mails: what each stands for, and the commands that follow when its person presses a button."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from domain.kernel import Actor, Context, Unknown
from domain.slices import Command
from domain.subscriptions import DIGEST
from domain.supporters import ConfirmEmail, RecordConsent
from history.engine import Engine
from history.envelope import Request, new_id, own_request
from notifications import preferences, tokens
from notifications.language import Language, spoken
from notifications.preferences import Preferences
from notifications.recipients import Recipient, load
from notifications.tokens import CHOOSING, Purpose

CONSENT_WORDING: Final = "Send me a digest of what happens. I can end it with one click, any time."
REFUSAL_WORDING: Final = "This is my address, but send me no digest."
WITHDRAWAL_WORDING: Final = "Stop these digests (link in a mail)."
RETURN_WORDING: Final = "Send me the digests again (link in a mail)."


@dataclass(frozen=True)
class Link:
    """What a link in a mail stands for, and how the person it was sent to stands now."""

    token: tokens.Token
    person: Recipient

    @property
    def language(self) -> Language:
        """The person's language."""
        return spoken(self.person.locale, self.person.time_zone)

    @property
    def outdated(self) -> bool:
        """Whether the link was mailed to an address that is no longer the person's."""
        version = self.token.subject_version
        return version is not None and version != self.person.email_version


class PersonalLinks:
    """Finds what links stand for, and says what follows; nobody needs to sign in for it."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine, self._clock = engine, clock

    def find(self, secret: str, *purposes: Purpose) -> Link | None:
        """Return what a link stands for; None where it is unknown, for something else, expired, or of one erased."""
        with self._engine.database.read() as connection:
            found = (tokens.find(connection, purpose, secret, self._clock()) for purpose in purposes)
            token = next(filter(None, found), None)
        person = load(self._engine.log, token.supporter) if token else None
        return Link(token, person) if token and person and not person.erased else None

    def own(self, secret: str, *purposes: Purpose) -> Link:
        """Return what a link stands for that was mailed to the person's present address.

        Raises Unknown (``mail_link.unknown``) for any other.
        """
        link = self.find(secret, *purposes)
        if link is None or link.outdated:
            raise unknown()
        return link

    def confirm(self, secret: str, *, digest: bool = True) -> list[Request]:
        """Return the commands that confirm an address, and that consent to the ``digest`` or not; none if all is so.

        Raises Unknown where the link is unknown, expired, or about another address.
        """
        person, commands = self.own(secret, Purpose.CONFIRM).person, list[Command]()
        if not person.email_confirmed or person.suppressed:
            commands.append(ConfirmEmail(supporter=str(person.supporter)))
        says_no = not digest and person.consented is False  # to the question; it is not asked again for a while
        if digest != bool(person.consented) or says_no:
            commands.append(_consent(person, CONSENT_WORDING if digest else REFUSAL_WORDING, granted=digest))
        return self._requests(person, commands)

    def to_preferences(self, secret: str) -> str:
        """Return a new secret by which whoever has one to confirm an address may choose how digests come, for a while.

        Raises Unknown where the link is unknown, expired, or about another address.
        """
        token, made = self.own(secret, Purpose.CONFIRM).token, tokens.new()
        with self._engine.database.write() as connection:
            tokens.keep(connection, {made: replace(token, purpose=Purpose.PREFERENCES)}, self._clock())
        return made

    def unsubscribe(self, secret: str) -> list[Request]:
        """Return the command that withdraws consent to the digest; none where that is done, or the link is unknown.

        The link may have been mailed to an earlier address: whoever reads that wants no digests.
        """
        link = self.find(secret, *CHOOSING)
        if link is None or link.person.consented is False:
            return []
        (request,) = self._requests(link.person, [_consent(link.person, WITHDRAWAL_WORDING, granted=False)])
        request.if_match = None  # whatever else changes, this holds
        return [request]

    def resubscribe(self, secret: str) -> list[Request]:
        """Return the commands by which digests come again: consent, and the address confirmed where mail came back.

        Raises Unknown where the link is unknown, expired, or about another address.
        """
        person, commands = self.own(secret, *CHOOSING).person, list[Command]()
        if person.suppressed:  # whoever holds this link has read mail to the address
            commands.append(ConfirmEmail(supporter=str(person.supporter)))
        if not person.consented:
            commands.append(_consent(person, RETURN_WORDING, granted=True))
        return self._requests(person, commands)

    def prefer(self, secret: str, wanted: Preferences) -> list[Request]:
        """Return the commands that make a person's preferences what is wanted; none where nothing changes.

        Raises Unknown where the link is unknown, expired, or about another address.
        """
        person = self.own(secret, *CHOOSING).person
        return self._requests(person, preferences.changes(person, wanted, self._clock()))

    def _requests(self, person: Recipient, commands: Iterable[Command]) -> list[Request]:
        """Return the requests of a person's own commands; the first finds the person as they were read."""
        actor = Actor("supporter", str(person.supporter))
        requests = []
        for command in commands:
            key = new_id()
            context = Context(actor=actor, at=self._clock(), command_id=key, correlation_id=key)
            requests.append(own_request(command, context))
        if requests:
            requests[0].if_match = person.version
        return requests


def unknown() -> Unknown:
    """Return what is said of a link that stands for nothing (any more)."""
    return Unknown("mail_link.unknown", "This link is not known here, or no longer good.")


def _consent(person: Recipient, wording: str, *, granted: bool) -> RecordConsent:
    return RecordConsent(supporter=str(person.supporter), topic=DIGEST, granted=granted, wording=wording)
