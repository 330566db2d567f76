"""Requests are served in the task of their connection, and most of them by a loop of our own.

aiohttp's makes a writer, two coroutines and, up to Python 3.11, a task for each, of which nothing is used here.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, TypeVar, cast

from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler

T = TypeVar("T")


class InOneTask:
    """The event loop as a connection sees it, except that a task is the coroutine itself.

    aiohttp runs each request in a task of its own, within the connection's, and awaits it at once. Python 3.12 starts
    such a task eagerly; on 3.11 it takes another turn of the loop, and 8 of 223 thousand instructions a request (perf
    stat, a no-op through the whole pipeline). There requests are served in the connection's task: a cancellation of
    either was passed on to the other anyway.
    """

    __slots__ = ("_loop", "call_at", "create_future", "time")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.call_at, self.create_future, self.time = loop.call_at, loop.create_future, loop.time

    @staticmethod
    def create_task(request: T) -> T:
        return request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


class OneTask(RequestHandler):
    """A connection that serves plain requests in its own task."""

    __slots__ = ()

    def send(self, answer: Any) -> bytes:
        """Writes an answer, unless it has been written in pieces; what is too large for that is given back."""
        raise NotImplementedError

    async def send_large(self, request: Any, data: bytes, timeout: float) -> None:
        """Sends it as fast as the client takes it."""
        raise NotImplementedError

    async def drained(self, timeout: float, size: int) -> None:
        """Returns when all that was written has left, or the client has been cut off."""
        raise NotImplementedError

    def _left(self) -> None:
        """It is closed, once the client has read what was written."""
        raise NotImplementedError

    async def start(self) -> None:
        """Serves requests without a body, one after the other, until the connection ends, or another kind of request has
        come: from there on aiohttp's own loop serves whatever comes, which takes 8 of 187 thousand instructions more for
        each (perf stat). One coroutine does all that, since each that a request waits in is gone through whenever it goes
        on."""
        try:
            messages, serve, make = self._messages, cast(Any, self._request_handler), cast(Any, self._request_factory)
            loop, manager, task = self._loop, cast(Any, self._manager), self._task_handler or asyncio.current_task()
            while not self._force_close:
                if not messages:
                    self._waiter = loop.create_future()
                    try:
                        await self._waiter
                    finally:
                        self._waiter = None
                message, payload = messages[0]
                if payload is not EMPTY_PAYLOAD or type(message) is not RawRequestMessage or self._upgraded:
                    del message, payload
                    await super().start()
                    return
                messages.popleft()
                if self._parser is not None:
                    self._parser.message_consumed()
                if self._buffer_paused and len(messages) <= self._msg_queue_resume_size:
                    self._resume_reading_if_drained()
                manager.requests_count += 1
                request = make(message, payload, self, None, task)
                self._request_in_progress, whole = True, False
                try:
                    self._current_request = request
                    answer = await serve(request)
                    self._current_request = None
                    large = self.send(answer)
                    if large:
                        await self.send_large(request, large, answer.write_timeout)
                    elif self._paused:
                        await self.drained(answer.write_timeout, answer.body_length)
                    whole = True
                except ConnectionError:
                    break
                finally:
                    self._current_request = request._task = None
                    self._request_in_progress = False
                    if self._handler_waiter is not None:
                        self._handler_waiter.set_result(None)
                    if not whole:  # cancelled, or by a fault of ours: nobody knows what the client has got
                        if isinstance(fault := sys.exc_info()[1], Exception):
                            self.logger.error("unexpected error in the HTTP server", exc_info=fault)
                        self.force_close()
                self._keepalive = answer.keep_alive
                if not self._keepalive or self._close or self._force_close:
                    break
                self._next_keepalive_close_time = close = loop.time() + self._keepalive_timeout
                if self._keepalive_handle is None:
                    self._keepalive_handle = loop.call_at(close, self._process_keepalive)
                del message, request, answer, large  # nothing is kept while it waits for the next
            if not self._force_close:
                self._task_handler = None
                if self.transport is not None:
                    self.transport.close()
        finally:
            self._left()
