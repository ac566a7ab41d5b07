"""Notifications: one facade for the command line, the pages and the worker."""

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from domain.kernel import Actor, Unavailable, now
from history.engine import Engine
from notifications import messages, outbox, planning, runs, tokens
from notifications.caps import Audience, BeyondCap, MailRole, audience, cap, check
from notifications.desk import Desk
from notifications.domains import KINDS, Domains, domains
from notifications.erasures import Erasures
from notifications.links import PersonalLinks
from notifications.mailboxes import ImapMailbox
from notifications.mailer import FileMailer, Mailer
from notifications.mime import Sender
from notifications.movement import Movements
from notifications.pacing import Pacing
from notifications.previewing import Previews
from notifications.reactor import MailReactor
from notifications.returns import Returns
from notifications.sending import Progress, SendingRun
from notifications.signing import signers
from notifications.smtp import SmtpMailer
from notifications.ticker import Ticker
from projections.views import Reader

log = logging.getLogger(__name__)

SAMPLE: Final = "preview"
RESEND: Final = "resend"
MAILBOX: Final = Actor("system", "mailbox")


class MailSettings(Protocol):
    """What notifications need to know of the settings."""

    @property
    def base_url(self) -> str:
        """Where the pages are, without a slash at the end."""

    @property
    def smtp_url(self) -> str | None:
        """The mail server; None writes mails into files."""

    @property
    def data_dir(self) -> Path:
        """Where files go."""

    @property
    def mail_from(self) -> str | None:
        """The address in From; None for ``groundswell@`` the host of the base URL."""

    @property
    def mail_unknown(self) -> str:
        """What becomes of a mail of which nobody knows whether it went out: ``hold`` or ``resend``."""

    @property
    def mail_rate(self) -> float | None:
        """How many mails a second go to one domain of recipients at most."""

    @property
    def mail_caps(self) -> Mapping[str, int | None]:
        """To how many people each role may send at most without being asked again."""

    @property
    def bounce_address(self) -> str | None:
        """Where reports of mails that could not be delivered come back."""

    @property
    def imap_url(self) -> str | None:
        """The mailbox in which such reports are read."""

    @property
    def dkim_keys(self) -> Sequence[Path]:
        """Files with the private keys that messages are signed with, one per selector."""

    @property
    def dkim_selectors(self) -> Sequence[str]:
        """The selectors of these keys."""

    @property
    def dkim_domain(self) -> str | None:
        """The domain that signs."""


class Notifications:
    """All that is sent, of one store."""

    def __init__(
        self, engine: Engine, reader: Reader, settings: MailSettings, clock: Callable[[], datetime] = now
    ) -> None:
        self.sender = sender_of(settings)
        self.mailer = mailer_of(settings)
        self._engine, self._reader, self._database = engine, reader, engine.database
        self._settings, self._clock = settings, clock
        self._reactor = MailReactor(engine.log)
        self._erasures = Erasures(engine.database, self.mailer)
        self._pacing = Pacing(settings.mail_rate)
        self._one_at_a_time, self._stop = threading.Lock(), threading.Event()
        self._ticker = Ticker(self.tick)
        self.desk = Desk(engine, reader, self.audience, self.plan, settings.mail_caps, clock)
        self.returns = Returns(engine, clock)
        self.links = PersonalLinks(engine, clock)
        self.mailbox = ImapMailbox(settings.imap_url) if settings.imap_url else None
        self._reading = Ticker(self.read_mailbox)
        self._movements = Movements(engine.log)
        self.previews = Previews(engine, reader, self._movements, self.mailer, self.sender, clock)

    # --- runs ---

    def audience(self, now: datetime | None = None, *, astray: bool = False) -> Audience:
        """Return how many digests would go out now: those due and those that wait for another attempt."""
        moment = now or self._clock()
        with self._reader.open(planning.KINDS) as views:
            return audience(planning.due(views, moment, astray=astray), planning.waiting(views.connection, moment))

    def domains(self, now: datetime | None = None) -> Domains:
        """Return to which domains these would go."""
        with self._reader.open(KINDS) as views:
            return domains(views, self._engine.persons, now or self._clock())

    def plan(self, now: datetime | None = None, limit: int | None = None, *, astray: bool = False) -> int:
        """Put what is due into the outbox, once per person and period; return how many mails are new.

        Where more than ``limit`` digests are due, none is planned and BeyondCap is raised; ``astray`` as planning.due.
        """
        moment = now or self._clock()
        planned = self._reactor.react(moment, self.sender.host)
        with ExitStack() as held:
            if limit is None:
                pages = planning.pages(partial(self._reader.open, planning.KINDS), moment, astray=astray)
            else:  # who is counted is who is mailed: nobody comes between
                views = held.enter_context(self._reader.open(planning.KINDS))
                check(audience(planning.due(views, moment, astray=astray)).new, limit)
                pages = planning.due(views, moment, astray=astray)
            for page in pages:
                with self._database.write() as connection:
                    planned += outbox.plan(connection, page, moment, self.sender.host)
        return planned

    def run(
        self,
        now: datetime | None = None,
        progress: Progress = lambda _: None,
        limit: int | None = None,
        *,
        astray: bool = False,
    ) -> dict[str, int]:
        """Plan and send what is due; return counts by outcome with ``planned``; raise BeyondCap as ``plan`` does.

        Where the mail server cannot be used, what waits is deferred, and ``status`` says why.
        """
        moment = now or self._clock()
        with self._one_at_a_time:
            planned = self.plan(moment, limit, astray=astray)
            return {"planned": planned, **self._send(moment, progress, planned)}

    def _send(self, moment: datetime, progress: Progress, planned: int) -> dict[str, int]:
        resend = self._settings.mail_unknown == RESEND
        self._movements.begin()
        sending = SendingRun(
            self._engine,
            self._reader,
            self.mailer,
            self.sender,
            self._pacing,
            resend=resend,
            stop=self._stop,
            movements=self._movements,
        )
        sending.run(moment, progress)
        counts = dict(sorted((str(state), count) for state, count in sending.counts.items()))
        if sending.trouble:
            log.warning("Mails wait: %s", sending.trouble)
        with self._database.write() as connection:
            if planned or counts or sending.trouble:
                key = runs.begin(connection, moment, planned)
                runs.end(connection, key, sending.now, counts, sending.trouble)
            messages.purge(connection, moment)
            tokens.purge(connection, moment)
        return counts

    def status(self, limit: int = 10) -> dict[str, Any]:
        """Return ``states``, how many mails stand where, and ``runs``, the last ones, the newest first."""
        with self._database.read() as connection:
            latest = [
                {
                    "started_at": row.started_at,
                    "finished_at": row.finished_at,
                    "planned": row.planned,
                    "counts": json.loads(row.counts),
                    "trouble": row.trouble,
                }
                for row in runs.latest(connection, limit)
            ]
            return {"states": runs.standing(connection), "runs": latest}

    # --- who was erased ---

    def purge(self) -> int:
        """Purge what is kept of erased persons; return for how many something is still to be done."""
        return self._erasures.run(self._clock())

    # --- the ticker ---

    def start(self) -> None:
        """Begin to ask each minute what is due, and what came back."""
        self._stop.clear()
        self._ticker.start()
        if self.mailbox is not None:
            self._reading.start()

    def keep_time(self) -> None:
        """Let the clock be set back without waiting until it is again what it was; to be called now and then."""
        self._ticker.keep_time()
        self._reading.keep_time()

    def stop(self) -> None:
        """Finish the batch at hand, and ask no more."""
        self._stop.set()
        self._ticker.stop()
        self._reading.stop()

    def tick(self) -> dict[str, int]:
        """Do what is due now; once or twice makes no difference.

        Where more digests are due than the worker may send unasked, it holds them, and sends what was let go before.
        """
        moment, held = self._clock(), {}
        with self._one_at_a_time:
            try:
                planned = self.plan(moment, cap(self._settings.mail_caps, MailRole.WORK))
            except BeyondCap as beyond:
                planned, held = 0, {"held": beyond.size}
                log.warning("Digests are held: %s", beyond)
            return {"planned": planned, **held, **self._send(moment, lambda _: None, planned)}

    def read_mailbox(self) -> dict[str, int]:
        """Take the reports that lie in the mailbox of the settings; return how many there were of each verdict."""
        if self.mailbox is None:
            return {}
        try:
            return dict(self.returns.take_all(self.mailbox.messages(), MAILBOX))
        except Unavailable as error:
            if error.code != "mailbox.unreadable":
                raise
            log.warning("Reports of mails wait: %s", error)
            return {}


def mailer_of(settings: MailSettings) -> Mailer:
    """Return the mailer of the settings; raise Invalid where the URL is none that mail can be sent by."""
    if not settings.smtp_url:
        return FileMailer(settings.data_dir / "mail")
    return SmtpMailer(settings.smtp_url, name=Sender(settings.base_url).name)


def sender_of(settings: MailSettings) -> Sender:
    """Return who sends by these settings; raise Invalid where what is to be signed with is no use."""
    sender = Sender(settings.base_url, settings.mail_from, settings.bounce_address)
    domain = settings.dkim_domain or sender.address.rpartition("@")[2]
    return replace(sender, signers=signers(settings.dkim_keys, settings.dkim_selectors, domain))
