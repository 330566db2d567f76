"""A TCP proxy between two processes, whose way can be cut, closed and made slow while it is in use."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections import deque
from collections.abc import AsyncIterator

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes a close a reset."""


class Proxy:
    """Listens on a port of its own and passes bytes to and from `port`.

    `delay`: seconds by which whatever comes back is late, from now on; what was sent stays in order.
    """

    def __init__(self, port: int) -> None:
        self.to = port
        self.port = 0
        self.delay = 0.0
        self.carried = 0
        """Bytes that came back."""
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Takes connections, on the port it had before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Resets every connection, and refuses new ones until `open`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for end in list(self._ends):
            with contextlib.suppress(OSError):
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, down = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            writer.transport.abort()
            return
        self._ends |= {writer, down}
        try:
            await asyncio.gather(_pass(reader, down), self._back(there, writer))
        finally:
            self._ends -= {writer, down}

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Passes bytes on `delay` seconds after they came."""
        late: deque[tuple[float, bytes]] = deque()
        came = asyncio.Event()

        async def deliver() -> None:
            while True:
                while not late:
                    came.clear()
                    await came.wait()
                due, data = late.popleft()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    break
                self.carried += len(data)
                writer.write(data)
                await writer.drain()

        async with _until_broken(writer), asyncio.TaskGroup() as group:
            group.create_task(deliver())
            data = b"-"
            while data:
                try:
                    data = await reader.read(65536)
                except ConnectionError:
                    data = b""
                late.append((time.monotonic() + self.delay, data))
                came.set()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async with _until_broken(writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@contextlib.asynccontextmanager
async def _until_broken(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Closes the other end when one has ended, however it did."""
    try:
        yield
    except* ConnectionError:
        pass
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def proxy(to: int) -> AsyncIterator[Proxy]:
    """An open proxy to a port of this machine; all of its connections are gone afterwards."""
    one = Proxy(to)
    await one.open()
    try:
        yield one
    finally:
        await one.cut()
