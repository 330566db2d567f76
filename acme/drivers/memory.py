"""`memory:`, a cache, a broadcast and a limiter within one process: two processes that have it do not share anything.

The cache is bounded by bytes, and what was used longest ago goes first (LRU). Its time is the platform's clock, so tests
that move it see entries expire. So do those of the limiter, whose limits hold exactly, for this process.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from acme.drivers.buckets import Buckets, Wider, checked_name
from acme.drivers.spaces import COUNTER_RANGE, Spaces, no_counter
from acme.drivers.subscriptions import Subscription, Topics, checked_message, checked_topic
from acme.gcra import SECOND, Limit, admit
from acme.ports import Clock
from acme.telemetry import Metrics

ENTRY: Final = 200
"""Bytes of memory that an entry costs beside its name and value: objects and the dictionary's slot."""
_COUNTER: Final = re.compile(rb"-?(0|[1-9][0-9]{0,18})")


def open_cache(url: str, *, clock: Clock, metrics: Metrics, memory: int = 64 << 20, **_others: Any) -> Spaces:
    """A cache of at most `memory` bytes, at least 2 MiB so that the largest value fits."""
    return Spaces(MemoryStore(clock, metrics, memory), metrics)


def open_broadcast(url: str, *, metrics: Metrics, **_others: Any) -> MemoryBroadcast:
    """A broadcast that this process alone hears."""
    return MemoryBroadcast(metrics)


def open_limiter(url: str, *, clock: Clock, metrics: Metrics, gateways: int = 0, **_others: Any) -> MemoryLimiter:
    """A limiter whose buckets are this process' own; for its share of each limit, where `gateways` are several."""
    return MemoryLimiter(clock, metrics, gateways or 1)


class MemoryStore:
    """`Store` in a dictionary, the entry used last at its end."""

    state: Final = "ok"

    def __init__(self, clock: Clock, metrics: Metrics, limit: int) -> None:
        self._now = clock.time
        self._limit = max(limit, 2 << 20)
        self._entries: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()
        self._size = 0
        self._evicted = metrics.counter(
            "acme_cache_evictions_total", "Entries of the memory cache that gave way to others before their time."
        ).bind()
        metrics.gauge(
            "acme_cache_memory_bytes",
            "What the entries of the memory cache take, about.",
            (),
            lambda: {(): float(self._size)},
        )

    async def get(self, name: bytes) -> bytes | None:
        entry = self._live(name)
        return None if entry is None else entry[0]

    async def set(self, name: bytes, value: bytes, life: int) -> None:
        self._put(name, value, self._now() + life / 1000)

    async def delete(self, name: bytes) -> None:
        self._drop(name)

    async def add(self, name: bytes, value: bytes, life: int) -> bool:
        if self._live(name) is not None:
            return False
        self._put(name, value, self._now() + life / 1000)
        return True

    async def increment(self, name: bytes, by: int, life: int) -> int:
        value, until = self._live(name) or (b"0", self._now() + life / 1000)
        if _COUNTER.fullmatch(value) is None or (total := int(value) + by) not in COUNTER_RANGE:
            raise no_counter()
        self._put(name, b"%d" % total, until)
        return total

    async def close(self) -> None:
        self._entries.clear()
        self._size = 0

    def _live(self, name: bytes) -> tuple[bytes, float] | None:
        entry = self._entries.get(name)
        if entry is None:
            return None
        if entry[1] <= self._now():
            self._drop(name)
            return None
        self._entries.move_to_end(name)
        return entry

    def _put(self, name: bytes, value: bytes, until: float) -> None:
        self._drop(name)
        self._entries[name] = (bytes(value), until)
        self._size += len(name) + len(value) + ENTRY
        while self._size > self._limit:
            oldest = next(iter(self._entries))
            if self._entries[oldest][1] > self._now():
                self._evicted.add()
            self._drop(oldest)

    def _drop(self, name: bytes) -> None:
        entry = self._entries.pop(name, None)
        if entry is not None:
            self._size -= len(name) + len(entry[0]) + ENTRY


class MemoryBroadcast:
    """`ports.Broadcast` within this process. It never fails, but a slow listener still loses."""

    state: Final = "ok"

    def __init__(self, metrics: Metrics) -> None:
        self._topics = Topics(metrics)
        metrics.gauge("acme_broadcast_up", "Whether broadcasts are heard: 1 or 0.", (), lambda: {(): 1.0})

    async def publish(self, topic: str, message: bytes) -> None:
        self._topics.hear(checked_topic(topic), checked_message(message))
        self._topics.said.add()
        await asyncio.sleep(0)  # listeners get their turn, as they would while others wait for the network

    @asynccontextmanager
    async def subscribe(self, topic: str) -> AsyncIterator[Subscription]:
        with self._topics.listener(checked_topic(topic)) as subscription:
            subscription.lose()
            yield subscription

    async def close(self) -> None:
        self._topics.close()


class MemoryLimiter:
    """`ports.Limiter` in dictionaries."""

    state: Final = "ok"

    def __init__(self, clock: Clock, metrics: Metrics, gateways: int) -> None:
        self._clock, self._gateways = clock, gateways
        self._buckets: dict[str, Buckets[int]] = {}
        """By the name of their meters: they outlive a limit that is changed."""
        metrics.gauge(
            "acme_limiter_up", "Whether limits are kept by all who share them: 1 or 0.", (), lambda: {(): 1.0}
        )

    def meter(self, name: str, limit: Limit, *, keys: int = 100_000, wider: Wider | None = None) -> MemoryMeter | Share:
        buckets = self._buckets.get(checked_name(name))
        if buckets is None:
            buckets = self._buckets[name] = Buckets[int](keys, int.__le__, wider)
        whole = MemoryMeter(self._clock.time, limit, keys, buckets)
        return whole if self._gateways == 1 else Share(whole, self._gateways)

    async def close(self) -> None:
        """There is nothing to close."""


class MemoryMeter:
    """`ports.Meter` whose buckets are theoretical arrival times. `time` gives seconds, since whenever."""

    __slots__ = ("_buckets", "_keys", "_tats", "_time", "limit")

    def __init__(self, time: Callable[[], float], limit: Limit, keys: int, buckets: Buckets[int]) -> None:
        self._time, self.limit, self._keys = time, limit, keys
        self._buckets = buckets
        self._tats = buckets.by_key

    def take(self, key: str, now: float | None = None, units: int = 1, /) -> int:
        at, tats, limit = int((self._time() if now is None else now) * SECOND), self._tats, self.limit
        try:
            tat = tats[key]
        except KeyError:
            buckets = self._buckets
            buckets.resize(self._keys)
            key = buckets.place(key, at)
            found = tats.get(key)
            tat = max(buckets.over(key), default=0) if found is None else found
        after = (tat if tat > at else at) + limit.interval * units
        spare = at + limit.tolerance - after
        if spare >= 0:  # `admit`, in the case that nearly always is: 0.2 µs less a request
            tats[key] = after
            return spare
        tats[key], spare = admit(tat, at, limit, min(units, limit.burst))
        return spare

    def shares(self, key: str) -> bool:
        return key not in self._tats


class Share:
    """A meter that keeps one of several equal parts of its limit, and answers in the units of the whole."""

    __slots__ = ("_meter", "_whole", "shares")

    def __init__(self, meter: MemoryMeter, parts: int) -> None:
        self._meter, self._whole = meter, meter.limit
        self.shares = meter.shares
        self.divide(parts)

    def divide(self, parts: int) -> None:
        """From now on it is one of so many parts."""
        self._meter.limit = self._whole.share(parts)

    def take(self, key: str, now: float | None = None, units: int = 1, /) -> int:
        spare = self._meter.take(key, now, units)
        return spare if spare < 0 else spare * self._whole.interval // self._meter.limit.interval
