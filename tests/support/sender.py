"""A process that sends a load from several threads and is made to be killed: what it was told goes through a pipe."""

import json
import os
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from api.bootstrap import SLICES
from domain.kernel import Unavailable
from history.answers import Answer
from history.checkpoints import Checkpoints
from history.engine import Engine, open_store
from tests.support.load import Load, Order

T = TypeVar("T")
CHECKPOINT: Final = "checkpoint"
FAILED: Final = "failed"
LONERS: Final = 3
WINDOWS: Final = 2
CHUNK: Final = 20
PATIENCE: Final = 60.0
"""Seconds within which a process must get on."""


@dataclass(frozen=True)
class Place:
    """Where the store is, and whether its server may be away for a while."""

    url: str
    folder: Path
    comes_and_goes: bool = False

    def open(self, *, create: bool = True) -> Engine:
        """Open the store."""
        return open_store(self.url, self.folder, SLICES, create=create)


def live(place: Place, load: Load, pipe: int) -> NoReturn:
    """Send the load in this process, which then ends."""
    try:
        Sender(place, load, pipe).run()
    except BaseException:  # noqa: BLE001 - whatever it is, the parent must hear of it
        die(pipe)
    os._exit(0)


def die(pipe: int) -> NoReturn:
    """End this process, and say why."""
    try:
        for line in traceback.format_exc().splitlines():
            _write(pipe, [FAILED, line[:1_000]])
    finally:
        os._exit(1)


def _write(pipe: int, message: list[Any]) -> None:
    line = json.dumps(message).encode() + b"\n"
    assert os.write(pipe, line) == len(line)  # at once, as it is shorter than PIPE_BUF


class Sender:
    """Sends a load, and tells every answer as soon as it has come."""

    def __init__(self, place: Place, load: Load, pipe: int) -> None:
        self._place, self._pipe = place, pipe
        self._engine = self._patiently(place.open)
        self._preparations = load.preparations
        self._lanes: queue.SimpleQueue[list[Order]] = queue.SimpleQueue()
        for lane in load.lanes:
            self._lanes.put(lane)

    def run(self) -> None:
        """Send everything."""
        for order in self._preparations:
            self._batch([order])
        styles = [self._alone] * LONERS + [self._ahead] * WINDOWS + [self._batch_and_checkpoint]
        threads = [threading.Thread(target=self._take_lanes, args=(style,)) for style in styles]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._engine.close()

    def _take_lanes(self, style: Callable[[Sequence[Order]], None]) -> None:
        try:
            while True:
                try:
                    lane = self._lanes.get_nowait()
                except queue.Empty:
                    return
                style(lane[:CHUNK])
                if lane[CHUNK:]:
                    self._lanes.put(lane[CHUNK:])
        except BaseException:  # noqa: BLE001 - whatever it is, the parent must hear of it
            die(self._pipe)

    # --- the ways to send ---

    def _alone(self, orders: Sequence[Order]) -> None:
        """Wait for each answer."""
        for order in orders:
            self._tell([self._patiently(partial(self._answer, order))])

    def _ahead(self, orders: Sequence[Order]) -> None:
        """Send all, then take the answers."""
        for order, future in [(order, self._ask(order)) for order in orders]:
            try:
                answer = future.result(PATIENCE)
            except Unavailable:
                self._alone([order])
            else:
                self._tell([answer])

    def _batch(self, orders: Sequence[Order]) -> None:
        requests = [order.request(self._engine) for order in orders]
        self._tell(self._patiently(partial(self._engine.write, requests)))

    def _batch_and_checkpoint(self, orders: Sequence[Order]) -> None:
        self._batch(orders)
        _write(self._pipe, [CHECKPOINT])
        self._patiently(lambda: Checkpoints(self._engine.database, self._place.folder).make())

    # --- one command ---

    def _ask(self, order: Order) -> Future[Answer]:
        return self._engine.writer.submit(order.request(self._engine))

    def _answer(self, order: Order) -> Answer:
        return self._ask(order).result(PATIENCE)

    def _tell(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            code = answer.error.code if answer.error else None
            _write(self._pipe, [answer.id, answer.status, answer.positions, code])

    def _patiently(self, act: Callable[[], T]) -> T:
        """Try again while the server is away, if it may be."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return act()
            except Unavailable as error:
                away = self._place.comes_and_goes and error.code == "store.unreachable"
                if not away or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
