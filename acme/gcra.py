"""How much of something a key may have: GCRA, the generic cell rate algorithm (ITU-T I.371), in whole nanoseconds.

A bucket is one number, the theoretical arrival time: when it is full again if nobody takes from it. A unit costs
`interval`; a bucket that holds `burst` units may be ahead of now by `tolerance`. From this follows, for each bucket and
any times a ≤ b, that at most `burst + rate·(b − a)` units are admitted between them: exactly, since nothing is rounded but
the interval, and that upwards.

Pure arithmetic without a clock: the drivers of the port `Limiter` keep the times. What they answer is *spare*: the
nanoseconds of tolerance that are left after an admission, or, below zero, that are missing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

SECOND: Final = 1_000_000_000
"""Nanoseconds."""


@dataclass(frozen=True, slots=True)
class Limit:
    """So many units a second on average, and so many at once."""

    rate: float
    """Units a second."""
    burst: int
    """Units that a full bucket holds."""
    interval: int = field(init=False, repr=False, compare=False)
    """Nanoseconds in which one unit comes back."""
    tolerance: int = field(init=False, repr=False, compare=False)
    """Nanoseconds in which an empty bucket fills."""

    def __post_init__(self) -> None:
        if not 0 < self.rate <= SECOND or self.burst < 1:
            raise ValueError("a limit has a rate above 0, and a burst of at least 1")
        object.__setattr__(self, "interval", math.ceil(SECOND / self.rate))
        object.__setattr__(self, "tolerance", self.interval * self.burst)

    def left(self, spare: int) -> int:
        """Whole units that are left."""
        return spare // self.interval if spare > 0 else 0

    def more(self, spare: int) -> int:
        """Nanoseconds until there is one unit more; after a refusal, until what was asked for is there."""
        return self.interval - spare % self.interval if spare >= 0 else -spare

    def share(self, parts: int) -> Limit:
        """What one of `parts` equals has of it, at least a burst of one."""
        return Limit(self.rate / parts, max(1, self.burst // parts))


def admit(tat: int, now: int, limit: Limit, units: int = 1) -> tuple[int, int]:
    """The bucket after it was asked for `units`, and what is spare.

    A bucket that is further ahead than it can be, since its clock was set back, counts as empty.
    """
    ahead = now + limit.tolerance
    if tat < now:
        tat = now
    elif tat > ahead:
        tat = ahead
    after = tat + units * limit.interval
    if after > ahead:
        return tat, ahead - after
    return after, ahead - after
