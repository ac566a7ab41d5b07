"""Folding the history again, with everything attached that sends, sends nothing."""

from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from domain.kernel import now
from history.tables import projections as checkpoints
from notifications.tables import digest_ranges, mail_reactors, mail_tokens, outbox
from projections.rebuild import compare, rebuild
from projections.runner import Runner
from projections.views import AsOf
from tests.support.mails import MONDAY, Clock, service, tell
from tests.support.movement import wander
from tests.support.sink import Sink
from tests.support.store import Store

SENDING = (outbox, mail_reactors, mail_tokens, digest_ranges)


def kept(store: Store) -> dict[str, list[dict[str, object]]]:
    """What the sending side keeps, row by row."""
    with store.engine.database.read() as connection:
        return {
            table.name: [
                dict(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()
            ]
            for table in SENDING
        }


def test_replaying_everything_with_every_reactor_attached_sends_nothing(
    store: Store, tmp_path: Path, sink: Sink
) -> None:
    clock = Clock(now())
    mails = service(store, tmp_path, sink.url, clock)
    tell(store)
    form = {"supporter": "form", "email": "form@example.org", "source": "pledge-form"}
    store.run("supporters.register", **form, at=now().isoformat())
    wander(store, steps=200)
    store.catch_up()
    assert mails.tick()["accepted"] >= 1  # the confirmation
    clock.at = MONDAY
    mails.tick()
    assert mails.tick() == {"planned": 0}  # it takes in what the first told the history
    sent, before, head = len(sink.messages), kept(store), store.head
    assert sent >= 2  # and a digest
    assert before["outbox"]

    kinds = store.runner.kinds
    rebuild(store.runner, kinds)
    with store.engine.database.write() as connection:  # as a new release does that has lost them all
        connection.execute(checkpoints.delete())
        for kind in kinds:
            for build in (1, 2):
                store.runner.instance(kind, build).drop(connection)
    runner = Runner(store.engine.log, kinds, batch=50)
    runner.prepare()
    runner.catch_up()
    with store.views(AsOf(position=head // 2)):
        store.react()
    assert compare(runner, kinds) == []
    again = service(store, tmp_path, sink.url, clock)
    for moment in (clock.at, clock.at + timedelta(minutes=1)):
        clock.at = moment
        for one in (mails, again):
            assert one.tick() == {"planned": 0}
    assert (len(sink.messages), store.head) == (sent, head)
    assert kept(store) == before
