"""A load generator that is light enough not to be what is measured: pre-built bytes over raw keep-alive sockets.

One request at a time on each of 32 connections (closed loop). A reply is read as far as its Content-Length needs, and its
status line is checked. On uvloop this takes about 11 µs a request where the bare aiohttp server takes 23.
"""

from __future__ import annotations

import asyncio
import ssl
import statistics
import time
from dataclasses import dataclass
from typing import Final, cast

CONNECTIONS: Final = 32


class BrokenReply(Exception):
    """The server answered something else than expected."""


@dataclass(frozen=True)
class Load:
    """What one round of load came to."""

    requests: int
    seconds: float
    p50: float
    """Milliseconds."""
    p99: float
    reply_bytes: int
    """Of the last reply, head and body."""
    own_cpu: float
    """CPU seconds that the generator took."""

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


class _Connection(asyncio.Protocol):
    """Sends the same request again whenever its reply is complete."""

    def __init__(self, request: bytes, status: int, until: float) -> None:
        self.request, self.status, self.until = request, b"HTTP/1.1 %d " % status, until
        self.latencies: list[float] = []
        self.reply_bytes = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._received = b""
        self._started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self._send()

    def _send(self) -> None:
        self._started = time.perf_counter()
        self._transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        head = received.find(b"\r\n\r\n")
        if head < 0:
            return
        if len(received) < head + 4 + content_length(received, head):
            return
        now = time.perf_counter()
        self.latencies.append(now - self._started)
        self.reply_bytes = len(received)
        self._received = b""
        if not received.startswith(self.status):
            self._end(BrokenReply(received[:500].decode(errors="replace")))
        elif now < self.until:
            self._send()
        else:
            self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or BrokenReply("the server closed the connection"))

    def _end(self, error: Exception | None) -> None:
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
        self._transport.close()


def content_length(received: bytes, head: int) -> int:
    """What the head of a reply, which ends at `head`, says of its body; 0 when it says nothing."""
    at = received.find(b"ontent-", 0, head)  # Envoy writes header names in small letters
    while at >= 0:
        if received[at + 7 : at + 15].lower() == b"length: ":
            return int(received[at + 15 : received.find(b"\r", at + 15)])
        at = received.find(b"ontent-", at + 7, head)
    return 0


async def load(
    host: str, port: int, request: bytes, *, seconds: float, status: int = 200, tls: ssl.SSLContext | None = None
) -> Load:
    """Sends `request` for so long over all connections, and counts the replies. `tls` speaks TLS, to any name.

    Raises:
        BrokenReply: a reply without the expected status.
        TimeoutError: no replies for 30 s.
    """
    loop = asyncio.get_running_loop()
    start, cpu = time.perf_counter(), time.process_time()
    connections = [
        (await loop.create_connection(lambda: _Connection(request, status, start + seconds), host, port, ssl=tls))[1]
        for _ in range(CONNECTIONS)
    ]
    async with asyncio.timeout(seconds + 30):
        await asyncio.gather(*[connection.done for connection in connections])
    took = time.perf_counter() - start
    latencies = sorted(latency for connection in connections for latency in connection.latencies)
    percentiles = statistics.quantiles(latencies, n=100)
    return Load(
        requests=len(latencies),
        seconds=took,
        p50=percentiles[49] * 1e3,
        p99=percentiles[98] * 1e3,
        reply_bytes=connections[0].reply_bytes,
        own_cpu=time.process_time() - cpu,
    )


def request_bytes(verb: str, path: str, *, token: str = "", body: bytes = b"") -> bytes:
    """One HTTP/1.1 request, as a client with a token sends it."""
    lines = [f"{verb} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: */*", "User-Agent: bench"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body
