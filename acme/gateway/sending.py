"""How answers leave a connection: in one piece where that is small, and as fast as the client reads."""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from aiohttp import web

from acme.gateway.one_task import OneTask
from acme.gateway.peers import Peer, Peers

UNSENT: Final = 65_536
"""Bytes that may wait for the client to read on before anything waits for that."""


class Sending(OneTask):
    """A connection that sends."""

    __slots__ = ("_held", "_last", "_peers", "secure")

    _peers: Peers
    _last: bytes
    """What was read last, until it is answered."""
    _held: int
    """Bytes of a body that are counted until its request has been answered."""
    secure: bool
    """Whether it is HTTPS."""

    def drop(self, why: str) -> None:
        """It ends now."""
        raise NotImplementedError

    def _let_go(self) -> None:
        self._peers.held -= self._held
        self._held = 0

    def write(self, data: bytes | memoryview) -> None:
        """Sends bytes; to a client that has gone, nothing."""
        transport = self.transport
        if transport is not None:
            transport.write(data)

    async def drained(self, timeout: float, size: int) -> None:
        """Returns when all that was written has left, so that nobody fills the memory by not reading: `size` bytes of it are
        kept until then. A client that takes longer than `timeout` seconds is cut off."""
        if not self.writing_paused:
            return
        try:
            await self.drain(timeout, size)
        except TimeoutError:
            self.drop("slow_read")

    async def drain(self, timeout: float, size: int) -> None:
        """Returns when all that was written has left, or the client has; `size` bytes are kept until then.

        Raises:
            TimeoutError: it took longer than `timeout` seconds.
            ConnectionError: it has gone.
        """
        peers = self._peers
        peers.unread(cast(Peer, self), size)
        try:
            async with asyncio.timeout(timeout):
                await self._drain_helper()  # aiohttp offers it to its own writers only
        finally:
            peers.read(cast(Peer, self))

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Sends an answer; aiohttp's way, by two more coroutines, where a client wanted another protocol (Upgrade) and
        what it sent after that is still to be read."""
        if self._held:
            self._let_go()
        if self._upgraded:
            self._last = b""
            return await super().finish_response(request, resp, start_time)
        answer: Any = resp  # a Reply, or a Download
        large = self.send(answer)
        if large:
            await self.send_large(request, large, answer.write_timeout)
        elif self._paused:
            await self.drained(answer.write_timeout, answer.body_length)
        return resp, False

    def send(self, answer: Any) -> bytes:
        """Writes an answer; of a download, all has been sent. What is too large for that is given back."""
        self._last = b""
        transport, data = self.transport, answer.data
        if transport is None or not data:
            return b""
        answer.data = b""  # aiohttp keeps the answer until the connection's next one
        if len(data) > UNSENT and self.secure:
            return cast(bytes, data)
        transport.write(data)
        return b""

    async def send_large(self, request: web.BaseRequest, data: bytes, timeout: float) -> None:
        """Sends a large answer over TLS, as fast as its client takes it. Written whole, it would be encrypted at once, and
        copied to a transport whose buffer nobody counts: there three times, for as long as its client likes."""
        self._current_request = request  # it is not idle, and what comes next has to wait
        self._peers.unread(cast(Peer, self), len(data))
        try:
            async with asyncio.timeout(timeout):
                for start in range(0, len(data), UNSENT):
                    self.write(memoryview(data)[start : start + UNSENT])
                    if self._paused:
                        await self._drain_helper()
        except TimeoutError:
            self.drop("slow_read")
        finally:
            self._peers.read(cast(Peer, self))
            self._current_request = None
