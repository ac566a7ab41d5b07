"""What the command line and the page of the mails say alike."""

from typing import Final

from api.bootstrap import Groundswell
from projections.subscriptions import Subscriptions

NONE: Final = "No mail has been sent yet."
ELSEWHERE: Final = (
    "No mail has been sent from here yet. The history tells of digests that went out before this store was restored."
)


def nothing_sent(store: Groundswell) -> str:
    """Return what is said where the outbox knows of no mail: an archive holds the history, but no outbox."""
    with store.reader.open([Subscriptions]) as views:
        return ELSEWHERE if views[Subscriptions].anybody_told(views.connection) else NONE
