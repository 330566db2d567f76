"""A call to another process that streams: requests go out in a task of their own, replies are pulled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Self

from h2.exceptions import ProtocolError

from acme.contract import Method
from acme.dispatch.dialed import Dialed
from acme.dispatch.exchange import Exchange, Lost, framed
from acme.dispatch.headers import Header
from acme.dispatch.messages import Messages
from acme.dispatch.place import Place
from acme.dispatch.replies import check_head, end_of
from acme.tasks import Tasks


class Conversation:
    """One exchange, from its first reply on. `close` it, whatever happens."""

    def __init__(self, place: Place, link: Dialed, exchange: Exchange, method: Method, requests: Messages) -> None:
        self.place = place
        self._link, self._exchange, self._method, self._requests = link, exchange, method, requests
        self._pump: asyncio.Task[None] | None = None
        self._first: bytes | None = None
        self._begun = False
        place.in_flight += 1

    @classmethod
    async def begin(
        cls,
        place: Place,
        link: Dialed,
        head: Iterable[Header],
        method: Method,
        message: bytes | None,
        requests: Messages,
        tasks: Tasks,
    ) -> Self:
        """Sends the call, with its one message or else with `requests`, and waits for its first reply, or for the end
        without one.

        Raises:
            Lost, Refused: as `next`.
        """
        made = cls(place, link, await link.converse(head, message), method, requests)
        try:
            if message is None:
                made._pump = tasks.spawn("rpc.requests", made._send())
            made._first = await made._next()
            if not method.server_streaming:
                await made._check_one()
        except BaseException:
            await made.close()
            raise
        return made

    async def next(self) -> bytes | None:
        """The next reply; `None` after the last.

        Raises:
            Lost: the answer breaks off, or is none.
            Refused: the callee refused.
        """
        if not self._begun:
            self._begun = True
            return self._first
        return await self._next() if self._method.server_streaming else None

    async def close(self) -> None:
        """Ends it; the callee is cancelled if it is still at it."""
        self.place.in_flight -= 1
        self._link.leave(self._exchange)
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])

    async def _next(self) -> bytes | None:
        exchange = self._exchange
        inbox = exchange.inbox
        assert inbox is not None  # noqa: S101 - Dialed.converse made it
        message, half = None, ""
        try:
            message = await inbox.next()
        except ValueError as error:
            if not exchange.ended:
                raise Lost(f"the answer is {error}", processed=True) from None
            half = str(error)
        except Lost:
            if self._requests.failure is None:
                raise
        if self._requests.failure is not None:
            raise asyncio.CancelledError
        if message is not None:
            check_head(exchange)
            return message
        refusal = end_of(exchange)
        if refusal is not None:
            raise refusal
        if half:
            raise Lost(f"the answer is {half}", processed=True)
        return None

    async def _check_one(self) -> None:
        if self._first is None or await self._next() is not None:
            raise Lost("the answer is not one message", processed=True)

    async def _send(self) -> None:
        try:
            async for message in self._requests:
                await self._link.send(self._exchange, framed(message), end=False)
                await asyncio.sleep(0)
            self._link.no_more(self._exchange)
        except ProtocolError:
            pass  # the answer came first, or the end did
        except asyncio.CancelledError:
            if self._exchange.inbox is not None and self._requests.failure is not None:
                self._exchange.inbox.fail(Lost("the caller failed", processed=True))
            raise
