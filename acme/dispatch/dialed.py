"""The end of a connection that asks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, cast

from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, PingAckReceived, ResponseReceived
from h2.exceptions import ProtocolError

from acme.dispatch.exchange import Exchange, Lost, framed
from acme.dispatch.headers import Header
from acme.dispatch.http2 import FOR_CALLS, Link
from acme.dispatch.serve import MESSAGE_LIMIT
from acme.errors import Unavailable

CROWDED: Final = "too_many_streams"
"""The reason that is given for a stream that has no place."""


class Dialed(Link):
    """The end that asks. `sent_away` is called when the peer wants no new exchanges on this connection."""

    def __init__(self, window: int, lost: Callable[[Link, str], None], sent_away: Callable[[], None]) -> None:
        super().__init__(client=True, window=window, lost=lost)
        self._sent_away = sent_away
        self.began = 0.0
        """`time.monotonic()` when the oldest exchanges in flight began, or a little before."""
        self.asked = 0.0
        """When the last ping was sent, answered or not; 0 for never."""
        self.owed = False
        """Whether the last ping itself has not been answered, whatever else has come."""
        self._took = 0.0
        self._on[ResponseReceived] = self._response
        self._on[PingAckReceived] = self._pong

    def ping(self) -> None:
        """Asks whether the peer is still there; whatever comes next says that it is."""
        if not self.closed:
            self.h2.ping(b"acme\0\0\0\0")
            self.flush()
            self.asked, self.owed = time.monotonic(), True
            self.pinged = self.pinged or self.asked

    def lag(self) -> float:
        """Seconds that the last ping to be answered took there and back, or that one under way has taken so far."""
        return max(self._took, time.monotonic() - self.asked) if self.owed else self._took

    def retire(self) -> None:
        """Asks nothing more, and closes when all answers are there."""
        self.draining = True
        self._rest()

    def _goaway(self, event: ConnectionTerminated) -> None:
        super()._goaway(event)
        self._sent_away()

    async def ask(self, head: Iterable[Header], message: bytes) -> Exchange:
        """Sends a request and waits for all of its answer. Cancelling it resets the stream.

        Raises:
            Lost: there is no answer.
        """
        await self._room()
        connection = self.h2
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        exchange = self._open(head, done)
        stream = exchange.id
        data = framed(message)
        try:
            if self.fits(stream, len(data)):
                connection.send_data(stream, data, end_stream=True)
                self.flush()
            else:
                self.flush()
                with contextlib.suppress(ProtocolError):  # the answer came first, or the end did
                    await self.send(exchange, data, end=True)
            await done
        except asyncio.CancelledError:
            self.reset(exchange, ErrorCodes.CANCEL)
            raise
        finally:
            self.forget(exchange)
        if exchange.trouble is not None:
            raise exchange.trouble
        return exchange

    async def converse(self, head: Iterable[Header], message: bytes | None) -> Exchange:
        """Begins an exchange whose answer, and request if `message` is `None`, come in any number of messages: read
        `exchange.inbox`, `send` and `end`, and in any case `leave` it.

        Raises:
            Lost: it could not begin.
            Unavailable: too many do already.
        """
        most = self.h2.remote_settings.max_concurrent_streams
        if len(self.exchanges) >= most - min(FOR_CALLS, most // 2):
            raise Unavailable("Too many streams are under way: try again.", reason=CROWDED)
        await self._room()
        exchange = self._open(head, None)
        self.receive(exchange)
        self.flush()
        if message is not None:
            try:
                await self.send(exchange, framed(message), end=True)
            except ProtocolError:
                pass  # the answer came first, or the end did
            except asyncio.CancelledError:
                self.leave(exchange)
                raise
        return exchange

    def leave(self, exchange: Exchange) -> None:
        """Ends an exchange that `converse` began, wherever it is."""
        if exchange.id in self.exchanges:
            if not (exchange.sent and exchange.ended):
                self.reset(exchange, ErrorCodes.CANCEL)
            self.forget(exchange)

    async def _room(self) -> None:
        """Waits until another exchange may begin."""
        connection, exchanges = self.h2, self.exchanges
        while self._paused or len(exchanges) >= connection.remote_settings.max_concurrent_streams:
            if self.closed or self.draining:
                break
            await self.change()
        if self.closed or self.draining:
            raise Lost("the connection is closed", processed=False)

    def _open(self, head: Iterable[Header], done: asyncio.Future[None] | None) -> Exchange:
        connection, exchanges = self.h2, self.exchanges
        try:
            stream = connection.get_next_available_stream_id()
            connection.send_headers(stream, head)
        except ProtocolError as error:  # out of stream ids, or of places
            raise Lost(f"the connection takes no more ({type(error).__name__})", processed=False) from None
        if not exchanges:
            self.began = time.monotonic()
        exchange = exchanges[stream] = Exchange(stream, done)
        return exchange

    def _pong(self, event: PingAckReceived) -> None:
        self.owed, self._took = False, time.monotonic() - self.asked

    def _response(self, event: ResponseReceived) -> None:
        exchange = self.exchanges.get(event.stream_id)
        if exchange is not None:
            exchange.head = cast(Sequence[Header], event.headers)

    def _oversized(self, exchange: Exchange) -> None:
        self._fail(exchange, Lost(f"the reply has more than {MESSAGE_LIMIT} bytes", processed=True))
        self.reset(exchange, ErrorCodes.CANCEL)

    def _whole(self, exchange: Exchange) -> None:
        if exchange.done is not None and not exchange.done.done():
            exchange.done.set_result(None)
            if self._waiting:
                self._wake()

    def _fail(self, exchange: Exchange, trouble: Lost) -> None:
        if exchange.inbox is not None:
            exchange.inbox.fail(trouble)
            self._wake()
        if exchange.done is not None and not exchange.done.done():
            exchange.trouble = trouble
            exchange.done.set_result(None)
            self._wake()
