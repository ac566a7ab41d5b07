"""What comes late, or twice, spoils neither the range of history that was told nor what is told of mails."""

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from notifications import messages, outbox, ranges, tokens
from notifications.outbox import Settled, State
from notifications.service import Notifications
from notifications.tables import digest_ranges, mail_messages, mail_outcomes, mail_tokens
from notifications.tables import outbox as table
from projections.rebuild import rebuild
from projections.subscriptions import Subscriptions
from tests.support.mails import ANNA, MONDAY, Clock, crowd, service
from tests.support.sink import Sink
from tests.support.store import Store


def digest(to_position: int, rank: int) -> Any:  # noqa: ANN401 - what is needed of a row of the outbox
    return SimpleNamespace(supporter=ANNA, from_position=0, to_position=to_position, rank=rank)


def test_a_digest_that_arrives_late_takes_nothing_back(store: Store) -> None:
    for row, told in ((digest(10, 3), (10, 3)), (digest(30, 1), (30, 1)), (digest(20, 2), (30, 1))):
        with store.engine.database.write() as connection:
            ranges.tell(connection, [row], MONDAY)
            assert ranges.told(connection, [ANNA]) == {ANNA: told}
    with store.engine.database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(digest_ranges)) == 1


def test_a_mail_that_was_given_up_for_lost_may_be_lost_after_all(
    store: Store, mails: Notifications, sink: Sink
) -> None:
    """The sender is held up so long that its claim ends; then its connection is cut as well."""
    crowd(store, 3)
    lost: list[int] = []

    def expire(_: object) -> None:
        if not lost:
            with store.engine.database.write() as connection:
                lost.append(outbox.expire(connection, MONDAY + timedelta(minutes=20)))

    sink.at_message = expire
    sink.at_data = ["cut"]
    assert mails.run(MONDAY) == {"planned": 3, "accepted": 2, "unknown": 1}
    assert lost == [3]


def test_a_store_without_its_mails_goes_on_where_the_history_says_that_digests_ended(
    store: Store, mails: Notifications
) -> None:
    """So a store is that was restored from an archive."""
    crowd(store, 2)
    assert mails.run(MONDAY) == {"planned": 2, "accepted": 2}
    store.catch_up()
    with store.engine.database.write() as connection:
        ended = {row.supporter: row.position for row in connection.execute(sa.select(digest_ranges))}
        for forgotten in (digest_ranges, table):
            connection.execute(forgotten.delete())
    rebuild(store.runner, [Subscriptions])
    assert mails.run(MONDAY + timedelta(days=7)) == {"planned": 2, "suppressed": 2}
    store.run("pledges.keep", campaign="listen", ask="circle", supporter="s00")
    store.catch_up()
    assert mails.run(MONDAY + timedelta(days=14)) == {"planned": 2, "accepted": 2}
    with store.engine.database.read() as connection:
        sent = connection.execute(sa.select(table).where(table.c.state == "accepted")).all()
    assert {row.supporter: row.from_position for row in sent} == ended


def test_the_first_of_two_like_outcomes_is_told(store: Store, mails: Notifications) -> None:
    crowd(store, 1)
    mails.plan(MONDAY)
    with store.engine.database.write() as connection:
        row = connection.execute(sa.select(table)).one()
        for reason in ("sender_died", "connection_lost"):
            outbox.settle(connection, [Settled(row, State.UNKNOWN, reason)], MONDAY)
        assert connection.scalars(sa.select(mail_outcomes.c.reason)).all() == ["sender_died"]


def test_what_was_kept_long_enough_goes_where_nothing_is_sent_any_more(store: Store, tmp_path: Path) -> None:
    crowd(store, 2)
    clock = Clock()
    mails = service(store, tmp_path, None, clock)

    def kept() -> list[int]:
        with store.engine.database.read() as connection:
            return [
                connection.execute(sa.select(sa.func.count()).select_from(each)).scalar_one()
                for each in (mail_messages, mail_tokens)
            ]

    assert mails.tick()["accepted"] == 2
    before = kept()
    for name in ("s00", "s01"):
        store.run("supporters.set_digest", supporter=name, frequency="off")
    store.catch_up()
    clock.at = MONDAY + messages.KEPT + timedelta(days=1)
    assert mails.tick() == {"planned": 0}
    clock.at = MONDAY + tokens.LASTS[tokens.Purpose.MAIL] + timedelta(days=1)
    assert kept()[0] == 0
    assert mails.tick() == {"planned": 0}
    assert before[0] == 2
    assert before[1] >= 2
    assert kept() == [0, 0]
