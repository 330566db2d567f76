"""Which address of a target fails where others do not: it gets no calls for a while (outlier ejection).

An address can keep its connection, answer pings, and still bring nothing but errors: its disk is full, its database is
another, its release is broken. It is an outlier when so many calls in a row failed there, and meanwhile a call of one of
the same methods succeeded at another address: what fails everywhere is no address's fault. An outlier is passed over while
there is anybody else, and at most half of the addresses are, so that the others are not drowned in its calls. It comes back
by itself; one that fails again stays away for twice as long.

A failure is an answer that says so (INTERNAL, UNAVAILABLE), none at all, or a call that lasted and whose time ran out.
Envoy does the same by consecutive_5xx, base_ejection_time and max_ejection_percent; the comparison with others it makes by
rates of success, for which a caller of its own makes too few calls.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from acme.errors import Code

P = TypeVar("P", bound=Hashable)

FAILED: Final = frozenset({Code.INTERNAL, Code.UNAVAILABLE})
"""Answers that may be the fault of who gives them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When an address is one. Times are in seconds."""

    failures: int = 5
    """Calls in a row; 0: never."""
    away: float = 5.0
    """For how long it gets no calls, doubled each time,"""
    most: float = 60.0
    """up to this; and after as long a time without failures all is forgotten."""
    late: float = 1.0
    """A call whose time ran out counts if it lasted so long: before that, its caller had no patience."""


@dataclass(slots=True)
class _Record:
    """Of an address that failed."""

    failures: int = 0
    """In a row."""
    methods: set[str] = field(default_factory=set)
    """That failed in this row."""
    alone: bool = False
    """Whether one of them succeeded elsewhere meanwhile."""
    times: int = 0
    """How often it was sent away."""
    until: float = 0.0
    """When it is back."""


class Outliers(Generic[P]):
    """Of one target, whose addresses are `P`. Whoever calls says what time it is, in seconds of one clock."""

    def __init__(self, limits: Limits) -> None:
        self.limits: Final = limits
        self._records: dict[P, _Record] = {}

    def succeeded(self, place: P, method: str, now: float) -> None:
        """A call was answered there, and well."""
        if not self._records:
            return
        own = self._records.get(place)
        if own is not None:
            own.failures, own.alone = 0, False
            own.methods.clear()
            if now > own.until + self.limits.most:
                del self._records[place]
        for other, record in self._records.items():
            if other is not place and method in record.methods:
                record.alone = True

    def failed(self, place: P, method: str, count: int, now: float) -> float:
        """A call failed there; there are `count` addresses. For how many seconds it is sent away now, mostly 0."""
        limits = self.limits
        record = self._records.setdefault(place, _Record())
        if now < record.until:
            return 0.0  # sent there before
        record.failures += 1
        record.methods.add(method)
        if not limits.failures or record.failures < limits.failures or not record.alone:
            return 0.0
        if 2 * (sum(other.until > now for other in self._records.values()) + 1) > count:
            return 0.0
        seconds = min(limits.away * 2.0**record.times, limits.most)
        record.times += 1
        record.until, record.failures, record.alone = now + seconds, 0, False
        record.methods.clear()
        return seconds

    def away(self, place: P, now: float) -> bool:
        """Whether it gets no calls."""
        record = self._records.get(place) if self._records else None
        return record is not None and now < record.until

    def forget(self, place: P) -> None:
        """It is no address of the target any more."""
        self._records.pop(place, None)
