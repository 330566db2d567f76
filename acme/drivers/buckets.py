"""The keys of a meter, bounded: what every limiter does alike, whatever its buckets are.

A flood of keys, such as addresses, must neither fill the memory nor push out buckets that are in use: a bucket that is
forgotten while it is not full would come back full, and the limit would be none. So only full ones give way, a few are
looked at whenever a new key comes, and a key that finds no room shares one of `SHARED` buckets with others.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

B = TypeVar("B")

SHARED: Final = 64
"""Buckets for the keys beyond the bound."""
LOOKS: Final = 4
"""Buckets that are looked at when a key comes: more than one, so that what is full goes faster than new ones come."""


class Buckets(Generic[B]):
    """Buckets by key, at most `keys + SHARED`. `full` says whether a bucket is full at a time, in nanoseconds."""

    __slots__ = ("_full", "_keys", "_ring", "by_key")

    def __init__(self, keys: int, full: Callable[[B, int], bool]) -> None:
        self._keys, self._full = keys, full
        self.by_key: dict[str, B] = {}
        self._ring: deque[str] = deque()
        """Every key once, but the shared ones; whose turn it is comes first."""

    def place(self, key: str, now: int) -> str:
        """The key under which the bucket of a key that has none is kept from now on. Whoever calls it stores one there."""
        by_key, ring = self.by_key, self._ring
        for _ in range(min(LOOKS, len(ring))):
            old = ring.popleft()
            if self._full(by_key[old], now):
                del by_key[old]
            else:
                ring.append(old)
        if len(ring) >= self._keys:
            return f"\0{zlib.crc32(key.encode('utf-8', 'surrogatepass')) % SHARED}"
        ring.append(key)
        return key

    def clear(self) -> None:
        """Forgets all."""
        self.by_key.clear()
        self._ring.clear()


def checked_name(name: str) -> str:
    """The name of a meter.

    Raises:
        ValueError: it is none.
    """
    if not 0 < len(name.encode()) <= 200 or ":" in name:
        raise ValueError("the name of a meter has 1 to 200 bytes, and no colon")
    return name
