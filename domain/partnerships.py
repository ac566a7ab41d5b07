"""Partnerships: proposed → approached → agreed → active → ended | declined, with deliverables and a referral code."""

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from domain.kernel import (
    Aggregate,
    Between,
    Conflict,
    Context,
    Invalid,
    PartnershipRef,
    Slug,
    Stage,
    Text,
    Title,
    Unknown,
    identify,
    readable,
)
from domain.referrals import ReferralCode, referral_id
from domain.slices import Command, Slice

Audience = Annotated[int, Between(0, 10_000_000_000)]


class PartnershipKind(StrEnum):
    """Who amplifies."""

    INFLUENCER = "influencer"
    ORGANIZATION = "organization"
    MEDIA = "media"


class PartnershipState(StrEnum):
    """Where a partnership stands."""

    PROPOSED = "proposed"
    APPROACHED = "approached"
    AGREED = "agreed"
    ACTIVE = "active"
    ENDED = "ended"
    DECLINED = "declined"


class DeliverableState(StrEnum):
    """Where a promised post or talk stands; a rejected one may be submitted again."""

    PROMISED = "promised"
    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, kw_only=True)
class Deliverable:
    """What the partner promised to do, and by when."""

    deliverable: Slug
    title: Title
    due_on: date | None = None


class Partnership(Aggregate, prefix="partnerships"):
    """An influencer's or organization's agreement to amplify."""

    state: PartnershipState = PartnershipState.PROPOSED
    referral: str | None = None
    deliverables: dict[str, DeliverableState] = field(default_factory=dict)

    class Event(Aggregate.Event):
        """Something that happened to a partnership."""

    class Proposed(Event, Aggregate.Created):
        """``audience`` is the number of people reached."""

        name: str
        kind: PartnershipKind
        reference: str | None = None
        channel: str | None = None
        handle: str | None = None
        audience: int | None = None

    class Approached(Event):
        def apply(self, aggregate: "Partnership") -> None:
            aggregate.state = PartnershipState.APPROACHED

    class Agreed(Event):
        """``disclosure`` says what was given in return."""

        disclosure: str
        terms: str | None = None
        deliverables: tuple[Deliverable, ...] = ()

        def apply(self, aggregate: "Partnership") -> None:
            aggregate.state = PartnershipState.AGREED
            aggregate.deliverables = {each.deliverable: DeliverableState.PROMISED for each in self.deliverables}

    class Activated(Event):
        """Pledges that name the referral code count as come by this partnership."""

        referral: str

        def apply(self, aggregate: "Partnership") -> None:
            aggregate.state, aggregate.referral = PartnershipState.ACTIVE, self.referral

    class Declined(Event):
        def apply(self, aggregate: "Partnership") -> None:
            aggregate.state = PartnershipState.DECLINED

    class Ended(Event):
        """``referral`` is the code that is free again."""

        referral: str | None = None

        def apply(self, aggregate: "Partnership") -> None:
            aggregate.state, aggregate.referral = PartnershipState.ENDED, None

    class DeliverableSubmitted(Event):
        deliverable: str
        url: str | None = None
        on: date | None = None

        def apply(self, aggregate: "Partnership") -> None:
            aggregate.deliverables[self.deliverable] = DeliverableState.SUBMITTED

    class DeliverableAccepted(Event):
        deliverable: str
        url: str | None = None
        on: date | None = None

        def apply(self, aggregate: "Partnership") -> None:
            aggregate.deliverables[self.deliverable] = DeliverableState.ACCEPTED

    class DeliverableRejected(Event):
        deliverable: str
        url: str | None = None
        on: date | None = None

        def apply(self, aggregate: "Partnership") -> None:
            aggregate.deliverables[self.deliverable] = DeliverableState.REJECTED

    def need(self, *states: PartnershipState) -> None:
        """Raise Conflict where the partnership is in none of the states."""
        if self.state not in states:
            wanted = " or ".join(states)
            raise Conflict(f"partnership.not_{states[0]}", f"The partnership is {self.state}, not {wanted}.")

    def need_deliverable(self, deliverable: str, *states: DeliverableState) -> None:
        """Raise Unknown where nothing of that name was promised, Conflict where it is in none of the states."""
        state = self.deliverables.get(deliverable)
        if state is None:
            raise Unknown("deliverable.unknown", f"The partnership has no deliverable “{deliverable}”.")
        if state not in states:
            raise Conflict(f"deliverable.not_{states[0]}", f"The deliverable is {state}, not {' or '.join(states)}.")

    def approach(self) -> None:
        """Speak to the partner."""
        self.need(PartnershipState.PROPOSED)
        self.record(self.Approached)

    def agree(self, disclosure: str, terms: str | None, deliverables: tuple[Deliverable, ...]) -> None:
        """Agree on what is done and what is given in return."""
        self.need(PartnershipState.PROPOSED, PartnershipState.APPROACHED)
        if len({each.deliverable for each in deliverables}) < len(deliverables):
            raise Invalid("deliverable.twice", "Two deliverables have the same name.")
        self.record(self.Agreed, disclosure=disclosure, terms=terms, deliverables=tuple(deliverables))

    def activate(self, referral: str) -> None:
        """Begin, with the code by which pledges are attributed."""
        self.need(PartnershipState.AGREED)
        self.record(self.Activated, referral=referral)

    def decline(self) -> None:
        """Note that nothing comes of it."""
        self.need(PartnershipState.PROPOSED, PartnershipState.APPROACHED, PartnershipState.AGREED)
        self.record(self.Declined)

    def end(self) -> None:
        """End what was agreed."""
        self.need(PartnershipState.ACTIVE, PartnershipState.AGREED)
        self.record(self.Ended, referral=self.referral)

    def submit(self, deliverable: str, url: str | None, on: date | None) -> None:
        """Hand in what was promised, or hand it in again after it was rejected."""
        self.need_deliverable(deliverable, DeliverableState.PROMISED, DeliverableState.REJECTED)
        self.need(PartnershipState.ACTIVE, PartnershipState.AGREED)
        self.record(self.DeliverableSubmitted, deliverable=deliverable, url=url, on=on)

    def accept(self, deliverable: str, url: str | None, on: date | None) -> None:
        """Find what was handed in good, be it after the partnership ended."""
        self.need_deliverable(deliverable, DeliverableState.SUBMITTED)
        self.record(self.DeliverableAccepted, deliverable=deliverable, url=url, on=on)

    def reject(self, deliverable: str, url: str | None, on: date | None) -> None:
        """Find what was handed in wanting, be it after the partnership ended."""
        self.need_deliverable(deliverable, DeliverableState.SUBMITTED)
        self.record(self.DeliverableRejected, deliverable=deliverable, url=url, on=on)


class PartnershipCommand(Command):
    """A command to one partnership."""

    partnership: PartnershipRef

    @property
    def key(self) -> UUID:
        """The partnership's id."""
        return identify("partnership", self.partnership)

    def streams(self) -> tuple[UUID, ...]:
        """The partnership."""
        return (self.key,)

    def load(self, stage: Stage) -> Partnership:
        """Return the partnership; raise Unknown where there is none."""
        return stage.get(Partnership, self.key, self.partnership)


class Propose(PartnershipCommand, name="partnerships.propose"):
    """Propose a partnership."""

    name: Title
    kind: PartnershipKind
    channel: Title | None = None
    handle: Title | None = None
    audience: Audience | None = None

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when it exists."""
        if stage.find(Partnership, self.key):
            raise Conflict("partnership.exists", "There is already a partnership of that name.")
        partnership = Partnership.open(
            self.key,
            name=self.name,
            kind=self.kind,
            reference=readable(self.partnership),
            channel=self.channel,
            handle=self.handle,
            audience=self.audience,
        )
        stage.add(partnership)


class Approach(PartnershipCommand, name="partnerships.approach"):
    """Note that the partner was spoken to."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when not proposed."""
        self.load(stage).approach()


class Agree(PartnershipCommand, name="partnerships.agree"):
    """Agree on what is done and what is given in return."""

    disclosure: Text
    terms: Text | None = None
    deliverables: tuple[Deliverable, ...] = ()

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when neither proposed nor approached, or when two deliverables have one name."""
        self.load(stage).agree(self.disclosure, self.terms, self.deliverables)


class Activate(PartnershipCommand, name="partnerships.activate"):
    """Begin an agreed partnership under a referral code."""

    referral: Title

    def streams(self) -> tuple[UUID, ...]:
        """The partnership and the code."""
        return (self.key, referral_id(self.referral))

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when not agreed, or the code is in use by another partnership."""
        partnership = self.load(stage)
        partnership.need(PartnershipState.AGREED)
        code = stage.find(ReferralCode, referral_id(self.referral))
        if code is None:
            claim = {"code": self.referral, "partnership": partnership.id}
            stage.add(ReferralCode.open(referral_id(self.referral), **claim))
        else:
            code.reclaim(self.referral, partnership.id)
        partnership.activate(self.referral)


class Decline(PartnershipCommand, name="partnerships.decline"):
    """Note that nothing comes of a partnership."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when it already began, ended or was declined."""
        self.load(stage).decline()


class End(PartnershipCommand, name="partnerships.end"):
    """End a partnership and free its referral code."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when neither active nor agreed."""
        partnership = self.load(stage)
        referral = partnership.referral
        code = stage.get(ReferralCode, referral_id(referral), referral) if referral else None
        partnership.end()
        if code is not None and referral is not None:
            code.release(referral, partnership.id)


class DeliverableCommand(PartnershipCommand):
    """A command about one deliverable of a partnership."""

    deliverable: Slug
    url: Text | None = None
    on: date | None = None


class SubmitDeliverable(DeliverableCommand, name="partnerships.submit_deliverable"):
    """Hand in what was promised."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when unknown, already submitted or accepted, or the partnership is not agreed or active."""
        self.load(stage).submit(self.deliverable, self.url, self.on)


class AcceptDeliverable(DeliverableCommand, name="partnerships.accept_deliverable"):
    """Find what was handed in good."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when unknown, or not submitted."""
        self.load(stage).accept(self.deliverable, self.url, self.on)


class RejectDeliverable(DeliverableCommand, name="partnerships.reject_deliverable"):
    """Find what was handed in wanting; it may be handed in again."""

    def decide(self, _context: Context, stage: Stage) -> None:
        """Refused when unknown, or not submitted."""
        self.load(stage).reject(self.deliverable, self.url, self.on)


SLICE = Slice(
    "partnerships",
    (Partnership, ReferralCode),
    (
        Propose,
        Approach,
        Agree,
        Activate,
        Decline,
        End,
        SubmitDeliverable,
        AcceptDeliverable,
        RejectDeliverable,
    ),
)
