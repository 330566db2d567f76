"""SIGINT and SIGTERM: the first asks a process to end, the second insists. SIGHUP: read the configuration again.

A terminal that is closed sends SIGHUP, too: whoever was started from one, and has lost it, ends; under nohup it goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator


class Interrupted(Exception):
    """A signal came before the platform was ready; everything started so far has been stopped."""


class Stopping:
    """The wish to stop, as signals tell it."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._waiting = False
        self._task: asyncio.Task[object] | None = None

        self._had_terminal = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN and _terminal()
        self.reload: Callable[[], None] | None = None
        """What SIGHUP asks for; until there is something, nothing."""

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Listens to SIGINT, SIGTERM and SIGHUP inside the block, on behalf of the current task."""
        loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.ask)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def _hung_up(self) -> None:
        if self._had_terminal and not _terminal():
            self.ask()
        elif self.reload is not None:
            self.reload()

    def ask(self) -> None:
        """One more signal: the first asks, the second insists."""
        if self._asked.is_set():
            os._exit(130)
        self._asked.set()
        if not self._waiting and self._task is not None:
            self._task.cancel()

    async def wait(self) -> None:
        """Returns when somebody asked."""
        self._waiting = True
        await self._asked.wait()


def _terminal() -> bool:
    """Whether this process has a terminal that may go away."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
