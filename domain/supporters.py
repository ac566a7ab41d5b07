"""Supporters: the persons known to the movement, with consent, preferences and chapters."""

from dataclasses import field, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID

from domain.addresses import check_email
from domain.chapters import Chapter
from domain.kernel import (
    FINDABLE,
    PERSONAL,
    UNSET,
    Aggregate,
    ChapterRef,
    Conflict,
    Context,
    Erased,
    Invalid,
    PersonalText,
    Sealed,
    Stage,
    SupporterRef,
    Text,
    Title,
    Unset,
    assign,
    check_locale,
    check_zone,
    identify,
    zone,
)
from domain.schedule import Frequency
from domain.slices import Command, Slice, changes

FindableText = Annotated[str | Sealed | Erased | Unset | None, PERSONAL, FINDABLE]
UTC_NAME = "UTC"


class Undeliverable(StrEnum):
    """Why an address gets no more mail: its server does not know it, or its owner called our mail unwanted."""

    HARD_BOUNCE = "hard_bounce"
    COMPLAINT = "complaint"


class Supporter(Aggregate, prefix="supporters"):
    """One person."""

    email: PersonalText = None
    email_confirmed: bool = False
    name: PersonalText = None
    locale: str | None = None
    time_zone: str | None = None
    chapters: list[UUID] = field(default_factory=list)
    consents: dict[str, bool] = field(default_factory=dict)
    paused_until: date | None = None
    muted: list[UUID] = field(default_factory=list)
    suppressed: Undeliverable | None = None
    erased: bool = False

    class Event(Aggregate.Event):
        """Something that happened to a supporter."""

        @property
        def person(self) -> UUID:
            """The supporter."""
            return self.originator_id

    class Registered(Event, Aggregate.Created):
        email: FindableText = None
        name: PersonalText = None
        locale: str | None = None
        time_zone: str | None = None
        source: str | None = None

        def apply(self, aggregate: "Supporter") -> None:
            aggregate.email, aggregate.name = self.email, self.name  # type: ignore[assignment]
            aggregate.locale, aggregate.time_zone = self.locale, self.time_zone

    class Amended(Event):
        email: FindableText = UNSET
        name: Annotated[str | Sealed | Erased | Unset | None, PERSONAL] = UNSET
        locale: str | Unset | None = UNSET
        time_zone: str | Unset | None = UNSET

        def apply(self, aggregate: "Supporter") -> None:
            assign(aggregate, self)
            if self.email is not UNSET:
                aggregate.email_confirmed, aggregate.suppressed = False, None

    class EmailConfirmed(Event):
        def apply(self, aggregate: "Supporter") -> None:
            aggregate.email_confirmed, aggregate.suppressed = True, None

    class ConsentRecorded(Event):
        subject: str
        granted: bool
        wording: str

        def apply(self, aggregate: "Supporter") -> None:
            aggregate.consents[self.subject] = self.granted

    class VisibilitySet(Event):
        public: bool
        display_name: PersonalText = None

    class DigestSet(Event):
        frequency: Frequency
        weekday: int | None = None
        hour: int | None = None

    class DigestRequested(Event):
        wording: str

    class DigestPaused(Event):
        """No digest comes before a day of the supporter's own; None ends the pause."""

        until: date | None = None

        def apply(self, aggregate: "Supporter") -> None:
            aggregate.paused_until = self.until

    class CampaignMuted(Event):
        campaign: UUID

        def apply(self, aggregate: "Supporter") -> None:
            aggregate.muted.append(self.campaign)

    class CampaignUnmuted(Event):
        campaign: UUID

        def apply(self, aggregate: "Supporter") -> None:
            aggregate.muted = [campaign for campaign in aggregate.muted if campaign != self.campaign]

    class MailSuppressed(Event):
        """No mail goes to this address until it is confirmed anew or another one is given."""

        cause: Undeliverable

        def apply(self, aggregate: "Supporter") -> None:
            aggregate.suppressed = self.cause

    class ChapterJoined(Event):
        chapter: UUID

        def apply(self, aggregate: "Supporter") -> None:
            aggregate.chapters.append(self.chapter)

    class ChapterLeft(Event):
        chapter: UUID

        def apply(self, aggregate: "Supporter") -> None:
            aggregate.chapters = [chapter for chapter in aggregate.chapters if chapter != self.chapter]

    class Erased(Event):
        """The person's key was destroyed with this event; what the person gave can no longer be read."""

        forgets_person: ClassVar[bool] = True

        def apply(self, aggregate: "Supporter") -> None:
            aggregate.erased = True
            aggregate.email = aggregate.name = None
            aggregate.email_confirmed = False

    def local_day(self, at: datetime) -> date:
        """Return the supporter's own calendar day at that moment."""
        return at.astimezone(zone(self.time_zone or UTC_NAME)).date()

    def need_present(self) -> None:
        """Raise Conflict where the supporter was erased."""
        if self.erased:
            raise Conflict("supporter.erased", "This supporter was erased.")

    def amend(self, command: "Amend") -> None:
        """Change what was given; a value of None clears. A new chapter takes the place of the present one."""
        self.need_present()
        changed, moves = changes(self, command, "email", "name", "locale", "time_zone"), self._moves(command)
        if not changed and not moves:
            raise Conflict("supporter.unchanged", "Nothing of the supporter changes.")
        if changed:
            self.record(self.Amended, **changed)
        for event, chapter in moves:
            self.record(event, chapter=chapter)

    def _moves(self, command: "Amend") -> "list[tuple[type[Event], UUID]]":
        if isinstance(command.chapter, Unset):
            return []
        home = self.chapters[-1] if self.chapters else None
        wanted = identify("chapter", command.chapter) if command.chapter else None
        if wanted == home:
            return []
        moves: list[tuple[type[Supporter.Event], UUID]] = [(self.ChapterLeft, home)] if home else []
        left = self.chapters[:-1]
        if wanted and wanted in left[:-1]:  # home is the chapter joined last
            moves.append((self.ChapterLeft, wanted))
        if wanted and wanted not in left[-1:]:
            moves.append((self.ChapterJoined, wanted))
        return moves

    def confirm_email(self) -> None:
        """Note that the address was shown to be the supporter's own."""
        self.need_present()
        if self.email is None:
            raise Conflict("supporter.without_email", "This supporter has no e-mail address to confirm.")
        if self.email_confirmed and not self.suppressed:
            raise Conflict("supporter.already_confirmed", "This address is already confirmed.")
        self.record(self.EmailConfirmed)

    def pause(self, until: date | None, today: date) -> None:
        """Let no digest come before a day; None ends the pause."""
        if until is not None and until <= today:
            raise Invalid("supporter.pause_over", "A pause must end on a day after today.")
        if until == self.paused_until:
            raise Conflict("supporter.pause_unchanged", "The pause is already so.")
        self.record(self.DigestPaused, until=until)

    def mute(self, campaign: UUID) -> None:
        """Leave a campaign out of the digests."""
        if campaign in self.muted:
            raise Conflict("supporter.already_muted", "This supporter has already muted the campaign.")
        self.record(self.CampaignMuted, campaign=campaign)

    def unmute(self, campaign: UUID) -> None:
        """Take a campaign into the digests again."""
        if campaign not in self.muted:
            raise Conflict("supporter.not_muted", "This supporter has not muted the campaign.")
        self.record(self.CampaignUnmuted, campaign=campaign)

    def suppress_mail(self, cause: Undeliverable) -> None:
        """Let no more mail go to the address."""
        if self.email is None:
            raise Conflict("supporter.without_email", "This supporter has no e-mail address.")
        if self.suppressed is cause:
            raise Conflict("supporter.already_suppressed", "Mail to this address is already suppressed for that.")
        self.record(self.MailSuppressed, cause=cause)

    def join(self, chapter: Chapter) -> None:
        """Become a member of an open chapter."""
        self.need_present()
        chapter.need_open()
        if chapter.id in self.chapters:
            raise Conflict("supporter.already_member", "This supporter is already a member of the chapter.")
        self.record(self.ChapterJoined, chapter=chapter.id)

    def leave(self, chapter: UUID) -> None:
        """End the membership in a chapter."""
        self.need_present()
        if chapter not in self.chapters:
            raise Conflict("supporter.not_a_member", "This supporter is not a member of the chapter.")
        self.record(self.ChapterLeft, chapter=chapter)

    def erase(self) -> None:
        """Forget the person; the engine destroys the key in the same transaction."""
        if self.erased:
            raise Conflict("supporter.already_erased", "This supporter was already erased.")
        self.record(self.Erased)


class SupporterCommand(Command):
    """A command to one supporter."""

    supporter: SupporterRef

    @property
    def key(self) -> UUID:
        """The supporter's id."""
        return identify("supporter", self.supporter)

    def streams(self) -> tuple[UUID, ...]:
        """The supporter, and the chapter where one is named."""
        chapter = getattr(self, "chapter", None)
        return (self.key, identify("chapter", chapter)) if isinstance(chapter, str) else (self.key,)

    def load(self, stage: Stage) -> Supporter:
        """Return the supporter; raise Unknown where there is none, Conflict where erased."""
        supporter = stage.get(Supporter, self.key, self.supporter)
        supporter.need_present()
        return supporter


class Register(SupporterCommand, name="supporters.register"):
    """Make a person known to the movement."""

    email: Title | None = None
    name: Title | None = None
    locale: Title | None = None
    time_zone: Title | None = None
    chapter: ChapterRef | None = None
    source: Title | None = None

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when already registered, with a malformed e-mail or an unknown zone."""
        if stage.find(Supporter, self.key):
            raise Conflict("supporter.exists", "This supporter is already registered.")
        check_locale(self.locale)
        check_zone(self.time_zone)
        email = check_email(self.email) if self.email is not None else None
        chapter = stage.get(Chapter, identify("chapter", self.chapter), self.chapter) if self.chapter else None
        if chapter:
            chapter.need_open()
        supporter = Supporter.open(
            self.key, email=email, name=self.name, locale=self.locale, time_zone=self.time_zone, source=self.source
        )
        stage.add(supporter)
        if chapter:
            supporter.join(chapter)


class Amend(SupporterCommand, name="supporters.amend"):
    """Change a supporter's particulars; null clears one."""

    email: Title | Unset | None = UNSET
    name: Title | Unset | None = UNSET
    locale: Title | Unset | None = UNSET
    time_zone: Title | Unset | None = UNSET
    chapter: ChapterRef | Unset | None = UNSET

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when nothing changes."""
        check_locale(self.locale)
        check_zone(self.time_zone)
        supporter = self.load(stage)
        if isinstance(self.chapter, str):
            stage.get(Chapter, identify("chapter", self.chapter), self.chapter).need_open()
        supporter.amend(replace(self, email=check_email(self.email)) if isinstance(self.email, str) else self)


class ConfirmEmail(SupporterCommand, name="supporters.confirm_email"):
    """Note that the supporter's address was confirmed."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused without an e-mail."""
        self.load(stage).confirm_email()


class RecordConsent(SupporterCommand, name="supporters.consent"):
    """Record that consent to a topic was given or withdrawn, with the words that were shown."""

    topic: Title
    granted: bool
    wording: Text

    def decide(self, _context: Context, stage: Stage) -> None:
        """Never refused for a present supporter."""
        supporter = self.load(stage)
        supporter.record(Supporter.ConsentRecorded, subject=self.topic, granted=self.granted, wording=self.wording)


class SuppressMail(SupporterCommand, name="supporters.suppress_mail"):
    """Let no more mail go to the supporter's address, until it is confirmed anew or another one is given."""

    cause: Undeliverable

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused without an e-mail, or when it is so already."""
        self.load(stage).suppress_mail(self.cause)


class JoinChapter(SupporterCommand, name="supporters.join_chapter"):
    """Become a member of a chapter."""

    chapter: ChapterRef

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when the chapter is closed."""
        self.load(stage).join(stage.get(Chapter, identify("chapter", self.chapter), self.chapter))


class LeaveChapter(SupporterCommand, name="supporters.leave_chapter"):
    """End the membership in a chapter."""

    chapter: ChapterRef

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when not a member."""
        chapter = stage.get(Chapter, identify("chapter", self.chapter), self.chapter)
        self.load(stage).leave(chapter.id)


class Erase(SupporterCommand, name="supporters.erase"):
    """Destroy the person's key: what the person gave can no longer be read, counts and proofs stay."""

    def decide(self, context: Context, stage: Stage) -> dict[str, str]:
        """Refused when the reason is missing, or already erased; answers with what is gone and what survives."""
        context.need_reason()
        stage.get(Supporter, self.key, self.supporter).erase()
        return {
            "destroyed": "The person's key: name, e-mail address, display name and all notes can be read by nobody.",
            "survives": "Pledges, actions, points and recognitions, counted under a pseudonym; the proofs stay valid.",
        }


SLICE = Slice(
    "supporters",
    (Supporter,),
    (Register, Amend, ConfirmEmail, RecordConsent, SuppressMail, JoinChapter, LeaveChapter, Erase),
)
