"""What is kept of the erased is purged, whoever holds it at that moment, and counted."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from domain.kernel import Unavailable
from history.tables import erasures
from notifications import outbox
from notifications.mailer import Envelope, FileMailer, Outcome
from notifications.preparing import Mail
from notifications.service import Notifications
from notifications.tables import digest_ranges, mail_messages, mail_tokens
from notifications.tables import outbox as table
from notifications.transmitting import Transmission
from tests.support.mails import MONDAY, put_off, service, tell
from tests.support.sink import Sink
from tests.support.store import Store


def erase(store: Store, who: str = "anna") -> None:
    store.run("supporters.erase", supporter=who, reason="She asked.")


def erasure(store: Store) -> tuple[dict[str, int], bool]:
    """What was destroyed of the one who was erased, and whether that was all."""
    with store.engine.database.read() as connection:
        (row,) = connection.execute(sa.select(erasures)).all()
    return json.loads(row.destroyed), row.purged_at is not None


def row_of(store: Store) -> Any:  # noqa: ANN401 - a row of the outbox
    with store.engine.database.read() as connection:
        return connection.execute(sa.select(table)).one()


def kept(store: Store) -> int:
    """Return how many messages are kept."""
    with store.engine.database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(mail_messages)) or 0


def test_a_mail_in_a_file_is_deleted_with_what_is_kept_of_it(store: Store, tmp_path: Path) -> None:
    tell(store)
    mails = service(store, tmp_path)
    mails.run(MONDAY)
    (path,) = (tmp_path / "mail").iterdir()
    (tmp_path / "mail" / f"{path.stem}.4711.part").write_text("of a sender that was killed")
    (tmp_path / "mail" / "digest-of-somebody-else.eml").write_text("stays")
    assert mails.purge() == 0
    erase(store)
    assert mails.purge() == 0
    assert [path.name for path in (tmp_path / "mail").iterdir()] == ["digest-of-somebody-else.eml"]
    assert (row_of(store).state, kept(store), row_of(store).last_error) == ("accepted", 0, None)
    counts = {"keys": 1, "index_entries": 1, "mail_bodies": 1, "mails_stopped": 0, "mail_links": 1, "mail_files": 1}
    assert erasure(store) == (counts, True)
    assert mails.purge() == 0
    assert erasure(store) == (counts, True)


def test_bodies_links_and_ranges_are_purged(store: Store, mails: Notifications) -> None:
    tell(store)
    mails.run(MONDAY)
    erase(store)
    assert mails.purge() == 0
    assert (row_of(store).state, kept(store), row_of(store).last_error) == ("accepted", 0, None)
    with store.engine.database.read() as connection:
        for durable in (mail_tokens, digest_ranges):
            assert connection.scalar(sa.select(sa.func.count()).select_from(durable)) == 0


def test_a_mail_that_waits_is_not_sent(store: Store, mails: Notifications, sink: Sink) -> None:
    put_off(store, mails, sink)
    erase(store)
    assert mails.purge() == 0
    assert (row_of(store).state, row_of(store).reason) == ("suppressed", "erased")
    assert erasure(store)[0]["mails_stopped"] == 1


def test_a_mail_that_is_about_to_go_out_is_stopped(
    store: Store, mails: Notifications, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(store)
    asked = Transmission._asked_again  # noqa: SLF001 - the last look before it goes out

    def erased_meanwhile(self: Transmission, candidates: Mapping[UUID, Mail]) -> Any:  # noqa: ANN401
        found = asked(self, candidates)
        erase(store)
        assert mails.purge() == 0
        return found

    monkeypatch.setattr(Transmission, "_asked_again", erased_meanwhile)
    mails.run(MONDAY)
    assert sink.raw == []
    assert (row_of(store).state, kept(store)) == ("suppressed", 0)
    assert erasure(store)[1]


def test_a_file_that_is_written_while_its_person_is_erased_is_deleted_afterwards(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(store)
    mails = service(store, tmp_path)
    send = FileMailer.send

    def erased_meanwhile(self: FileMailer, envelope: Envelope) -> Outcome:
        erase(store)
        assert mails.purge() == 1
        assert erasure(store) == (erasure(store)[0], False)
        return send(self, envelope)

    monkeypatch.setattr(FileMailer, "send", erased_meanwhile)
    mails.run(MONDAY)
    assert [path.suffix for path in (tmp_path / "mail").iterdir()] == [".eml"]
    assert mails.purge() == 0
    assert list((tmp_path / "mail").iterdir()) == []
    assert erasure(store) == (erasure(store)[0] | {"mail_files": 1}, True)
    with store.engine.database.read() as connection:
        assert outbox.said_of(connection, store.engine.persons, row_of(store)) is None


def test_a_file_that_cannot_be_deleted_is_tried_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(store)
    mails = service(store, tmp_path)
    mails.run(MONDAY)
    erase(store)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refused)
        with pytest.raises(Unavailable) as unavailable:
            mails.purge()
    assert unavailable.value.code == "mail.undeletable"
    assert not erasure(store)[1]
    assert mails.purge() == 0
    assert (erasure(store)[0]["mail_files"], erasure(store)[1]) == (1, True)


def test_many_are_purged_page_by_page(store: Store, mails: Notifications) -> None:
    names = [f"s{number}" for number in range(230)]
    store.run_all(("supporters.register", {"supporter": name, "email": f"{name}@example.org"}) for name in names)
    requests = [store.request("supporters.erase", {"supporter": name}, reason="Asked.") for name in names]
    store.write(requests)
    assert mails.purge() == 0
    with store.engine.database.read() as connection:
        left = sa.select(sa.func.count()).where(erasures.c.purged_at.is_(None))
        assert connection.scalar(left) == 0
        assert connection.scalar(sa.select(sa.func.count()).select_from(mail_tokens)) == 0


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path}/groundswell.sqlite3", tmp_path) as store:
        yield store


def test_on_sqlite_it_is_done_when_no_reader_holds_the_write_ahead_log(sqlite_store: Store, tmp_path: Path) -> None:
    store, mails = sqlite_store, service(sqlite_store, tmp_path)
    tell(store)
    log = next(tmp_path.glob("*-wal"))
    with store.engine.database.read() as connection:
        connection.execute(sa.select(erasures)).all()
        erase(store)
        assert mails.purge() == 1
        assert log.stat().st_size
        assert not erasure(store)[1]
    assert mails.purge() == 0
    assert erasure(store)[1]
    with store.engine.database.write() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
