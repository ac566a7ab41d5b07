"""Referral codes: each is in use by one partnership at a time; partnerships claim and release them."""

from uuid import UUID

from domain.kernel import Aggregate, Conflict, identify


class ReferralCode(Aggregate, prefix="referrals", noun="referral"):
    """A code that at most one partnership uses at a time, whatever the case of its letters."""

    partnership: UUID | None = None

    class Event(Aggregate.Event):
        """Something that happened to a referral code; it says which partnership took or left it."""

        code: str
        partnership: UUID

    class Claimed(Event, Aggregate.Created):
        def apply(self, aggregate: "ReferralCode") -> None:
            aggregate.partnership = self.partnership

    class Reclaimed(Event):
        """Claimed again after it was released."""

        def apply(self, aggregate: "ReferralCode") -> None:
            aggregate.partnership = self.partnership

    class Released(Event):
        def apply(self, aggregate: "ReferralCode") -> None:
            aggregate.partnership = None

    def need_free(self) -> None:
        """Raise Conflict where a partnership uses the code."""
        if self.partnership is not None:
            raise Conflict("partnership.referral_in_use", "This referral code is in use by another partnership.")

    def reclaim(self, code: str, partnership: UUID) -> None:
        """Take a released code."""
        self.need_free()
        self.record(self.Reclaimed, code=code, partnership=partnership)

    def release(self, code: str, partnership: UUID) -> None:
        """Leave the code to others."""
        self.record(self.Released, code=code, partnership=partnership)


def referral_id(code: str) -> UUID:
    """Return the id of a referral code; upper and lower case are one."""
    return identify("referral", code.casefold())
