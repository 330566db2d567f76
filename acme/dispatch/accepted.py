"""The end of a connection that answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final, cast

from h2.errors import ErrorCodes
from h2.events import PingAckReceived, RequestReceived
from h2.exceptions import ProtocolError
from hyperframe.frame import GoAwayFrame, PingFrame

from acme.dispatch.exchange import Exchange, Lost, framed
from acme.dispatch.headers import Header
from acme.dispatch.http2 import Link

_EVERY_STREAM: Final = 2**31 - 1


class Accepted(Link):
    """The end that answers: `begin` is called with every whole request, and starts `exchange.task`. Of a request that
    `streams`, it is called at once: its messages come one by one.

    A request that is reset, or whose connection is lost, has its task cancelled. One that is not whole within
    `patience` seconds is reset.
    """

    def __init__(
        self,
        window: int,
        lost: Callable[[Link, str], None],
        begin: Callable[[Accepted, Exchange], None],
        too_large: Callable[[Accepted, Exchange], None],
        patience: float,
        streams: Callable[[Exchange], bool] = lambda exchange: False,
        made: Callable[[Accepted], None] = lambda link: None,
    ) -> None:
        """`made` is called when there is a connection, and `lost` when there is none any more. Where a handshake fails there
        never is one."""
        super().__init__(client=False, window=window, lost=lost)
        self._made = made
        self._begin, self._too_large, self._patience, self._streams = begin, too_large, patience, streams
        self._fresh: list[Exchange] = []
        self._leaving = False
        self._on[RequestReceived] = self._request
        self._on[PingAckReceived] = self._pong

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self.closed:
            self._made(self)

    # ---- answering ----------------------------------------------------------------------------------------------

    async def answer(self, exchange: Exchange, head: Sequence[Header], message: bytes, tail: Sequence[Header]) -> None:
        """Sends headers, one message and trailers; in one write when the peer takes them."""
        connection, stream, data = self.h2, exchange.id, framed(message)
        try:
            connection.send_headers(stream, head)
            if self.fits(stream, len(data)):
                connection.send_data(stream, data)
            else:
                self.flush()
                await self.send(exchange, data, end=False)
            connection.send_headers(stream, tail, end_stream=True)
        except ProtocolError:
            pass  # whoever asked has gone
        exchange.answered = True
        self.flush()

    async def stream(
        self, exchange: Exchange, head: Sequence[Header], messages: AsyncGenerator[bytes, None], tail: Sequence[Header]
    ) -> None:
        """Sends headers, each message as it comes, as fast as the peer takes them, and trailers. Closes `messages`."""
        try:
            async with aclosing(messages):
                async for message in messages:
                    self._open(exchange, head)
                    await self.send(exchange, framed(message), end=False)
                    await asyncio.sleep(
                        0
                    )  # whoever is fast enough never makes us wait, and others want to be served too
            self._open(exchange, head)
            self.refuse(exchange, tail)
        except ProtocolError:
            pass  # whoever asked has gone

    def _open(self, exchange: Exchange, head: Sequence[Header]) -> None:
        if not exchange.begun:
            exchange.begun = True
            self.h2.send_headers(exchange.id, head)
            self.flush()

    def refuse(self, exchange: Exchange, head: Sequence[Header]) -> None:
        """Sends an answer that is headers only; after messages, the end of it."""
        if exchange.begun:
            head = [header for header in head if header[0] not in (b":status", b"content-type")]
        try:
            self.h2.send_headers(exchange.id, head, end_stream=True)
            if not exchange.ended:
                self.h2.reset_stream(exchange.id, ErrorCodes.NO_ERROR)  # nobody reads the rest (RFC 9113, 8.1)
        except ProtocolError:
            pass  # whoever asked has gone
        exchange.answered = True
        self.flush()

    def end(self, exchange: Exchange) -> None:
        """Nobody works on it any more. Unanswered, by a fault of ours or because a watch was ended, it is reset."""
        if not exchange.answered:
            self.reset(exchange, ErrorCodes.INTERNAL_ERROR)
        self.forget(exchange)

    def leave(self) -> None:
        """Takes no new exchanges, finishes those it has, and closes.

        The first GOAWAY names no last stream, so that what is on its way is still served; the ping behind it comes back
        when the peer has read it, and sends no more (RFC 9113, section 6.8).
        """
        if self._transport is None or self.closed:
            return
        if not self._leaving:
            self._leaving = True
            self.flush()
            goaway = GoAwayFrame(0, last_stream_id=_EVERY_STREAM, error_code=int(ErrorCodes.NO_ERROR))
            self._transport.write(goaway.serialize() + PingFrame(0, opaque_data=b"acme bye").serialize())

    # ---- events -------------------------------------------------------------------------------------------------

    def _request(self, event: RequestReceived) -> None:
        stream = event.stream_id
        exchange = self.exchanges[stream] = Exchange(stream)
        exchange.head = cast(Sequence[Header], event.headers)
        if self._streams(exchange):
            self.receive(exchange)
            self._begin(self, exchange)
        else:
            self._fresh.append(exchange)

    def _after(self) -> None:
        if self._fresh:
            for exchange in self._fresh:
                if not exchange.ended and exchange.id in self.exchanges:
                    loop = asyncio.get_running_loop()
                    exchange.timer = loop.call_later(self._patience, self._tired, exchange)
            self._fresh.clear()
        super()._after()

    def _tired(self, exchange: Exchange) -> None:
        self.reset(exchange, ErrorCodes.CANCEL)
        self.forget(exchange)

    def _pong(self, event: PingAckReceived) -> None:
        if self._leaving and event.ping_data == b"acme bye":
            self.draining = True
            self._rest()

    def _oversized(self, exchange: Exchange) -> None:
        self._stop_timer(exchange)
        self._too_large(self, exchange)
        self.forget(exchange)

    def _whole(self, exchange: Exchange) -> None:
        self._stop_timer(exchange)
        self._begin(self, exchange)

    def _fail(self, exchange: Exchange, trouble: Lost) -> None:
        self._stop_timer(exchange)
        if exchange.task is not None:
            exchange.task.cancel()
        else:
            self.forget(exchange)

    def _stop_timer(self, exchange: Exchange) -> None:
        if exchange.timer is not None:
            exchange.timer.cancel()
            exchange.timer = None
