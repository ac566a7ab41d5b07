"""Brings the writer's answers to the event loop: all that are there with one wake-up, not one each."""

import asyncio
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from weakref import WeakKeyDictionary

from history.answers import Answer

_Pair = tuple["asyncio.Future[Answer]", "Future[Answer]"]


class Inbox:
    """Where one event loop waits for answers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._come: deque[_Pair] = deque()
        self._woken = False

    async def wait(self, promised: "Future[Answer]") -> Answer:
        """Return the answer, or raise what stands in its place; who no longer waits takes the command back."""
        awaited: asyncio.Future[Answer] = self._loop.create_future()
        promised.add_done_callback(lambda _: self._arrived((awaited, promised)))
        try:
            return await awaited
        except asyncio.CancelledError:
            promised.cancel()
            raise

    def _arrived(self, pair: _Pair) -> None:
        self._come.append(pair)
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._hand_out)

    def _hand_out(self) -> None:
        self._woken = False  # before the first is taken, so that whatever comes from now on wakes again
        while self._come:
            awaited, promised = self._come.popleft()
            if awaited.done():
                continue
            if error := promised.exception():
                awaited.set_exception(error)
            else:
                awaited.set_result(promised.result())


_inboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, Inbox] = WeakKeyDictionary()


def inbox() -> Inbox:
    """Return the inbox of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _inboxes:
        _inboxes[loop] = Inbox(loop)
    return _inboxes[loop]
