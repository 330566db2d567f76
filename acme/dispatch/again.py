"""When a call may be sent once more."""

from __future__ import annotations

from typing import Final

from acme.context import Call, Kind
from acme.contract import Method, Work

AGAIN: Final = 2
"""How often a call may be sent again at most."""
SHARE: Final = 0.1
"""Of all requests, how many may be sent again."""
BURST: Final = 10.0
"""How many may be sent again at once, after a time without failures."""
PAUSE: Final = 0.05
"""Seconds before a request is sent again, at most; less by jitter, and twice as long the second time."""


class Budget:
    """Bounds the extra load of sending again: each request earns a part of one more. A token bucket."""

    def __init__(self, share: float = SHARE, burst: float = BURST) -> None:
        self._share, self._burst = share, burst
        self._left = burst

    def earn(self) -> None:
        """A request was made."""
        if self._left < self._burst:
            self._left = min(self._burst, self._left + self._share)

    def spend(self) -> bool:
        """Whether one more may be sent; if so, it is paid."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


def repeatable(method: Method, call: Call) -> bool:
    """Whether doing it twice is doing it once."""
    if method.idempotent:
        return True
    # A key is kept with what a unit of work has written, for whoever is somebody, unless the reply is a secret.
    kept = method.work is not Work.NONE and not method.secret_reply
    return call.idempotency is not None and kept and call.principal.kind is not Kind.ANONYMOUS
