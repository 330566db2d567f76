"""The one timer of a request: when its time is up, its task is cancelled.

Nearly every request ends long before that, so arming has to cost nothing: requests with seconds to go wait in one set that
is looked through ten times a second, and are cancelled up to a tenth of a second late. A timer of the event loop of their
own, at 2 µs, is for those in a hurry. `Call.deadline`, which services see, is exact in any case.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

EXACT: Final = 2.0
"""Seconds below which a request gets a timer of its own."""
TICK: Final = 0.1


class Alarm:
    """Set for the current task. `stop` it, whatever happens."""

    __slots__ = ("_deadlines", "_handle", "_task", "due", "rang")

    def __init__(self, deadlines: Deadlines, task: asyncio.Task[Any], due: float) -> None:
        self._deadlines, self._task, self.due = deadlines, task, due
        self._handle: asyncio.TimerHandle | None = None
        self.rang = False

    def ring(self) -> None:
        """Time is up."""
        self.rang = True
        self._task.cancel()

    def caused(self) -> bool:
        """Whether a cancellation is the alarm's alone, and not also somebody else's. Asked once."""
        rang, self.rang = self.rang, False
        return rang and self._task.uncancel() == 0

    def stop(self) -> None:
        """Nothing is cancelled from now on."""
        if self._handle is None:
            self._deadlines.waiting.discard(self)
        else:
            self._handle.cancel()
        if self.rang:
            self._task.uncancel()  # the call ended in another way, in that very moment

    def exactly(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        """Rings by a timer of its own."""
        self._handle = loop.call_later(seconds, self.ring)


class Deadlines:
    """The alarms of one gateway."""

    def __init__(self) -> None:
        self.waiting: set[Alarm] = set()
        self._sweeping = False

    def start(self, task: asyncio.Task[Any], seconds: float) -> Alarm:
        """Cancels `task` after so many seconds, unless the alarm is stopped before."""
        alarm = Alarm(self, task, time.monotonic() + seconds)
        if seconds < EXACT:
            alarm.exactly(task.get_loop(), seconds)
        else:
            self.waiting.add(alarm)
            if not self._sweeping:
                self._sweeping = True
                task.get_loop().call_later(TICK, self._sweep, task.get_loop())
        return alarm

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        for alarm in [alarm for alarm in self.waiting if alarm.due <= now]:
            self.waiting.discard(alarm)
            alarm.ring()
        self._sweeping = bool(self.waiting)
        if self._sweeping:
            loop.call_later(TICK, self._sweep, loop)
