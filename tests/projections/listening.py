"""A small movement whose points are counted: its people, and how it begins."""

from uuid import UUID

from domain.kernel import identify
from projections.boards import Board, Scope
from tests.support.store import Store

MOVEMENT = Board(Scope.MOVEMENT)
LISTEN = {"campaign": "listen", "ask": "daily"}
PEOPLE = ("anna", "ben", "eve", "zoe")


def supporter(name: str) -> UUID:
    """Return the id of one of the people."""
    return identify("supporter", name)


def begin(store: Store) -> None:
    """Let there be chapters, campaigns, a policy, partnerships and people."""
    store.run("chapters.found", chapter="lisbon", name="Lisbon")
    store.run("chapters.found", chapter="porto", name="Porto")
    for campaign in ("listen", "talk"):
        store.run("campaigns.draft", campaign=campaign, title=campaign)
        store.run("campaigns.add_ask", campaign=campaign, ask="once", statement="Once", kind="once")
        store.run(
            "campaigns.add_ask",
            campaign=campaign,
            ask="daily",
            statement="Daily",
            kind="challenge",
            days=21,
            backdating_days=30,
        )
        store.run("campaigns.launch", campaign=campaign)
    store.run("policies.track", policy="bill", title="Bill", kind="bill")
    for name in ("radio", "paper"):
        store.run("partnerships.propose", partnership=name, name=name, kind="media")
        store.run("partnerships.agree", partnership=name, disclosure="nothing")
    for name in PEOPLE:
        store.run("supporters.register", supporter=name)
