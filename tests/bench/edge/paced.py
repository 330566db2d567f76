"""Load at a given rate, whatever the server does (open loop): what clients that do not wait for each other see.

A request is due at its own moment; where no connection is free it waits, and its latency counts from when it was due (so
that a server that stalls is not asked less, "coordinated omission").
"""

from __future__ import annotations

import asyncio
import ssl
import statistics
import time
from collections import deque
from dataclasses import dataclass
from typing import Final, cast

from tests.bench.load import CONNECTIONS, BrokenReply, content_length

_TICK: Final = 0.001
"""Seconds between two looks at what is due."""
_PATIENCE: Final = 30.0
"""Seconds in which the last replies have to come."""


@dataclass(frozen=True)
class Pace:
    """What a round came to."""

    wanted: float
    """Requests a second."""
    rate: float
    """Requests answered a second."""
    p50: float
    """Milliseconds."""
    p99: float


class _Connection(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run, self._received, self._due = run, b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._run.rest(self)

    def send(self, due: float) -> None:
        self._due = due
        self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        head = received.find(b"\r\n\r\n")
        if head < 0 or len(received) < head + 4 + content_length(received, head):
            return
        run = self._run
        run.latencies.append(time.perf_counter() - self._due)
        if not received.startswith(b"HTTP/1.1 200 "):
            run.broken = received[:500].decode(errors="replace")
        self._received = b""
        if run.due:
            self.send(run.due.popleft())
        else:
            run.rest(self)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._run.over:
            self._run.broken = "the server closed the connection"

    def close(self) -> None:
        self._transport.abort()


class _Run:
    def __init__(self, request: bytes) -> None:
        self.request = request
        self.idle: list[_Connection] = []
        self.due: deque[float] = deque()
        self.latencies: list[float] = []
        self.broken, self.over = "", False
        self._all_idle = asyncio.Event()

    def rest(self, connection: _Connection) -> None:
        """A connection has nothing to do."""
        self.idle.append(connection)
        self._all_idle.set()

    async def quiet(self, connections: int) -> None:
        """Returns when all of them have nothing to do, or something is broken."""
        while len(self.idle) < connections and not self.broken:
            self._all_idle.clear()
            await self._all_idle.wait()


async def paced(
    host: str, port: int, request: bytes, *, rate: float, seconds: float, tls: ssl.SSLContext | None = None
) -> Pace:
    """Sends `request` so many times a second.

    Raises:
        BrokenReply: a reply without the status 200, or a connection that ended.
        TimeoutError: the last replies did not come.
    """
    loop, run = asyncio.get_running_loop(), _Run(request)
    connections = [
        (await loop.create_connection(lambda: _Connection(run), host, port, ssl=tls))[1] for _ in range(CONNECTIONS)
    ]
    start, sent = time.perf_counter(), 0
    while (now := time.perf_counter() - start) < seconds:
        while sent / rate <= now:
            due, sent = start + sent / rate, sent + 1
            if run.idle:
                run.idle.pop().send(due)
            else:
                run.due.append(due)
        await asyncio.sleep(_TICK)
    run.over = True
    async with asyncio.timeout(_PATIENCE):
        await run.quiet(len(connections))
    took = time.perf_counter() - start
    for connection in connections:
        connection.close()
    if run.broken:
        raise BrokenReply(run.broken)
    percentiles = statistics.quantiles(sorted(run.latencies), n=100)
    return Pace(rate, len(run.latencies) / took, percentiles[49] * 1e3, percentiles[98] * 1e3)
