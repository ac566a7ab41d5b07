"""Engines on a store of their own, and a second one as another process would have it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from history.engine import Engine
from tests.support.rooms import engine_at


@pytest.fixture
def engine(database_url: str, tmp_path: Path) -> Iterator[Engine]:
    with engine_at(database_url, tmp_path) as engine:
        yield engine


@pytest.fixture
def other(database_url: str, tmp_path: Path, engine: Engine) -> Iterator[Engine]:
    """Another process on the same store."""
    assert engine.log.head() == 0
    with engine_at(database_url, tmp_path) as other:
        yield other
