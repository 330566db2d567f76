"""A small TCP balancer: connections to several places in turn, to those whose /readyz says yes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

CHECK = 0.1
"""Seconds between two looks at /readyz."""


class Balancer:
    """Listens on a port of its own; `places` may change at any time."""

    def __init__(self) -> None:
        self.places: list[tuple[str, int]] = []
        self.ready: set[tuple[str, int]] = set()
        self.port = 0
        self._turn = itertools.count()

    def pick(self) -> list[tuple[str, int]]:
        """The places that are ready, the next one first."""
        ready = [place for place in self.places if place in self.ready]
        turn = next(self._turn) % len(ready) if ready else 0
        return ready[turn:] + ready[:turn]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to the first place that takes it. Bytes go both ways until either side is done."""
        for host, port in self.pick():
            try:
                up, down = await asyncio.open_connection(host, port)
                break
            except OSError:
                continue  # it has just gone: nothing was sent, so the next one gets it
        else:
            writer.transport.abort()
            return
        await asyncio.gather(_pipe(reader, down), _pipe(up, writer))

    async def look(self) -> None:
        """Asks every place, for ever."""
        while True:
            answers = await asyncio.gather(*(_ready(*place) for place in list(self.places)))
            self.ready = {place for place, answer in zip(list(self.places), answers, strict=False) if answer}
            await asyncio.sleep(CHECK)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(ConnectionError):
        writer.close()
        await writer.wait_closed()


async def _ready(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: balancer\r\nConnection: close\r\n\r\n")
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


@contextlib.asynccontextmanager
async def balancer() -> AsyncIterator[Balancer]:
    """A running balancer."""
    one = Balancer()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    looking = asyncio.get_running_loop().create_task(one.look())
    try:
        yield one
    finally:
        looking.cancel()
        server.close()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
