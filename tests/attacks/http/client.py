"""A client of bytes: sends what it is told, however wrong, and reads what comes back."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

PATIENCE = 10.0
"""Seconds in which everything has to have happened."""


@dataclass(frozen=True)
class Answer:
    """An answer as it came."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header."""
        found = re.search(rb"\r\n%b: ([^\r]*)\r\n" % name.encode(), self.head + b"\r\n", re.I)
        return found[1].decode() if found else None


class Wire(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.received = b""
        self.lost = False
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._changed.set()

    def send(self, data: bytes) -> None:
        """Sends bytes; when the connection has ended, nothing."""
        if not self.lost:
            self.transport.write(data)

    async def until(self, condition: Callable[[], object]) -> None:
        """Returns when it holds. Raises TimeoutError when it never does."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def answer(self) -> Answer | None:
        """The next answer, those with 100 left out; `None` when the connection ended without one."""
        while True:
            await self.until(lambda: b"\r\n\r\n" in self.received or self.lost)
            head, found, rest = self.received.partition(b"\r\n\r\n")
            if not found:
                assert not self.received, self.received
                return None
            status = int(head.split(b" ", 2)[1])
            if status == 100:
                self.received = rest
                continue
            length = re.search(rb"\r\ncontent-length: (\d+)", head, re.I)
            end = len(head) + 4 + (int(length[1]) if length else 0)
            await self._come(end)
            body, self.received = self.received[len(head) + 4 : end], self.received[end:]
            return Answer(status, head, body)

    async def _come(self, size: int) -> None:
        await self.until(lambda: len(self.received) >= size or self.lost)
        assert len(self.received) >= size

    async def ended(self) -> None:
        """Returns when the server has closed the connection."""
        await self.until(lambda: self.lost)


@asynccontextmanager
async def connected(port: int, source: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """A connection to a port of this machine, from one of its addresses; over TLS with a context."""
    loop = asyncio.get_running_loop()
    name = "localhost" if tls is not None else None
    _, wire = await loop.create_connection(
        Wire, "127.0.0.1", port, local_addr=(source, 0), ssl=tls, server_hostname=name
    )
    try:
        yield wire
    finally:
        wire.transport.abort()
