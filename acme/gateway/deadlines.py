"""The time limit of a request: when its time is up, its task is cancelled.

Nearly every request ends long before that, so arming has to cost nothing: a request says when it is `due`, and all that
are being served are looked through ten times a second. A timer of the event loop of its own, which takes 13,000 instructions
(perf stat), gets only what is due before the look after next. `Call.deadline`, which services see, is exact in any case.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any, Final, Protocol

TICK: Final = 0.1
"""Seconds between two looks."""
EXACT: Final = 2 * TICK
"""Seconds before its time is up at which a request gets a timer of its own."""
NEVER: Final = math.inf


class Timed(Protocol):
    """What is being served."""

    due: float
    """`time.monotonic()` at which its time is up; `NEVER` before that is known and once it is done."""
    alarm: Alarm | None
    """`None` until time is up, or a timer of its own is set."""

    @property
    def task(self) -> asyncio.Task[Any]: ...


class Alarm:
    """Of a task: `stop` it, whatever happens."""

    __slots__ = ("_handle", "_task", "rang")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self._handle: asyncio.TimerHandle | None = None
        self.rang = False

    def ring(self) -> None:
        """Time is up."""
        self.rang = True
        self._task.cancel()

    def now(self) -> None:
        """Rings before its time, unless it has."""
        if self._handle is not None:
            self._handle.cancel()
        if not self.rang:
            self.ring()

    def caused(self) -> bool:
        """Whether a cancellation is the alarm's alone, and not also somebody else's. Asked once."""
        rang, self.rang = self.rang, False
        return rang and self._task.uncancel() == 0

    def stop(self) -> None:
        """Nothing is cancelled from now on."""
        if self._handle is not None:
            self._handle.cancel()
        if self.rang:
            self._task.uncancel()  # the call ended in another way, in that very moment

    def exactly(self, seconds: float) -> None:
        """Rings by a timer of its own."""
        self._handle = self._task.get_loop().call_later(seconds, self.ring)


class Deadlines:
    """All that is being served: `active`, into which and out of which whoever serves puts it."""

    def __init__(self) -> None:
        self.active: set[Timed] = set()
        self.sweeping = False
        """Whether `active` is being looked through; otherwise `sweep` has to be called when something is added."""

    def limit(self, one: Timed, started: float, seconds: float) -> None:
        """Cancels its task so many seconds after `started`, unless it is done with before: `over`."""
        one.due = started + seconds
        if seconds < EXACT:
            one.alarm = alarm = Alarm(one.task)
            alarm.exactly(one.due - time.monotonic())

    @staticmethod
    def over(one: Timed) -> None:
        """It ended."""
        one.due = NEVER
        if one.alarm is not None:
            one.alarm.stop()

    def sweep(self) -> None:
        """Sets timers for what is due soon, cancels what is late, and looks again as long as anything is being served."""
        now = time.monotonic()
        soon = now + EXACT
        for one in [one for one in self.active if one.due <= soon and one.alarm is None]:
            one.alarm = alarm = Alarm(one.task)
            if one.due > now:
                alarm.exactly(one.due - now)
            else:
                alarm.ring()
        self.sweeping = bool(self.active)
        if self.sweeping:
            asyncio.get_running_loop().call_later(TICK, self.sweep)
