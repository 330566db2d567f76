"""The only home of `create_task`: every task has a name, an owner and an end.

    async with Tasks("node", metrics) as tasks:
        tasks.spawn("gateway.drain", drain())
        tasks.loop("deliveries", claim, pause=1.0)

Leaving the block cancels what still runs and waits for it. A task that fails is logged and counted; a loop that fails
starts again after a backoff with jitter. `LoopWatch` runs a thread that names the code that blocks the event loop.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from types import FrameType, TracebackType
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


@dataclass(frozen=True, slots=True)
class Serving:
    """The call that a thread is serving at a moment."""

    plugin: str
    method: str
    """`package.Service/Method`."""
    request_id: str


LAGS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Bounds of the histogram of the loop's lag, in seconds."""


class LoopWatch:
    """Says who blocks the event loop: a thread that looks at the loop's thread when a heartbeat is late.

    A blocked loop stalls every request of the process. The counter tells whose method it was ("" outside of calls), the log
    line also which code ran. Nothing is noted while the loop runs as it should: what a handler's call is, is read off the
    stack of the blocked thread. C code that holds the interpreter's lock is seen when it gives the lock up. How late each
    heartbeat is goes into a histogram: every request waits that long for nothing.
    """

    def __init__(
        self,
        metrics: Metrics,
        serving: Callable[[FrameType], Serving | None] = lambda frame: None,
        *,
        limit: float = 0.25,
        beat: float = 0.05,
    ) -> None:
        """`serving` finds the call that is served on a stack, by its innermost frame. A block of up to `limit` seconds is
        nobody's business."""
        self._serving, self._limit, self._beat = serving, limit, beat
        self._last = time.monotonic()
        self._stop = threading.Event()
        self._stalls = metrics.counter(
            "acme_event_loop_stalls_total", "Times the event loop was blocked too long.", ("plugin", "method")
        )
        metrics.gauge(
            "acme_tasks",
            "Tasks of the event loop that have not ended.",
            (),
            lambda: {(): float(len(asyncio.all_tasks()))},
        )
        self._late = metrics.histogram(
            "acme_event_loop_lag_seconds", "How late the event loop came to a timer.", (), LAGS
        ).bind()
        self._handle: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Watches the running loop of this thread."""
        loop = asyncio.get_running_loop()
        self._last = time.monotonic() - self._beat
        self._tick(loop)
        self._thread = threading.Thread(
            target=self._watch, args=(threading.get_ident(), loop), name="acme.loop-watch", daemon=True
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
        now = time.monotonic()
        self._late.observe(max(0.0, now - self._last - self._beat))
        self._last = now
        self._handle = loop.call_later(self._beat, self._tick, loop)

    def _watch(self, ident: int, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stop.wait(self._limit / 2):
            blocked = self._last
            if time.monotonic() - blocked - self._beat < self._limit:
                continue
            frame = sys._current_frames().get(ident)
            if frame is None or self._last != blocked:
                continue  # it went on in this very moment: the stack is another's
            self._tell(frame, loop, time.monotonic() - blocked)
            del frame  # or all that its stack holds would live until the next time
            while self._last == blocked and not self._stop.wait(self._beat):
                pass
            log.warning("event loop goes on", seconds=round(self._last - blocked, 3))

    def _tell(self, frame: FrameType, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        call = self._serving(frame)
        plugin, method = (call.plugin, call.method) if call is not None else ("", "")
        task = asyncio.current_task(loop)
        stack = traceback.extract_stack(frame)
        log.warning(
            "event loop blocked",
            plugin=plugin,
            method=method,
            task=task.get_name() if task is not None else "",
            file=stack[-1].filename,
            line=stack[-1].lineno,
            seconds=round(seconds, 3),
            stack="".join(traceback.format_list(stack[-6:])),
            **({"request_id": call.request_id} if call is not None else {}),
        )
        # Counted by the loop, once it can: a scrape may be going over the series, and that is the loop's thread.
        loop.call_soon_threadsafe(self._count, plugin, method)

    def _count(self, plugin: str, method: str) -> None:
        self._stalls.bind(plugin, method).add()
