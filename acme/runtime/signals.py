"""SIGINT and SIGTERM: the first asks a process to end, the second insists."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator


class Interrupted(Exception):
    """A signal came before the platform was ready; everything started so far has been stopped."""


class Stopping:
    """The wish to stop, as signals tell it."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._waiting = False
        self._task: asyncio.Task[object] | None = None

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Listens to SIGINT and SIGTERM inside the block, on behalf of the current task."""
        loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.ask)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

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
