"""The only home of `create_task`: every task has a name, an owner and an end.

    async with Tasks("node", metrics) as tasks:
        tasks.spawn("gateway.drain", drain())
        tasks.loop("deliveries", claim, pause=1.0)

Leaving the block cancels what still runs and waits for it. A task that fails is logged and counted; a loop that fails
starts again after a backoff with jitter. `watch_loop` runs a thread that names the code that blocks the event loop.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self

from acme.telemetry import Metrics, logger

log: Final = logger(__name__)


class Tasks:
    """Owner of background tasks; an async context manager."""

    def __init__(self, owner: str, metrics: Metrics) -> None:
        self.owner = owner
        self._running: set[asyncio.Task[Any]] = set()
        self._failures = metrics.counter(
            "acme_task_failures_total", "Background tasks that ended in an error.", ("task",)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs `work` once. Its error is logged and counted, not raised."""
        task = asyncio.get_running_loop().create_task(self._guard(name, work), name=f"{self.owner}.{name}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda _: work.close())  # cancelled before its first step, it was never awaited
        return task

    def loop(
        self, name: str, work: Callable[[], Awaitable[None]], *, pause: float, most: float = 30.0
    ) -> asyncio.Task[None]:
        """Calls `work` for ever, `pause` seconds between the end of one call and the start of the next.

        After an error it waits twice as long each time, up to `most` seconds, with jitter.
        """
        return self.spawn(name, self._repeat(name, work, pause, most))

    async def stop(self) -> None:
        """Cancels what runs and waits until all of it has ended."""
        while self._running:
            pending = list(self._running)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def settle(self) -> None:
        """Waits, without cancelling, until everything spawned so far has ended."""
        if self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    async def outcome(self, name: str, work: Awaitable[None]) -> Exception | None:
        """Awaits `work` here. Its error is logged and counted, and returned: for work that is recorded as failed."""
        try:
            await work
        except Exception as error:
            self._failures.bind(name).add()
            log.error("task failed", task=f"{self.owner}.{name}", error=repr(error), exc_info=error)
            return error
        return None

    async def _guard(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        await self.outcome(name, work)

    async def _repeat(self, name: str, work: Callable[[], Awaitable[None]], pause: float, most: float) -> None:
        wait = pause
        while True:
            try:
                await work()
                wait = pause
            except Exception as error:
                self._failures.bind(name).add()
                wait = min(max(wait, 0.05) * 2, most)
                log.error("loop failed", task=f"{self.owner}.{name}", retry_in=round(wait, 2), exc_info=error)
            await asyncio.sleep(wait if wait == pause else wait * random.uniform(0.5, 1.0))


class LoopWatch:
    """Says who blocks the event loop: a thread that looks at the loop's thread when a heartbeat is late.

    A blocked loop stalls every request of the process. The counter tells that it happened, the log line which code ran.
    """

    def __init__(self, metrics: Metrics, *, limit: float = 0.25, beat: float = 0.05) -> None:
        self._limit, self._beat = limit, beat
        self._last = time.monotonic()
        self._stop = threading.Event()
        self._stalls = metrics.counter("acme_event_loop_stalls_total", "Times the event loop was blocked too long.")
        self._handle: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Watches the running loop of this thread."""
        self._tick(asyncio.get_running_loop())
        self._thread = threading.Thread(
            target=self._watch, args=(threading.get_ident(),), name="acme.loop-watch", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stop.set()
        if self._handle is not None:
            self._handle.cancel()
        if self._thread is not None:
            self._thread.join()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._last = time.monotonic()
        self._handle = loop.call_later(self._beat, self._tick, loop)

    def _watch(self, ident: int) -> None:
        while not self._stop.wait(self._limit / 2):
            late = time.monotonic() - self._last - self._beat
            if late < self._limit:
                continue
            self._stalls.bind().add()
            frame = sys._current_frames().get(ident)
            stack = traceback.format_list(traceback.extract_stack(frame)[-6:]) if frame else []
            log.warning("event loop blocked", seconds=round(late, 3), culprit="".join(stack))
            blocked = self._last
            while self._last == blocked and not self._stop.wait(self._beat):
                pass
