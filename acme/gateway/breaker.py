"""A circuit breaker: who got no answer many times in a row is not asked for a while, then by one call at a time.

What counts is that no answer came at all. A refusal is an answer, a fault in a handler is one too: no client can break the
circuit for others by asking what fails, and none by asking for an answer in no time (`lanes.py` says what counts).
"""

from __future__ import annotations

from typing import Final

LONGEST: Final = 30.0
"""Seconds of a pause at most."""


class Breaker:
    """Of one service. Times are in seconds of one clock, given by whoever calls."""

    __slots__ = ("_left", "_next", "_probing", "failures", "most", "open", "pause")

    def __init__(self, most: int, pause: float) -> None:
        """It opens after `most` failures in a row, never with 0."""
        self.most, self.pause = most, pause
        self.failures = 0
        """In a row."""
        self.open = False
        self._next = 0.0
        self._left = 0.0
        self._probing = False

    def admit(self, now: float) -> float:
        """While it is open: how long to wait, or 0 for the one call that tries, of which `worked`, `failed` or `unclear`
        has to tell."""
        if now < self._next:
            return self._next - now
        if self._probing:
            return self.pause
        self._probing = True
        return 0.0

    def failed(self, now: float) -> bool:
        """No answer came. Whether this opens it."""
        self.failures += 1
        if self.open:
            if now >= self._next:  # what began before it opened says nothing new
                self._left = min(self._left * 2, LONGEST)
                self._next, self._probing = now + self._left, False
            return False
        if not self.most or self.failures < self.most:
            return False
        self.open, self._probing, self._left = True, False, self.pause
        self._next = now + self._left
        return True

    def worked(self) -> bool:
        """An answer came. Whether this closes it."""
        closes, self.open = self.open, False
        self.failures, self._probing = 0, False
        return closes

    def unclear(self) -> None:
        """A call ended, and nobody knows whether there would have been an answer."""
        self._probing = False
