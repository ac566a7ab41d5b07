"""The history, which anybody may read, never says by which secret the world may report on a mail."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import sqlalchemy as sa

from domain.kernel import Actor
from history.tables import events
from history.tiles import records
from notifications.aliases import alias
from notifications.returns import Returned
from notifications.tables import outbox
from tests.support.mails import MONDAY, Clock, crowd, service
from tests.support.returned import bounce, complaint
from tests.support.sink import Sink
from tests.support.store import Store

BY = Actor("system", "test")


def everything(store: Store) -> list[bytes]:
    """Return all that the history holds of each event, in all columns and as an entry of the log, in small letters."""
    with store.engine.database.read() as connection:
        rows = connection.execute(sa.select(events)).all()
        entries = list(records(connection, 0, store.head))
    return [_said(value) for row in (*rows, *entries) for value in row]


def _said(value: object) -> bytes:
    return (value if isinstance(value, bytes) else str(value).encode()).lower()


def test_no_event_names_the_secret_of_a_mail(store: Store, tmp_path: Path, sink: Sink) -> None:
    crowd(store, 6)
    clock = Clock()
    mails = service(store, tmp_path, sink.url, clock)
    sink.at_rcpt = ["550 5.1.1 none", "450 4.2.1 later"]
    sink.at_data = ["cut", "cut"]
    mails.tick()
    clock.at += timedelta(minutes=10)
    mails.desk.accept(mails.desk.unsettled()[0].id, BY)
    mails.desk.resend(mails.desk.unsettled()[0].id, BY)
    mails.tick()
    with store.engine.database.read() as connection:
        rows = connection.execute(sa.select(outbox).order_by(outbox.c.period, outbox.c.id)).all()
    sent = [row.id for row in rows if row.state == "accepted"]
    assert mails.returns.take(bounce(sent[0]), BY).suppressed
    assert mails.returns.take(complaint(sent[1]), BY).suppressed
    history = everything(store)
    told = {fact.topic for fact in store.engine.log.follow(events.c.topic.like("mails.%"))}
    assert told == {f"mails.{name}" for name in ("Accepted", "Deferred", "Refused", "Unknown", "Bounced", "Complained")}
    for row in rows:
        for secret in (row.id.hex.encode(), str(row.id).encode(), row.id.bytes.lower()):
            assert not [one for one in history if secret in one]
        assert str(alias(row.id)).encode() in history


def test_what_the_history_calls_a_mail_is_no_way_to_report_on_it(store: Store, tmp_path: Path, sink: Sink) -> None:
    crowd(store, 1)
    mails = service(store, tmp_path, sink.url)
    mails.run(MONDAY)
    (fact,) = store.engine.log.follow(events.c.topic == "mails.Accepted")
    assert mails.returns.take(complaint(UUID(str(fact.stream))), BY) == Returned("unmatched")
