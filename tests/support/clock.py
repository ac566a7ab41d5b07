"""A clock that is set back and forward in the middle of the work."""

import sys
from datetime import UTC, datetime, timedelta

import pytest

from domain import kernel


class Clock:
    """What every module of ours takes for the present moment: the machine's clock, off by what it was set by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._off = timedelta()
        real = kernel.now
        for module in list(sys.modules.values()):
            if vars(module).get("now") is real:
                monkeypatch.setattr(module, "now", self)

    def __call__(self) -> datetime:
        """Return the present moment in UTC."""
        return datetime.now(UTC) + self._off

    def step(self, by: timedelta) -> None:
        """Set the clock."""
        self._off += by
