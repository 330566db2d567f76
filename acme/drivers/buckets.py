"""The keys of a meter, bounded: what every limiter does alike, whatever its buckets are.

A flood of keys, such as addresses, must neither fill the memory nor push out buckets that are in use: a bucket that is
forgotten while it is not full would come back full, and the limit would be none. So only full ones give way, a few are
looked at whenever a new key comes, and a key that finds no room shares: with those of its network, and of the wider one
around that, where the meter knows what is `wider`; else one of `SHARED` buckets. A flood from everywhere so leaves whoever
comes from elsewhere nearly alone.

Nobody gains by the change from a bucket to another: a new one is as far ahead as the wider ones that its key may have used
until then. What a key took from those, it cannot take again, so the limit of each key holds exactly, sharing or not.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

B = TypeVar("B")

SHARED: Final = 64
"""Buckets for the keys that find room nowhere."""
LOOKS: Final = 4
"""Buckets that are looked at when a key comes: more than one, so that what is full goes faster than new ones come."""

Wider = Callable[[str], str]
"""A key → that of the group which it belongs to, such as an address → its network → a wider one; "" when there is none."""


class Buckets(Generic[B]):
    """Buckets by key. `full` says whether a bucket is full at a time, in nanoseconds.

    At most `keys` are of one key alone; half as many of groups, and of groups of groups; and `SHARED`.
    """

    __slots__ = ("_full", "_levels", "_most", "_rest", "_rings", "_wider", "by_key")

    def __init__(self, keys: int, full: Callable[[B, int], bool], wider: Wider | None = None) -> None:
        self._full, self._wider = full, wider
        self.by_key: dict[str, B] = {}
        self._levels: tuple[deque[str], ...] = (deque(), deque(), deque()) if wider else (deque(),)
        """Every key once, those of groups and of groups of groups apart; whose turn it is comes first."""
        self._rest: deque[str] = deque()
        """The shared ones."""
        self._rings = (*self._levels, self._rest)
        self._most = (0, 0, 0)
        """How many there may be on each level."""
        self.resize(keys)

    def resize(self, keys: int) -> None:
        """From now on there is room for so many. Where there are more, none comes until enough have gone."""
        self._most = keys, (keys + 1) // 2, (keys + 1) // 2

    def place(self, key: str, now: int) -> str:
        """The key under which the bucket of a key that has none is kept from now on. Whoever calls it stores one there."""
        self._forget(now)
        by_key = self.by_key
        for ring, most in zip(self._levels, self._most):  # noqa: B905  there may be one level alone
            if key in by_key:
                return key
            if len(ring) < most:
                ring.append(key)
                return key
            wide = self._wider(key) if self._wider is not None else ""
            if not wide:
                break
            key = wide
        key = _shared(key)
        if key not in by_key:
            self._rest.append(key)
        return key

    def over(self, key: str) -> list[B]:
        """The buckets that a key without one may have used until now: of what is wider, and the shared one."""
        found: list[B] = []
        if any(self._rings[1:]):
            by_key = self.by_key
            for _ in self._levels[1:]:
                wide = self._wider(key) if self._wider is not None else ""
                if not wide:
                    break
                key = wide
                if (bucket := by_key.get(key)) is not None:
                    found.append(bucket)
            if (bucket := by_key.get(_shared(key))) is not None:
                found.append(bucket)
        return found

    def clear(self) -> None:
        """Forgets all."""
        self.by_key.clear()
        for ring in self._rings:
            ring.clear()

    def _forget(self, now: int) -> None:
        """Looks at a few of each kind, and lets those go that are full."""
        by_key, full, looks = self.by_key, self._full, LOOKS
        for ring in self._rings:
            if ring:
                for _ in range(min(looks, len(ring))):
                    old = ring[0]
                    if full(by_key[old], now):
                        del by_key[old]
                        ring.popleft()
                    else:
                        ring.rotate(-1)
            looks = 2  # of these come fewer than of keys


def _shared(key: str) -> str:
    return f"\0{zlib.crc32(key.encode('utf-8', 'surrogatepass')) % SHARED}"


def checked_name(name: str) -> str:
    """The name of a meter.

    Raises:
        ValueError: it is none.
    """
    if not 0 < len(name.encode()) <= 200 or ":" in name:
        raise ValueError("the name of a meter has 1 to 200 bytes, and no colon")
    return name
