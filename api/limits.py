"""How often the public may ask for something that costs others something."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from domain.kernel import GroundswellError

MOST_KEYS: Final = 50_000


class TooMany(GroundswellError):
    """The caller asked too often; ``retry_after`` seconds from now it may ask again."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("request.too_many", "That was asked too often; please wait a little and send it again.")
        self.retry_after = max(1, math.ceil(retry_after))


class Limiter:
    """A token bucket per key: ``burst`` at once, refilled within ``seconds``; the keys seen last are remembered."""

    def __init__(self, burst: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._rate, self._clock = burst, burst / seconds, clock
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()
        self._mutex = threading.Lock()

    def take(self, key: Hashable) -> None:
        """Count one request of a key; raise TooMany."""
        moment = self._clock()
        with self._mutex:
            tokens, since = self._buckets.pop(key, (float(self._burst), moment))
            tokens = min(self._burst, tokens + (moment - since) * self._rate)
            enough = tokens >= 1
            self._buckets[key] = (tokens - 1 if enough else tokens, moment)
            if len(self._buckets) > MOST_KEYS:
                self._buckets.popitem(last=False)
        if not enough:
            raise TooMany((1 - tokens) / self._rate)
