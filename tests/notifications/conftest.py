"""A store on each kind of database, a real mail server, and the notifications between them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from notifications.service import Notifications
from projections.leaderboards import Leaderboards
from tests.support.certificates import Certificate, self_signed
from tests.support.mails import service
from tests.support.sink import Sink, running_sink
from tests.support.store import KINDS, Store


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def sink() -> Iterator[Sink]:
    with running_sink() as running:
        yield running


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    with Store(database_url, tmp_path, kinds=tuple(dict.fromkeys((*KINDS, Leaderboards)))) as opened:
        yield opened


@pytest.fixture
def mails(store: Store, tmp_path: Path, sink: Sink) -> Notifications:
    return service(store, tmp_path, sink.url)
