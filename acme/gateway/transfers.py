"""Bodies that come and go in pieces: nothing is kept but what is on its way.

An upload becomes a stream of messages as the service takes them: aiohttp stops reading from the socket meanwhile. A
download leaves as the client reads it. One that breaks off in the middle resets the connection, so that no client takes
half of it for all.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from acme.errors import Code, Refused
from acme.gateway.bodies import malformed, too_large, welcome
from acme.gateway.connection import Connection
from acme.gateway.problems import Rejected
from acme.gateway.server import Request
from acme.gateway.settings import GatewaySettings
from acme.telemetry import logger

log: Final = logger(__name__)

PIECE: Final = 256 * 1024
"""Bytes of a request body that a message carries at most."""

_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER that makes a close a reset."""


def gone(message: str = "The client has gone.", reason: str = "") -> Refused:
    """Nobody gets this."""
    return Refused(message, code=Code.CANCELLED, reason=reason)


async def pieces(request: Request, most: int, settings: GatewaySettings) -> AsyncGenerator[bytes, None]:
    """The request body, as it comes.

    Raises:
        TooLarge: it has more than `most` bytes (413).
        Rejected: nothing came for `body_timeout`, or less than `body_rate` (408), or it is not what the headers promised
            (400).
        Refused: the client has gone.
    """
    payload, size, waited = request.payload, 0, -settings.body_timeout
    if not payload.is_eof():
        welcome(request)
    while True:
        began = time.monotonic()
        try:
            async with asyncio.timeout(settings.body_timeout):
                data = await payload.readany()
        except TimeoutError:
            request.connection.cut("slow_body")
            message = f"Nothing of the body came for {settings.body_timeout:g} seconds."
            raise Rejected(408, "slow_body", message) from None
        except (RequestPayloadError, HttpProcessingError):
            raise malformed() from None
        except ConnectionError:
            raise gone() from None
        if not data:
            return
        size += len(data)
        if size > most:
            raise too_large(most)
        waited += time.monotonic() - began  # for the client alone: a service may take what time it likes
        if size < waited * settings.body_rate:
            request.connection.cut("slow_body")
            raise Rejected(408, "slow_body", f"The body has to come at {settings.body_rate} bytes a second or more.")
        for at in range(0, len(data), PIECE):
            yield data[at : at + PIECE]


class Download:
    """An answer in pieces. Stands in for aiohttp's response as `Reply` does, and is sent by `run`, before it is returned."""

    data: Final = b""
    """Nothing is left to send."""

    __slots__ = ("_chunked", "_head", "_length", "_request", "body_length", "keep_alive", "status", "write_timeout")

    def __init__(
        self,
        request: Request,
        request_id: str,
        status: int,
        kind: str,
        lines: bytes,
        length: int | None,
        may_keep: bool,
        write_timeout: float,
    ) -> None:
        """`length` is how many bytes it will have, when that is known. HTTP/1.0 is told the end by the connection's."""
        self.status, self.write_timeout, self.body_length = status, write_timeout, 0
        self._request = request
        message = request.message
        modern = message.version is HttpVersion11
        empty = status in (204, 304)
        self._length = 0 if empty else length
        self._chunked = self._length is None and modern
        bounded = modern or self._length is not None
        self.keep_alive = keep = may_keep and request.read and bounded and not message.should_close
        if not keep:
            lines += b"Connection: close\r\n"
        elif not modern:
            lines += b"Connection: keep-alive\r\n"
        if self._chunked:
            lines += b"Transfer-Encoding: chunked\r\n"
        elif self._length is not None and not empty:
            lines += b"Content-Length: %d\r\n" % self._length
        start = request.connection.head_until_id(status, kind, time.time())
        self._head = b"%b%b\r\n%b\r\n" % (start, request_id.encode(), lines)

    async def run(self, connection: Connection, data: AsyncIterator[bytes]) -> None:
        """Sends it.

        Raises:
            Refused: the client has gone, reads too slowly, or the stream failed; the connection is reset.
        """
        try:
            if self._request.message.method == "HEAD":
                await self._write(connection, self._head)
                return
            head = self._head
            async for piece in data:
                if not piece:
                    continue
                self.body_length += len(piece)
                if self._length is not None and self.body_length > self._length:
                    raise self._wrong()
                await self._write(connection, head + (chunk(piece) if self._chunked else piece))
                head = b""
            if self._length is not None and self.body_length != self._length:
                raise self._wrong()
            if rest := head + (b"0\r\n\r\n" if self._chunked else b""):
                await self._write(connection, rest)
        except BaseException:
            self.keep_alive = False
            reset(connection)
            raise

    async def _write(self, connection: Connection, data: bytes) -> None:
        transport = connection.transport
        if transport is None:
            raise gone()
        transport.write(data)
        if not connection.writing_paused:
            await asyncio.sleep(0)  # a client that is fast enough never makes us wait, and others want to be served too
            return
        try:
            await connection.drain(self.write_timeout, len(data))
        except TimeoutError:
            connection.cut("slow_read")
            raise gone(f"The client read nothing for {self.write_timeout:g} seconds.", "slow_client") from None
        except ConnectionError:
            raise gone() from None
        if connection.transport is None:
            raise gone()

    def _wrong(self) -> Refused:
        log.error("a stream has not the length it said", said=self._length, sent=self.body_length)
        return Refused("internal error")

    async def prepare(self, request: web.BaseRequest) -> None:
        """For aiohttp's own way: it has been sent."""

    async def write_eof(self) -> None:
        """For aiohttp's own way: nothing is left to send."""


def chunk(piece: bytes) -> bytes:
    """A piece of a chunked body (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def reset(connection: Connection) -> None:
    """Ends a connection so that nobody takes what it got for whole."""
    transport = connection.transport
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
