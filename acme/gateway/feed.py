"""One stream of events on its way to one client.

The stream is pulled: the service makes an event when the client has read those before it, and nothing is kept here but what
lies in the socket's buffer. A client that reads nothing for `write_timeout` is cut off.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final

from acme.errors import Code, DeadlineExceeded, Refused
from acme.gateway.deadlines import Alarm
from acme.gateway.events import END, EVENT_STREAM, HEARTBEAT, Frames, again, ended
from acme.gateway.exchange import Exchange
from acme.gateway.problems import problem
from acme.gateway.transfers import Download, chunk, reset

OPENING: Final = 1.0
"""Seconds after which the answer begins without an event: until then, a refusal is answered as any other."""
AWAY: Final = (500, 5000)
"""Milliseconds, from and to, after which who was interrupted comes again: not all in the same moment."""

_LINES: Final = b"X-Accel-Buffering: no\r\n"
"""Keeps nginx from collecting events."""


class Feed(Download):
    """Stands in for aiohttp's response, as `Download` does."""

    __slots__ = (
        "_allowed",
        "_begun",
        "_connection",
        "_ending",
        "_exchange",
        "_heartbeat",
        "_last",
        "_stopped",
        "_timer",
        "refusal",
    )

    def __init__(
        self,
        exchange: Exchange,
        lines: bytes,
        may_keep: bool,
        write_timeout: float,
        heartbeat: float,
        allowed: Callable[[], bool],
    ) -> None:
        """`heartbeat` is in seconds. `allowed` says at each of them whether whoever listens still may."""
        super().__init__(
            exchange, exchange.request_id, 200, EVENT_STREAM, lines + _LINES, None, may_keep, write_timeout
        )
        self._exchange, self._connection = exchange, exchange.connection
        self._heartbeat, self._allowed = heartbeat, allowed
        self._begun = self._stopped = self._ending = False
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.refusal: Refused | None = None
        """What ended it after it had begun, and was told to the client."""

    async def send(
        self, replies: AsyncGenerator[Any, None], frames: Frames, still: Callable[[], Awaitable[object]] | None
    ) -> None:
        """Sends all replies. `still` is awaited before each, and raises when whoever listens may do so no longer.

        Raises:
            Refused: the stream ended in it before it had begun; or the client has gone or reads too slowly.
        """
        head_only = self._exchange.message.method == "HEAD"
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(OPENING, self._tick)
        try:
            try:
                async for reply in replies:
                    if still is not None:
                        await still()
                    if head_only:
                        break
                    await self._event(frames.of(reply))
                last = END
            except asyncio.CancelledError:
                alarm = self._exchange.alarm
                if alarm is None or not alarm.caused():
                    raise  # nobody reads it any more
                if not (self._begun or self._stopped):
                    raise DeadlineExceeded("Nothing came in time.") from None
                last = again(random.randint(*AWAY))
            except Refused as refusal:
                if not self._begun or refusal.code is Code.CANCELLED:
                    raise  # nothing has been said, or nobody would read it
                self.refusal = refusal
                last = ended(problem(refusal, self._exchange.request_id).body)
            self._ending = True
            self._timer.cancel()
            if head_only:
                self._begin()
                return
            await self._event(last)
            if self._chunked:
                await self._write(self._connection, b"0\r\n\r\n")
        except BaseException:
            if self._begun:
                self.keep_alive = False
                reset(self._connection)
            raise
        finally:
            self._timer.cancel()

    def interrupt(self) -> None:
        """Ends it in order, and not for good: the client is asked to come again."""
        if not self._ending and not self._stopped:
            self._stopped, self.keep_alive = True, False
            exchange = self._exchange
            exchange.alarm = alarm = exchange.alarm or Alarm(exchange.task)
            alarm.now()

    async def _event(self, frame: bytes) -> None:
        self._begin()
        self.body_length += len(frame)
        self._last = asyncio.get_running_loop().time()
        await self._write(self._connection, chunk(frame) if self._chunked else frame)

    def _begin(self) -> None:
        """Sends the head, once."""
        if not self._begun:
            self._begun = True
            self._exchange.download = self
            self._connection.write(self._head)

    def _tick(self) -> None:
        """Begins what nothing has come of, and keeps alive what nothing comes of. A whole event is written at a time: none
        is ever cut in two by this."""
        loop = asyncio.get_running_loop()
        now, pause = loop.time(), self._heartbeat
        if not self._begun:
            self._begin()
            if self._exchange.message.method == "HEAD":
                self.interrupt()
                return
        elif not self._allowed():
            self.interrupt()
            return
        elif (quiet := now - self._last) < pause:
            pause -= quiet
        elif not self._connection.writing_paused:
            self._connection.write(chunk(HEARTBEAT) if self._chunked else HEARTBEAT)
            self.body_length += len(HEARTBEAT)
        self._timer = loop.call_later(pause, self._tick)
