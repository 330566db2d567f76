"""What every cache does alike, whatever store is behind it: names apart, limits, misses for failures, metrics.

A driver is a `Store`: plain operations on whole names, which raise `Unavailable`. `Spaces` makes `ports.CacheStore` of it,
so that no driver decides by itself what a failure means to a plugin.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from acme.errors import Unavailable
from acme.ports import Cache
from acme.telemetry import Counter, CounterFamily, Metrics

LONGEST_KEY: Final = 512
"""Bytes of a key in UTF-8."""
LARGEST_VALUE: Final = 1 << 20
"""Bytes of a value."""
LONGEST_LIFE: Final = 30 * 86400
"""Seconds."""
COUNTER_RANGE: Final = range(-(2**63), 2**63)
"""What a counter may hold: that of Redis, a signed 64-bit integer."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
"""Without a colon, so that no name and key can be read as another name and key."""


class Store(Protocol):
    """What a driver does. `life` is in milliseconds, at least 1.

    Raises:
        acme.errors.Unavailable: as `ports.Cache.add` describes.
        ValueError: `increment` of what is no counter.
    """

    async def get(self, name: bytes) -> bytes | None: ...
    async def set(self, name: bytes, value: bytes, life: int) -> None: ...
    async def delete(self, name: bytes) -> None: ...
    async def add(self, name: bytes, value: bytes, life: int) -> bool: ...
    async def increment(self, name: bytes, by: int, life: int) -> int: ...
    @property
    def state(self) -> str: ...
    async def close(self) -> None: ...


class Spaces:
    """`ports.CacheStore` over a `Store`."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._results = metrics.counter(
            "acme_cache_operations_total",
            "Operations on the cache by plugin and result.",
            ("plugin", "operation", "result"),
        )
        metrics.gauge(
            "acme_cache_up",
            "Whether the store of the cache answers: 1 or 0.",
            (),
            lambda: {(): float(store.state == "ok")},
        )

    def space(self, name: str) -> Cache:
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no name for a cache")
        return Space(name, self._store, self._results)

    @property
    def state(self) -> str:
        return self._store.state

    async def close(self) -> None:
        await self._store.close()


class Space:
    """`ports.Cache` of one plugin."""

    def __init__(self, name: str, store: Store, results: CounterFamily) -> None:
        self._store = store
        self._prefix = f"acme:{name}:".encode()

        def bound(operation: str, *kinds: str) -> tuple[Counter, ...]:
            return tuple(results.bind(name, operation, kind) for kind in kinds)

        self._hit, self._miss, self._no_get = bound("get", "hit", "miss", "failed")
        self._set, self._no_set = bound("set", "done", "failed")
        self._deleted, self._no_delete = bound("delete", "done", "failed")
        self._added, self._taken, self._no_add = bound("add", "done", "taken", "failed")
        self._counted, self._no_count = bound("increment", "done", "failed")

    async def get(self, key: str) -> bytes | None:
        try:
            value = await self._store.get(self._name(key))
        except Unavailable:
            self._no_get.add()
            return None
        (self._miss if value is None else self._hit).add()
        return value

    async def set(self, key: str, value: bytes, *, ttl: float) -> None:
        try:
            await self._store.set(self._name(key), _fitting(value), _life(ttl))
        except Unavailable:
            self._no_set.add()
        else:
            self._set.add()

    async def delete(self, key: str) -> None:
        try:
            await self._store.delete(self._name(key))
        except Unavailable:
            self._no_delete.add()
        else:
            self._deleted.add()

    async def add(self, key: str, value: bytes, *, ttl: float) -> bool:
        try:
            added = await self._store.add(self._name(key), _fitting(value), _life(ttl))
        except Unavailable:
            self._no_add.add()
            raise
        (self._added if added else self._taken).add()
        return added

    async def increment(self, key: str, by: int = 1, *, ttl: float) -> int:
        if by not in COUNTER_RANGE:
            raise ValueError("a counter holds a signed 64-bit integer")
        try:
            total = await self._store.increment(self._name(key), by, _life(ttl))
        except Unavailable:
            self._no_count.add()
            raise
        self._counted.add()
        return total

    def _name(self, key: str) -> bytes:
        encoded = key.encode()
        if not 0 < len(encoded) <= LONGEST_KEY:
            raise ValueError(f"a key of a cache has 1 to {LONGEST_KEY} bytes, this one {len(encoded)}")
        return self._prefix + encoded


def no_counter() -> ValueError:
    """What `increment` raises."""
    return ValueError("what is stored there is no counter, or it would leave the range of a signed 64-bit integer")


def _fitting(value: bytes) -> bytes:
    if len(value) > LARGEST_VALUE:
        raise ValueError(f"a value in a cache has up to {LARGEST_VALUE} bytes, this one {len(value)}")
    return value


def _life(ttl: float) -> int:
    if not 0.001 <= ttl <= LONGEST_LIFE:
        raise ValueError(f"a ttl is from 0.001 to {LONGEST_LIFE} seconds, not {ttl:g}")
    return int(ttl * 1000)
